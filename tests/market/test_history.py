"""History: files are read strictly, written whole, and give back what was written."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market import history, synthetic
from market.candles import VALUES, Candles
from market.funding import Funding
from market.history import HistoryError
from market.timeframes import Timeframe

HOUR = Timeframe.parse("1h")
QUARTER = Timeframe.parse("15m")
START = 1_704_067_200_000


def same(ours: Candles, theirs: Candles) -> bool:
    arrays = [f.name for f in fields(Candles) if f.name != "timeframe"]
    equal = all(np.array_equal(getattr(ours, n), getattr(theirs, n), equal_nan=n in VALUES) for n in arrays)
    return equal and ours.timeframe == theirs.timeframe


def rows(count: int = 6, **columns: Any) -> dict[str, Any]:
    """The columns of a sound file of hours, some replaced; None drops one."""
    sound: dict[str, Any] = {"open_time": pa.array(START + HOUR.ms * np.arange(count))}
    sound |= {"open": np.full(count, 10.0), "high": np.full(count, 12.0), "low": np.full(count, 9.0)}
    sound |= {"close": np.full(count, 11.0), "volume": np.full(count, 5.0)}
    return {name: values for name, values in (sound | columns).items() if values is not None}


def file(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "klines.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def refusal(folder: Path, columns: dict[str, Any], timeframe: Timeframe | None = None) -> str:
    with pytest.raises(HistoryError) as caught:
        history.read(file(folder, columns), timeframe)
    return str(caught.value)


def test_candles_come_back_as_they_were_written(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=500, timeframe=QUARTER, seed=3)
    history.write(candles, tmp_path / "c.parquet")
    assert same(history.read(tmp_path / "c.parquet", QUARTER), candles)


def test_a_single_candle_keeps_the_timeframe_it_was_written_with(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=1, timeframe=QUARTER, seed=3)
    history.write(candles, tmp_path / "c.parquet")
    assert history.read(tmp_path / "c.parquet").timeframe == QUARTER


def test_funding_comes_back_as_it_was_written(tmp_path: Path) -> None:
    _, funding = synthetic.generate(bars=2_000, timeframe=HOUR, seed=3)
    history.write(funding, tmp_path / "f.parquet")
    back = history.read_funding(tmp_path / "f.parquet")
    assert back.time.tolist() == funding.time.tolist()
    assert back.rate.tolist() == funding.rate.tolist()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=50, timeframe=HOUR, seed=3)
    history.write(candles, tmp_path / "c.parquet")
    lame = Candles(HOUR, candles.open_time[:3], *(getattr(candles, v) for v in VALUES))
    with pytest.raises(pa.ArrowInvalid):
        history.write(lame, tmp_path / "c.parquet")
    assert same(history.read(tmp_path / "c.parquet"), candles)
    assert [p.name for p in tmp_path.iterdir()] == ["c.parquet"]


def test_writing_into_no_folder_says_which(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=5, timeframe=HOUR)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        history.write(candles, tmp_path / "nowhere" / "c.parquet")


@pytest.mark.parametrize(
    "times",
    [
        pa.array(START + HOUR.ms * np.arange(6)),
        pa.array((START + HOUR.ms * np.arange(6)) * 1_000_000, pa.timestamp("ns", tz="UTC")),
        pa.array((START + HOUR.ms * np.arange(6)) // 1000, pa.timestamp("s", tz="Europe/Berlin")),
    ],
    ids=["integer ms", "ns timestamps", "timestamps shown in another zone"],
)
def test_the_same_instants_are_read_however_they_are_stored(tmp_path: Path, times: pa.Array) -> None:
    candles = history.read(file(tmp_path, rows(open_time=times)))
    assert candles.open_time.tolist() == [START + h * HOUR.ms for h in range(6)]
    assert candles.timeframe == HOUR


def test_a_column_the_file_lacks_is_missing_not_zero(tmp_path: Path) -> None:
    candles = history.read(file(tmp_path, rows(trades=np.array([1, None, 3, 4, 5, 6]))))
    assert np.isnan(candles.taker_base).all()
    assert np.isnan(candles.trades).tolist() == [False, True, False, False, False, False]


def test_gaps_are_let_through(tmp_path: Path) -> None:
    times = START + HOUR.ms * np.array([0, 1, 2, 9, 10, 11])
    assert len(history.read(file(tmp_path, rows(open_time=times))).holes()) == 1


def test_every_fault_is_told_with_its_time(tmp_path: Path) -> None:
    times = START + HOUR.ms * np.array([0, 1, 1, 4, 3, 5])
    path = file(tmp_path, rows(open_time=times, close=np.array([11, 11, 11, 11, 11, np.nan])))
    with pytest.raises(HistoryError) as caught:
        history.read(path)
    assert [p.time for p in caught.value.problems] == [START + h * HOUR.ms for h in (1, 3, 5)]
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 3 faults in its 6 candles; repair or fetch them again"
    assert lines[1] == "  2024-01-01T01:00Z  candle repeated"
    assert lines[3].startswith("  2024-01-01T05:00Z  price that is not a positive number")


def test_a_long_list_of_faults_is_cut_in_the_message_alone(tmp_path: Path) -> None:
    with pytest.raises(HistoryError) as caught:
        history.read(file(tmp_path, rows(40, low=np.zeros(40))))
    assert len(caught.value.problems) == 40
    assert str(caught.value).endswith("and 30 more")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"none\.parquet: no such file"):
        history.read(tmp_path / "none.parquet")


@pytest.mark.parametrize("content", [b"", b"open_time,open\n", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "klines.parquet"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="not a readable parquet file"):
        history.read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=500, timeframe=HOUR)
    history.write(candles, tmp_path / "c.parquet")
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HistoryError, match="not a readable parquet file"):
        history.read(tmp_path / "c.parquet")


def test_a_file_damaged_within_is_refused(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=500, timeframe=HOUR)
    history.write(candles, tmp_path / "c.parquet")
    bytes_ = bytearray((tmp_path / "c.parquet").read_bytes())
    bytes_[4:3_000] = bytes(2_996)
    (tmp_path / "c.parquet").write_bytes(bytes_)
    with pytest.raises(HistoryError):
        history.read(tmp_path / "c.parquet")


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    assert "holds no rows" in refusal(tmp_path, rows(0))


def test_a_missing_column_is_named_with_those_there(tmp_path: Path) -> None:
    assert "no column volume; it has open_time, open, high, low, close" in refusal(tmp_path, rows(volume=None))
    assert "no column open_time" in refusal(tmp_path, rows(open_time=None))


def test_a_column_of_text_is_refused(tmp_path: Path) -> None:
    assert "column close is string" in refusal(tmp_path, rows(close=["11.0"] * 6))


def test_a_required_column_of_nothing_is_damage(tmp_path: Path) -> None:
    assert "6 faults" in refusal(tmp_path, rows(close=pa.nulls(6)))


@pytest.mark.parametrize("factor", [1_000, 1_000_000])
def test_times_in_another_unit_are_refused(tmp_path: Path, factor: int) -> None:
    assert "convert seconds or microseconds" in refusal(
        tmp_path, rows(open_time=(START + HOUR.ms * np.arange(6)) * factor)
    )
    assert "convert seconds or microseconds" in refusal(
        tmp_path, rows(open_time=(START + HOUR.ms * np.arange(6)) // factor)
    )


def test_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    naive = pa.array(START + HOUR.ms * np.arange(6), pa.timestamp("ms"))
    assert "no time zone" in refusal(tmp_path, rows(open_time=naive))


def test_times_as_text_or_missing_are_refused(tmp_path: Path) -> None:
    assert "open_time is string" in refusal(tmp_path, rows(open_time=["2024-01-01"] * 6))
    holed = pa.array([START, None, *(START + HOUR.ms * np.arange(2, 6))], pa.int64())
    assert "1 rows without open_time" in refusal(tmp_path, rows(open_time=holed))


def test_another_timeframe_than_wanted_is_refused(tmp_path: Path) -> None:
    assert "holds 1h candles, not 15m" in refusal(tmp_path, rows(), QUARTER)


def test_a_spacing_of_no_timeframe_is_refused(tmp_path: Path) -> None:
    assert "90 s apart" in refusal(tmp_path, rows(open_time=START + 90_000 * np.arange(6)))
    assert "7m" in refusal(tmp_path, rows(open_time=START + 420_000 * np.arange(6)))


def test_a_single_candle_of_another_program_needs_its_timeframe_named(tmp_path: Path) -> None:
    path = file(tmp_path, rows(1))
    assert history.read(path, HOUR).timeframe == HOUR
    with pytest.raises(HistoryError, match="does not show its timeframe"):
        history.read(path)


def test_funding_is_taken_to_its_minute_and_to_1e_8(tmp_path: Path) -> None:
    times = START + 8 * HOUR.ms * np.arange(3) + np.array([0, 3, 17])
    path = file(tmp_path, {"funding_time": times, "funding_rate": np.array([0.0001, -0.00012345, 0.00375])})
    funding = history.read_funding(path)
    assert funding.time.tolist() == [START, START + 8 * HOUR.ms, START + 16 * HOUR.ms]
    assert funding.rate.tolist() == [10_000, -12_345, 375_000]


@pytest.mark.parametrize("rates", [[0.1, np.nan, 0.1], [0.1, 1.5, 0.1]])
def test_an_impossible_funding_rate_is_told_with_its_time(tmp_path: Path, rates: list[float]) -> None:
    path = file(tmp_path, {"funding_time": START + 8 * HOUR.ms * np.arange(3), "funding_rate": np.array(rates)})
    with pytest.raises(HistoryError, match="2024-01-01T08:00Z  funding rate"):
        history.read_funding(path)


def test_a_repeated_funding_instant_is_refused(tmp_path: Path) -> None:
    times = START + 8 * HOUR.ms * np.array([0, 1, 1])
    path = file(tmp_path, {"funding_time": times, "funding_rate": np.full(3, 0.0001)})
    with pytest.raises(HistoryError, match="not later than the one before"):
        history.read_funding(path)


def test_candles_are_no_funding(tmp_path: Path) -> None:
    path = file(tmp_path, rows())
    assert not history.holds_funding(path)
    with pytest.raises(HistoryError, match="no column funding_time"):
        history.read_funding(path)


def test_funding_is_found_by_instant_and_by_span() -> None:
    funding = Funding(START + 8 * HOUR.ms * np.arange(4), np.array([1, 2, 3, 4]))
    assert funding.at(START + 8 * HOUR.ms) == 2
    assert funding.at(START + HOUR.ms) is None
    assert funding.at(START + 80 * HOUR.ms) is None
    assert funding.between(START + 1, START + 24 * HOUR.ms).rate.tolist() == [2, 3]
    assert len(Funding.none()) == 0
    assert funding.fractions().tolist() == [1e-8, 2e-8, 3e-8, 4e-8]


@pytest.mark.parametrize("name", ["BTCUSDT-spot-1h", "BTCUSDT-spot-15m", "ETHUSDT-spot-1h", "BTCUSDT-um-1h"])
def test_real_history_is_sound_and_its_outages_are_its_gaps(shared: Path, name: str) -> None:
    candles = history.read(shared / "data" / f"{name}.parquet")
    assert str(candles.timeframe) == name.rpartition("-")[2]
    span = (int(candles.open_time[-1]) - int(candles.open_time[0])) // candles.timeframe.ms + 1
    missing = sum((back - first) // candles.timeframe.ms for first, back in candles.holes())
    assert len(candles) + missing == span
    assert len(history.check(candles).gaps) == len(candles.holes())


def test_real_funding_falls_every_eight_hours(shared: Path) -> None:
    funding = history.read_funding(shared / "data" / "BTCUSDT-um-funding.parquet")
    assert set(np.diff(funding.time).tolist()) == {8 * HOUR.ms}
    assert set((funding.time % (8 * HOUR.ms)).tolist()) == {0}
