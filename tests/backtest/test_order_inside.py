"""Which trades count as alike, and that what is played inside the bars is part of what identifies a run."""

from __future__ import annotations

from dataclasses import replace

from backtest import engine
from backtest.bars import data_hash
from backtest.order_inside import change, without_detail
from market.aggregate import aggregate
from market.instruments import CASH
from market.timeframes import Timeframe
from tests.backtest.rough import BUSY, COSTS, HOURLY, QUARTER, market


def test_a_stop_within_the_same_bar_counts_as_the_same_however_long_the_bar() -> None:
    four_hours = Timeframe.parse("4h")
    frames = []
    for frame in market(2, HOURLY):
        long = aggregate(frame.base, four_hours)
        frames.append(replace(frame, base=long, decision=long, detail=frame.base))
    detailed, coarse = (engine.run(f, BUSY, COSTS, 12, 10_000 * CASH) for f in (frames, without_detail(frames)))
    told = change(frames, detailed, coarse)
    bars = [
        {(t.entry_time, t.entry_price, t.exit_time // four_hours.ms, t.exit_price) for t in r.trades}
        for r in (detailed, coarse)
    ]
    assert told.same == len(bars[0] & bars[1])


def test_the_detail_is_part_of_what_was_played() -> None:
    (frame, _) = market(1, QUARTER)
    hourly = replace(frame, base=aggregate(frame.base, HOURLY))
    detailed = replace(hourly, detail=frame.base)
    changed = replace(detailed, detail=frame.base[:-1])
    assert len({data_hash([f]) for f in (hourly, detailed, changed)}) == 3
