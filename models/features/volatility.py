"""Volatility: from closes and from ranges, on several spans, one span against another, and how it is made up.

Levels are logarithms, held above a floor: what a market that stands still would give is not minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import (
    STILL,
    Series,
    ema_lookback,
    lagged,
    ratio,
    rolling_max,
    rolling_mean,
    rolling_rank,
    wilder,
)


def realised(bars: int) -> Feature:
    """Log of the root mean square return of the last `bars`."""
    return Feature(f"volatility_{bars}", bars + 1, (), lambda s: _log(s.volatility(bars)))


def realised_ratio(fast: int, slow: int) -> Feature:
    """Log ratio of the volatility of `fast` bars to that of `slow`."""
    return Feature(
        f"volatility_ratio_{fast}_{slow}", slow + 1, (), lambda s: _log(s.volatility(fast)) - _log(s.volatility(slow))
    )


def realised_rank(bars: int, among: int) -> Feature:
    """Rank of the volatility of `bars` among those of the last `among` rows, 0 to 1."""
    return Feature(
        f"volatility_{bars}_rank_{among}",
        bars + among,
        (),
        lambda s: rolling_rank(np.round(s.volatility(bars), 12), among),
    )


def earlier(days: int) -> Feature:
    """Log volatility of the 24 bars that ended `days` x 24 bars ago, less that of the last 24."""
    return Feature(
        f"volatility_24_lag_{24 * days}",
        24 * (days + 1) + 1,
        (),
        lambda s: _log(lagged(s.volatility(24), 24 * days)) - _log(s.volatility(24)),
    )


def parkinson(bars: int) -> Feature:
    """Log of Parkinson's volatility: from high and low.

    References
    ----------
    Parkinson (1980), The extreme value method for estimating the variance of the rate of return.
    """
    return Feature(
        f"parkinson_{bars}",
        bars,
        (),
        lambda s: _log(np.sqrt(rolling_mean(s.log_range**2, bars) / (4 * np.log(2)))),
    )


def garman_klass(bars: int) -> Feature:
    """Log of Garman's and Klass's volatility: from open, high, low and close.

    References
    ----------
    Garman and Klass (1980), On the estimation of security price volatilities from historical data.
    """

    def formula(s: Series) -> Floats:
        body = np.log(s.close / s.open)
        variance = 0.5 * s.log_range**2 - (2 * np.log(2) - 1) * body**2
        return _log(np.sqrt(np.maximum(rolling_mean(variance, bars), 0)))

    return Feature(f"garman_klass_{bars}", bars, (), formula)


def rogers_satchell(bars: int) -> Feature:
    """Log of Rogers' and Satchell's volatility, which a drift does not raise.

    References
    ----------
    Rogers and Satchell (1991), Estimating variance from high, low and closing prices.
    """

    def formula(s: Series) -> Floats:
        up = np.log(s.high / s.close) * np.log(s.high / s.open)
        down = np.log(s.low / s.close) * np.log(s.low / s.open)
        return _log(np.sqrt(np.maximum(rolling_mean(up + down, bars), 0)))

    return Feature(f"rogers_satchell_{bars}", bars, (), formula)


def atr(period: int) -> Feature:
    """Log of Wilder's average true range, as a fraction of the price."""
    return Feature(f"atr_{period}", ema_lookback(2 * period - 1) + 1, (), lambda s: _log(wilder(s.true_range, period)))


def range_now(bars: int) -> Feature:
    """Log ratio of this bar's true range to the mean of the last `bars`."""
    return Feature(
        f"range_ratio_{bars}", bars + 1, (), lambda s: _log(s.true_range) - _log(rolling_mean(s.true_range, bars))
    )


def downside(bars: int) -> Feature:
    """Share of the last `bars` squared returns that came from falls."""

    def formula(s: Series) -> Floats:
        squares = s.returns**2
        falls = rolling_mean(np.where(s.returns < 0, squares, 0.0), bars)
        every = rolling_mean(squares, bars)
        return np.where(every > STILL**2, ratio(falls, every, STILL**2), 0.5)

    return Feature(f"downside_{bars}", bars + 1, (), formula)


def jumps(bars: int) -> Feature:
    """Share of the last `bars` squared returns that bipower variation does not explain: jumps.

    References
    ----------
    Barndorff-Nielsen and Shephard (2004), Power and bipower variation with stochastic volatility and jumps.
    """

    def formula(s: Series) -> Floats:
        size = np.abs(s.returns)
        smooth = rolling_mean(size * np.concatenate([size[:1], size[:-1]]), bars - 1) * np.pi / 2
        return 1 - ratio(smooth, rolling_mean(s.returns**2, bars), STILL**2)

    return Feature(f"jumps_{bars}", bars + 1, (), formula)


def greatest_move(bars: int) -> Feature:
    """Greatest absolute return of the last `bars`, in units of their volatility."""
    return Feature(
        f"greatest_move_{bars}",
        bars + 1,
        (),
        lambda s: ratio(rolling_max(np.abs(s.returns), bars), s.volatility(bars), STILL),
    )


def _log(volatility: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(volatility, STILL))
    return logs


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (realised, ((6,), (24,), (72,), (168,), (720,))),
    (realised_ratio, ((24, 168), (168, 720))),
    (realised_rank, ((24, 720),)),
    (earlier, ((6,),)),
    (parkinson, ((6,), (24,))),
    (garman_klass, ((24,),)),
    (rogers_satchell, ((168,),)),
    (atr, ((14,),)),
    (range_now, ((24,),)),
    (downside, ((24,),)),
    (jumps, ((24,),)),
    (greatest_move, ((24,),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
