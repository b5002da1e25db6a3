"""How much of a result may be luck: intervals of the Sharpe ratio, deflated Sharpe, overfitting, break-even cost.

Everything starts from daily returns (`backtest.statistics.daily_returns`): simple, one a UTC day, days without a
position included. A Sharpe ratio is annual wherever a function of daily returns takes or gives one (365 days); the two
formulas at the end take them per day, as the papers write them. `pbo`, whether a choice among variants is overfitted,
has a room of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backtest.overfitting import Pbo as Pbo
from backtest.overfitting import pbo as pbo
from market.candles import Floats
from market.instruments import Instrument
from market.trades import Trade
from models.metrics import Interval

DAYS_A_YEAR = 365
"""Crypto trades every day."""
BLOCK_DAYS = 7
"""Days in a bootstrap block: the week of hours that `models.metrics` resamples."""
DRAWS = 2_000
CONFIDENCE = 0.9

_LEAST_DAYS = 3
_CHUNK = 4_000_000
"""Numbers held at once while resampling."""
_NORMAL = NormalDist()
_EULER_GAMMA = 0.577_215_664_901_532_9

Statistic = Callable[[Floats], Floats]
"""Takes daily returns (..., D) and gives one figure each (...); NaN where there is none."""


def annual_sharpe(daily: Floats) -> Floats:
    """Annual Sharpe ratio of each row of daily returns (..., D); NaN where nothing changes."""
    deviation = np.std(daily, axis=-1, ddof=1)
    ratio: Floats = np.mean(daily, axis=-1) / np.where(deviation > 0, deviation, np.nan) * math.sqrt(DAYS_A_YEAR)
    return ratio


def mean_return(daily: Floats) -> Floats:
    """Mean daily return of each row of daily returns (..., D); unlike a Sharpe ratio it has a value for no trades."""
    mean: Floats = np.mean(daily, axis=-1)
    return mean


def sharpe(daily: Floats, periods: int = DAYS_A_YEAR) -> float | None:
    """Sharpe ratio a year: mean over standard deviation of returns (D,), times the root of the periods in a year.

    None below three days, when the account was lost (a return is NaN), or when nothing changed.
    """
    if len(daily) < _LEAST_DAYS or not np.all(np.isfinite(daily)):
        return None
    deviation = float(np.std(daily, ddof=1))
    return float(np.mean(daily)) / deviation * math.sqrt(periods) if deviation > 0 else None


def sharpe_interval(
    daily: Floats, block: int = BLOCK_DAYS, draws: int = DRAWS, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """The annual Sharpe ratio of daily returns (D,), with an interval from samples of whole blocks of days.

    Without a Sharpe ratio (see `sharpe`) value and bounds are NaN. See `bootstrap` for the parameters.
    """
    return bootstrap(daily, annual_sharpe, block, draws, confidence, seed)


def bootstrap(
    daily: Floats,
    statistic: Statistic,
    block: int = BLOCK_DAYS,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """A figure of daily returns (D,), with an interval by the circular block bootstrap.

    Parameters
    ----------
    daily : (D,) float64
        Simple returns by day.
    statistic : callable
        Takes (..., D) and gives (...).
    block : int
        Days in a block.
    draws : int
        Samples; one without a value is left out.
    confidence : float
        Share of the draws inside the interval, in the middle.

    References
    ----------
    Politis and Romano (1992), A circular block-resampling procedure for stationary data.
    """
    return _interval(statistic, (daily,), block, draws, confidence, seed)


def paired_difference(
    daily_a: Floats,
    daily_b: Floats,
    statistic: Statistic = annual_sharpe,
    block: int = BLOCK_DAYS,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """The statistic of `daily_a` less that of `daily_b` (both (D,), the same days), each draw the same days of both.

    What both lived through cancels, so this interval is narrower than two apart. NaN if one of them has no value: the
    Sharpe ratio of an account that never trades (take `mean_return`, which has one).

    Raises
    ------
    ValueError
        If the two are not of the same length.
    """
    if len(daily_a) != len(daily_b):
        raise ValueError(f"{len(daily_a)} and {len(daily_b)} days cannot be paired; cut both to the days they share")
    return _interval(statistic, (daily_a, daily_b), block, draws, confidence, seed)


def _interval(
    statistic: Statistic, series: Sequence[Floats], block: int, draws: int, confidence: float, seed: int
) -> Interval:
    """Of one series its statistic, of two the difference of theirs."""
    days = len(series[0])
    if days < _LEAST_DAYS or not all(np.all(np.isfinite(s)) for s in series):
        return Interval(math.nan, math.nan, math.nan)
    values = np.concatenate([_over(statistic, series, rows) for rows in resampled(days, block, draws, seed)])
    values = values[np.isfinite(values)]
    value = float(_over(statistic, series, np.arange(days)[None, :])[0])
    if not len(values) or not math.isfinite(value):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(values, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(value, float(low), float(high))


def _over(statistic: Statistic, series: Sequence[Floats], rows: NDArray[np.int64]) -> Floats:
    first, *second = (statistic(s[rows]) for s in series)
    return first - second[0] if second else first


def resampled(days: int, block: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Days drawn, (some draws, days) at a time: whole blocks that begin anywhere, the end wrapping to the beginning."""
    block = max(1, min(block, days))
    starts = np.random.default_rng(seed).integers(0, days, size=(draws, -(-days // block)))
    step = max(1, _CHUNK // days)
    for at in range(0, draws, step):
        rows = (starts[at : at + step, :, None] + np.arange(block)) % days
        yield rows.reshape(len(rows), -1)[:, :days]


@dataclass(frozen=True)
class Deflated:
    """The chance that the true Sharpe ratio is above what the best of so many worthless trials would show.

    Attributes
    ----------
    probability : float or None
        The deflated Sharpe ratio, in [0, 1]; None where the returns have no Sharpe ratio.
    expected_maximum : float
        Annual Sharpe ratio to expect of the best of the trials if none were worth anything.
    trials : int
        Trials counted.
    variance : float
        Variance of the trials' annual Sharpe ratios that was reckoned with.
    assumed : bool
        Whether the variance was not known and is the sampling variance of a worthless trial's: one over the years.
    """

    probability: float | None
    expected_maximum: float
    trials: int
    variance: float
    assumed: bool


def deflated_sharpe(
    daily: Floats, trials: int, trial_sharpes: Sequence[float | None] | None = None, variance: float | None = None
) -> Deflated:
    """Probability that the returns' true Sharpe ratio is above the best of `trials` worthless ones.

    Parameters
    ----------
    daily : (D,) float64
        Returns of the trial that was chosen.
    trials : int
        How many were tried, itself and the forgotten ones included. Each counts as independent, which errs on the
        strict side when they resemble each other.
    trial_sharpes : sequence, optional
        The trials' annual Sharpe ratios, as far as they are known; their variance is taken.
    variance : float, optional
        That variance itself. With neither, it is that of a worthless trial's estimate over as many days, 365 / D.

    Raises
    ------
    ValueError
        If there is no trial.

    References
    ----------
    Bailey and López de Prado (2014), The deflated Sharpe ratio: correcting for selection bias, backtest overfitting and
    non-normality.
    """
    if trials < 1:
        raise ValueError(f"{trials} trials: the one that was chosen is a trial as well")
    known = np.array([s for s in trial_sharpes or () if s is not None and math.isfinite(s)])
    if variance is None and len(known) > 1:
        variance = float(np.var(known, ddof=1))
    assumed = variance is None
    if variance is None:
        variance = DAYS_A_YEAR / max(len(daily), 1)
    highest = expected_maximum(trials, variance)
    return Deflated(probabilistic_sharpe(daily, highest), highest, trials, variance, assumed)


def probabilistic_sharpe(daily: Floats, benchmark: float = 0.0) -> float | None:
    """Probability that the true annual Sharpe ratio is above `benchmark`, given returns (D,), their skew and kurtosis.

    None where the returns have no Sharpe ratio.

    References
    ----------
    Bailey and López de Prado (2012), The Sharpe ratio efficient frontier.
    """
    ratio = sharpe(daily, periods=1)
    if ratio is None:
        return None
    standard = (daily - np.mean(daily)) / np.std(daily)
    skew, kurtosis = float(np.mean(standard**3)), float(np.mean(standard**4))
    return sharpe_probability(ratio, benchmark / math.sqrt(DAYS_A_YEAR), len(daily), skew, kurtosis)


def break_even_cost(
    trades: Sequence[Trade], instruments: Mapping[str, Instrument], slippage_ppm: int = 0
) -> float | None:
    """Cost a side, as a fraction of the notional, at which the trades would have earned nothing; None without trades.

    Profit before fees (funding left as it was paid) over all notional bought and sold. The fills contain slippage
    already: with the `slippage_ppm` they were made at, the answer includes it and compares with fee plus slippage.
    Negative when the trades lose before any cost.
    """
    turned_over = sum(
        instruments[t.symbol].notional(t.entry_price, t.quantity)
        + instruments[t.symbol].notional(t.exit_price, t.quantity)
        for t in trades
    )
    before_fees = sum(t.profit + t.fees for t in trades)
    return before_fees / turned_over + slippage_ppm / 1_000_000 if turned_over else None


def expected_maximum(trials: int, variance: float) -> float:
    """Expected largest of `trials` Sharpe ratios around zero with the given variance (both in one unit); 0 for one."""
    if trials == 1:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER_GAMMA) * first + _EULER_GAMMA * second)


def sharpe_probability(ratio: float, benchmark: float, days: int, skew: float, kurtosis: float) -> float | None:
    """Probability that a true Sharpe ratio is above `benchmark` where `ratio` was measured, both per day.

    `kurtosis` is 3 for normal returns. None where the estimate's variance is not positive.
    """
    spread = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    if spread <= 0:
        return None
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt(days - 1) / math.sqrt(spread))
