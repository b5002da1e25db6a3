"""The ensemble: members' outputs to logits, stacked and calibrated for each horizon and side, and weighed into two
probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from market.candles import Floats, Ints
from models.logits import logit, sigmoid, softmax
from models.manifest import REGIMES, Manifest, head
from models.members import Open
from models.stacking import stacked

DECIMALS = 9
"""Probabilities are rounded to 1e-9 before anything compares them with a threshold."""


@dataclass(frozen=True)
class Answers:
    """What a set says of n rows; a row in which any member gave no finite number is NaN throughout, and not `finite`.

    Attributes
    ----------
    p_long, p_short : (n,) float64
        Averaged over the horizons by their weights.
    heads : dict
        ``12/long`` -> (n,) calibrated probability.
    regime : (n, 3) float64
        Probabilities of low, mid, high.
    members : dict
        ``lstm/12/long`` -> (n,) probability before stacking.
    finite : (n,) bool
    """

    p_long: Floats
    p_short: Floats
    heads: dict[str, Floats]
    regime: Floats
    members: dict[str, Floats]
    finite: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    def named(self) -> dict[str, Floats]:
        """Every output as one flat mapping, for golden vectors."""
        regimes = {f"regime/{name}": self.regime[:, i] for i, name in enumerate(REGIMES)}
        return {"p_long": self.p_long, "p_short": self.p_short, **self.heads, **regimes, **self.members}


def ask(manifest: Manifest, members: Mapping[str, Open], matrix: Floats, rows: Ints) -> Answers:
    """Answers for the given rows of the unscaled feature matrix (N, F); each row's window must be complete."""
    ensemble = manifest.ensemble
    logits: dict[str, Floats] = {}
    regime = np.empty((len(rows), len(REGIMES)))
    with np.errstate(invalid="ignore", over="ignore"):
        for name, member in members.items():
            found = member.answer(matrix, rows)
            if name == ensemble.regime:
                regime = found if member.spec.output == "probability" else softmax(found)
                continue
            columns = found if member.spec.output == "logit" else logit(found)
            logits |= {f"{name}/{key}": columns[:, i] for i, key in enumerate(member.spec.heads)}
        heads = {
            key: _fused(manifest, key, np.column_stack([logits[f"{name}/{key}"] for name in stacker.members]))
            for key, stacker in ensemble.stackers.items()
        }
        finite = np.asarray(np.isfinite(regime).all(axis=1))
        for column in logits.values():
            finite &= np.isfinite(column)
        gone = np.where(finite, 0.0, np.nan)
        sides = []
        for side in (1, -1):
            total = np.zeros(len(rows))
            for horizon in manifest.horizons:
                total = total + ensemble.weights[str(horizon)] * heads[head(horizon, side)]
            sides.append(np.round(total + gone, DECIMALS))
    return Answers(
        p_long=sides[0],
        p_short=sides[1],
        heads={key: np.round(value + gone, DECIMALS) for key, value in heads.items()},
        regime=np.round(regime + gone[:, None], DECIMALS),
        members={key: np.round(sigmoid(value) + gone, DECIMALS) for key, value in logits.items()},
        finite=finite,
    )


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of several runs of rows as those of one."""
    if len(parts) == 1:
        return parts[0]

    def of_each(name: str) -> dict[str, Floats]:
        return {key: np.concatenate([getattr(p, name)[key] for p in parts]) for key in getattr(parts[0], name)}

    return Answers(
        p_long=np.concatenate([p.p_long for p in parts]),
        p_short=np.concatenate([p.p_short for p in parts]),
        heads=of_each("heads"),
        regime=np.concatenate([p.regime for p in parts]),
        members=of_each("members"),
        finite=np.concatenate([p.finite for p in parts]),
    )


def _fused(manifest: Manifest, key: str, logits: Floats) -> Floats:
    """Members' logits (n, M) to the calibrated probability (n,) of one head."""
    stacker, calibrator = manifest.ensemble.stackers[key], manifest.ensemble.calibrators[key]
    total = stacked(logits, np.array(stacker.coefficients), stacker.intercept)
    return sigmoid(calibrator.slope * total + calibrator.intercept)
