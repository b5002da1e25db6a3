"""Seasons: the hour and the weekday (UTC) in which the bar to come opens. Known to all, and the best of forecasters of
volatility.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import Series

_DAY_MS, _WEEK_MS = 86_400_000, 7 * 86_400_000
_MONDAY_MS = 4 * _DAY_MS
"""1970-01-01 was a Thursday: the first Monday came four days later."""


def hour_sine(times: int) -> Feature:
    """Sine of the time of day, `times` waves a day."""
    return Feature(f"hour_sine_{times}", 1, (), lambda s: np.sin(_day(s) * times))


def hour_cosine(times: int) -> Feature:
    """Cosine of the time of day, `times` waves a day."""
    return Feature(f"hour_cosine_{times}", 1, (), lambda s: np.cos(_day(s) * times))


def week_sine(times: int) -> Feature:
    """Sine of the time of the week, `times` waves a week; the one with one wave is called ``week_sine``."""
    return Feature(_named("week_sine", times), 1, (), lambda s: np.sin(_week(s) * times))


def week_cosine(times: int) -> Feature:
    """Cosine of the time of the week, `times` waves a week; the one with one wave is called ``week_cosine``."""
    return Feature(_named("week_cosine", times), 1, (), lambda s: np.cos(_week(s) * times))


def weekend() -> Feature:
    """1 on Saturday and Sunday, else 0."""
    return Feature(
        "weekend", 1, (), lambda s: ((s.close_time - _MONDAY_MS) % _WEEK_MS >= 5 * _DAY_MS).astype(np.float64)
    )


def _named(name: str, times: int) -> str:
    return name if times == 1 else f"{name}_{times}"


def _day(series: Series) -> Floats:
    return series.once("day", lambda: 2 * np.pi * (series.close_time % _DAY_MS) / _DAY_MS)


def _week(series: Series) -> Floats:
    return series.once("week", lambda: 2 * np.pi * ((series.close_time - _MONDAY_MS) % _WEEK_MS) / _WEEK_MS)


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (hour_sine, ((1,), (2,), (3,))),
    (hour_cosine, ((1,), (2,), (3,))),
    (week_sine, ((1,), (2,), (3,))),
    (week_cosine, ((1,), (2,), (3,))),
    (weekend, ((),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
