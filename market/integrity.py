"""Integrity: what is wrong with a run of candles, each fault with its time.

A gap is a fact (exchanges have outages); duplicates, disorder, times off the grid and impossible values are damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from market.candles import VALUES, Candles, Ints
from market.timeframes import utc_text


@dataclass(frozen=True)
class Problem:
    """One fault: the open time (UTC ms) of the candle it is at, and what it is, in words."""

    time: int
    what: str

    def __str__(self) -> str:
        return f"{utc_text(self.time)}  {self.what}"


@dataclass(frozen=True)
class Report:
    """All faults of a run of candles, by kind.

    Attributes
    ----------
    gaps : tuple of Problem
        Missing candles; the time is the first missing one's.
    duplicates : tuple of Problem
        An open time that was there before.
    disorder : tuple of Problem
        A candle after a later one, or off the timeframe's grid.
    impossible : tuple of Problem
        Values that no market produces: NaN, zero, high below low, negative volume.
    """

    gaps: tuple[Problem, ...] = ()
    duplicates: tuple[Problem, ...] = ()
    disorder: tuple[Problem, ...] = ()
    impossible: tuple[Problem, ...] = ()

    @property
    def damage(self) -> list[Problem]:
        """Everything but gaps, in order of time."""
        return sorted((*self.duplicates, *self.disorder, *self.impossible), key=lambda p: p.time)

    def __iter__(self) -> Iterator[tuple[str, tuple[Problem, ...]]]:
        """Each kind with its faults."""
        for kind in ("gaps", "duplicates", "disorder", "impossible"):
            yield kind, getattr(self, kind)


def check(candles: Candles) -> Report:
    """Every fault of the candles; they need not be in order, or distinct, or possible."""
    times = candles.open_time
    if not len(times):
        return Report()
    return Report(
        gaps=tuple(_gaps(candles)),
        duplicates=tuple(_duplicates(candles)),
        disorder=tuple(_disorder(candles)),
        impossible=tuple(_impossible(candles)),
    )


def _gaps(candles: Candles) -> Iterator[Problem]:
    step = candles.timeframe.ms
    slots = np.unique(candles.open_time // step)
    for i in np.flatnonzero(np.diff(slots) > 1):
        missing, back = int(slots[i + 1] - slots[i]) - 1, int(slots[i + 1]) * step
        count = f"{missing} candles" if missing > 1 else "1 candle"
        yield Problem((int(slots[i]) + 1) * step, f"{count} missing, until {utc_text(back)}")


def _duplicates(candles: Candles) -> Iterator[Problem]:
    order = np.argsort(candles.open_time, kind="stable")
    times = candles.open_time[order]
    values = np.column_stack([getattr(candles, v)[order] for v in VALUES])
    for i in np.flatnonzero(np.diff(times) == 0) + 1:
        same = np.array_equal(values[i], values[i - 1], equal_nan=True)
        yield Problem(int(times[i]), "candle repeated" if same else "candle repeated with other values")


def _disorder(candles: Candles) -> Iterator[Problem]:
    times: Ints = candles.open_time
    latest = np.maximum.accumulate(times)
    for i in np.flatnonzero(times[1:] < latest[:-1]) + 1:
        yield Problem(int(times[i]), f"candle comes after that of {utc_text(int(latest[i - 1]))}")
    for i in np.flatnonzero(times % candles.timeframe.ms):
        yield Problem(int(times[i]), f"candle is off the {candles.timeframe} grid")


def _impossible(candles: Candles) -> Iterator[Problem]:
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    # Written so that NaN fails each test of a required value, and passes those of a value that may be missing.
    sound = np.all(np.isfinite(prices) & (prices > 0), axis=0)
    sound &= (candles.high >= prices.max(axis=0)) & (candles.low <= prices.min(axis=0))
    sound &= (candles.volume >= 0) & np.isfinite(candles.volume)
    for name in VALUES[5:]:
        values = getattr(candles, name)
        sound &= ~((values < 0) | np.isinf(values))
    for part, whole in (("taker_base", "volume"), ("taker_quote", "quote_volume")):
        # Sums of floats may exceed one another by their rounding.
        sound &= ~(getattr(candles, part) > getattr(candles, whole) * (1 + 1e-6) + 1e-9)
    for i in np.flatnonzero(~sound):
        row = candles.row(int(i))
        yield Problem(row.open_time, row.problem() or _flow_problem(candles, int(i)))


def _flow_problem(candles: Candles, index: int) -> str:
    values = ", ".join(f"{name} {getattr(candles, name)[index]:g}" for name in VALUES[4:])
    return f"volumes that contradict one another: {values}"
