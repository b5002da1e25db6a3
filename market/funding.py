"""Funding: the rates a perpetual paid, as columns.

A rate is an integer in 1e-8 of the notional (`market.fills.RATE`), so that funding is cash exactly; positive means that
longs pay shorts. A payment falls due at its instant, on whoever holds a position then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.candles import Floats, Ints
from market.fills import RATE


@dataclass(frozen=True)
class Funding:
    """Funding instants and their rates.

    Attributes
    ----------
    time : (N,) int64
        Instants, UTC ms, strictly rising.
    rate : (N,) int64
        Rates in 1e-8 of the notional.
    """

    time: Ints
    rate: Ints

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start_ms: int | None = None, end_ms: int | None = None) -> Funding:
        """Instants in [start_ms, end_ms)."""
        lo = 0 if start_ms is None else int(np.searchsorted(self.time, start_ms))
        hi = len(self) if end_ms is None else int(np.searchsorted(self.time, end_ms))
        return Funding(self.time[lo:hi], self.rate[lo:hi])

    def at(self, time_ms: int) -> int | None:
        """The rate (1e-8) that falls due at exactly `time_ms`, or None."""
        where = int(np.searchsorted(self.time, time_ms))
        return int(self.rate[where]) if where < len(self) and self.time[where] == time_ms else None

    def fractions(self) -> Floats:
        """The rates (N,) as fractions of the notional, for features."""
        return self.rate / RATE

    @classmethod
    def none(cls) -> Funding:
        """Of an instrument that pays none."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
