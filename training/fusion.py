"""Fusion: from the members' logits to one calibrated probability for each head, and a weight for each horizon.

The stack is fitted on out-of-fold answers, the calibration on the calibrate slice, which no member has seen. What is
applied here is what inference applies: `models.stacking.stacked`, Platt, sigmoid.
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
from training.members import Answers
from training.problem import Problem
from training.spec import TrainingSpec


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
        total = np.zeros((len(self.probabilities), 2))
        for at, horizon in enumerate(horizons):
            total += self.weights[str(horizon)] * self.probabilities[:, 2 * at : 2 * at + 2]
        return total


def fuse(problem: Problem, members: list[Answers], spec: TrainingSpec) -> Fused:
    """Stack, calibrate and weigh."""
    calibrate = problem.rows_in(problem.slices.calibrate)
    stackers: dict[str, Stacker] = {}
    calibrators: dict[str, Calibrator] = {}
    unseen = np.full(problem.targets.shape, np.nan)
    probabilities = np.full(problem.targets.shape, np.nan)
    for column, (key, known) in enumerate(problem.heads.items()):
        before = np.column_stack([m.unseen[:, column] for m in members])
        after = np.column_stack([m.final[:, column] for m in members])
        rows = np.flatnonzero(np.isfinite(before).all(axis=1) & ~np.isnan(known))
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
    skill = _skill(problem, unseen, probabilities, calibrate, spec.labels.horizons)
    weights, weighed = weigh(skill)
    return Fused(stackers, calibrators, weights, weighed, skill, unseen, probabilities)


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


def _skill(
    problem: Problem, unseen: Floats, probabilities: Floats, calibrate: Ints, horizons: tuple[int, ...]
) -> dict[str, float]:
    """AUC less a half of each horizon, over validation: out-of-fold rows and the calibrate slice, by their rows."""
    skill: dict[str, float] = {}
    for at, horizon in enumerate(horizons):
        total = rows = 0.0
        for column in (2 * at, 2 * at + 1):
            known = problem.targets[:, column]
            folded = np.flatnonzero(np.isfinite(unseen[:, column]) & ~np.isnan(known))
            for part, score in ((folded, unseen), (_known(calibrate, known), probabilities)):
                found = auc(known[part], score[part, column])
                if math.isfinite(found):
                    total += len(part) * (found - 0.5)
                    rows += len(part)
        skill[str(horizon)] = total / rows if rows else 0.0
    return skill


def _known(rows: Ints, labels: Floats) -> Ints:
    return rows[~np.isnan(labels[rows])]
