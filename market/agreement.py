"""Agreement: whether a history of longer candles says what a history of shorter ones of the same market says.

Both come from the same trades, so prices are compared exactly; volumes are sums of floats, and may differ by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.aggregate import SUMS, aggregate
from market.candles import VALUES, Candles
from market.timeframes import utc_text

ROUNDING = 1e-6
"""Sums of volumes may differ by this fraction."""


@dataclass(frozen=True)
class Disagreement:
    """A value of a longer candle that its shorter ones do not add up to; the time is its open time, UTC ms."""

    time: int
    field: str
    longer: float
    shorter: float

    def __str__(self) -> str:
        return f"{utc_text(self.time)}  {self.field}: {self.longer!r}, but its shorter candles give {self.shorter!r}"


@dataclass(frozen=True)
class Agreement:
    """Longer candles of which all shorter ones are there, and what did not agree; unknown values agree with any."""

    compared: int
    disagreements: tuple[Disagreement, ...]

    @property
    def differing(self) -> int:
        """How many candles differ."""
        return len({d.time for d in self.disagreements})


def agreement(longer: Candles, shorter: Candles) -> Agreement:
    """Compare every candle that both have.

    Raises
    ------
    TimeframeError
        If the shorter candles do not fill the longer ones evenly.
    AggregationError
        If the shorter ones are not in order.
    """
    built = aggregate(shorter, longer.timeframe)
    _, ours, theirs = np.intersect1d(longer.open_time, built.open_time, return_indices=True)
    found: list[Disagreement] = []
    for field in VALUES:
        said, summed = getattr(longer, field)[ours], getattr(built, field)[theirs]
        allowed = ROUNDING * np.abs(said) if field in SUMS else 0.0
        for i in np.flatnonzero(np.abs(said - summed) > allowed):  # a NaN is not greater
            found.append(Disagreement(int(longer.open_time[ours[i]]), field, float(said[i]), float(summed[i])))
    return Agreement(len(ours), tuple(sorted(found, key=lambda d: d.time)))
