"""The stack's weight of a family, head by head, with the sign it takes when the out-of-fold weeks are drawn again.

The stack is bounded at 0, so a weight says little of its own sign: here it is fitted without that bound, and without a
pull, to each of the block bootstrap's draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from market.timeframes import Timeframe
from models.evaluation.sample import week
from models.labels import LONG, SHORT
from models.logits import sigmoid
from models.manifest import family
from models.resampling import Resamples
from models.stacking import LogisticStacker
from models.walkforward import TEST, WalkForward
from training.diagnosis.finding import BROKEN, OK, SUSPECT, Figure, Finding, not_known
from training.diagnosis.subject import Subject

WEIGHT = "stacking weight"
DRAWS = 200
SURE = 0.9
"""Share of the draws by which a sign is called sure."""
_RIDGE = 1e-3
_STEPS, _STEPS_MORE = 8, 3
"""Of Newton's method: to the whole record, and from there to a draw of it."""


def stack(subject: Subject) -> Finding:
    """Does the stack weigh it by more than nothing, and what would it do unbounded?"""
    if subject.member.role == "regime":
        return Finding(WEIGHT, OK, "it tells the regime, which is not stacked")
    served = _served(subject)
    figures: dict[str, Figure] = {key: {"served": weight} for key, weight in served.items()}
    negative = [key for key, weight in served.items() if weight < 0]
    signs = _signs(subject)
    for key, sign in signs.items():
        figures[key] = {"served": served.get(key), **sign}
    if negative:
        told = ", ".join(_told(key, served[key], signs.get(key)) for key in negative)
        remedy = "fit the stack again with weights bounded at 0, or leave this model out"
        return Finding(WEIGHT, BROKEN, f"its weight is negative: {told}", remedy, figures)
    if not served:
        remedy = "stack it, or leave it out of the set"
        return Finding(WEIGHT, SUSPECT, "no stack reads it, so it answers for nothing", remedy, figures)
    if not signs:
        return not_known(WEIGHT, f"{_span(served)}; there is no walk-forward record to draw from", **figures)
    against = [key for key, sign in signs.items() if _share(sign) >= SURE]
    if against:
        told = ", ".join(_told(key, served.get(key, 0.0), signs[key]) for key in against)
        sentence = f"unbounded, the stack would turn it round: {told}; its bound and its pull alone hold it up"
        return Finding(WEIGHT, SUSPECT, sentence, "leave it out, or make it less like the others", figures)
    if not any(served.values()):
        remedy = "leave it out, or make it less like the others"
        return Finding(WEIGHT, SUSPECT, "the stack weighs it by 0 in every head", remedy, figures)
    most = max(_share(sign) for sign in signs.values())
    return Finding(WEIGHT, OK, f"{_span(served)}; negative in at most {most:.0%} of the draws", figures=figures)


def _served(subject: Subject) -> dict[str, float]:
    """Head -> the family's coefficient in the manifest's stack."""
    return {
        key: coefficient
        for key, stacker in subject.manifest.ensemble.stackers.items()
        for name, coefficient in zip(stacker.members, stacker.coefficients, strict=True)
        if family(name) == subject.family
    }


def _signs(subject: Subject) -> dict[str, dict[str, Figure]]:
    """Head -> the weight bounded and unbounded, and the share of draws in which the unbounded one is negative."""
    record, manifest = subject.record, subject.manifest
    if record is None or subject.family not in record.families:
        return {}
    block = week(Timeframe.parse(manifest.data.timeframe))
    found: dict[str, dict[str, Figure]] = {}
    for key in record.logits[subject.family]:
        said, outcome = _out_of_fold(record, key, manifest.data.labels.cost)
        if len(np.unique(outcome)) < 2:
            continue
        at = record.families.index(subject.family)
        drawn = Resamples(len(outcome), block, DRAWS).weights
        fitted = unbounded(said, outcome, np.ones((len(outcome), 1), dtype=np.int8), _STEPS)
        draws = unbounded(said, outcome, drawn, _STEPS_MORE, fitted)[at]
        found[key] = {
            "refitted": float(LogisticStacker(_l2(subject)).fit(said, outcome).coefficients_[at]),
            "unbounded": float(fitted[at, 0]),
            "low": float(np.quantile(draws, 0.05)),
            "high": float(np.quantile(draws, 0.95)),
            "share_negative": float((draws < 0).mean()),
            "rows": len(outcome),
        }
    return found


def unbounded(
    said: Floats, outcome: Floats, weights: NDArray[np.int8], steps: int, start: Floats | None = None
) -> Floats:
    """Coefficients and intercept (M + 1, draws) of a logistic regression of outcomes (n,) on logits (n, M).

    Newton's method on all draws' weights (n, draws) side by side, from `start` (M + 1, 1); a thousandth of a row's pull
    to 0 keeps twins from running apart.
    """
    x = np.column_stack([said, np.ones(len(said))])
    count, draws = x.shape[1], weights.shape[1]
    upper = [(i, j) for i in range(count) for j in range(i, count)]
    products = np.column_stack([x[:, i] * x[:, j] for i, j in upper])
    at = np.zeros((count, draws)) if start is None else np.repeat(start, draws, axis=1)
    for _ in range(steps):
        p = sigmoid(x @ at)
        slope = x.T @ (weights * (outcome[:, None] - p)) - _RIDGE * at
        hessian = np.empty((draws, count, count))
        for (i, j), bend in zip(upper, products.T @ (weights * (p * (1 - p))), strict=True):
            hessian[:, i, j] = hessian[:, j, i] = bend
        hessian += _RIDGE * np.eye(count)
        at = at + np.linalg.solve(hessian, slope.T[:, :, None])[:, :, 0].T
    return at


def _out_of_fold(record: WalkForward, key: str, cost: float) -> tuple[Floats, Floats]:
    """Every family's logits (n, M), and whether the side paid (n,), of rows in folds whose outcome is known."""
    horizon, side = key.split("/")
    outcome = record.profitable(int(horizon), LONG if side == "long" else SHORT, cost)
    rows = (record.part != TEST) & ~np.isnan(outcome)
    return np.column_stack([record.logits[name][key][rows] for name in record.families]), outcome[rows]


def _l2(subject: Subject) -> float:
    """The pull that the set's own stack was fitted with, as its evidence tells it."""
    spec = subject.manifest.evidence.get("spec")
    ensemble = spec.get("ensemble") if isinstance(spec, dict) else None
    l2 = ensemble.get("l2") if isinstance(ensemble, dict) else None
    return float(l2) if isinstance(l2, int | float) and l2 > 0 else LogisticStacker().l2


def _share(sign: dict[str, Figure]) -> float:
    share = sign["share_negative"]
    assert isinstance(share, float)
    return share


def _told(key: str, weight: float, sign: dict[str, Figure] | None) -> str:
    drawn = "" if sign is None else f", unbounded negative in {_share(sign):.0%} of {DRAWS} draws"
    return f"{key} {weight:.3f}{drawn}"


def _span(served: dict[str, float]) -> str:
    return f"weights from {min(served.values()):.3f} to {max(served.values()):.3f}"
