"""`python -m market gather`: archive, exchange and recording together, compared, and never one for another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from market import history, synthetic
from market.__main__ import market
from market.aggregate import aggregate
from market.agreement import agreement
from market.candles import Candles
from market.timeframes import Timeframe
from tests.archive_server import ArchiveServer
from tests.local_exchange import LocalExchange
from tests.market.test_recorded import record, with_value

HOUR, QUARTER = Timeframe.parse("1h"), Timeframe.parse("15m")
NAME = "BTCUSDT-um-1h.parquet"


@pytest.fixture(scope="module")
def hours() -> Candles:
    return synthetic.generate(bars=300, timeframe=HOUR)[0]


def run(folder: Path, *words: object) -> Result:
    places = ("--folder", folder / "history", "--out", folder / "out", "--join", folder, "--json")
    told = ("gather", "--from", "2023-01-01", *places, *words)
    return CliRunner().invoke(market, [*map(str, told)], catch_exceptions=False)


def gathered(folder: Path, *words: object) -> dict[str, Any]:
    result = run(folder, *words)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def keep(folder: Path, name: str, candles: Candles) -> None:
    (folder / "history").mkdir(exist_ok=True)
    history.write(candles, folder / "history" / name)


def test_only_what_is_new_is_asked_of_the_exchange_and_every_file_is_hashed(
    exchange: Callable[..., LocalExchange], tmp_path: Path
) -> None:
    local = exchange(bars=600, timeframe="15m", warmup=400)
    words = ("--source", "api", "--api-url", local.url, "--timeframes", "1h,15m", "--funding")
    first = gathered(tmp_path, *words)
    hour, quarter = map(Path, first["data"])
    assert len(history.read(quarter, QUARTER)) == 400
    assert "100 candles of 1h compared with those of 15m, 0 differ" in first["told"]
    assert len(history.read_funding(first["funding"])) > 10
    files = (hour, quarter, Path(first["funding"]))
    assert first["hashes"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    local.advance(8)
    second = gathered(tmp_path, *words)
    assert "408 candles" in second["told"][1]
    assert "8 downloaded" in second["told"][1]
    assert first["hashes"][quarter.name] != second["hashes"][quarter.name]


def test_a_recording_joins_the_files_and_never_the_history(hours: Candles, tmp_path: Path) -> None:
    keep(tmp_path, NAME, hours[:200])
    record(tmp_path, hours[150:220])
    told = gathered(tmp_path, "--source", "none")
    assert "20 of the daemon's own joined, 50 compared and 0 differ" in told["told"][0]
    assert len(history.read(told["data"][0])) == 220
    assert len(history.read(tmp_path / "history" / NAME)) == 200


def test_months_come_from_the_archive_and_a_companion_goes_along(tmp_path: Path) -> None:
    other = synthetic.generate("ETHUSDT", bars=31 * 24, timeframe=HOUR)[0]
    with ArchiveServer() as archive:
        archive.put_candles("BTCUSDT", synthetic.generate(bars=31 * 24, timeframe=HOUR)[0])
        archive.put_candles("ETHUSDT", other)
        words = ("--source", "archive", "--archive-url", archive.url, "--companion", "ETHUSDT")
        told = gathered(tmp_path, *words, "--from", "2024-01-01")
    assert np.array_equal(history.read(told["companion"]).close, other.close)
    assert set(told["hashes"]) == {NAME, "ETHUSDT-um-1h.parquet"}


def test_a_recording_that_differs_beyond_the_tolerance_gives_nothing_and_names_the_differences(
    hours: Candles, tmp_path: Path
) -> None:
    keep(tmp_path, NAME, hours)
    heard = hours
    for index in (3, 4, 5):
        heard = with_value(heard, index, "volume", float(hours.volume[index]) * 2)
    record(tmp_path, heard)
    assert "300 compared and 3 differ" in gathered(tmp_path, "--source", "none")["told"][0]
    refused = run(tmp_path, "--source", "none", "--tolerate", "2")
    assert refused.exit_code == 7
    assert "3 of 300 1h candles of BTCUSDT" in refused.stderr
    assert "2024-01-01T03:00Z  volume" in refused.stderr


def test_timeframes_that_contradict_one_another_give_nothing(tmp_path: Path) -> None:
    quarters = synthetic.generate(bars=400, timeframe=QUARTER)[0]
    keep(tmp_path, "BTCUSDT-um-15m.parquet", quarters)
    keep(tmp_path, NAME, with_value(aggregate(quarters, HOUR), 7, "taker_base", 0.0))
    refused = run(tmp_path, "--source", "none", "--timeframes", "1h,15m", "--tolerate", "0")
    assert refused.exit_code == 7
    assert "2024-01-01T07:00Z  taker_base: 0.0, but its shorter candles give" in refused.stderr


def test_damage_and_nothing_at_all_are_refused_with_what_to_do(hours: Candles, tmp_path: Path) -> None:
    nothing = run(tmp_path, "--source", "none")
    assert (nothing.exit_code, "no 1h candles of BTCUSDT" in nothing.stderr) == (7, True)
    keep(tmp_path, NAME, with_value(hours, 5, "low", 0.0))
    damaged = run(tmp_path, "--source", "none")
    assert (damaged.exit_code, "1 fault in its 300 candles" in damaged.stderr) == (7, True)


def test_volumes_agree_up_to_rounding_and_prices_exactly() -> None:
    quarters = synthetic.generate(bars=400, timeframe=QUARTER)[0]
    built = aggregate(quarters, HOUR)
    rounded = with_value(built, 3, "volume", float(built.volume[3]) * (1 + 1e-9))
    assert agreement(rounded, quarters).differing == 0
    moved = with_value(built, 3, "close", float(np.nextafter(built.close[3], 0)))
    (found,) = agreement(moved, quarters).disagreements
    assert (found.field, found.longer) == ("close", float(moved.close[3]))
    unknown = with_value(built, 3, "trades", float("nan"))
    assert agreement(unknown, quarters).differing == 0


def test_real_hours_and_quarters_of_the_same_market_agree(shared: Path) -> None:
    hours = history.read(shared / "data" / "BTCUSDT-spot-1h.parquet")
    found = agreement(hours, history.read(shared / "data" / "BTCUSDT-spot-15m.parquet"))
    assert found.compared > 60_000
    assert found.differing == 0
