"""Series: one run of candles as features read it, and the rolling windows they are made of.

Every window is summed afresh: a running sum drifts, and a live row would differ from the same row of a long history.
Exponential averages forget: beyond `ema_lookback` bars, what came before weighs less than 1e-15.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import talib
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from market.funding import Funding

PRICES = ("open", "high", "low", "close")
FLOWS = ("volume", "quote_volume", "trades", "taker_base", "taker_quote")
FORGOTTEN = 1e-15
"""Weight below which an exponential average has forgotten a bar."""
STILL = 1e-6
"""Log move, range or volatility a bar below which a market counts as standing still; keeps ratios finite there."""
TINY = 1e-12
"""Keeps a ratio of volumes finite where both its parts are nothing."""
FUNDING_REACH_MS = 35 * 86_400_000
"""Funding older than this before the first row's close is looked at by no feature."""
_BLOCK = 4096


def ema_lookback(span: int) -> int:
    """Rows after which an exponential average of `span` (alpha = 2 / (span + 1)) has forgotten its start."""
    return span + math.ceil(math.log(FORGOTTEN) / math.log(1 - 2 / (span + 1)))


def rolling_sum(values: Floats, window: int) -> Floats:
    """Sum over the last `window` rows (N,), NaN for the first ones."""
    return weighted_sum(values, np.ones(window))


def weighted_sum(values: Floats, weights: Floats) -> Floats:
    """Sum of the last rows times `weights` (oldest first); NaN for the first rows."""
    result = np.full(len(values), np.nan)
    if len(values) >= len(weights):
        result[len(weights) - 1 :] = np.correlate(values, weights, "valid")
    return result


def rolling_mean(values: Floats, window: int) -> Floats:
    """Mean over the last `window` rows."""
    return rolling_sum(values, window) / window


def rolling_deviation(values: Floats, window: int) -> Floats:
    """Standard deviation over the last `window` rows, of values that scatter around zero by more than their mean."""
    variance = rolling_mean(values * values, window) - rolling_mean(values, window) ** 2
    return np.sqrt(np.maximum(variance, 0.0))


def rolling_spread(values: Floats, window: int) -> Floats:
    """Standard deviation over the last `window` rows of values far from zero: each window about its own mean."""
    result = np.full(len(values), np.nan)
    if len(values) >= window:
        views = sliding_window_view(values, window)
        for start in range(0, len(views), _BLOCK):
            part = views[start : start + _BLOCK]
            result[window - 1 + start : window - 1 + start + len(part)] = part.std(axis=1)
    return result


def rolling_max(values: Floats, window: int) -> Floats:
    """Greatest of the last `window` rows."""
    return _ta(talib.MAX, values, window)


def rolling_min(values: Floats, window: int) -> Floats:
    """Least of the last `window` rows."""
    return _ta(talib.MIN, values, window)


def rolling_rank(values: Floats, window: int) -> Floats:
    """Share of the last `window` rows, the current one aside, that lie below it; ties count one half."""
    result = np.full(len(values), np.nan)
    if len(values) < window:
        return result
    views = sliding_window_view(values, window)
    for start in range(0, len(views), _BLOCK):
        part = views[start : start + _BLOCK]
        now = part[:, -1:]
        below = np.count_nonzero(part < now, axis=1) + np.count_nonzero(part <= now, axis=1) - 1  # it ties with itself
        result[window - 1 + start : window - 1 + start + len(part)] = below / (2 * (window - 1))
    result[np.isnan(values)] = np.nan
    return result


def ema(values: Floats, span: int) -> Floats:
    """Exponential average with alpha = 2 / (span + 1), begun with a plain average of `span` rows."""
    return _ta(talib.EMA, values, span)


def wilder(values: Floats, period: int) -> Floats:
    """Wilder's smoothing: alpha = 1 / period."""
    return ema(values, 2 * period - 1)


def lagged(values: Floats, bars: int) -> Floats:
    """The values `bars` rows earlier; NaN for the first ones."""
    result = np.full(len(values), np.nan)
    if bars < len(values):
        result[bars:] = values[: len(values) - bars]
    return result


def ratio(above: Floats, below: Floats, floor: float = TINY) -> Floats:
    """`above / below`, where `below` is not negative and counts as at least `floor`."""
    return above / np.maximum(below, floor)


