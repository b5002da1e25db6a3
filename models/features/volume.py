"""Volume and taker flow: how much was traded, who asked for it, and what it moved. Free of the volume's scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from market.candles import Floats
from models.features.registry import Feature
from models.features.series import (
    STILL,
    TINY,
    Series,
    ratio,
    rolling_deviation,
    rolling_mean,
    rolling_rank,
    rolling_sum,
)


def volume_now(bars: int) -> Feature:
    """Log of one plus this bar's volume over the mean of the last `bars`."""
    return Feature(
        f"volume_ratio_{bars}", bars, ("volume",), lambda s: np.log1p(ratio(s.volume, s.average("volume", bars)))
    )


def volume_trend(fast: int, slow: int) -> Feature:
    """Log of one plus the mean volume of `fast` bars over that of `slow`."""
    return Feature(
        f"volume_trend_{fast}_{slow}",
        slow,
        ("volume",),
        lambda s: np.log1p(ratio(s.average("volume", fast), s.average("volume", slow))),
    )


def volume_rank(among: int) -> Feature:
    """Rank of this bar's volume among the last `among`, 0 to 1."""
    return Feature(f"volume_rank_{among}", among, ("volume",), lambda s: rolling_rank(s.volume, among))


def volume_balance(bars: int) -> Feature:
    """Volume of rising bars less that of falling ones, over all of the last `bars`: on-balance volume, bounded."""
    return Feature(
        f"volume_balance_{bars}",
        bars + 1,
        ("volume",),
        lambda s: ratio(rolling_mean(np.sign(s.returns) * s.volume, bars), s.average("volume", bars)),
    )


def money_flow(bars: int) -> Feature:
    """Chaikin's money flow: volume weighted by where each bar closed in its range, -1 to 1."""

    def formula(s: Series) -> Floats:
        width = s.high - s.low
        place = np.where(width > 0, ratio(2 * s.close - s.high - s.low, width), 0.0)
        return ratio(rolling_mean(place * s.volume, bars), s.average("volume", bars))

    return Feature(f"money_flow_{bars}", bars, ("volume",), formula)


def impact(fast: int, slow: int) -> Feature:
    """Amihud's illiquidity, absolute return per volume, of `fast` bars over that of `slow`, in logarithms.

    References
    ----------
    Amihud (2002), Illiquidity and stock returns.
    """

    def formula(s: Series) -> Floats:
        per_volume = [ratio(rolling_mean(np.abs(s.returns), n) + STILL, s.average("volume", n)) for n in (fast, slow)]
        nothing = (s.average("volume", fast) <= TINY) | (s.average("volume", slow) <= TINY)
        return np.where(nothing, 0.0, np.log(per_volume[0] / per_volume[1]))

    return Feature(f"impact_{fast}_{slow}", slow + 1, ("volume",), formula)


def vwap_distance(bars: int) -> Feature:
    """Log close less the log of the volume-weighted average price of the last `bars`."""

    def formula(s: Series) -> Floats:
        traded = rolling_sum(s.volume, bars)
        price = ratio(rolling_sum(s.quote_volume, bars), traded)
        return np.where(traded > TINY, s.log_close - np.log(np.where(price > 0, price, s.close)), 0.0)

    return Feature(f"vwap_distance_{bars}", bars, ("volume", "quote_volume"), formula)


def trade_size(fast: int, slow: int) -> Feature:
    """Log of one plus the mean trade of the last `fast` bars over that of `slow`."""

    def formula(s: Series) -> Floats:
        sizes = [ratio(rolling_sum(s.volume, n), rolling_sum(s.trades, n), 1.0) for n in (fast, slow)]
        return np.log1p(ratio(sizes[0], sizes[1]))

    return Feature(f"trade_size_{fast}_{slow}", slow, ("volume", "trades"), formula)


def trades_now(bars: int) -> Feature:
    """Log of one plus this bar's number of trades over the mean of the last `bars`."""
    return Feature(
        f"trades_ratio_{bars}", bars, ("trades",), lambda s: np.log1p(ratio(s.trades, s.average("trades", bars)))
    )


def taker_flow(bars: int) -> Feature:
    """Takers' buying less their selling, over all volume of the last `bars`, -1 to 1."""
    return Feature(f"taker_flow_{bars}", bars, ("volume", "taker_base"), lambda s: _flow(s, bars))


def taker_surprise(fast: int, slow: int) -> Feature:
    """Taker flow of `fast` bars less that of `slow`, in standard deviations of a single bar's over `slow`."""

    def formula(s: Series) -> Floats:
        apart = _flow(s, fast) - _flow(s, slow)
        return ratio(apart, rolling_deviation(_flow(s, 1), slow), 1e-4)

    return Feature(f"taker_surprise_{fast}_{slow}", slow, ("volume", "taker_base"), formula)


def taker_against_price(bars: int) -> Feature:
    """Taker flow of the last `bars` less what their return would lead to expect: both in [-1, 1]."""

    def formula(s: Series) -> Floats:
        moved = ratio(rolling_sum(s.returns, bars), rolling_sum(np.abs(s.returns), bars), STILL)
        return _flow(s, bars) - moved

    return Feature(f"taker_against_price_{bars}", bars + 1, ("volume", "taker_base"), formula)


def _flow(series: Series, bars: int) -> Floats:
    def make() -> Floats:
        bought_less_sold = 2 * series.taker_base - series.volume
        return ratio(rolling_sum(bought_less_sold, bars), rolling_sum(series.volume, bars))

    return series.once(f"flow_{bars}", make)


_MAKE: tuple[tuple[Callable[..., Feature], tuple[tuple[int, ...], ...]], ...] = (
    (volume_now, ((24,),)),
    (volume_trend, ((24, 168),)),
    (volume_rank, ((168,),)),
    (volume_balance, ((24,),)),
    (money_flow, ((24,),)),
    (impact, ((24, 168),)),
    (vwap_distance, ((24,),)),
    (trade_size, ((24, 168),)),
    (trades_now, ((24,),)),
    (taker_flow, ((1,), (6,), (24,), (168,))),
    (taker_surprise, ((1, 168),)),
    (taker_against_price, ((24,),)),
)
FEATURES = tuple(make(*args) for make, many in _MAKE for args in many)
