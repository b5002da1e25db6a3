"""How likely a choice among variants is overfitted: combinatorially symmetric cross-validation.

The days are cut into blocks. For each way to take half of them, the variant with the best Sharpe ratio there is looked
up in the other half: if it does no better than the middle of all variants, choosing was worth nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_CHUNK = 4_000_000
"""Sharpe ratios held at once."""
_LEAST_VARIANCE = 1e-6
"""Of the mean square: float32 sees no smaller one. A constant return ranks by its sign, no return at all as 0."""
_TIE = 1e-5
"""Sharpe ratios nearer than this share of theirs are equal in float32."""

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Pbo:
    """The probability of backtest overfitting, and what the choice did out of sample.

    Attributes
    ----------
    probability : float
        Share of combinations in which the variant chosen in one half was below the middle of all in the other; one that
        was exactly in the middle counts half, so that choosing among alike or among noise is .5.
    logits : dict of float to float
        Quantiles, by their level, of the logit of the choice's relative rank out of sample; 0 is the middle.
    in_sample, out_of_sample : float
        Mean Sharpe ratio per day of the choice in the half it was chosen in, and in the other.
    slope : float or None
        Change of the latter with the former over the combinations (least squares); None if the former never varies.
        Negative: the better it looked, the worse it did.
    loss : float
        Share of combinations in which the choice lost money out of sample.
    combinations, variants, days : int
        Ways to halve the blocks, variants compared, days used (a rest that fills no block is dropped from the front).
    """

    probability: float
    logits: dict[float, float]
    in_sample: float
    out_of_sample: float
    slope: float | None
    loss: float
    combinations: int
    variants: int
    days: int


def pbo(daily: Floats, blocks: int = 16) -> Pbo:
    """Probability that the best of the variants was chosen by luck, from their daily returns over the same days.

    Parameters
    ----------
    daily : (D, V) float
        Daily returns of V variants. One that never trades has zeros throughout, and ranks with a Sharpe ratio of 0.
    blocks : int
        Even number of blocks the days are cut into; 16 gives 12,870 combinations.

    Raises
    ------
    ValueError
        If there are fewer than two variants or two days a block, a return is missing, or the blocks are odd in number.

    References
    ----------
    Bailey, Borwein, López de Prado and Zhu (2017), The probability of backtest overfitting. Theirs counts the exact
    middle as overfitted.
    """
    if daily.ndim != 2 or daily.shape[1] < 2:
        raise ValueError(f"returns of shape {daily.shape}: give (days, variants) with two variants or more")
    if blocks < 2 or blocks % 2:
        raise ValueError(f"{blocks} blocks cannot be halved; give an even number")
    if len(daily) < 2 * blocks:
        raise ValueError(f"{len(daily)} days in {blocks} blocks: at least {2 * blocks} are needed")
    if not np.all(np.isfinite(daily)):
        raise ValueError("a daily return is missing; give every variant all days, 0 where it holds nothing")
    length, variants = len(daily) // blocks, daily.shape[1]
    used = daily[len(daily) - length * blocks :].reshape(blocks, length, variants)
    sums = used.sum(axis=1).astype(np.float32)
    squares = np.einsum("blv,blv->bv", used, used).astype(np.float32)
    halves = _halves(blocks)
    count = length * blocks // 2
    chosen_in, chosen_out, below, above = (np.empty(len(halves)) for _ in range(4))
    # In their order the complement of each half stands as far from the end: one Sharpe ratio serves both.
    middle, step = len(halves) // 2, max(1, _CHUNK // (2 * variants))
    for at in range(0, middle, step):
        first = np.arange(at, min(at + step, middle))
        last = len(halves) - 1 - first
        one, other = (_sharpes(halves[rows], sums, squares, count) for rows in (first, last))
        for rows, inside, outside in ((first, one, other), (last, other, one)):
            best = np.argmax(inside, axis=1)[:, None]
            picked = np.take_along_axis(outside, best, axis=1)
            near = _TIE * np.abs(picked)
            chosen_in[rows] = np.take_along_axis(inside, best, axis=1)[:, 0]
            chosen_out[rows] = picked[:, 0]
            below[rows] = np.count_nonzero(outside < picked - near, axis=1)
            above[rows] = np.count_nonzero(outside > picked + near, axis=1)
    rank = below + (variants - below - above + 1) / 2  # ties share their mean rank
    logits = np.log(rank / (variants + 1 - rank))
    spread = float(np.var(chosen_in))
    slope = float(np.mean((chosen_in - chosen_in.mean()) * chosen_out)) / spread if spread > 0 else None
    return Pbo(
        probability=float(np.mean(below < above) + np.mean(below == above) / 2),
        logits=dict(zip(QUANTILES, np.quantile(logits, QUANTILES).tolist(), strict=True)),
        in_sample=float(np.mean(chosen_in)),
        out_of_sample=float(np.mean(chosen_out)),
        slope=slope,
        loss=float(np.mean(chosen_out < 0)),
        combinations=len(halves),
        variants=variants,
        days=length * blocks,
    )


def _halves(blocks: int) -> Singles:
    """Which blocks (C, B) each combination takes, as ones and zeros."""
    taken = np.array(list(combinations(range(blocks), blocks // 2)))
    halves = np.zeros((math.comb(blocks, blocks // 2), blocks), dtype=np.float32)
    np.put_along_axis(halves, taken, 1.0, axis=1)
    return halves


def _sharpes(halves: Singles, sums: Singles, squares: Singles, count: int) -> Singles:
    """Daily Sharpe ratio (C, V) of each variant over the blocks of each half."""
    mean, square = halves @ sums, halves @ squares
    mean /= count
    square /= count
    variance = np.maximum(square - mean * mean, _LEAST_VARIANCE * square)
    np.sqrt(variance, out=variance)
    ratio: Singles = np.divide(mean, variance, out=np.zeros_like(mean), where=variance > 0)
    return ratio
