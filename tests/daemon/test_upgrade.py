"""A position is open while the program is upgraded, or the state is lost and restored: it is found as it was left."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.journal import FILE, Journal
from tests.daemon.running import WARMUP, Configure, Exchange, Running, command, play, until
from tests.local_exchange import LocalExchange

Start = Callable[[Path], Running]
SAME = ("positions", "stops", "fees", "realized")
"""What stays as it is at the exchange while nothing is done there."""


def opened(place: LocalExchange, daemon: Running, stop: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
    """Let a daemon open its position and stop it; what the exchange holds then."""
    hold(place, daemon)
    daemon.process.send_signal(stop)
    daemon.wait()
    held = place.state()
    assert (len(held["positions"]), len(held["stops"])) == (1, 1)
    return held


def hold(place: LocalExchange, daemon: Running) -> None:
    """Play until a position is open: on a busy machine the first entry may have waited too long and been given up."""
    for _ in range(20):
        play(place, daemon, 1)
        if place.state()["positions"]:
            return
    pytest.fail("no position was opened")


def as_version_1(journal: Path) -> None:
    """Take from a journal what version 1 did not have."""
    with closing(sqlite3.connect(journal)) as db:
        for index in ("intents_event_seq", "intents_client_id", "decisions_bar", "ahead_event_seq"):
            db.execute(f"DROP INDEX ix_{index}")
        for table in ("alembic_version", "ahead", "exposures", "funding", "gaps"):
            db.execute(f"DROP TABLE {table}")
        for column in ("decisions refusal", "trades grid", "fills grid", "fills fee_asset", "fills coin_fee"):
            db.execute("ALTER TABLE {} DROP COLUMN {}".format(*column.split()))
        db.execute("UPDATE meta SET value = '1' WHERE key = 'version'")
        db.commit()


def as_version_2(journal: Path) -> None:
    """A journal of before there were migrations, which had no other stamp than its own."""
    with closing(sqlite3.connect(journal)) as db:
        db.execute("DROP TABLE alembic_version")


def goes_on(place: LocalExchange, daemon: Running, held: dict[str, Any]) -> None:
    """The daemon finds position and stop as they were, doubles nothing, and leaves the position by its rules."""
    until(lambda: place.state()["listening"], "the daemon listening")
    until(lambda: protected(daemon), "the stop read back")
    now = place.state()
    assert {name: now[name] for name in SAME} == {name: held[name] for name in SAME}
    play(place, daemon, 4)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0
    after = place.state()
    assert after["imbalance"] == "0.00000000"
    trades = Journal(daemon.folder).trades()
    assert trades[0].entry_time <= held["market_time"]  # the trade that the life before began
    sent = [row["client_id"] for row in Journal(daemon.folder).rows("intents") if row["kind"] == "Submit"]
    assert len(set(sent)) == len(sent) > 0


def protected(daemon: Running) -> bool:
    reply = json.loads(command("status", daemon.folder.parent / "daemon.yaml", "--json").stdout or "{}")
    return any(position["protected"] for position in reply.get("positions", ()))


def test_an_upgrade_with_a_position_open_finds_position_and_stop(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    held = opened(place, first)
    deployment = Journal(first.folder).deployment
    as_version_2(first.folder / FILE)
    assert command("migrate", config, "--check").exit_code == 1
    assert command("migrate", config).exit_code == 0
    goes_on(place, start(config), held)
    assert Journal(first.folder).deployment == deployment


def test_a_start_after_a_crash_upgrades_by_itself(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    held = opened(place, first, signal.SIGKILL)
    as_version_1(first.folder / FILE)
    goes_on(place, start(config), held)
    assert list(first.folder.glob(f"{FILE}.version-1-*"))


def test_a_lost_state_is_restored_with_the_position_open(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    hold(place, first)
    until(lambda: protected(first), "the stop read back")
    assert command("backup", config, "--out", str(tmp_path / "kept.tar")).exit_code == 0  # while it runs
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    held = place.state()
    shutil.rmtree(first.folder)
    assert command("restore", config, str(tmp_path / "kept.tar")).exit_code == 0
    goes_on(place, start(config), held)


def test_a_backup_from_before_the_position_takes_it_over_and_doubles_nothing(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    until(lambda: place.state()["listening"], "the daemon listening")
    assert command("backup", config, "--out", str(tmp_path / "kept.tar")).exit_code == 0
    held = opened(place, first)
    assert command("restore", config, str(tmp_path / "kept.tar")).exit_code == 0
    second = start(config)
    until(lambda: place.state()["listening"], "the second life listening")
    until(lambda: protected(second), "the stop read back")
    until(lambda: len(place.state()["stops"]) == 1, "one stop, whether the old one or another in its place")
    now = place.state()
    assert now["positions"] == held["positions"]
    assert [stop["quantity"] for stop in now["stops"]] == [stop["quantity"] for stop in held["stops"]]
    assert now["fees"] == held["fees"]
    assert json.loads(command("status", config, "--json").stdout)["state"] == "active"
