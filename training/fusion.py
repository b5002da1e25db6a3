"""Fusion: from the members' logits to one calibrated probability for each head, and a weight for each horizon.

The stack is fitted on out-of-fold answers, the calibration on the calibrate slice, which no member has seen. What is
applied here is what inference applies: `models.stacking.stacked`, Platt, sigmoid. `fuse_folds` does the same at each
fold with what was known before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from market.candles import Floats, Ints
from models.calibration import PlattCalibrator
from models.logits import sigmoid
from models.manifest import Calibrator, Stacker
from models.metrics import auc
from models.stacking import LogisticStacker, stacked
from training.members import Answers, Folds
from training.problem import Problem
from training.spec import TrainingSpec

Scored = tuple[Ints, Floats]
"""Rows, and scores (N, H) to look at there."""


@dataclass(frozen=True)
class Fused:
    """The ensemble of all heads.

    Attributes
    ----------
    stackers, calibrators : dict
        By head.
    weights : dict
        Horizon -> weight; they sum to 1.
    weighed : bool
        False if no horizon showed skill, so that all weigh the same.
    skill : dict
        Horizon -> validation AUC less a half, both sides averaged.
    unseen : (N, H) float64
        Stacked, uncalibrated out-of-fold logits.
    probabilities : (N, H) float64
        Calibrated, from the early-stop slice on.
    """

    stackers: dict[str, Stacker]
    calibrators: dict[str, Calibrator]
    weights: dict[str, float]
    weighed: bool
    skill: dict[str, float]
    unseen: Floats
    probabilities: Floats

    @property
    def max_hold_bars(self) -> int:
        """The weights' average horizon, rounded up."""
        return max(1, math.ceil(sum(int(h) * w for h, w in self.weights.items()) - 1e-9))

    def sides(self, horizons: tuple[int, ...]) -> Floats:
        """p_long and p_short (N, 2): the horizons' probabilities by weight."""
        return weighted(self.probabilities, {h: self.weights[str(h)] for h in horizons})


@dataclass(frozen=True)
class Folded:
    """The ensembles as they stood before each fold, and what they said of its rows; NaN outside the folds.

    Attributes
    ----------
    logits : (N, H) float64
        Stacked and calibrated; in the first fold the members' plain average.
    sides : (N, 2) float64
        p_long and p_short by the weights of that time.
    """

    logits: Floats
    sides: Floats


def fuse(problem: Problem, members: list[Answers], spec: TrainingSpec) -> Fused:
    """Stack, calibrate and weigh."""
    calibrate = problem.rows_in(problem.slices.calibrate)
    stackers: dict[str, Stacker] = {}
    calibrators: dict[str, Calibrator] = {}
    unseen = np.full(problem.targets.shape, np.nan)
    probabilities = np.full(problem.targets.shape, np.nan)
    folded = np.flatnonzero(np.all([np.isfinite(m.unseen).all(axis=1) for m in members], axis=0))
    for column, (key, known) in enumerate(problem.heads.items()):
        before = np.column_stack([m.unseen[:, column] for m in members])
        after = np.column_stack([m.final[:, column] for m in members])
        rows = _known(folded, known)
        stacker = LogisticStacker(spec.ensemble.l2).fit(before[rows], known[rows])
        unseen[:, column] = stacked(before, stacker.coefficients_, stacker.intercept_)
        logits = stacked(after, stacker.coefficients_, stacker.intercept_)
        rows = _known(calibrate, known)
        platt = PlattCalibrator().fit(logits[rows, None], known[rows])
        probabilities[:, column] = sigmoid(platt.slope_ * logits + platt.intercept_)
        names = tuple(m.names[column] for m in members)
        coefficients = tuple(float(c) for c in stacker.coefficients_)
        stackers[key] = Stacker(members=names, coefficients=coefficients, intercept=stacker.intercept_)
        calibrators[key] = Calibrator(slope=platt.slope_, intercept=platt.intercept_)
    skill = _skill(problem, ((folded, unseen), (calibrate, probabilities)), spec.labels.horizons)
    weights, weighed = weigh(skill)
    return Fused(stackers, calibrators, weights, weighed, skill, unseen, probabilities)