class Series:
    """Candles, funding and a companion's candles as columns, sound throughout; what features share is computed once.

    Prices that are not positive numbers are replaced by the last sound ones and absent volumes by 0, so that no window
    is poisoned; `runs` says which rows may be believed.
    """

    def __init__(self, candles: Candles, funding: Funding | None, companion: Candles | None = None) -> None:
        self.candles = candles
        self.close_time: Ints = candles.open_time + candles.timeframe.ms
        funding = funding if funding is not None else Funding.none()
        self.funding = funding.between(int(self.close_time[0]) - FUNDING_REACH_MS, int(self.close_time[-1]))
        self._cache: dict[str, Floats] = {}
        joined = np.diff(candles.open_time, prepend=candles.open_time[:1]) == candles.timeframe.ms
        quotes, sound = _quotes(candles)
        self.open, self.high, self.low, self.close = _filled(quotes, sound)
        self.runs: dict[str, Ints] = {"price": _run_lengths(joined, sound)}
        for name in FLOWS:
            column = getattr(candles, name)
            known = np.isfinite(column) & (column >= 0)
            self.runs[name] = self.runs["price"] if known.all() else _run_lengths(joined, sound & known)
            self._cache[name] = column if known.all() else np.where(known, column, 0.0)
        self.runs["companion"] = np.zeros(len(sound), dtype=np.int64)
        if companion is not None and len(companion):
            theirs, there = _beside(candles, companion)
            self.companion_close = _filled(theirs, there)[PRICES.index("close")]
            self.runs["companion"] = _run_lengths(joined, sound & there)

    def __len__(self) -> int:
        return len(self.candles)

    def __getattr__(self, name: str) -> Floats:
        if name in FLOWS:
            return self._cache[name]
        raise AttributeError(name)

    def unbroken(self, needs: tuple[str, ...]) -> Ints:
        """How many rows in a row, without a hole, have sound prices and the columns needed, at each row."""
        run = self.runs["price"]
        for need in needs:
            if need in self.runs:
                run = np.minimum(run, self.runs[need])
        return run

    def once(self, key: str, make: Callable[[], Floats]) -> Floats:
        """The series called `key`, made the first time it is asked for."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    @property
    def log_close(self) -> Floats:
        """Natural logarithm of the close."""
        return self.once("log_close", lambda: np.log(self.close))

    @property
    def returns(self) -> Floats:
        """Log return of each bar; 0 for the very first row, which no feature reads."""
        return self.once("returns", lambda: np.diff(self.log_close, prepend=self.log_close[:1]))

    @property
    def companion_log_close(self) -> Floats:
        """Natural logarithm of the companion's close, at this symbol's candles."""
        return self.once("companion_log_close", lambda: np.log(self.companion_close))

    @property
    def companion_returns(self) -> Floats:
        """Log return of each of the companion's bars; 0 for the very first row, which no feature reads."""
        logs = self.companion_log_close
        return self.once("companion_returns", lambda: np.diff(logs, prepend=logs[:1]))

    @property
    def log_ratio(self) -> Floats:
        """Natural logarithm of the close over the companion's."""
        return self.once("log_ratio", lambda: self.log_close - self.companion_log_close)

    @property
    def log_range(self) -> Floats:
        """Logarithm of high over low."""
        return self.once("log_range", lambda: np.log(self.high / self.low))

    @property
    def true_range(self) -> Floats:
        """Wilder's true range in logarithms, so that it is a fraction of the price; the first row has no gap in it."""
        return self.once("true_range", self._true_range)

    def volatility(self, window: int) -> Floats:
        """Root mean square of the last `window` log returns."""
        return self.once(f"volatility_{window}", lambda: np.sqrt(rolling_mean(self.returns * self.returns, window)))

    def deviation(self, window: int) -> Floats:
        """Standard deviation of the last `window` log returns."""
        return self.once(f"deviation_{window}", lambda: rolling_deviation(self.returns, window))

    def average(self, name: str, window: int) -> Floats:
        """Mean of a column of volumes over the last `window` rows."""
        return self.once(f"{name}_mean_{window}", lambda: rolling_mean(getattr(self, name), window))

    def highest(self, window: int) -> Floats:
        """Highest high of the last `window` rows."""
        return self.once(f"highest_{window}", lambda: rolling_max(self.high, window))

    def lowest(self, window: int) -> Floats:
        """Lowest low of the last `window` rows."""
        return self.once(f"lowest_{window}", lambda: rolling_min(self.low, window))

    def _true_range(self) -> Floats:
        before = np.concatenate([self.open[:1], self.close[:-1]])
        ranges: Floats = np.log(np.maximum(self.high, before) / np.minimum(self.low, before))
        return ranges


def _quotes(candles: Candles) -> tuple[Floats, NDArray[np.bool_]]:
    """The four prices (4, N), and which rows (N,) have four positive numbers."""
    quotes = np.stack([getattr(candles, name) for name in PRICES])
    return quotes, np.isfinite(quotes).all(axis=0) & (quotes > 0).all(axis=0)


def _filled(quotes: Floats, sound: NDArray[np.bool_]) -> Floats:
    """The prices with each unsound row replaced by the last sound one."""
    if sound.all():
        return quotes
    last = np.maximum.accumulate(np.where(sound, np.arange(len(sound)), -1))
    return np.where(last >= 0, quotes[:, last], 1.0)


def _beside(candles: Candles, companion: Candles) -> tuple[Floats, NDArray[np.bool_]]:
    """A companion's prices (4, N) at the open times of `candles`, and which of them are there and sound."""
    if companion.timeframe != candles.timeframe:
        raise ValueError(f"a companion's {companion.timeframe} candles beside candles of {candles.timeframe}")
    quotes, sound = _quotes(companion)
    at = np.minimum(np.searchsorted(companion.open_time, candles.open_time), len(companion) - 1)
    return quotes[:, at], sound[at] & (companion.open_time[at] == candles.open_time)


def _run_lengths(joined: NDArray[np.bool_], sound: NDArray[np.bool_]) -> Ints:
    """How many sound rows in a row, without a hole between them, end at each row."""
    rows = np.arange(len(sound), dtype=np.int64)
    # a run ends before the last break: the row itself if unsound, the row before it if a hole separates them
    breaks = np.maximum.accumulate(np.where(~sound, rows, np.where(~joined, rows - 1, -1)))
    return rows - breaks


def _ta(indicator: Callable[[Floats, int], Floats], values: Floats, window: int) -> Floats:
    if len(values) < window or window < 2:
        return values.copy() if window < 2 else np.full(len(values), np.nan)
    result: Floats = indicator(values, window)
    return result
