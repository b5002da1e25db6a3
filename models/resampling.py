"""Resampling: block bootstrap of many statistics over the same rows at once, by weighing rows instead of copying them.

A draw of whole blocks is a count of how often each row is in it. All statistics here are taken under the same draws, so
that any two of them can be subtracted draw by draw: that is a paired comparison. The draws are those of
`models.metrics.block_bootstrap` for the same seed, to the last row.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from models import metrics
from models.metrics import BLOCK, Interval

CONFIDENCE = 0.9
"""Share of the draws that an interval holds, in the middle."""
_CACHED = 2**17
"""Weights looked at together: they stay in the processor's cache."""


@dataclass(frozen=True)
class Drawn:
    """A statistic of the whole sample, and of each draw; NaN where a draw has none."""

    value: float
    draws: Floats

    def minus(self, other: Drawn) -> Drawn:
        """The difference, draw by draw; of draws that have nothing to do with each other if the samples do not."""
        return Drawn(self.value - other.value, self.draws - other.draws)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The bounds that hold this share of the draws; NaN if none has a value."""
        known = self.draws[np.isfinite(self.draws)]
        if not len(known):
            return Interval(self.value, float("nan"), float("nan"))
        low, high = np.quantile(known, ((1 - confidence) / 2, (1 + confidence) / 2))
        return Interval(self.value, float(low), float(high))


class Resamples:
    """Samples of whole blocks of `count` rows that are in time order.

    Parameters
    ----------
    count : int
        Rows.
    block : int
        Rows in a block; at least the reach of the labels.
    draws : int
        Samples.
    seed : int
        Two samples of other rows take other seeds, or their draws would move together.

    Attributes
    ----------
    weights : (N, draws) int8
        How often each row is in each draw: once on average, and never anywhere near 127 times.
    """

    def __init__(self, count: int, block: int = BLOCK, draws: int = 500, seed: int = 0) -> None:
        if not count:
            raise ValueError("no rows to take a sample of")
        self.count, self.draws = count, draws
        self._stretch = max(16, _CACHED // draws)
        block = min(block, count)
        many = -(-count // block)
        starts = np.random.default_rng(seed).integers(0, count, size=(draws, many))
        lengths = np.full(many, block)
        lengths[-1] = count - (many - 1) * block  # the last one is cut, so that each draw has `count` rows
        weights = np.zeros((count, draws), dtype=np.int8)
        every = np.arange(draws)
        for start, length in zip(starts.T, lengths, strict=True):
            weights[start, every] += 1
            end = start + length
            within = end < count
            weights[end[within], every[within]] -= 1
            wrapped = end > count  # round to the beginning
            weights[0, every[wrapped]] += 1
            weights[end[wrapped] - count, every[wrapped]] -= 1
        self.weights: NDArray[np.int8] = np.cumsum(weights, axis=0, dtype=np.int8, out=weights)

    def at(self, rows: NDArray[np.int64]) -> Resamples:
        """The same draws, of some of the rows; how many of them a draw holds varies, which an AUC does not mind."""
        part = copy.copy(self)
        part.weights, part.count = self.weights[rows], len(rows)
        return part

    def sums(self, columns: Floats) -> Floats:
        """Weighed sums (draws, K) of columns (N, K)."""
        total = np.zeros((self.draws, columns.shape[1]))
        for start in range(0, self.count, self._stretch):
            part = slice(start, start + self._stretch)
            total += self.weights[part].astype(np.float64).T @ columns[part]
        return total

    def means(self, *columns: Floats) -> list[Drawn]:
        """The mean of each column (N,)."""
        draws = self.sums(np.column_stack(columns)) / self.count
        return [Drawn(float(column.mean()), draws[:, at]) for at, column in enumerate(columns)]

    def mean(self, values: Floats) -> Drawn:
        """The mean of values (N,)."""
        return self.means(values)[0]

    def auc(self, outcome: Floats, score: Floats) -> Drawn:
        """Area under the ROC curve, ties half; NaN in draws whose outcomes are all alike.

        Rows are put in the score's order once; a draw is then one pass over their weights.
        """
        value = metrics.auc(outcome, score)
        if not np.isfinite(value):
            return Drawn(value, np.full(self.draws, np.nan))
        if score.min() == score.max():
            mixed = self.sums(np.column_stack([outcome != 0, outcome == 0]).astype(np.float64)).all(axis=1)
            return Drawn(value, np.where(mixed, 0.5, np.nan))
        order = np.argsort(score, kind="stable")
        ones = (outcome[order] != 0).astype(np.float32)[:, None]
        ranked = score[order]
        # the first and one past the last row of each run of equal scores
        first = np.searchsorted(ranked, ranked, "left")
        tied = bool((first != np.arange(self.count)).any())
        below = np.zeros(self.draws, dtype=np.float32)
        total, pairs = np.zeros(self.draws), np.zeros(self.draws)
        start = 0
        while start < self.count:
            end = min(start + self._stretch, self.count)
            if tied and end < self.count:  # a run of equal scores is not parted
                end = int(np.searchsorted(ranked, ranked[end - 1], "right"))
            weights = self.weights[order[start:end]].astype(np.float32)
            up = weights * ones[start:end]
            down = weights - up
            reached = np.cumsum(down, axis=0)
            beneath = reached - down
            if tied:
                last = np.searchsorted(ranked[start:end], ranked[start:end], "right") - 1
                beneath = beneath[first[start:end] - start]
                half = (reached[last] - beneath) * np.float32(0.5)
            else:
                half = down * np.float32(0.5)  # nothing: a row is a one or a zero
            pairs += np.einsum("ij,ij->j", up, beneath + half, dtype=np.float64)
            ups = up.sum(axis=0, dtype=np.float64)
            pairs += ups * below
            total += ups
            below += reached[-1]
            start = end
        with np.errstate(divide="ignore", invalid="ignore"):
            return Drawn(value, pairs / (total * below))

    def kappa(self, outcome: NDArray[np.int64], said: NDArray[np.int64], classes: int = 3) -> Drawn:
        """Cohen's kappa with quadratic weights, as `models.metrics.quadratic_kappa`."""
        cells = np.zeros((self.count, classes * classes))
        cells[np.arange(self.count), outcome * classes + said] = 1.0
        tables = self.sums(cells).reshape(-1, classes, classes)
        apart = (np.arange(classes)[:, None] - np.arange(classes)[None, :]) ** 2
        by_chance = np.einsum("bi,bj,ij->b", tables.sum(axis=2), tables.sum(axis=1), apart) / self.count
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = 1 - (tables * apart).sum(axis=(1, 2)) / by_chance
        return Drawn(metrics.quadratic_kappa(outcome, said, classes), np.where(by_chance > 0, draws, np.nan))
