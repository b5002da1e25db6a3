"""Folds: which rows each fit looks at, which stop it, and which it is judged on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from training.problem import Problem
from training.spec import TrainingSpec
from training.splits import PurgedTimeSeriesSplit, hold_back

FINISHED = -1
"""The part that is no fold: the fit that is kept, grown on the whole train slice."""


class Folds:
    """Rows of every part: folds from 0, and `FINISHED`.

    Attributes
    ----------
    parts : list of tuple
        Of each fold: rows fitted on, rows that stop the fit, rows judged.
    finished : tuple
        The same for the member that is kept.
    edges : list
        Each fold's regime edges, (2,) or (N, 2) float64, from the rows it fits on: what is low or high is not known in
        advance either.
    """

    def __init__(self, problem: Problem, spec: TrainingSpec) -> None:
        rows = problem.rows_in(problem.slices.train)
        self.purge = spec.labels.purge
        splitter = PurgedTimeSeriesSplit(spec.splits.folds, self.purge)
        self.parts: list[tuple[Ints, Ints, Ints]] = []
        self.edges: list[Floats] = []
        for fit, judged in splitter.split(rows, groups=rows):
            grow, stop = hold_back(rows[fit], spec.splits.fold_stop, self.purge)
            self.parts.append((grow, stop, rows[judged]))
            self.edges.append(problem.edges_of(grow))
        later = problem.rows[problem.rows >= problem.slices.stop.start]
        self.finished = (rows, problem.rows_in(problem.slices.stop), later)

    def rows(self, part: int) -> tuple[Ints, Ints, Ints]:
        """Rows fitted on, rows that stop the fit, and rows judged, of one part."""
        return self.finished if part == FINISHED else self.parts[part]

    def of_rows(self, count: int) -> NDArray[np.int8]:
        """Number of the fold that judges each of `count` rows; -1 for a row that none does."""
        fold = np.full(count, -1, dtype=np.int8)
        for number, (_, _, judged) in enumerate(self.parts):
            fold[judged] = number
        return fold

    def edges_in(self, part: int, problem: Problem) -> Floats:
        """Regime edges in force in one part."""
        return problem.edges if part == FINISHED else self.edges[part]

    def judged_before(self, fold: int) -> Ints:
        """Rows judged in earlier folds whose outcome was known before the first row of this one."""
        first = self.parts[fold][2][0]
        earlier = [judged for _, _, judged in self.parts[:fold]]
        rows = np.concatenate(earlier) if earlier else np.empty(0, dtype=np.int64)
        return np.asarray(rows[rows + self.purge < first])
