"""The canary: boosters fitted to shuffled labels. Whatever they foretell, they have from a leak in the pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import JsonValue
from scipy.stats import t as student

from market.candles import Floats, Ints
from models import metrics
from training import boosting
from training.evidence import plain
from training.folds import Folds
from training.problem import Problem
from training.spec import TrainingSpec

TREES, SHUFFLES, CONFIDENCE = 50, 8, 0.99


def canary(problem: Problem, folds: Folds, spec: TrainingSpec, threads: int) -> dict[str, JsonValue]:
    """Skill in shuffled labels, in every fold and on the test slice; `quiet` if both intervals hold a half.

    One shuffle proves nothing: a booster of noise may follow volatility by chance, as the true labels do. Several have
    an AUC of a half on average, and their spread gives the interval. `auc` is of the test slice, `out_of_fold` of the
    folds' rows, by pairs within a fold.
    """
    key, known = next(iter(problem.heads.items()))
    draws = np.random.default_rng(spec.seed)
    found = np.empty((SHUFFLES, 2))
    for shuffle in range(SHUFFLES):
        *before, last = _scored(problem, known, folds, spec, threads, draws)
        rows, scores = (np.concatenate(columns) for columns in zip(*before, strict=True))
        fold = np.repeat(np.arange(len(before)), [len(judged) for judged, _ in before])
        found[shuffle] = metrics.auc(known[last[0]], last[1]), metrics.auc_within(known[rows], scores, fold)
    test, folded = (_spread(column) for column in found.T)
    return {
        "head": key,
        "shuffles": SHUFFLES,
        "confidence": CONFIDENCE,
        "auc": plain(test),
        "out_of_fold": {"auc": plain(folded)},
        "quiet": all(interval.low <= 0.5 <= interval.high for interval in (test, folded)),
    }


def _scored(
    problem: Problem, known: Floats, folds: Folds, spec: TrainingSpec, threads: int, draws: np.random.Generator
) -> Iterator[tuple[Ints, Floats]]:
    """Judged rows whose outcome is known, and their scores: of each fold, and last of the test slice."""
    # Without early stopping: noise would end at the first tree, and a leak with it.
    trees = spec.lightgbm.model_copy(update={"rounds": TREES, "patience": TREES})
    grow, stop, _ = folds.finished
    for fit, until, judged in (*folds.parts, (grow, stop, problem.rows_in(problem.slices.test))):
        told = np.concatenate([fit, until])
        told = told[~np.isnan(known[told])]
        shuffled = np.full(len(known), np.nan)
        shuffled[told] = draws.permutation(known[told])
        rows = boosting.Rows(problem.matrix, shuffled, fit, until, problem.names)
        booster = boosting.grow_binary(rows, trees, spec.seed, threads)
        booster.best_iteration = TREES
        judged = judged[~np.isnan(known[judged])]
        yield judged, boosting.raw_scores(booster, problem.matrix[judged], threads)


def _spread(values: Floats) -> metrics.Interval:
    """The mean of independent values, and Student's interval for it."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5
    reach = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return metrics.Interval(mean, mean - reach, mean + reach)
