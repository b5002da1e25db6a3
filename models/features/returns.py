"""Returns and momentum: how far the price has come, by itself and for its volatility; ranks among its own past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import STILL, Series, lagged, ratio, rolling_mean, rolling_rank, weighted_sum


def log_return(bars: int) -> Feature:
    """Log return over `bars`."""
    return Feature(f"return_{bars}", bars + 1, (), lambda s: _past(s, bars))


def momentum(bars: int) -> Feature:
    """Log return over `bars`, in units of what a random walk of their volatility would do."""
    return Feature(
        f"momentum_{bars}", bars + 1, (), lambda s: ratio(_past(s, bars), s.volatility(bars) * np.sqrt(bars), STILL)
    )


def sharpe(bars: int) -> Feature:
    """Rolling Sharpe: mean over standard deviation of the last `bars` returns, times the root of their number."""
    return Feature(
        f"sharpe_{bars}",
        bars + 1,
        (),
        lambda s: ratio(rolling_mean(s.returns, bars) * np.sqrt(bars), s.deviation(bars), STILL),
    )


def acceleration(bars: int) -> Feature:
    """Return of the last `bars` less that of the `bars` before."""
    return Feature(f"acceleration_{bars}", 2 * bars + 1, (), lambda s: _past(s, bars) - lagged(_past(s, bars), bars))


def serial_correlation(bars: int) -> Feature:
    """Correlation of each return with the one before, over `bars` pairs: below 0 where moves are taken back."""

    def formula(s: Series) -> Floats:
        before = np.concatenate([[0.0], s.returns[:-1]])
        both = rolling_mean(s.returns * before, bars)
        return ratio(both, np.sqrt(rolling_mean(s.returns**2, bars) * rolling_mean(before**2, bars)), STILL**2)

    return Feature(f"serial_correlation_{bars}", bars + 2, (), formula)


def skewness(bars: int) -> Feature:
    """Third moment of the last `bars` returns about zero, over their volatility cubed."""
    return Feature(
        f"skewness_{bars}",
        bars + 1,
        (),
        lambda s: ratio(rolling_mean(s.returns**3, bars), s.volatility(bars) ** 3, STILL**3),
    )


def return_rank(bars: int, among: int) -> Feature:
    """Rank of the return over `bars` among those of the last `among` rows, 0 to 1."""
    return Feature(f"return_{bars}_rank_{among}", bars + among, (), lambda s: rolling_rank(_past(s, bars), among))


def close_rank(among: int) -> Feature:
    """Rank of the close among the last `among`, 0 to 1."""
    return Feature(f"close_rank_{among}", among, (), lambda s: rolling_rank(s.close, among))


def trend(bars: int) -> Feature:
    """Slope of the straight line through the last `bars` log closes, per bar."""
    weights: Floats = np.arange(bars, dtype=np.float64) - (bars - 1) / 2
    weights /= (weights**2).sum()
    return Feature(f"trend_{bars}", bars, (), lambda s: weighted_sum(s.log_close, weights))


def _past(series: Series, bars: int) -> Floats:
    return series.once(f"past_{bars}", lambda: series.log_close - lagged(series.log_close, bars))


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (log_return, ((1,), (2,), (3,), (5,), (12,), (24,), (72,), (168,))),
    (momentum, ((12,),)),
    (sharpe, ((24,), (72,), (168,), (720,))),
    (acceleration, ((24,),)),
    (serial_correlation, ((168,),)),
    (skewness, ((168,),)),
    (return_rank, ((24, 168),)),
    (close_rank, ((168,), (720,))),
    (trend, ((24,),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
