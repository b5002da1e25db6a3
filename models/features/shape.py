"""Shape: what the last candles look like, how long they have run one way, and how old the extremes are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import STILL, Series, ratio, rolling_mean

LONGEST_STREAK = 12
"""Bars a streak is counted to."""


def body() -> Feature:
    """Close less open over the range, -1 to 1; 0 where nothing moves."""
    return Feature("body", 1, (), _body)


def upper_wick() -> Feature:
    """Share of the range above the body."""
    return Feature("upper_wick", 1, (), lambda s: _share(s, np.log(s.high / np.maximum(s.open, s.close))))


def lower_wick() -> Feature:
    """Share of the range below the body."""
    return Feature("lower_wick", 1, (), lambda s: _share(s, np.log(np.minimum(s.open, s.close) / s.low)))


def streak() -> Feature:
    """Bars in a row that closed up (positive) or down (negative), to 12 at most; 0 after an unchanged close."""

    def formula(s: Series) -> Floats:
        sign = np.sign(s.returns)
        count = np.zeros(len(s))
        going = sign != 0
        for back in range(LONGEST_STREAK):
            # a bar `back` rows ago prolongs the streak if it, and all since, went the same way
            same = np.zeros(len(s), dtype=bool)
            same[back:] = sign[: len(s) - back] == sign[back:] if back else True
            going &= same
            count += going
        return sign * count

    return Feature("streak", LONGEST_STREAK + 1, (), formula)


def efficiency(bars: int) -> Feature:
    """Kaufman's efficiency: the way come over the way gone in the last `bars`, signed."""
    return Feature(
        f"efficiency_{bars}",
        bars + 1,
        (),
        lambda s: ratio(rolling_mean(s.returns, bars), rolling_mean(np.abs(s.returns), bars), STILL),
    )


def _body(series: Series) -> Floats:
    return series.once("body", lambda: _share(series, np.log(series.close / series.open)))


def _share(series: Series, part: Floats) -> Floats:
    return np.where(series.log_range > STILL, ratio(part, series.log_range, STILL), 0.0)


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (body, ((),)),
    (upper_wick, ((),)),
    (lower_wick, ((),)),
    (streak, ((),)),
    (efficiency, ((24,),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
