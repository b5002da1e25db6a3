"""The best of the variants, and what speaks against taking it: overfitting, and the number of tries it took."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.significance import DAYS_A_YEAR, Deflated, Pbo, annual_sharpe, deflated_sharpe, pbo
from backtest.sweep.work import Played
from market.candles import Floats

MOST_PBO = 0.5
LEAST_DEFLATED = 0.95
BLOCKS = 16


@dataclass(frozen=True)
class Choice:
    """The variants in order of their Sharpe ratio, and how far the first may be trusted.

    Attributes
    ----------
    sharpe : (V,) float64
        Annual, of daily returns; NaN where nothing changed or the account was lost.
    order : (V,) int64
        Variants by falling Sharpe ratio, those without one last.
    best : int or None
        The first of them; None if no variant has a Sharpe ratio.
    pbo : Pbo or None
        None where it cannot be computed; `no_pbo` says why.
    deflated : Deflated or None
        Of the best, counting every variant, the base rules and the earlier trials; None without a best.
    variants, earlier : int
        Trials of this sweep, and before it.
    warnings : tuple of str
        What speaks against the choice, in words.
    """

    sharpe: Floats
    order: NDArray[np.int64]
    best: int | None
    pbo: Pbo | None
    no_pbo: str | None
    deflated: Deflated | None
    variants: int
    earlier: int
    warnings: tuple[str, ...]


def daily_returns(played: Played, cash: int) -> Floats:
    """Simple returns (V, D) by UTC day; an account that is lost returns -1 on that day and 0 ever after."""
    equity = np.concatenate([np.full((len(played.equity), 1), cash), played.daily_equity], axis=1).astype(np.float64)
    lost = np.maximum.accumulate(equity <= 0, axis=1)
    equity[lost] = 0.0
    before = equity[:, :-1]
    returns: Floats = np.divide(equity[:, 1:], before, out=np.ones_like(before), where=before > 0) - 1
    return returns


def sharpes(daily: Floats) -> Floats:
    """Annual Sharpe ratios (V,) of daily returns (V, D), NaN as `significance.sharpe` has None."""
    if daily.shape[1] < 3:
        return np.full(len(daily), math.nan)
    return np.where(np.any(daily <= -1, axis=1), math.nan, annual_sharpe(daily))


def variance(ratios: Floats) -> float:
    """Variance of the Sharpe ratios there are among (V,); 0 of fewer than two."""
    known = ratios[np.isfinite(ratios)]
    return float(np.var(known, ddof=1)) if len(known) > 1 else 0.0


def choose(daily: Floats, tried: int, earlier: int = 0) -> Choice:
    """Rank the variants and judge the choice.

    Parameters
    ----------
    daily : (V, D) float64
        Daily returns of the variants.
    tried : int
        Trials of this sweep: the variants, and the base rules where they are none of them.
    earlier : int
        Trials before this sweep, of which no Sharpe ratio is known: with them, the trials' variance is at least that of
        a worthless trial's estimate.
    """
    ratios = sharpes(daily)
    order = np.argsort(-np.where(np.isnan(ratios), -np.inf, ratios), kind="stable")
    best = int(order[0]) if math.isfinite(ratios[order[0]]) else None
    overfitted, no_pbo, deflated = None, None, None
    try:
        overfitted = pbo(np.ascontiguousarray(daily.T), BLOCKS)
    except ValueError as error:
        no_pbo = str(error)
    if best is not None:
        # What came earlier was as unlike as luck makes it: variants that resemble each other must not speak for it.
        spread = max(variance(ratios), DAYS_A_YEAR / daily.shape[1]) if earlier else None
        deflated = deflated_sharpe(daily[best], tried + earlier, ratios.tolist(), spread)
    warnings = _warnings(best, overfitted, no_pbo, deflated)
    return Choice(ratios, order, best, overfitted, no_pbo, deflated, tried, earlier, warnings)


def _warnings(
    best: int | None, overfitted: Pbo | None, no_pbo: str | None, deflated: Deflated | None
) -> tuple[str, ...]:
    if best is None:
        return ("no variant traded in a way that has a Sharpe ratio: there is nothing to choose",)
    said = []
    if overfitted is None:
        said.append(f"whether the choice is overfitted is not known: {no_pbo}")
    elif overfitted.probability > MOST_PBO:
        said.append(
            f"this choice is likely luck: in {overfitted.probability:.0%} of {overfitted.combinations:,} ways to halve "
            "the days, the best of one half was below the middle in the other"
        )
    if deflated is not None and (deflated.probability is None or deflated.probability < LEAST_DEFLATED):
        said.append(
            f"this choice is likely luck: the best of {deflated.trials:,} worthless trials would show a Sharpe "
            f"ratio of {deflated.expected_maximum:.2f}"
        )
    return tuple(said)
