"""Signs: is a member's weight in the stack above 0 beyond doubt?

The stack itself may not turn a member round (`models.stacking`): its weights stop at 0. Here the same regression is fitted
without that bound to the same out-of-fold rows, and to samples of their weeks: a weight of 0 that would be negative in
nine samples of ten is a member that the stack is better without; one that changes sign tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.candles import Floats
from models.logits import sigmoid
from models.manifest import Manifest, family
from models.metrics import Interval
from models.resampling import Drawn, Resamples
from models.walkforward import TEST, WalkForward

L2 = 10.0
"""Pull towards the plain average, as of so many rows."""
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


def weights(record: WalkForward, manifest: Manifest, block: int, draws: int, seed: int) -> list[Weight]:
    """Every member's weight in every head's stack, in order of horizon and side."""
    found = []
    for h in manifest.horizons:
        for side, sign in (("long", 1), ("short", -1)):
            key = f"{h}/{side}"
            stacker = manifest.ensemble.stackers[key]
            members = [m for m in stacker.members if family(m) in record.logits]
            came = record.profitable(h, sign, manifest.data.labels.cost)
            rows = np.flatnonzero((record.part != TEST) & np.isfinite(came))
            logits = np.column_stack([record.logits[family(m)][key][rows] for m in members])
            free = _free(logits, came[rows], Resamples(len(rows), block, draws, seed))
            applied = dict(zip(stacker.members, stacker.coefficients, strict=False))
            for member, drawn in zip(members, free, strict=True):
                share = float(np.mean(drawn.draws > 0))
                found.append(Weight(key, family(member), applied[member], drawn.interval(), share))
    return found


def _free(logits: Floats, outcome: Floats, resamples: Resamples) -> list[Drawn]:
    """Weights (one a column of `logits`) of the regression without bounds; each draw takes one Newton step.

    References
    ----------
    Davidson and MacKinnon (1999), Bootstrap testing in nonlinear models: one step is enough.
    """
    x = np.column_stack([logits, np.ones(len(logits))])
    width = x.shape[1]
    pull = np.append(np.full(width - 1, L2), 0.0)
    centre = np.append(np.full(width - 1, 1 / (width - 1)), 0.0)
    at = centre.copy()
    for _ in range(_STEPS):
        step = _steps(_terms(x, outcome, at).sum(axis=0)[None], at, pull, centre)[0]
        at = at + step
        if np.abs(step).max() < _CLOSE:
            break
    draws = at + _steps(resamples.sums(_terms(x, outcome, at)), at, pull, centre)
    return [Drawn(float(at[i]), draws[:, i]) for i in range(width - 1)]


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
