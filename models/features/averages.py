"""Moving averages and the classic oscillators: distance and slope of averages, MACD, RSI, stochastic, CCI, ADX, Aroon.

All are free of the price's scale: logarithms, shares of a range, or multiples of the true range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import talib

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import (
    STILL,
    Series,
    ema,
    ema_lookback,
    lagged,
    ratio,
    rolling_mean,
    rolling_spread,
    wilder,
)


def _ema(series: Series, span: int) -> Floats:
    return series.once(f"ema_{span}", lambda: ema(series.log_close, span))


def ema_distance(span: int) -> Feature:
    """Log close less its exponential average."""
    return Feature(f"ema_distance_{span}", ema_lookback(span), (), lambda s: s.log_close - _ema(s, span))


def sma_distance(bars: int) -> Feature:
    """Log close less its plain average."""
    return Feature(f"sma_distance_{bars}", bars, (), lambda s: s.log_close - rolling_mean(s.log_close, bars))


def ema_slope(span: int) -> Feature:
    """Change of the exponential average over the last `span` / 4 bars, per bar."""
    back = span // 4
    return Feature(
        f"ema_slope_{span}",
        ema_lookback(span) + back,
        (),
        lambda s: (_ema(s, span) - lagged(_ema(s, span), back)) / back,
    )


def ema_cross(fast: int, slow: int) -> Feature:
    """Fast exponential average less the slow one: MACD's line, in logarithms."""
    return Feature(f"ema_cross_{fast}_{slow}", ema_lookback(slow), (), lambda s: _ema(s, fast) - _ema(s, slow))


def macd_histogram() -> Feature:
    """MACD (12, 26) less its signal line (9), in logarithms."""

    def formula(s: Series) -> Floats:
        line = _ema(s, 12) - _ema(s, 26)
        return line - ema(line, 9)

    return Feature("macd_histogram", ema_lookback(26) + ema_lookback(9), (), formula)


def rsi(period: int) -> Feature:
    """Wilder's relative strength of log returns, from -1 to 1 (0 is his 50)."""

    def formula(s: Series) -> Floats:
        gain, size = wilder(s.returns, period), wilder(np.abs(s.returns), period)
        return ratio(gain, size, STILL)

    return Feature(f"rsi_{period}", ema_lookback(2 * period - 1) + 1, (), formula)


def stochastic(bars: int) -> Feature:
    """Where the close lies in the range of the last `bars`, 0 to 1."""
    return Feature(f"stochastic_{bars}", bars, (), lambda s: _stochastic(s, bars))


def stochastic_slow(bars: int) -> Feature:
    """The stochastic averaged over three bars."""
    return Feature(f"stochastic_{bars}_slow", bars + 2, (), lambda s: rolling_mean(_stochastic(s, bars), 3))


def cci(bars: int) -> Feature:
    """Commodity channel index over 100: the typical price's distance from its average, in mean deviations of .015."""

    def formula(s: Series) -> Floats:
        found: Floats = talib.CCI(s.high, s.low, s.close, bars) if len(s) >= bars else np.full(len(s), np.nan)
        # in a market that stands still the deviation is rounding, and so is the index
        return np.where(_width(s, bars) > STILL, found / 100, 0.0)

    return Feature(f"cci_{bars}", bars, (), formula)


def bollinger(bars: int) -> Feature:
    """Log close less its average, in standard deviations."""

    def formula(s: Series) -> Floats:
        moved = s.log_close - rolling_mean(s.log_close, bars)
        return ratio(moved, _spread(s, bars), STILL)

    return Feature(f"bollinger_{bars}", bars, (), formula)


def directional(period: int) -> Feature:
    """Wilder's +DI less -DI over their sum, from -1 to 1."""
    return Feature(f"directional_{period}", ema_lookback(2 * period - 1) + 1, (), lambda s: _direction(s, period))


def aroon(bars: int) -> Feature:
    """Aroon oscillator: how much fresher the high of the last `bars` is than the low, from -1 to 1."""

    def formula(s: Series) -> Floats:
        if len(s) <= bars:
            return np.full(len(s), np.nan)
        found: Floats = talib.AROONOSC(s.high, s.low, bars)
        return found / 100

    return Feature(f"aroon_{bars}", bars + 1, (), formula)


def _stochastic(series: Series, bars: int) -> Floats:
    """Close within high and low, in logarithms; the middle where nothing moves."""
    width = _width(series, bars)
    share = ratio(np.log(series.close) - np.log(series.lowest(bars)), width, STILL)
    return np.where(width > STILL, share, 0.5)


def _width(series: Series, bars: int) -> Floats:
    return series.once(f"width_{bars}", lambda: np.log(series.highest(bars) / series.lowest(bars)))


def _spread(series: Series, bars: int) -> Floats:
    """Standard deviation of the log close."""
    return series.once(f"spread_{bars}", lambda: rolling_spread(series.log_close, bars))


def _direction(series: Series, period: int) -> Floats:
    def make() -> Floats:
        up = np.diff(np.log(series.high), prepend=np.log(series.high[:1]))
        down = -np.diff(np.log(series.low), prepend=np.log(series.low[:1]))
        plus = wilder(np.where((up > down) & (up > 0), up, 0.0), period)
        minus = wilder(np.where((down > up) & (down > 0), down, 0.0), period)
        return ratio(plus - minus, plus + minus, STILL)

    return series.once(f"direction_{period}", make)


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (ema_distance, ((12,), (26,))),
    (sma_distance, ((168,), (336,))),
    (ema_slope, ((12,), (26,))),
    (ema_cross, ((12, 26),)),
    (macd_histogram, ((),)),
    (rsi, ((6,), (14,))),
    (stochastic, ((14,), (72,), (168,))),
    (stochastic_slow, ((14,),)),
    (cci, ((20,),)),
    (bollinger, ((20,),)),
    (directional, ((14,),)),
    (aroon, ((25,),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
