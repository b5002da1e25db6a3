"""Signs: is a member's weight in the stack above 0 beyond doubt?

The stack may not turn a member round (`models.stacking`): its weights stop at 0. Here the same regression is fitted
without that bound to the same out-of-fold rows, and to samples of their weeks: a weight of 0 that would be negative in
nearly all samples is a member that the stack is better without; one that changes sign tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from market.candles import Floats
from models.logits import sigmoid
from models.manifest import Manifest, family
from models.metrics import Interval
from models.resampling import Drawn, Resamples
from models.stacking import context_columns
from models.walkforward import TEST, WalkForward

L2, CONTEXT_L2 = 10.0, 1000.0
"""Pull of members' weights towards the plain average and of the context's towards 0, where the spec does not say."""
_STEPS, _CLOSE = 50, 1e-10


@dataclass(frozen=True)
class Weight:
    """A member's weight in the stack of one head.

    Attributes
    ----------
    head, member : str
        ``5/long``, and the family.
    stacked : float
        As the set applies it, never below 0.
    free : Interval
        Without the bound.
    positive : float
        Share of the samples in which the free weight is above 0.
    """

    head: str
    member: str
    stacked: float
    free: Interval
    positive: float

    @property
    def sign(self) -> str:
        """What the samples say of it."""
        if self.free.low > 0:
            return "positive"
        return "negative" if self.free.high < 0 else "not told from 0"


def weights(
    record: WalkForward, manifest: Manifest, volatility: Floats | None, block: int, draws: int, seed: int
) -> list[Weight]:
    """Every member's weight in every head's stack, in order of horizon and side.

    Parameters
    ----------
    volatility : (n,) float64 or None
        The feature `models.stacking.VOLATILITY` at the record's rows, which a stack may read beside its members.
    """
    found = []
    spec: Any = manifest.evidence.get("spec") or {}
    told = spec.get("ensemble") or {}
    l2 = float(told.get("l2", L2)), float(told.get("context_l2", CONTEXT_L2))
    for h in manifest.horizons:
        for side, sign in (("long", 1), ("short", -1)):
            key = f"{h}/{side}"
            stacker = manifest.ensemble.stackers[key]
            families = [family(member) for member in stacker.members]
            logits = np.column_stack([record.logits[each][key] for each in families])
            beside = context_columns([c.name for c in stacker.context], logits, volatility)
            for column, c in enumerate(stacker.context):
                beside[:, column] = (beside[:, column] - c.center) / c.scale
            came = record.profitable(h, sign, manifest.data.labels.cost)
            rows = np.flatnonzero((record.part != TEST) & np.isfinite(came) & np.isfinite(beside).all(axis=1))
            free = _free(logits[rows], beside[rows], came[rows], l2, Resamples(len(rows), block, draws, seed))
            for each, applied, drawn in zip(families, stacker.coefficients, free, strict=True):
                found.append(Weight(key, each, applied, drawn.interval(), float(np.mean(drawn.draws > 0))))
    return found


def _free(
    logits: Floats, beside: Floats, outcome: Floats, l2: tuple[float, float], resamples: Resamples
) -> list[Drawn]:
    """Weights (one a column of `logits`) of the regression without bounds; each draw takes one Newton step.

    References
    ----------
    Davidson and MacKinnon (1999), Bootstrap testing in nonlinear models: one step is enough.
    """
    x = np.column_stack([logits, beside, np.ones(len(logits))])
    members, others = logits.shape[1], np.zeros(beside.shape[1] + 1)
    pull = np.concatenate([np.full(members, l2[0]), np.full(beside.shape[1], l2[1]), [0.0]])
    centre = np.concatenate([np.full(members, 1 / members), others])
    at = centre.copy()
    for _ in range(_STEPS):
        step = _steps(_terms(x, outcome, at).sum(axis=0)[None], at, pull, centre)[0]
        at = at + step
        if np.abs(step).max() < _CLOSE:
            break
    draws = at + _steps(resamples.sums(_terms(x, outcome, at)), at, pull, centre)
    return [Drawn(float(at[i]), draws[:, i]) for i in range(members)]


def _terms(x: Floats, outcome: Floats, at: Floats) -> Floats:
    """Each row's gradient (K) and curvature (K x K) of the log-likelihood, side by side (n, K + K²)."""
    p = sigmoid(x @ at)
    curvature = (x * (p * (1 - p))[:, None])[:, :, None] * x[:, None, :]
    return np.column_stack([x * (outcome - p)[:, None], curvature.reshape(len(x), -1)])


def _steps(sums: Floats, at: Floats, pull: Floats, centre: Floats) -> Floats:
    """Newton's steps (B, K) of the penalised likelihood for sums (B, K + K²) of rows' terms."""
    width = len(at)
    gradient = sums[:, :width] - pull * (at - centre)
    curvature = sums[:, width:].reshape(-1, width, width) + np.diag(pull)
    return np.asarray(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0])
