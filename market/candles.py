"""Candles: one closed kline, and a column of them.

A candle is named by its open time (UTC, integer milliseconds). Prices and volumes are float64 here, for features;
money is counted in integers (`market.instruments`). What an exchange did not report is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.timeframes import Timeframe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VALUES = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_base", "taker_quote")
"""The value columns of a kline, in the order history files and the exchange give them."""


MOST = 1e12
"""The largest price that is taken for one."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed kline; `open_time` in UTC milliseconds, volumes in base and quote currency."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float = float("nan")
    trades: float = float("nan")
    taker_base: float = float("nan")
    taker_quote: float = float("nan")

    def problem(self) -> str | None:
        """What makes this candle impossible, in words, or None.

        NaN, zero or negative prices, a high below the body or a low above it, negative or endless volume, and a price
        beyond all bounds are impossible.
        """
        prices = (self.open, self.high, self.low, self.close)
        if not all(np.isfinite(p) and p > 0 for p in prices):
            return f"price that is not a positive number: {prices}"
        if self.high < max(prices) or self.low > min(prices):
            return f"high and low do not hold open and close: {prices}"
        if max(prices) > MOST:
            return f"price beyond all bounds: {prices}"
        if not self.volume >= 0:
            return f"volume {self.volume}"
        shares = (self.volume, self.quote_volume, self.trades, self.taker_base, self.taker_quote)
        if any(v < 0 or np.isinf(v) for v in shares):
            return f"volume, or a share of it, negative or endless: {shares}"
        return None


@dataclass(frozen=True)
class Candles:
    """A run of candles in columns: `open_time` (N,) int64 ms strictly rising, the rest (N,) float64.

    A hole in time is allowed here (real exchanges have outages); who cannot live with one asks `holes()`.
    """

    timeframe: Timeframe
    open_time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats
    trades: Floats
    taker_base: Floats
    taker_quote: Floats

    @classmethod
    def of(cls, timeframe: Timeframe, rows: Iterable[Candle]) -> Candles:
        """Columns from single candles, kept in the given order."""
        rows = list(rows)
        times = np.array([r.open_time for r in rows], dtype=np.int64)
        return cls(timeframe, times, *(np.array([getattr(r, v) for r in rows], dtype=np.float64) for v in VALUES))

    def __len__(self) -> int:
        return len(self.open_time)

    def __getitem__(self, where: slice | NDArray[np.bool_]) -> Candles:
        return Candles(self.timeframe, self.open_time[where], *(getattr(self, v)[where] for v in VALUES))

    def row(self, index: int) -> Candle:
        """The candle at `index` (negative counts from the end)."""
        return Candle(int(self.open_time[index]), *(float(getattr(self, v)[index]) for v in VALUES))

    def between(self, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """Candles whose open time is in [start_ms, end_ms)."""
        lo = 0 if start_ms is None else int(np.searchsorted(self.open_time, start_ms))
        hi = len(self) if end_ms is None else int(np.searchsorted(self.open_time, end_ms))
        return self[lo:hi]

    def holes(self) -> list[tuple[int, int]]:
        """Stretches of missing candles as (first missing open time, first present one after it), in ms."""
        at = np.flatnonzero(np.diff(self.open_time) != self.timeframe.ms)
        return [(int(self.open_time[i]) + self.timeframe.ms, int(self.open_time[i + 1])) for i in at]
