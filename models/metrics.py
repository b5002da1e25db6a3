"""Metrics of probabilities, and intervals for them by block bootstrap.

Hours are not independent draws: a sample of them is a sample of weeks. Every interval here resamples whole blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats

BLOCK = 168
"""Bars in a block: a week of hours."""
EDGE = 1e-15
"""A logarithm is taken of no probability below this."""


@dataclass(frozen=True)
class Interval:
    """A statistic of the whole sample, with the bounds that hold the given share of its bootstrap draws."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """For the manifest, to six digits."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6)}


def auc(outcome: Floats, score: Floats) -> float:
    """Area under the ROC curve: the chance that a 1 scores above a 0, ties half; NaN if all outcomes are alike."""
    ones, zeros = np.sort(score[outcome != 0]), np.sort(score[outcome == 0])
    # NaN sorts last; a score that is none ranks nowhere.
    if not len(ones) or not len(zeros) or np.isnan(ones[-1]) or np.isnan(zeros[-1]):
        return float("nan")
    below = int(np.searchsorted(zeros, ones, "left").sum())
    not_above = int(np.searchsorted(zeros, ones, "right").sum())
    return (below + not_above) / (2 * len(ones) * len(zeros))


def auc_within(outcome: Floats, score: Floats, part: NDArray[Any]) -> float:
    """AUC over pairs of rows of the same part (a fold): what one part's level of scores or share of ones is to
    another's says nothing of ranking; NaN if no part has both outcomes.
    """
    pairs = ordered = 0.0
    for each in np.unique(part):
        rows = part == each
        found, ones = auc(outcome[rows], score[rows]), float((outcome[rows] != 0).sum())
        if np.isfinite(found):
            pairs += (weight := ones * (float(rows.sum()) - ones))
            ordered += found * weight
    return ordered / pairs if pairs else float("nan")


def brier(outcome: Floats, probability: Floats) -> float:
    """Mean squared distance of the probability from the outcome (0 best; the base rate p scores p(1 - p))."""
    return float(np.mean((probability - outcome) ** 2))


def log_loss(outcome: Floats, probability: Floats) -> float:
    """Mean negative log-likelihood, nats."""
    p = np.clip(probability, EDGE, 1 - EDGE)
    return float(-np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def class_log_loss(outcome: NDArray[Any], probability: Floats) -> float:
    """Mean negative log-likelihood (nats) of classes (N,) numbered from 0 under probabilities (N, K)."""
    of_outcome = probability[np.arange(len(outcome)), outcome.astype(np.int64)]
    return float(-np.mean(np.log(np.clip(of_outcome, EDGE, 1.0))))


def accuracy(outcome: NDArray[Any], said: NDArray[Any]) -> float:
    """Share of classes said rightly."""
    return float(np.mean(outcome == said))


def quadratic_kappa(outcome: NDArray[Any], said: NDArray[Any], classes: int = 3) -> float:
    """Cohen's kappa with quadratic weights: agreement beyond chance, far misses counting more; 1 is perfect."""
    table = np.zeros((classes, classes))
    np.add.at(table, (outcome.astype(np.int64), said.astype(np.int64)), 1.0)
    apart = (np.arange(classes)[:, None] - np.arange(classes)[None, :]) ** 2
    by_chance = float((apart * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / max(len(outcome), 1)
    return 1 - float((apart * table).sum()) / by_chance if by_chance else float("nan")


def block_bootstrap(
    statistic: Callable[..., float],
    *columns: NDArray[Any],
    block: int = BLOCK,
    draws: int = 500,
    confidence: float = 0.9,
    seed: int = 0,
) -> Interval:
    """The statistic of the columns, and an interval from samples of whole blocks of rows.

    Moving blocks, their starts drawn with replacement; the end of the sample wraps to its beginning, so that every row
    is as likely. Draws without a value (all outcomes alike) are left out.

    Parameters
    ----------
    statistic : callable
        Takes the columns, gives a number.
    columns : (N, ...) arrays
        In time order, resampled together.
    block : int
        Rows in a block; at least the reach of the labels.
    draws : int
        Samples.
    confidence : float
        Share of the draws inside the interval, in the middle.

    References
    ----------
    Politis and Romano (1992), A circular block-resampling procedure for stationary data.
    """
    count = len(columns[0])
    if not count:
        raise ValueError("no rows to take a statistic of")
    generator = np.random.default_rng(seed)
    block = min(block, count)
    starts = generator.integers(0, count, size=(draws, -(-count // block)))
    offsets = np.arange(block)
    values = np.empty(draws)
    for draw in range(draws):
        rows = ((starts[draw][:, None] + offsets) % count).ravel()[:count]
        values[draw] = statistic(*(c[rows] for c in columns))
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(statistic(*columns), float("nan"), float("nan"))
    low, high = np.quantile(values, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(statistic(*columns), float(low), float(high))
