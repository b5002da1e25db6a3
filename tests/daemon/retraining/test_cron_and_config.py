"""Schedules mean what crontab means, and a section that cannot work is refused with its line and what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from configs import ConfigError
from daemon.config import DaemonConfig, load_config
from daemon.retraining.cron import CronError, trigger

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
BASE = """mode: sandbox
exchange: {url: "http://127.0.0.1:18080", key: local, secret: local}
symbols: [BTCUSDT]
"""


def next_days(text: str, count: int) -> str:
    found, when = [], MONDAY
    made = trigger(text)
    for _ in range(count):
        when = made.get_next_fire_time(when, when)
        found.append(f"{when:%a}")
    return " ".join(found)


def config(tmp_path: Path, section: str) -> DaemonConfig:
    file = tmp_path / "daemon.yaml"
    file.write_text(BASE + section)
    return load_config(file)


def refusal(tmp_path: Path, section: str) -> str:
    with pytest.raises(ConfigError) as told:
        config(tmp_path, section)
    return str(told.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("days", "fire"),
    [
        ("0", "Sun Sun Sun"),
        ("7", "Sun Sun Sun"),
        ("1-5", "Tue Wed Thu Fri Mon"),
        ("fri-mon", "Fri Sat Sun Mon"),
        ("*/2", "Tue Thu Sat Sun"),
        ("sat,0", "Sat Sun Sat"),
    ],
)
def test_weekdays_are_counted_as_crontab_counts_them(days: str, fire: str) -> None:
    assert next_days(f"30 3 * * {days}", len(fire.split())) == fire


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("30 3 * *", "has 4 fields and needs five: minute, hour"),
        ("61 3 * * *", "minute '61': the last value (61) is higher than the maximum value (59)"),
        ("30 3 * * 8", "day of week '8': write 0 to 7"),
        ("30 3 1 * 1", "restricts day of month and day of week"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 * * 1/0", "a step is a number from 1 to 7"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(CronError) as told:
        trigger(text)
    assert wrong in str(told.value)


def test_a_bad_schedule_is_refused_where_it_stands(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'retraining:\n  spec: spec.yaml\n  schedule: "99 3 * * 0"\n')
    assert "daemon.yaml:6:13: retraining.schedule: '99 3 * * 0': minute '99'" in told


def test_typos_and_contradictions_are_refused(tmp_path: Path) -> None:
    assert "unknown key, did you mean 'schedule'" in refusal(tmp_path, "retraining: {spec: a.yaml, shedule: null}\n")
    assert "retraining.spec: missing" in refusal(tmp_path, "retraining: {}\n")
    finer = "retraining: {spec: a.yaml, history: {timeframes: [1h, 2h]}}\n"
    assert "2h is not shorter" in refusal(tmp_path, finer)
    other = "retraining: {spec: a.yaml, history: {timeframes: [4h]}}\n"
    assert "begins with 4h, and decisions are made at 1h" in refusal(tmp_path, other)
    pauses = "retraining: {spec: a.yaml, backoff_first_s: 60, backoff_cap_s: 5}\n"
    assert "backoff_cap_s 5 is less" in refusal(tmp_path, pauses)


def test_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    made = config(tmp_path, "retraining: {spec: training/cpu.yaml, history: {folder: ../history}}\n").retraining
    assert made is not None
    assert (made.spec, made.history.folder) == (tmp_path / "training/cpu.yaml", tmp_path.parent / "history")


def test_nothing_is_trained_without_the_section(tmp_path: Path) -> None:
    assert config(tmp_path, "").retraining is None


def test_history_of_another_exchange_is_not_downloaded_from_binance(tmp_path: Path) -> None:
    file = tmp_path / "daemon.yaml"
    bybit = BASE.replace("{url", "{id: bybit, url")
    file.write_text(bybit + "retraining: {spec: a.yaml}\n")
    with pytest.raises(ConfigError, match="at bybit write none"):
        load_config(file)
    file.write_text(bybit + "retraining: {spec: a.yaml, history: {source: none}}\n")
    assert load_config(file).retraining is not None
