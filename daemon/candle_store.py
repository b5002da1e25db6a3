"""The candle store: the newest candles of every (symbol, timeframe), in columns, ready for features.

Filled by `daemon.candle_feed` alone, which keeps order; a window handed out is a copy that a worker thread may read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from market.candles import VALUES, Candle, Candles
from market.timeframes import Timeframe

Pair = tuple[str, str]


class Column:
    """A rolling run of candles of one pair, at least `capacity` of the newest."""

    def __init__(self, timeframe: Timeframe, capacity: int) -> None:
        self.timeframe = timeframe
        self.capacity = capacity
        self._times = np.empty(2 * capacity, dtype=np.int64)
        self._values = np.empty((len(VALUES), 2 * capacity), dtype=np.float64)
        self._end = 0

    def __len__(self) -> int:
        return self._end

    @property
    def last(self) -> int:
        """Open time (ms) of the newest candle, -1 for none."""
        return int(self._times[self._end - 1]) if self._end else -1

    @property
    def last_close(self) -> float:
        """Closing price of the newest candle, NaN for none."""
        return float(self._values[VALUES.index("close"), self._end - 1]) if self._end else float("nan")

    def append(self, candle: Candle) -> None:
        """Add a candle newer than all that are held.

        Raises
        ------
        ValueError
            If it is not newer.
        """
        if candle.open_time <= self.last:
            raise ValueError(f"candle of {candle.open_time} after {self.last}")
        if self._end == len(self._times):
            keep = self.capacity
            self._times[:keep] = self._times[-keep:].copy()
            self._values[:, :keep] = self._values[:, -keep:].copy()
            self._end = keep
        self._times[self._end] = candle.open_time
        self._values[:, self._end] = _values(candle)
        self._end += 1

    def grow(self, capacity: int, older: Iterable[Candle]) -> None:
        """Hold more from now on, and before the oldest candle that is held those of `older` (in order) that precede it.

        A window that was handed out is not touched.
        """
        first = int(self._times[0]) if self._end else None
        before = [c for c in older if first is None or c.open_time < first]
        held = min(len(before) + self._end, 2 * max(capacity, self.capacity))
        before = before[max(0, len(before) - (held - self._end)) :]
        self.capacity = max(capacity, self.capacity)
        times = np.empty(2 * self.capacity, dtype=np.int64)
        values = np.empty((len(VALUES), 2 * self.capacity), dtype=np.float64)
        for at, candle in enumerate(before):
            times[at], values[:, at] = candle.open_time, _values(candle)
        start, end = len(before), len(before) + self._end
        times[start:end], values[:, start:end] = self._times[: self._end], self._values[:, : self._end]
        self._times, self._values, self._end = times, values, end

    def replace(self, candle: Candle) -> bool:
        """Put a revised candle in place of the one of its open time; whether that changed anything."""
        at = int(np.searchsorted(self._times[: self._end], candle.open_time))
        if at == self._end or self._times[at] != candle.open_time:
            return False
        revised = np.array(_values(candle))
        if np.array_equal(self._values[:, at], revised, equal_nan=True):
            return False
        self._values[:, at] = revised
        return True

    def window(self, until: int | None = None) -> Candles:
        """A copy of what is held, up to and including the candle that opened at `until` (ms)."""
        end = self._end
        if until is not None:
            end = int(np.searchsorted(self._times[:end], until, side="right"))
        values = self._values[:, :end].copy()
        return Candles(self.timeframe, self._times[:end].copy(), *values)


class CandleStore:
    """The columns of all subscribed pairs.

    Parameters
    ----------
    capacity : int
        Candles held of each pair at least.
    more : mapping, optional
        Timeframe -> candles held of its pairs at least, where that is more.
    """

    def __init__(self, pairs: Iterable[Pair], capacity: int, more: Mapping[str, int] | None = None) -> None:
        self.columns = {
            pair: Column(Timeframe.parse(pair[1]), max(capacity, (more or {}).get(pair[1], 0))) for pair in pairs
        }

    def __getitem__(self, pair: Pair) -> Column:
        return self.columns[pair]

    def until(self, pair: Pair, close: int) -> Candles | None:
        """The newest candles of a pair that closed by the instant `close` (ms); None if it is not subscribed to."""
        column = self.columns.get(pair)
        return None if column is None else column.window(close - column.timeframe.ms)[-column.capacity :]


def _values(candle: Candle) -> list[float]:
    return [getattr(candle, name) for name in VALUES]
