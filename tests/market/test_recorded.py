"""Joining what a daemon recorded: every value compared, every difference told, nothing overwritten."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from market import history, synthetic
from market.__main__ import market
from market.candles import VALUES, Candles
from market.timeframes import Timeframe

HOUR = Timeframe.parse("1h")


def record(state_dir: Path, candles: Candles, symbol: str = "BTCUSDT", live: int = 1) -> None:
    """As the daemon writes them: NULL for what is missing."""
    columns = ", ".join(VALUES)
    with closing(sqlite3.connect(state_dir / "candles.sqlite")) as database, database:
        database.execute(
            f"CREATE TABLE IF NOT EXISTS candles (symbol, timeframe, open_time, {columns}, live, "
            f"PRIMARY KEY (symbol, timeframe, open_time))"
        )
        for i in range(len(candles)):
            row = candles.row(i)
            values = [None if np.isnan(v) else v for v in (getattr(row, name) for name in VALUES)]
            database.execute(
                f"INSERT INTO candles VALUES ({', '.join('?' * 13)})",
                (symbol, str(candles.timeframe), row.open_time, *values, live),
            )


def join(state_dir: Path, out: Path, *words: str) -> Result:
    return CliRunner().invoke(
        market, ["history", "--join", str(state_dir), "--out", str(out), *words], catch_exceptions=False
    )


@pytest.fixture(scope="module")
def candles() -> Candles:
    return synthetic.generate(bars=200, timeframe=HOUR)[0]


def with_value(candles: Candles, index: int, name: str, value: float) -> Candles:
    columns = {v: getattr(candles, v).copy() for v in VALUES}
    columns[name][index] = value
    return Candles(candles.timeframe, candles.open_time, **columns)


def test_recorded_candles_join_where_the_file_has_none(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "BTCUSDT.parquet"
    history.write(candles[:100], out)
    record(tmp_path, candles[80:150])
    told = json.loads(join(tmp_path, out, "--json").stdout)
    assert (told["joined"], told["compared"], told["differing"], told["missing"]) == (50, 20, 0, [])
    assert np.array_equal(history.read(out).close, candles.close[:150])
    assert np.array_equal(history.read(out).taker_quote, candles.taker_quote[:150])


def test_a_recording_alone_makes_a_file_and_its_gap_is_told(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "BTCUSDT.parquet"
    record(tmp_path, candles[:10])
    record(tmp_path, candles[13:20], live=0)
    result = join(tmp_path, out)
    assert (result.exit_code, len(history.read(out))) == (0, 17)
    assert "missing: 2024-01-01T10:00Z  3 candles missing, until 2024-01-01T13:00Z" in result.stdout


def test_every_difference_is_told_and_the_file_is_kept(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "BTCUSDT.parquet"
    history.write(candles[:100], out)
    heard = with_value(candles[:120], 50, "volume", float(candles.volume[50]) * 2)
    record(tmp_path, heard)
    result = join(tmp_path, out)
    assert result.exit_code == 0
    kept, not_kept = float(candles.volume[50]), float(heard.volume[50])
    expected = f"2024-01-03T02:00Z  volume: {kept!r} in the file is kept, {not_kept!r} (heard live) is not"
    assert expected in result.stderr
    assert history.read(out).volume[50] == kept
    assert len(history.read(out)) == 120


def test_too_many_differences_join_nothing(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "BTCUSDT.parquet"
    history.write(candles[:100], out)
    heard = candles[:120]
    for index in range(4):
        heard = with_value(heard, index, "close", float(heard.low[index]))
    record(tmp_path, heard)
    before = out.read_bytes()
    refused = join(tmp_path, out)
    assert (refused.exit_code, out.read_bytes() == before) == (7, True)
    assert "4 of 100 candles that both have differ, and 3 are tolerated" in refused.stderr
    assert join(tmp_path, out, "--tolerate", "4").exit_code == 0


def test_what_one_side_does_not_know_is_no_difference(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "BTCUSDT.parquet"
    history.write(candles[:100], out)
    record(tmp_path, with_value(candles[:101], 5, "taker_base", float("nan")))
    told = json.loads(join(tmp_path, out, "--json").stdout)
    assert (told["differing"], told["known_to_one_side"], told["joined"]) == (0, 1, 1)


def test_damage_in_a_recording_and_a_recording_of_other_things_are_refused(candles: Candles, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    nowhere = join(tmp_path, out)
    assert (nowhere.exit_code, "state directory of a daemon" in nowhere.stderr) == (7, True)
    record(tmp_path, with_value(candles[:20], 5, "low", 0.0))
    damaged = join(tmp_path, out)
    assert (damaged.exit_code, "1 faults" in damaged.stderr, out.exists()) == (7, True, False)
    other = join(tmp_path, out, "--symbol", "ETHUSDT")
    assert (other.exit_code, "holds no 1h candles of ETHUSDT, but BTCUSDT 1h" in other.stderr) == (7, True)
