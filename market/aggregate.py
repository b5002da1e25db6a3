"""Aggregation: longer candles from shorter ones, for a whole history and for a stream alike.

A longer candle exists only when every shorter one within it does; otherwise it is a hole. Both ways sum in the same
order, so a stream gives the very floats that the history gives.
"""

from __future__ import annotations

import numpy as np

from market.candles import VALUES, Candle, Candles
from market.timeframes import Timeframe, utc_text

SUMS = VALUES[4:]
"""The columns that add up; NaN in any part makes the sum NaN."""


class AggregationError(ValueError):
    """Candles that came out of order or off the grid."""


def aggregate(candles: Candles, timeframe: Timeframe) -> Candles:
    """Candles of `timeframe` from a history of shorter ones; incomplete ones are left out.

    Raises
    ------
    TimeframeError
        If the candles' own timeframe does not divide `timeframe`.
    AggregationError
        If a candle is off its grid or not later than the one before.
    """
    ratio = timeframe.ratio(candles.timeframe)
    times = candles.open_time
    wrong = np.flatnonzero((times % candles.timeframe.ms != 0) | (np.diff(times, prepend=times[:1] - 1) <= 0))
    if len(wrong):
        when = utc_text(int(times[wrong[0]]))
        raise AggregationError(
            f"{candles.timeframe} candle of {when} is off the grid or out of order; check the history"
        )
    if ratio == 1 or not len(candles):
        return Candles(timeframe, times, *(getattr(candles, v) for v in VALUES))
    first = np.flatnonzero(times % timeframe.ms == 0)
    first = first[first + ratio <= len(times)]
    # Times rise on the grid, so a full stride that spans one length holds every candle of it.
    first = first[times[first + ratio - 1] - times[first] == timeframe.ms - candles.timeframe.ms]
    columns = {"open": candles.open[first], "close": candles.close[first + ratio - 1]}
    columns["high"], columns["low"] = candles.high[first], candles.low[first]
    for name in SUMS:
        columns[name] = getattr(candles, name)[first]
    for part in range(1, ratio):
        columns["high"] = np.maximum(columns["high"], candles.high[first + part])
        columns["low"] = np.minimum(columns["low"], candles.low[first + part])
        for name in SUMS:
            columns[name] = columns[name] + getattr(candles, name)[first + part]
    return Candles(timeframe, times[first], *(columns[v] for v in VALUES))


class Aggregator:
    """Longer candles from a stream of shorter ones, one at a time.

    Parameters
    ----------
    base, target : Timeframe
        Length of what comes in and of what goes out.

    Attributes
    ----------
    unfinished : Candle or None
        The longer candle so far, or None before its first part or where a part of it is missing.
    """

    def __init__(self, base: Timeframe, target: Timeframe) -> None:
        self._base, self._target = base, target
        self._ratio = target.ratio(base)
        self._last: int | None = None
        self._parts = 0
        self.unfinished: Candle | None = None

    def add(self, candle: Candle) -> Candle | None:
        """Take in the next closed candle; the longer one it completes, or None.

        Raises
        ------
        AggregationError
            If the candle is off the grid or not later than the one before.
        """
        if candle.open_time % self._base.ms or (self._last is not None and candle.open_time <= self._last):
            when = utc_text(candle.open_time)
            raise AggregationError(f"{self._base} candle of {when} is off the grid or out of order")
        follows = self._last is not None and candle.open_time == self._last + self._base.ms
        self._last = candle.open_time
        if candle.open_time % self._target.ms == 0:
            self._parts, self.unfinished = 1, candle
        elif follows and self.unfinished is not None:
            self._parts, self.unfinished = self._parts + 1, joined(self.unfinished, candle)
        else:
            self.unfinished = None
        if self.unfinished is None or self._parts < self._ratio:
            return None
        whole, self.unfinished = self.unfinished, None
        return whole


def joined(sofar: Candle, candle: Candle) -> Candle:
    """A candle extended by the one that follows it."""
    return Candle(
        sofar.open_time,
        sofar.open,
        max(sofar.high, candle.high),
        min(sofar.low, candle.low),
        candle.close,
        *(getattr(sofar, name) + getattr(candle, name) for name in SUMS),
    )
