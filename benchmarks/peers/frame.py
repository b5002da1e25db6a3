"""The synthetic market of the comparison: hourly bars and a signal, made once and handed to every engine as a file.

A weakly mean-reverting geometric random walk with wicks, and an AR(1) signal squeezed into 0..1. A bar opens where the
last one closed (no gaps), so an order "at the close" and one "at the next open" fill at the same price.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.rule import NOTIONAL, SCALE, STOP_BPS, Columns

BPS = 10_000
HOUR_MS = 3_600_000
FIRST_MS = 1_262_304_000_000
"""2010-01-01."""

_SHOCK, _WICK, _REVERSION = 0.006, 0.003, 1e-4
_SIGNAL_KEPT, _SIGNAL_SHOCK = 0.9, 0.3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """N bars, each column (N,): `time_ms` int64 open times, the rest float64.

    Prices stand on the grid of 1e-4, `signal` on one of 1e-9. `quantity` is what an entry at this close buys (whole
    units); `stop` where its stop stands rounded to the nearest tick, as the rule has it, and `stop_up` rounded up.
    """

    time_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    signal: Floats
    quantity: Floats
    stop: Floats
    stop_up: Floats

    def __len__(self) -> int:
        return len(self.close)

    def __getitem__(self, where: slice) -> Frame:
        return Frame(**{f.name: getattr(self, f.name)[where] for f in fields(self)})

    @classmethod
    def made(cls, bars: int, seed: int) -> Frame:
        """The frame of a seed, the same on every machine up to the last bit of `exp`, which the grid swallows."""
        random = np.random.default_rng(seed)
        shocks = random.normal(0.0, _SHOCK, bars)
        random.normal(0.0, 1.0, bars)  # the specification draws gaps here; without gaps they are drawn all the same
        wicks = np.abs(random.normal(0.0, _WICK, (2, bars)))
        news = random.normal(0.0, 1.0, bars)

        walk = np.fromiter(accumulate(shocks.tolist(), lambda x, s: x * (1 - _REVERSION) + s, initial=0.0), float)
        before, after = 100 * np.exp(walk[:-1]), 100 * np.exp(walk[1:])
        opens, closes = _ticks(before), _ticks(after)
        highs = np.maximum(_ticks(np.maximum(before, after) * (1 + wicks[0])), np.maximum(opens, closes))
        lows = np.minimum(_ticks(np.minimum(before, after) * (1 - wicks[1])), np.minimum(opens, closes))

        mood = accumulate(news.tolist(), lambda y, e: _SIGNAL_KEPT * y + _SIGNAL_SHOCK * e, initial=0.0)
        signal = np.round(1.0 / (1.0 + np.exp(-np.fromiter(mood, float)[1:])), 9)
        kept = closes * (BPS - STOP_BPS)
        return cls(
            time_ms=FIRST_MS + HOUR_MS * np.arange(bars, dtype=np.int64),
            open=opens / SCALE,
            high=highs / SCALE,
            low=lows / SCALE,
            close=closes / SCALE,
            signal=signal,
            quantity=(NOTIONAL * SCALE // closes).astype(np.float64),
            stop=(kept + BPS // 2) // BPS / SCALE,
            stop_up=-(-kept // BPS) / SCALE,
        )

    def columns(self, stops: Floats | None = None) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
        """What the plain loop reads, in its order; `stops` (N,) in place of the rule's."""
        return self.open, self.low, self.close, self.signal, self.quantity, self.stop if stops is None else stops

    def lists(self, stops: Floats | None = None) -> Columns:
        """The same as lists, which a loop in Python reads faster."""
        opens, lows, closes, signals, quantities, stood = (column.tolist() for column in self.columns(stops))
        return opens, lows, closes, signals, quantities, stood

    def save(self, path: Path) -> None:
        """Write the columns to a numpy archive."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Frame:
        """Read what `save` wrote."""
        with np.load(path) as columns:
            return cls(**{f.name: columns[f.name] for f in fields(cls)})


def _ticks(prices: Floats) -> NDArray[np.int64]:
    ticks: NDArray[np.int64] = np.rint(prices * SCALE).astype(np.int64)
    return ticks