def fuse_folds(problem: Problem, members: list[Answers], folds: Folds, spec: TrainingSpec) -> Folded:
    """What a stack, a calibration and weights fitted on the folds before say of each fold's rows."""
    horizons = spec.labels.horizons
    logits, sides = np.full(problem.targets.shape, np.nan), np.full((len(problem.targets), 2), np.nan)
    for at, (_, _, judged) in enumerate(folds.parts):
        earlier = folds.judged_before(at)
        stack = np.full(problem.targets.shape, np.nan)
        for column, known in enumerate(problem.heads.values()):
            said = np.column_stack([m.unseen[:, column] for m in members])
            stack[:, column] = _fused_by(said, known, _known(earlier, known), spec.ensemble.l2)
        logits[judged] = stack[judged]
        weights, _ = weigh(_skill(problem, ((earlier, stack),), horizons))
        sides[judged] = weighted(sigmoid(stack[judged]), {h: weights[str(h)] for h in horizons})
    return Folded(logits, sides)


def weighted(probabilities: Floats, weights: dict[int, float]) -> Floats:
    """p_long and p_short (n, 2) of the heads' probabilities (n, H), horizons in the heads' order."""
    total = np.zeros((len(probabilities), 2))
    for at, weight in enumerate(weights.values()):
        total += weight * probabilities[:, 2 * at : 2 * at + 2]
    return total


def weigh(skill: dict[str, float]) -> tuple[dict[str, float], bool]:
    """Weights in proportion to skill, none for a horizon without any; equal ones, and False, if none has any."""
    positive = {horizon: max(0.0, s) for horizon, s in skill.items()}
    total = sum(positive.values())
    if not total:
        return {horizon: 1 / len(skill) for horizon in skill}, False
    weights = {horizon: round(s / total, 4) for horizon, s in positive.items()}
    # The rounding's rest goes to the heaviest, so that they sum to 1 exactly.
    heaviest = max(weights, key=lambda h: weights[h])
    weights[heaviest] = round(1 - sum(w for h, w in weights.items() if h != heaviest), 4)
    return weights, True


def _fused_by(said: Floats, known: Floats, rows: Ints, l2: float) -> Floats:
    """Calibrated logits (N,) of members' (N, M) by a stack fitted on `rows`; their plain average if those tell nothing.

    The same rows calibrate the stack: three numbers off thousands of rows leave it nothing to overfit with.
    """
    if len(np.unique(known[rows])) < 2:
        return np.asarray(said.mean(axis=1))
    stacker = LogisticStacker(l2).fit(said[rows], known[rows])
    stack = stacked(said, stacker.coefficients_, stacker.intercept_)
    platt = PlattCalibrator().fit(stack[rows, None], known[rows])
    return np.asarray(platt.slope_ * stack + platt.intercept_)


def _skill(problem: Problem, parts: tuple[Scored, ...], horizons: tuple[int, ...]) -> dict[str, float]:
    """AUC less a half of each horizon, both sides, over the parts by their rows; 0 where nothing is known."""
    skill: dict[str, float] = {}
    for at, horizon in enumerate(horizons):
        total = rows = 0.0
        for column in (2 * at, 2 * at + 1):
            known = problem.targets[:, column]
            for part, score in parts:
                chosen = _known(part, known)
                found = auc(known[chosen], score[chosen, column])
                if math.isfinite(found):
                    total += len(chosen) * (found - 0.5)
                    rows += len(chosen)
        skill[str(horizon)] = total / rows if rows else 0.0
    return skill


def _known(rows: Ints, labels: Floats) -> Ints:
    return rows[~np.isnan(labels[rows])]
