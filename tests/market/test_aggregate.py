"""Aggregation: complete candles only, and the same floats from a stream as from a history."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import history, synthetic
from market.aggregate import AggregationError, Aggregator, aggregate
from market.candles import VALUES, Candle, Candles
from market.timeframes import Timeframe, TimeframeError

QUARTER, HALF = Timeframe.parse("15m"), Timeframe.parse("30m")
HOUR, DAY = Timeframe.parse("1h"), Timeframe.parse("1d")
BARS, _ = synthetic.generate(bars=24 * 4 * 5, timeframe=QUARTER, seed=5)


def kept(where: Iterable[int]) -> Candles:
    mask = np.zeros(len(BARS), dtype=bool)
    mask[list(where)] = True
    return BARS[mask]


def streamed(candles: Candles, target: Timeframe) -> list[Candle]:
    aggregator = Aggregator(candles.timeframe, target)
    made = (aggregator.add(candles.row(i)) for i in range(len(candles)))
    return [candle for candle in made if candle is not None]


def test_an_hour_is_made_of_its_quarters() -> None:
    first, hour = BARS[slice(0, 4)], aggregate(BARS, HOUR).row(0)
    assert (hour.open_time, hour.open, hour.close) == (BARS.open_time[0], BARS.open[0], BARS.close[3])
    assert (hour.high, hour.low) == (first.high.max(), first.low.min())
    assert hour.volume == pytest.approx(first.volume.sum())
    assert hour.trades == first.trades.sum()


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_an_incomplete_hour_is_a_hole(missing: int) -> None:
    hours = aggregate(kept(i for i in range(12) if i != 4 + missing), HOUR)
    assert hours.open_time.tolist() == [BARS.open_time[0], BARS.open_time[8]]
    assert len(hours.holes()) == 1


def test_an_hour_that_has_not_ended_is_none() -> None:
    assert len(aggregate(BARS[slice(0, 3)], HOUR)) == 0
    assert len(aggregate(BARS[slice(1, 7)], HOUR)) == 0


def test_no_candles_make_no_candles() -> None:
    assert len(aggregate(BARS[slice(0, 0)], HOUR)) == 0


def test_a_timeframe_of_itself_is_itself() -> None:
    assert aggregate(BARS, QUARTER).close.tolist() == BARS.close.tolist()


def test_a_volume_not_reported_in_one_part_is_missing_in_the_whole() -> None:
    taker = BARS.taker_base.copy()
    taker[5] = math.nan
    hours = aggregate(replace(BARS, taker_base=taker), HOUR)
    assert np.isnan(hours.taker_base[:3]).tolist() == [False, True, False]
    assert np.isfinite(hours.volume).all()


def test_an_hour_makes_no_quarters() -> None:
    with pytest.raises(TimeframeError):
        aggregate(aggregate(BARS, HOUR), QUARTER)
    with pytest.raises(TimeframeError):
        Aggregator(HOUR, QUARTER)


def test_disorder_is_refused_with_its_time() -> None:
    swapped = np.arange(8)
    swapped[[2, 3]] = 3, 2
    times = BARS.open_time[:8][swapped]
    rows = Candles(QUARTER, times, *(getattr(BARS, v)[:8] for v in VALUES))
    with pytest.raises(AggregationError, match="2024-01-01T00:30Z"):
        aggregate(rows, HOUR)
    with pytest.raises(AggregationError, match="2024-01-01T00:30Z"):
        streamed(rows, HOUR)


def test_a_time_off_the_grid_is_refused() -> None:
    rows = Candles(QUARTER, BARS.open_time + 60_000, *(getattr(BARS, v) for v in VALUES))
    with pytest.raises(AggregationError):
        aggregate(rows, HOUR)
    with pytest.raises(AggregationError):
        streamed(rows, HOUR)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 40)), st.sampled_from([QUARTER, HALF, HOUR, DAY]))
def test_a_stream_gives_the_very_floats_of_the_history(missing: set[int], target: Timeframe) -> None:
    candles = kept(i for i in range(200) if i not in missing)
    whole = aggregate(candles, target)
    assert streamed(candles, target) == [whole.row(i) for i in range(len(whole))]


def test_hours_made_of_quarters_make_the_day_that_quarters_make() -> None:
    by_hours, straight = aggregate(aggregate(BARS, HOUR), DAY), aggregate(BARS, DAY)
    assert by_hours.high.tolist() == straight.high.tolist()
    assert by_hours.volume == pytest.approx(straight.volume)


def test_the_unfinished_hour_shows_its_parts_so_far() -> None:
    aggregator = Aggregator(QUARTER, HOUR)
    assert aggregator.unfinished is None
    for i in range(3):
        assert aggregator.add(BARS.row(i)) is None
        assert aggregator.unfinished is not None
        assert aggregator.unfinished.close == BARS.close[i]
        assert aggregator.unfinished.high == BARS.high[: i + 1].max()
    assert aggregator.add(BARS.row(3)) == aggregate(BARS, HOUR).row(0)
    assert aggregator.unfinished is None


def test_real_quarters_make_the_real_hours(shared: Path) -> None:
    made = aggregate(history.read(shared / "data" / "BTCUSDT-spot-15m.parquet"), HOUR)
    real = history.read(shared / "data" / "BTCUSDT-spot-1h.parquet")
    _, ours, theirs = np.intersect1d(made.open_time, real.open_time, return_indices=True)
    assert len(ours) == len(made) > 68_000
    for name in ("open", "high", "low", "close", "trades"):
        assert np.array_equal(getattr(made, name)[ours], getattr(real, name)[theirs]), name
    assert made.volume[ours] == pytest.approx(real.volume[theirs], rel=1e-12)
