"""The synthetic market: seeded candles and funding with the habits of real ones, and a signal of known strength.

Volatility switches between three regimes, drifts slowly within them and follows the clock; returns have fat tails; now
and then the price gaps. Symbols of one seed share most of it, as coins do. `signal` plants a drift of some hours that
taker flow and short-term reversal give away; with 0 nothing in the past says where the price goes. Every draw comes
from a stream of its own, so more bars of the same seed begin with the same bars.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from math import sqrt
from zlib import crc32

import numpy as np

from market.candles import Candles, Floats, Ints
from market.catalogue import instrument
from market.funding import Funding
from market.instruments import Instrument
from market.timeframes import Timeframe, utc_text

START_MS = 1_704_067_200_000
"""2024-01-01 00:00 UTC."""

SIGNAL = 0.5
"""The strength that demonstrations use.

AUC of the direction over 5 h, 20,000 hours, mean of eight seeds: of the drift itself, which no candle shows / of
LightGBM on eleven plain features, trained on the first 70 %, judged on the rest:
0 → .50 / .51, 0.25 → .59 / .55, 0.5 → .67 / .60, 1 → .79 / .66.
"""

HOUR_MS = 3_600_000
_FIRST_PRICE = {"BTCUSDT": 42_000.0, "ETHUSDT": 2_300.0}
_HOURLY_TURNOVER = {"BTCUSDT": 4e8, "ETHUSDT": 2e8}

# Volatility: per hour; regimes as factors on it, with their mean stay in hours.
_VOLATILITY = 0.005
_REGIMES = ((0.5, 90.0), (1.0, 70.0), (2.0, 36.0))
_TAIL_DEGREES = 4.0
_SHARED = 0.9  # of each symbol's standard return; two symbols correlate by its square

# The planted drift, in hourly volatilities per hour and unit of signal.
_FLOW_DRIFT, _FLOW_HALF_LIFE = 0.36, 6.0
_REVERSAL_DRIFT, _REVERSAL_HALF_LIFE = 0.18, 2.0

# Gaps: small ones in half of the bars, large ones every couple of months.
_SMALL_GAP_SHARE, _SMALL_GAP = 0.5, 0.02
_LARGE_GAP_HOURS, _LARGE_GAP = 1_500.0, 0.022


class SyntheticError(ValueError):
    """A market that cannot be made."""


@dataclass(frozen=True)
class Course:
    """What drives a synthetic market and no candle shows; each (bars,), known at the bar's open.

    Attributes
    ----------
    regime : int64
        0 low, 1 mid, 2 high volatility.
    volatility : float64
        Standard deviation of an hour's return.
    drift : float64
        Expected return of the bar.
    """

    regime: Ints
    volatility: Floats
    drift: Floats


def generate(
    symbol: str = "BTCUSDT",
    *,
    bars: int,
    timeframe: Timeframe,
    seed: int = 1,
    signal: float = SIGNAL,
    start_ms: int = START_MS,
) -> tuple[Candles, Funding]:
    """A seeded history: candles on the instrument's grid, complete in every column, and its funding.

    Parameters
    ----------
    symbol : str
        An instrument of the catalogue; symbols of one seed are correlated.
    bars : int
        Number of candles.
    timeframe : Timeframe
        Their length.
    seed : int
        Not negative; the same symbol and seed give the same market.
    signal : float
        Strength of the planted drift, 0 (none) to 1.
    start_ms : int
        Open time of the first candle, on the timeframe's grid.

    Raises
    ------
    SyntheticError
        If a number is out of its range.
    """
    return _Market(symbol, bars, timeframe, seed, signal, start_ms).history()


def course(
    symbol: str = "BTCUSDT",
    *,
    bars: int,
    timeframe: Timeframe,
    seed: int = 1,
    signal: float = SIGNAL,
    start_ms: int = START_MS,
) -> Course:
    """What drives the history that `generate` gives for the same arguments, for judging what can be learnt of it."""
    market = _Market(symbol, bars, timeframe, seed, signal, start_ms)
    return Course(market.regime, market.volatility, market.drift)


class _Market:
    """One symbol's draws; shared ones come from streams named by the seed alone."""

    def __init__(self, symbol: str, bars: int, timeframe: Timeframe, seed: int, signal: float, start_ms: int) -> None:
        if bars < 1:
            raise SyntheticError(f"bars {bars}: ask for at least one")
        if not 0 <= signal <= 1:
            raise SyntheticError(f"signal {signal}: choose a strength from 0 (none) to 1")
        if seed < 0:
            raise SyntheticError(f"seed {seed}: choose one that is not negative")
        if start_ms % timeframe.ms:
            raise SyntheticError(f"start {utc_text(start_ms)}: no {timeframe} candle opens then")
        self.instrument: Instrument = instrument(symbol)
        self.bars, self.timeframe, self.seed, self.signal = bars, timeframe, seed, signal
        self.hours = timeframe.ms / HOUR_MS
        self.times: Ints = start_ms + timeframe.ms * np.arange(bars, dtype=np.int64)
        self.regime = self._regime()
        self.volatility = self._volatility()
        # The scale mixes a normal into Student's t: a bar with a fat return has the range and the volume of one.
        mixing = self._shared("tails").gamma(_TAIL_DEGREES / 2, size=bars) * 2 / (_TAIL_DEGREES - 2)
        self.scale = self.volatility * np.sqrt(self.hours / mixing)
        self.shock = self._mixed(_SHARED, "shock")
        self.flow = _steady(self._mixed(0.6, "flow"), _FLOW_HALF_LIFE / self.hours)
        self.drift = self._drift()
        self.gap = self._gap()

    def history(self) -> tuple[Candles, Funding]:
        """The market as an exchange would show it."""
        move = self.drift + self.scale * self.shock
        closes = np.log(_FIRST_PRICE.get(self.instrument.symbol, 100.0)) + np.cumsum(move + self.gap)
        opens = closes - move
        # Extremes of a Brownian bridge between open and close.
        up, down = (-2 * self.scale**2 * np.log1p(-self._own(name).random(self.bars)) for name in ("high", "low"))
        highs = opens + (move + np.sqrt(move**2 + up)) / 2
        lows = opens + (move - np.sqrt(move**2 + down)) / 2
        ticks = [np.maximum(1, np.rint(np.exp(p) / float(self.instrument.tick))) for p in (opens, highs, lows, closes)]
        prices = [_decimal(t, self.instrument.tick) for t in ticks]
        candles = Candles(self.timeframe, self.times, *prices, *self._volumes(prices))
        return candles, self._funding(closes)

    def _regime(self) -> Ints:
        """The regime in force in each bar: stays of random length, then one of the other two."""
        draws, changes, states = self._shared("regimes"), [0.0], [1]
        while changes[-1] < self.bars * self.hours:
            changes.append(changes[-1] + float(draws.exponential(_REGIMES[states[-1]][1])))
            states.append((states[-1] + 1 + int(draws.integers(2))) % 3)
        stay = np.searchsorted(changes, np.arange(self.bars) * self.hours, side="right") - 1
        return np.array(states, dtype=np.int64)[stay]

    def _volatility(self) -> Floats:
        """An hour's standard deviation: regime, a slow drift, and the clock (quiet nights and weekends)."""
        hour, day = self.times / HOUR_MS % 24, (self.times // (24 * HOUR_MS) + 4) % 7
        clock = (1 + 0.4 * np.cos(2 * np.pi * (hour - 14.5) / 24)) * np.where((day == 0) | (day == 6), 0.75, 1.05)
        slow = 0.25 * _steady(self._mixed(0.8, "volatility"), 60 / self.hours)
        return _VOLATILITY * np.array([factor for factor, _ in _REGIMES])[self.regime] * clock * np.exp(slow)

    def _drift(self) -> Floats:
        """The planted signal: along the flow of the bars before, against their recent shocks."""
        recent = _steady(self.shock, _REVERSAL_HALF_LIFE / self.hours)
        known = _FLOW_DRIFT * self.flow - _REVERSAL_DRIFT * recent
        return self.signal * self.volatility * self.hours * np.concatenate(([0.0], known[:-1]))

    def _gap(self) -> Floats:
        """Log distance of each open from the close before: mostly none, often ticks, rarely past a stop."""
        sizes = _SMALL_GAP * self.scale * self._normal("gap sizes")
        gap = np.where(self._own("gaps").random(self.bars) < _SMALL_GAP_SHARE, sizes, 0.0)
        news = self._shared("news sizes").standard_normal(self.bars)
        large = np.sign(news) * np.minimum(_LARGE_GAP * np.exp(0.6 * news**2 - 0.4), 0.12)
        gap = np.where(self._shared("news").random(self.bars) < self.hours / _LARGE_GAP_HOURS, large, gap)
        gap[0] = 0.0
        return gap

    def _volumes(self, prices: list[Floats]) -> list[Floats]:
        """Base and quote volume, trades, and what takers bought: busy when volatile, lopsided with flow and move."""
        usual = np.log(_HOURLY_TURNOVER.get(self.instrument.symbol, 5e7) * self.hours / prices[3])
        busy = 0.35 * _steady(self._mixed(0.6, "activity"), 8 / self.hours) + 0.25 * self._normal("volume")
        activity = 0.6 * np.log(self.scale / (_VOLATILITY * np.sqrt(self.hours))) + busy
        step = float(self.instrument.step)
        steps = np.maximum(1, np.rint(np.exp(usual + activity) / step))
        volume = _decimal(steps, self.instrument.step)
        lean = 0.5 * self.flow + 0.35 * self.shock + 0.8 * self._normal("takers")
        share = 0.5 + 0.2 * np.tanh(0.25 * lean)
        taker = _decimal(np.rint(steps * share), self.instrument.step)
        average = sum(prices) / 4
        trades = np.maximum(1, np.rint(steps * step * average / 2_000 * np.exp(0.1 * self._normal("trades"))))
        return [volume, volume * average, trades, taker, taker * average]

    def _funding(self, closes: Floats) -> Funding:
        """Rates by the exchange's formula, premium plus what pulls it to 0.01 %, from bars before each instant."""
        every = self.instrument.funding_hours * HOUR_MS
        due = np.arange(-(-self.times[0] // every) * every, self.times[-1] + 1, every, dtype=np.int64)
        # The bar that ended at or before the instant; at the very start there is none, and the premium is 0.
        before = (due - self.times[0]) // self.timeframe.ms - 1
        day = np.maximum(before - int(24 / self.hours), 0)
        tilt = 0.012 * (closes[np.maximum(before, 0)] - closes[day])
        premium = 0.0004 * _steady(self._normal("premium"), 30 / self.hours)[np.maximum(before, 0)] + tilt
        premium = np.where(before >= 0, premium, 0.0)
        rate = np.clip(premium + np.clip(0.0001 - premium, -0.0005, 0.0005), -0.003, 0.003)
        return Funding(due, np.rint(rate * 1e8).astype(np.int64))

    def _own(self, name: str) -> np.random.Generator:
        return _stream(self.seed, name, self.instrument.symbol)

    def _shared(self, name: str) -> np.random.Generator:
        return _stream(self.seed, name)

    def _normal(self, name: str) -> Floats:
        return self._own(name).standard_normal(self.bars)

    def _mixed(self, share: float, name: str) -> Floats:
        """Standard normals, `share` of which all symbols of the seed have in common."""
        common = self._shared(name).standard_normal(self.bars)
        return share * common + sqrt(1 - share**2) * self._normal(name)


def _stream(seed: int, *names: str) -> np.random.Generator:
    """Random numbers of their own for each combination of seed and names."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def _steady(noise: Floats, half_life: float) -> Floats:
    """A stationary first-order autoregression of unit variance, from standard noise; half-life in bars."""
    keep = 0.5 ** (1 / half_life)
    fresh: Iterable[float] = (sqrt(1 - keep**2) * noise).tolist()
    values = list(accumulate(fresh, lambda level, new: keep * level + new, initial=float(noise[0])))
    return np.array(values[1:])


def _decimal(counts: Floats, size: Decimal) -> Floats:
    """Counts of a decimal size as the floats nearest to their decimal values."""
    numerator, denominator = size.as_integer_ratio()
    return counts * numerator / denominator
