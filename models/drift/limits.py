"""Limits: how far a statistic goes when nothing drifts, so that an alarm is as rare as stated, all looks counted.

Periods without drift are drawn from training, blocks of a week that keep what hangs together within it. Each is looked
at as the daemon looks: the same windows, so many candles apart. A statistic's own measure is how far it goes at most in
a period, but for one period in twenty; each period is compared with a reference that is itself drawn anew, since the
real one is as much a matter of chance. How many times its measure any statistic of a group reaches is then taken of
each period, and the quantile of that is the factor that makes measures limits. So looks are counted, and statistics,
though both hang together (as in Westfall and Young 1993); nothing is supposed of how.

References
----------
Künsch (1989), The jackknife and the bootstrap for general stationary observations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from market.candles import Floats, Ints
from models.drift import stability
from models.drift.stability import Codes

POINT = 0.95
"""Quantile of a statistic's farthest in a period that is its measure."""
LEAST_PSI, LEAST_BRIER, LEAST_GAP = 0.1, 0.005, 0.02
"""No measure is smaller: what moves less is of no consequence, however still it was in training."""


@dataclass(frozen=True)
class Plan:
    """How periods are drawn and looked at.

    Attributes
    ----------
    windows : tuple of int
        Candles of each window that is looked at, multiples of `every`.
    every : int
        Candles between looks.
    period : int
        Candles from the first look to the last.
    block, draws, seed : int
        Candles of a block, periods drawn, and the seed of the draws.
    """

    windows: tuple[int, ...]
    every: int
    period: int
    block: int
    draws: int
    seed: int

    def periods(self, rows: int) -> Iterator[Ints]:
        """Positions of the rows of each period that is drawn."""
        return self._drawn(rows, max(self.windows) + self.period, 0)

    def references(self, rows: int) -> Iterator[Ints]:
        """Positions of the rows of the reference that each period is compared with, as many as there are."""
        return self._drawn(rows, rows, 1)

    def _drawn(self, rows: int, length: int, stream: int) -> Iterator[Ints]:
        block = min(self.block, rows)
        draw, within = np.random.default_rng([self.seed, stream]), np.arange(block)
        for _ in range(self.draws):
            starts = draw.integers(0, rows - block + 1, size=-(-length // block))
            yield np.asarray((starts[:, None] + within).reshape(-1)[:length], dtype=np.int64)

    def sliding(self, chunks: Floats, window: int) -> Floats:
        """Sums over the window at each look (looks, K) of what is in each chunk of `every` candles (chunks, K)."""
        total = np.vstack([np.zeros((1, chunks.shape[1])), np.cumsum(chunks, axis=0)])
        last = np.arange(max(self.windows), max(self.windows) + self.period + 1, self.every) // self.every
        return np.asarray(total[last] - total[last - window // self.every])


class Statistics(Protocol):
    """Statistics of one group, of rows in time order."""

    @property
    def names(self) -> tuple[str, ...]:
        """J of them."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    def chunks(self, period: Ints, every: int) -> Floats:
        """What is summed of each chunk of a period's rows (chunks, K)."""

    def values(self, sums: Floats, window: int, base: Floats) -> Floats:
        """The statistics (looks, J) of windows' sums (looks, K) beside a reference of means (K,)."""

    def base(self, rows: Ints) -> Floats:
        """The reference's means (K,) if it were of these rows."""

    def measures(self, quantiles: Floats) -> Floats:
        """Measures (J,) of the statistics' quantiles (J,), none too small."""


@dataclass(frozen=True)
class Stability:
    """PSI of columns whose values were put into bins.

    Attributes
    ----------
    codes : (N, J) int16
        Bins of the values.
    bins : tuple of int
        How many there are, column by column.
    """

    names: tuple[str, ...]
    codes: Codes
    bins: tuple[int, ...]
    _at: Ints = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_at", np.cumsum([0, *self.bins]))

    @property
    def rows(self) -> int:
        return len(self.codes)

    def chunks(self, period: Ints, every: int) -> Floats:
        many, bins = len(period) // every, int(self._at[-1])
        flat = self.codes[period[: many * every]].astype(np.int64) + self._at[:-1]
        flat += (np.arange(many * every) // every * bins)[:, None]
        counts = np.bincount(flat.reshape(-1), minlength=many * bins)
        return np.asarray(counts.reshape(many, bins), dtype=np.float64)

    def base(self, rows: Ints) -> Floats:
        counts = self.chunks(rows, len(rows))[0]
        return np.concatenate([stability.expected(part) for part in np.split(counts, self._at[1:-1])])

    def values(self, sums: Floats, window: int, base: Floats) -> Floats:
        now = (sums + base) / (window + 1.0)
        return np.asarray(np.add.reduceat((now - base) * np.log(now / base), self._at[:-1], axis=1))

    def measures(self, quantiles: Floats) -> Floats:
        return np.maximum(quantiles, LEAST_PSI)


@dataclass(frozen=True)
class Scores:
    """Brier score above the reference's, and how far frequency and probability lie apart, of each head.

    Attributes
    ----------
    loss, gap : (N, H) float64
        (p - y)², and y - p.
    """

    heads: tuple[str, ...]
    loss: Floats
    gap: Floats

    @property
    def names(self) -> tuple[str, ...]:
        return (*(f"brier/{h}" for h in self.heads), *(f"calibration/{h}" for h in self.heads))

    @property
    def rows(self) -> int:
        return len(self.loss)

    def chunks(self, period: Ints, every: int) -> Floats:
        both = np.column_stack([self.loss[period], self.gap[period]])
        many = len(period) // every
        return np.asarray(both[: many * every].reshape(many, every, -1).sum(axis=1))

    def base(self, rows: Ints) -> Floats:
        return np.concatenate([self.loss[rows].mean(axis=0), self.gap[rows].mean(axis=0)])

    def values(self, sums: Floats, window: int, base: Floats) -> Floats:
        loss, gap = np.hsplit(sums / window - base, 2)
        return np.asarray(np.hstack([loss, np.abs(gap)]))

    def measures(self, quantiles: Floats) -> Floats:
        least = np.repeat([LEAST_BRIER, LEAST_GAP], len(self.heads))
        return np.asarray(np.maximum(quantiles, least))


def limits(statistics: Statistics, plan: Plan, rate: float) -> dict[int, Floats]:
    """Window -> limits (J,) that any statistic goes beyond in a period with probability `rate`, without drift.

    A window for which there are fewer rows than twice its length, or than four blocks, has none: what is drawn from so
    few knows nothing of what else may come.
    """
    able = [w for w in plan.windows if statistics.rows >= max(2 * w, 4 * plan.block)]
    if not able:
        return {}
    found: dict[int, list[Floats]] = {w: [] for w in able}
    for period, rows in zip(plan.periods(statistics.rows), plan.references(statistics.rows), strict=True):
        chunks, base = statistics.chunks(period, plan.every), statistics.base(rows)
        for window, drawn in found.items():
            drawn.append(statistics.values(plan.sliding(chunks, window), window, base).max(axis=0))
    made: dict[int, Floats] = {}
    for window, drawn in found.items():
        farthest = np.stack(drawn)  # (draws, J)
        measures = statistics.measures(np.quantile(farthest, POINT, axis=0))
        most = (farthest / measures).max(axis=1)
        factor = float(np.quantile(most, 1 - rate, method="higher"))
        made[window] = np.asarray(measures * factor)
    return made
