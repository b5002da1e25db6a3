"""Signs: is a member's weight in the stack above 0 beyond doubt?

The stack may not turn a member round (`models.stacking`): its weights stop at 0. Without that bound and without a pull,
as `training diagnose` fits it to samples of the out-of-fold weeks, a member that adds nothing changes its sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.manifest import Manifest, family
from models.metrics import Interval
from models.resampling import Drawn, Resamples
from models.walkforward import TEST, WalkForward
from training.diagnosis.weights import DRAWS, unbounded

STEPS, STEPS_MORE = 8, 3
"""Of Newton's method: to the whole record, and from there to a draw of it."""


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


def weights(record: WalkForward, manifest: Manifest, block: int) -> list[Weight]:
    """Every member's weight in every head's stack, in order of horizon and side."""
    found = []
    for h in manifest.horizons:
        for side, sign in (("long", 1), ("short", -1)):
            key = f"{h}/{side}"
            stacker = manifest.ensemble.stackers[key]
            applied = {family(m): c for m, c in zip(stacker.members, stacker.coefficients, strict=True)}
            came = record.profitable(h, sign, manifest.data.labels.cost)
            rows = (record.part != TEST) & np.isfinite(came)
            if len(np.unique(came[rows])) < 2:
                continue
            said = np.column_stack([record.logits[each][key][rows] for each in record.families])
            whole = unbounded(said, came[rows], np.ones((len(said), 1), dtype=np.int8), STEPS)
            draws = unbounded(said, came[rows], Resamples(len(said), block, DRAWS).weights, STEPS_MORE, whole)
            for at, each in enumerate(record.families):
                if each in applied:
                    free = Drawn(float(whole[at, 0]), draws[at]).interval()
                    found.append(Weight(key, each, applied[each], free, float(np.mean(draws[at] > 0))))
    return found
