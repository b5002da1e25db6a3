"""Carry: what holding a long has cost in funding, as known before the candle closes.

An instant that falls on the close itself is left out: a live feed may not have it yet. Windows are spans of time, since
funding comes every 8, 4 or 1 hours; lookbacks take candles for hours. A span over which an instant may be missing has
no value.
"""

from __future__ import annotations

import numpy as np

from market.candles import Floats, Ints
from models.features.registry import Feature
from models.features.series import Series, ratio

HOUR_MS = 3_600_000
LONGEST_WAIT_MS = 8 * HOUR_MS + 60_000
"""Instants further apart than this have one missing between them."""
UNIT = 1e4
"""Funding is given in 1e-4 of the notional, where it has the size of other features."""


def funding_last() -> Feature:
    """The last rate."""
    return Feature("funding_last", 8, ("funding",), lambda s: _known(s, 8, _rate_before(s)))


def funding_sum(hours: int) -> Feature:
    """Sum of the rates of the last `hours`, per day."""

    def formula(s: Series) -> Floats:
        return _known(s, hours, _paid(s, hours) * (24 / hours))

    return Feature(f"funding_{hours}h", hours, ("funding",), formula)


def funding_score(hours: int) -> Feature:
    """The last rate less the mean rate of the last `hours`, in their standard deviations."""

    def formula(s: Series) -> Floats:
        first, end = _instants(s, hours)
        count = np.maximum(end - first, 1)
        units = s.funding.rate / 1e8 * UNIT
        # whole numbers sum exactly, so that a window's sum does not depend on where the history begins
        sums = _sums(s.funding.rate)
        mean = (sums[end] - sums[first]) / count / 1e8 * UNIT
        squares = _sums(s.funding.rate**2)
        mean_square = (squares[end] - squares[first]) / count / 1e16 * UNIT**2
        spread = np.sqrt(np.maximum(mean_square - mean**2, 0))
        return _known(s, hours, ratio(units[np.maximum(end - 1, 0)] - mean, spread, 0.01))

    return Feature(f"funding_score_{hours}h", hours, ("funding",), formula)


def _instants(series: Series, hours: int) -> tuple[Ints, Ints]:
    """First and one-past-last instant in [close - hours, close) of each row."""
    times, close = series.funding.time, series.close_time
    return np.searchsorted(times, close - hours * HOUR_MS), np.searchsorted(times, close)


def _paid(series: Series, hours: int) -> Floats:
    """Sum of the rates in the last `hours` before each close, 1e-4."""
    first, end = _instants(series, hours)
    sums = _sums(series.funding.rate)
    return np.asarray((sums[end] - sums[first]) / 1e8 * UNIT)


def _rate_before(series: Series) -> Floats:
    end = np.searchsorted(series.funding.time, series.close_time)
    return np.asarray(series.funding.rate[np.maximum(end - 1, 0)] / 1e8 * UNIT)


def _sums(rates: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(rates)])


def _known(series: Series, hours: int, values: Floats) -> Floats:
    """The values where no instant may be missing in the last `hours`; NaN elsewhere."""
    times = series.funding.time
    first, end = _instants(series, hours)
    start = series.close_time - hours * HOUR_MS
    earliest = np.where(end > first, times[np.minimum(first, len(times) - 1)], series.close_time)
    # the instant before the span shows that the first one in it is not late
    before = np.where(first > 0, times[np.maximum(first - 1, 0)], start)
    waits = np.concatenate([[0], np.cumsum(np.diff(times, prepend=times[:1]) > LONGEST_WAIT_MS)])
    whole = (waits[end] == waits[np.minimum(first + 1, end)]) & (end > first)
    whole &= (earliest - before <= LONGEST_WAIT_MS) & (
        series.close_time - times[np.maximum(end - 1, 0)] <= LONGEST_WAIT_MS
    )
    return np.where(whole, values, np.nan)


FEATURES = (
    funding_last(),
    funding_sum(24),
    funding_sum(168),
    funding_score(720),
)
