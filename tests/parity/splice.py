"""Splices: real history has next to no gaps, so two are cut in where a position is sure to be open.

Every price from a bar on is scaled, so that the bar opens beyond the stop of the position that the backtest says is
open, and life goes on from there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.candles import Candles, Floats
from market.instruments import Instrument
from market.trades import Trade

PRICES = ("open", "high", "low", "close")


def shifted(candles: Candles, index: int, factor: float, instrument: Instrument) -> Candles:
    """The candles with every price from `index` on scaled by `factor`, on the instrument's grid."""

    def scaled(values: Floats) -> Floats:
        out = values.copy()
        out[index:] = [float(t * instrument.tick) for t in instrument.ticks_column(values[index:] * factor).tolist()]
        return out

    moved = replace(candles, **{name: scaled(getattr(candles, name)) for name in PRICES})
    top = np.maximum.reduce([moved.open, moved.high, moved.low, moved.close])
    bottom = np.minimum.reduce([moved.open, moved.high, moved.low, moved.close])
    return replace(moved, high=top, low=bottom)


def gap_against(candles: Candles, trade: Trade, distance: float, instrument: Instrument) -> Candles:
    """The candles with a gap of `distance` (a fraction) against a trade, in the middle of its life."""
    first = int(np.searchsorted(candles.open_time, trade.entry_time, side="right"))
    last = int(np.searchsorted(candles.open_time, trade.exit_time, side="left"))
    at = (first + last) // 2
    entry = float(trade.entry_price * instrument.tick)
    wanted = entry * (1 - trade.side * distance)
    return shifted(candles, at, wanted / float(candles.open[at]), instrument)
