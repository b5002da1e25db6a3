"""Baselines, fitted: the linear scores that a set is compared with, on the same rows as its members."""

from __future__ import annotations

from market.candles import Floats, Ints
from models import labels, ridge
from models.baselines import Baselines
from training.boosting import LabelError
from training.problem import Problem


def fit(problem: Problem, rows: Ints, edges: Floats) -> Baselines:
    """Every baseline, fitted on those of the `rows` whose outcome is known.

    Parameters
    ----------
    rows : (n,) int
        The train slice, or the rows a fold fits on.
    edges : (2,) or (N, 2) float64
        Regime edges from the same rows.

    Raises
    ------
    LabelError
        If the rows know one outcome alone.
    """
    regimes = labels.regimes(problem.volatility, edges)
    try:
        return ridge.fit(problem.matrix, problem.clock, problem.questions, regimes, rows)
    except ridge.FitError as error:
        raise LabelError(str(error)) from error
