"""The page's time series: equity, prices, probabilities, regimes and trades, packed for the charts.

Longer histories than the charts can show are thinned: every k-th point of the curve, candles of k times the length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest.bars import SymbolFrame
from backtest.engine import Result
from backtest.page.inputs import Inputs
from backtest.page.packing import packed, shares, steps
from market.aggregate import aggregate
from market.candles import Floats, Ints
from market.timeframes import Timeframe
from models.manifest import utc_ms

MOST_POINTS = 60_000
"""Candles of all symbols together, and points of the curve, that a page carries; five years of hours fit."""
_PPM = 1_000_000


def drawn(inputs: Inputs) -> dict[str, Any]:
    """What the charts draw, as one JSON object; `scripts/` reads its keys by name."""
    result, rules = inputs.result, inputs.setting.rules
    every = -(-len(result.curve_time) // MOST_POINTS)
    kept = np.arange(len(result.curve_time))[::-1][::every][::-1]  # the last point is kept
    time = result.curve_time[kept]
    return {
        "quote": inputs.setting.instruments[0].quote,
        "cash": result.start_cash / 1e8,
        "start": result.start_ms,
        "end": result.end_ms,
        "long_entry": rules.long_entry / 1e9,
        "short_entry": rules.short_entry / 1e9,
        "curve": {
            **_times(time),
            "every": every,
            "equity": steps(_ppm(result.curve_equity[kept], result.start_cash)),
            "hold": steps(_ppm(buy_and_hold(inputs, time) * result.start_cash, result.start_cash)),
            "champion": steps(_champion(inputs.champion.result, time)) if inputs.champion else None,
            "regime": _runs(result.curve_regime[kept]),
        },
        "known": _known_to_training(inputs),
        "symbols": [_symbol(inputs, frame, _length(inputs)) for frame in inputs.frames],
    }


def buy_and_hold(inputs: Inputs, time: Ints) -> Floats:
    """What one unit of cash, spent in equal parts on the symbols at their first opens, is worth at `time` (N,)."""
    worth = np.zeros(len(time))
    for frame in inputs.frames:
        closes = frame.base.open_time + frame.base.timeframe.ms
        at = np.searchsorted(closes, time, side="right") - 1
        worth += np.where(at < 0, 1.0, frame.base.close[np.maximum(at, 0)] / frame.base.open[0])
    return worth / len(inputs.frames)


def _champion(result: Result, time: Ints) -> Ints:
    """The champion's equity at `time` (N,), in ppm of its own start; 0 before it began."""
    at = np.searchsorted(result.curve_time, time, side="right") - 1
    return np.where(at < 0, 0, _ppm(result.curve_equity[np.maximum(at, 0)], result.start_cash))


def _ppm(values: Floats | Ints, whole: int) -> Ints:
    return np.rint(values / whole * _PPM).astype(np.int64)


def _times(time: Ints) -> dict[str, Any]:
    """Rising instants as a unit in ms and `steps` of it."""
    unit = int(np.gcd.reduce(np.diff(time, prepend=0))) or 1
    return {"unit": unit, "time": steps(time // unit)}


def _runs(values: np.ndarray[Any, Any]) -> list[list[int]]:
    """A column as [value, how many in a row] pairs."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    many = np.diff(starts, append=len(values))
    return [[int(v), int(n)] for v, n in zip(values[starts], many, strict=True)]


def _length(inputs: Inputs) -> Timeframe:
    """The shortest candle, a multiple of the decision candle, of which the page can carry all."""
    decision = inputs.frames[0].decision.timeframe
    count = sum(int(inputs.tested(frame).sum()) for frame in inputs.frames)
    for times in range(1, 86_400_000 // decision.ms + 1):
        if 86_400_000 % (decision.ms * times) == 0 and count <= MOST_POINTS * times:
            return Timeframe(decision.ms * times)
    return Timeframe.parse("1d")


def _symbol(inputs: Inputs, frame: SymbolFrame, length: Timeframe) -> dict[str, Any]:
    instrument = frame.instrument
    shown = aggregate(frame.decision[inputs.tested(frame)], length)
    opened, high, low, close = (
        instrument.ticks_column(column) for column in (shown.open, shown.high, shown.low, shown.close)
    )
    told = frame.predictions
    # the last decision candle within each candle shown says what it foretells
    last = np.searchsorted(told.open_time, shown.open_time + length.ms) - 1
    before = np.concatenate([[0], close[:-1]])[: len(close)]
    trades = [c for c in inputs.result.closed if c.trade.symbol == instrument.symbol]
    column = {
        name: np.array([getattr(c.trade, name) for c in trades], dtype=np.int64)
        for name in ("side", "entry_time", "entry_price", "exit_time", "exit_price", "profit", "leverage")
    }
    reasons = sorted({c.trade.reason for c in trades})
    return {
        "name": instrument.symbol,
        "length": length.ms,
        "tick": float(instrument.tick),
        **_times(shown.open_time),
        "close": steps(close),
        "open": packed(opened - before),
        "high": packed(high - np.maximum(opened, close)),
        "low": packed(np.minimum(opened, close) - low),
        "long": shares(told.p_long[last]),
        "short": shares(told.p_short[last]),
        "trades": {
            "side": packed(column["side"]),
            "entered": steps(column["entry_time"] // 1000),
            "entry": steps(column["entry_price"]),
            "held": packed((column["exit_time"] - column["entry_time"]) // 1000),
            "exit": packed(column["exit_price"] - column["entry_price"]),
            "profit": packed(column["profit"] // 1_000_000),
            "leverage": packed(column["leverage"]),
            "reason": packed(np.array([reasons.index(c.trade.reason) for c in trades], dtype=np.int64)),
        },
        "reasons": reasons,
    }


def _known_to_training(inputs: Inputs) -> list[list[int]]:
    """Stretches (ms) by whose outcomes the set was fitted, stopped, stacked or calibrated."""
    splits = inputs.model_set.manifest.data.splits if inputs.known_market else {}
    return [[utc_ms(r.start), utc_ms(r.end)] for name, r in splits.items() if name != "test"]
