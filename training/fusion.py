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
from models.ensemble import fused
from models.logits import sigmoid
from models.manifest import Calibrator, Context, Fusion, Stacker
from models.metrics import auc
from models.stacking import VOLATILITY, LogisticStacker, context_columns, stacked
from training.folds import Folds
from training.problem import Problem
from training.spec import ContextName, EnsembleSpec, TrainingSpec
from training.units import Answers

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
    without : dict
        Family -> head -> stack and calibration of the others, for rows in which that family has no answer.
    """

    stackers: dict[str, Stacker]
    calibrators: dict[str, Calibrator]
    weights: dict[str, float]
    weighed: bool
    skill: dict[str, float]
    unseen: Floats
    probabilities: Floats
    without: dict[str, dict[str, Fusion]]

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
    for column, key in enumerate(problem.heads):
        head = _Head(problem, members, column, spec)
        made = head.fuse(folded, calibrate)
        stackers[key], calibrators[key] = made.stacker, made.calibrator
        unseen[:, column] = head.stacked(made.stacker, head.before)
        logits = head.stacked(made.stacker, head.after)
        probabilities[:, column] = sigmoid(made.calibrator.slope * logits + made.calibrator.intercept)
    skill = _skill(problem, ((folded, unseen), (calibrate, probabilities)), spec.labels.horizons)
    weights, weighed = weigh(skill)
    without = {}
    if spec.ensemble.dead_member == "without" and len(members) > 1:
        for gone in members:
            others = [m for m in members if m is not gone]
            without[gone.family] = {
                key: _Head(problem, others, column, spec).fuse(folded, calibrate)
                for column, key in enumerate(problem.heads)
            }
    return Fused(stackers, calibrators, weights, weighed, skill, unseen, probabilities, without)


class _Head:
    """The members' logits of one head, out of fold and after training, and how they are fused."""

    def __init__(self, problem: Problem, members: list[Answers], column: int, spec: TrainingSpec) -> None:
        self.known = problem.targets[:, column]
        self.before = np.column_stack([m.unseen[:, column] for m in members])
        self.after = np.column_stack([m.final[:, column] for m in members])
        self._names = tuple(m.names[column] for m in members)
        self._told = spec.ensemble
        self._volatility = volatility(problem)
        self._context = context(problem, members, spec)

    def fuse(self, folded: Ints, calibrate: Ints) -> Fusion:
        """Stack on out-of-fold rows, calibrate on rows that neither members nor stack have seen."""
        rows = _known(folded, self.known)
        beside = self._beside(self.before)[rows]
        center, scale = beside.mean(axis=0), np.where(beside.std(axis=0) > 1e-12, beside.std(axis=0), 1.0)
        fitted = LogisticStacker(self._told.l2, beside.shape[1], self._told.context_l2).fit(
            np.column_stack([self.before[rows], (beside - center) / scale]), self.known[rows]
        )
        count = len(self._names)
        coefficients = [float(c) for c in fitted.coefficients_]
        stacker = Stacker(
            members=self._names,
            coefficients=tuple(coefficients[:count]),
            intercept=fitted.intercept_,
            context=tuple(
                Context(
                    name=name, center=float(center[at]), scale=float(scale[at]), coefficient=coefficients[count + at]
                )
                for at, name in enumerate(self._context)
            ),
        )
        rows = _known(calibrate, self.known)
        logits = self.stacked(stacker, self.after)
        platt = PlattCalibrator().fit(logits[rows, None], self.known[rows])
        return Fusion(stacker=stacker, calibrator=Calibrator(slope=platt.slope_, intercept=platt.intercept_))

    def stacked(self, stacker: Stacker, logits: Floats) -> Floats:
        """Stacked logits (N,) of the members' (N, M), as inference stacks them."""
        return fused(stacker, logits, self._volatility)

    def _beside(self, logits: Floats) -> Floats:
        return context_columns(self._context, logits, self._volatility)


def volatility(problem: Problem) -> Floats | None:
    """What a stack may read of volatility (N,); None if the features do not hold it."""
    return problem.matrix[:, problem.names.index(VOLATILITY)] if VOLATILITY in problem.names else None


def context(problem: Problem, members: list[Answers], spec: TrainingSpec) -> tuple[ContextName, ...]:
    """What the stack reads beside the members: of what the spec asks for, what there is."""
    there = {"volatility": VOLATILITY in problem.names, "disagreement": len(members) > 1}
    return tuple(name for name in spec.ensemble.context if there[name])


def fuse_folds(problem: Problem, members: list[Answers], folds: Folds, spec: TrainingSpec) -> Folded:
    """What a stack, a calibration and weights fitted on the folds before say of each fold's rows."""
    horizons = spec.labels.horizons
    logits, sides = np.full(problem.targets.shape, np.nan), np.full((len(problem.targets), 2), np.nan)
    names = context(problem, members, spec)
    for at, (_, _, judged) in enumerate(folds.parts):
        earlier = folds.judged_before(at)
        stack = np.full(problem.targets.shape, np.nan)
        for column, known in enumerate(problem.heads.values()):
            said = np.column_stack([m.unseen[:, column] for m in members])
            beside = context_columns(names, said, volatility(problem))
            stack[:, column] = _fused_by(said, beside, known, _known(earlier, known), spec.ensemble)
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


def _fused_by(said: Floats, beside: Floats, known: Floats, rows: Ints, told: EnsembleSpec) -> Floats:
    """Calibrated logits (N,) of members' (N, M) by a stack fitted on `rows`; their plain average if those tell nothing.

    The same rows calibrate the stack: a few numbers off thousands of rows leave it nothing to overfit with.
    """
    if len(np.unique(known[rows])) < 2:
        return np.asarray(said.mean(axis=1))
    center, scale = beside[rows].mean(axis=0), np.maximum(beside[rows].std(axis=0), 1e-12)
    columns = np.column_stack([said, (beside - center) / scale])
    stacker = LogisticStacker(told.l2, beside.shape[1], told.context_l2).fit(columns[rows], known[rows])
    stack = stacked(columns, stacker.coefficients_, stacker.intercept_)
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
