"""Cross-asset features: how a symbol moves beside its companion, BTC for ETH and ETH for BTC.

Options: they are chosen by name, where the companion's history is at hand. A companion's candle counts with the candle
of the same open time; where it is missing or unsound there is no value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import COMPANION, Feature
from models.features.series import STILL, Series, lagged, ratio, rolling_deviation, rolling_mean, rolling_spread


def companion_return(bars: int) -> Feature:
    """Log return of the companion over the last `bars`."""
    return _feature(f"companion_return_{bars}", bars + 1, lambda s: _moved(s.companion_log_close, bars))


def companion_lead(bars: int) -> Feature:
    """Log return of the symbol less its companion's over the last `bars`."""
    return _feature(f"companion_lead_{bars}", bars + 1, lambda s: _moved(s.log_ratio, bars))


def companion_correlation(bars: int) -> Feature:
    """Correlation of both symbols' log returns over the last `bars`, from -1 to 1; 0 where one stands still."""

    def formula(s: Series) -> Floats:
        spread = s.deviation(bars) * rolling_deviation(s.companion_returns, bars)
        return np.clip(ratio(_covariance(s, bars), spread, STILL**2), -1.0, 1.0)

    return _feature(f"companion_correlation_{bars}", bars + 1, formula)


def companion_beta(bars: int) -> Feature:
    """How far the symbol moves for each move of its companion: the slope of its log returns over the last `bars`."""

    def formula(s: Series) -> Floats:
        return ratio(_covariance(s, bars), rolling_deviation(s.companion_returns, bars) ** 2, STILL**2)

    return _feature(f"companion_beta_{bars}", bars + 1, formula)


def companion_ratio(bars: int) -> Feature:
    """Logarithm of the two prices' ratio less its average, in standard deviations."""

    def formula(s: Series) -> Floats:
        return ratio(s.log_ratio - rolling_mean(s.log_ratio, bars), rolling_spread(s.log_ratio, bars), STILL)

    return _feature(f"companion_ratio_{bars}", bars, formula)


def _feature(name: str, lookback: int, formula: Callable[[Series], Floats]) -> Feature:
    return Feature(name, lookback, (COMPANION,), formula)


def _moved(logs: Floats, bars: int) -> Floats:
    return logs - lagged(logs, bars)


def _covariance(series: Series, bars: int) -> Floats:
    def make() -> Floats:
        own, other = series.returns, series.companion_returns
        return rolling_mean(own * other, bars) - rolling_mean(own, bars) * rolling_mean(other, bars)

    return series.once(f"covariance_{bars}", make)


FEATURES = (
    companion_return(1),
    companion_return(5),
    companion_return(24),
    companion_lead(5),
    companion_lead(24),
    companion_correlation(168),
    companion_beta(168),
    companion_ratio(168),
)
