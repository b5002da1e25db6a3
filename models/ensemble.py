"""The ensemble: members' outputs to logits, stacked and calibrated for each horizon and side, and weighed into two
probabilities. Where one family of members gave no answer, the others are fused as the manifest says, if it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from models.inputs import FinerRows
from models.logits import logit, sigmoid, softmax
from models.manifest import HAR, REGIMES, Calibrator, Manifest, Member, Stacker, head
from models.members import Open
from models.pooling import Pool
from models.stacking import VOLATILITY, context_columns, stacked

DECIMALS = 9
"""Probabilities are rounded to 1e-9 before anything compares them with a threshold."""


@dataclass(frozen=True)
class Answers:
    """What a set says of n rows; a row without an answer, for want of members' finite numbers, is NaN throughout, and
    not `finite`.

    Attributes
    ----------
    p_long, p_short : (n,) float64
        Averaged over the horizons by their weights.
    heads : dict
        ``12/long`` -> (n,) calibrated probability.
    regime : (n, 3) float64
        Probabilities of low, mid, high.
    members : dict
        ``lstm/12/long`` -> (n,) probability before stacking; NaN where that member gave none.
    finite : (n,) bool
        Whether there is an answer.
    dead : dict
        Family of members of direction -> (n,) whether one of them gave no finite number. A row that is `finite` was
        answered without it.
    """

    p_long: Floats
    p_short: Floats
    heads: dict[str, Floats]
    regime: Floats
    members: dict[str, Floats]
    finite: NDArray[np.bool_]
    dead: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def without(self) -> dict[str, int]:
        """Family of members that gave no number -> how many rows were answered without it, where there are any."""
        counts = {family: int((silent & self.finite).sum()) for family, silent in self.dead.items()}
        return {family: many for family, many in counts.items() if many}

    def named(self) -> dict[str, Floats]:
        """Every output as one flat mapping, for golden vectors."""
        regimes = {f"regime/{name}": self.regime[:, i] for i, name in enumerate(REGIMES)}
        return {"p_long": self.p_long, "p_short": self.p_short, **self.heads, **regimes, **self.members}


def ask(
    manifest: Manifest, members: Mapping[str, Open], matrix: Floats, rows: Ints, finer: FinerRows | None = None
) -> Answers:
    """Answers for the given rows of the unscaled feature matrix (N, F); each row's window must be complete.

    Parameters
    ----------
    finer : FinerRows, optional
        What members of a finer timeframe read; where a row has none, they give no answer.
    """
    ensemble = manifest.ensemble
    with np.errstate(invalid="ignore", over="ignore"):
        told = {name: _told(member, matrix, rows, finer) for name, member in members.items()}
        logits = _logits(members, told)
        dead = _dead(manifest, logits)
        heads, finite = _heads(manifest, logits, dead, _volatility(manifest, matrix, rows))
        regime = _regime(manifest, members, told, matrix, rows)
        finite &= np.isfinite(regime).all(axis=1)
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
        dead=dead,
    )


def logits_of(
    members: Mapping[str, Open], matrix: Floats, rows: Ints, finer: FinerRows | None = None
) -> dict[str, Floats]:
    """Every member's own logits by head, those of the regime too: ``regime_lstm/high`` -> (n,)."""
    found: dict[str, Floats] = {}
    for member in members.values():
        found |= _by_head(member.spec, _told(member, matrix, rows, finer))
    return found


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of several runs of rows as those of one."""
    if len(parts) == 1:
        return parts[0]

    def of_each(name: str) -> dict[str, Any]:
        return {key: np.concatenate([getattr(p, name)[key] for p in parts]) for key in getattr(parts[0], name)}

    return Answers(
        p_long=np.concatenate([p.p_long for p in parts]),
        p_short=np.concatenate([p.p_short for p in parts]),
        heads=of_each("heads"),
        regime=np.concatenate([p.regime for p in parts]),
        members=of_each("members"),
        finite=np.concatenate([p.finite for p in parts]),
        dead=of_each("dead"),
    )


def _told(member: Open, matrix: Floats, rows: Ints, finer: FinerRows | None) -> Floats:
    """A member's outputs (n, heads), NaN in rows that have not what it reads."""
    if member.spec.timeframe is None:
        return member.answer(matrix, rows)
    outputs = np.full((len(rows), len(member.spec.heads)), np.nan)
    if finer is not None:
        there, at = finer.of(rows)
        outputs[there] = member.answer(finer.matrix, at)
    return outputs


def _logits(members: Mapping[str, Open], told: Mapping[str, Floats]) -> dict[str, Floats]:
    """Members' logits of direction: ``lstm/12/long`` -> (n,)."""
    found: dict[str, Floats] = {}
    for name, outputs in told.items():
        if members[name].spec.role == "direction":
            found |= _by_head(members[name].spec, outputs)
    return found


def _by_head(spec: Member, outputs: Floats) -> dict[str, Floats]:
    """A member's outputs (n, heads) as logits by its name and head."""
    columns = outputs if spec.output == "logit" else logit(outputs)
    return {f"{spec.name}/{key}": columns[:, at] for at, key in enumerate(spec.heads)}


def _dead(manifest: Manifest, logits: Mapping[str, Floats]) -> dict[str, NDArray[np.bool_]]:
    """Family -> rows (n,) in which one of its members gave no finite number."""
    found: dict[str, NDArray[np.bool_]] = {}
    for member in manifest.models:
        if member.role == "direction":
            for key in member.heads:
                silent = ~np.isfinite(logits[f"{member.name}/{key}"])
                found[member.family] = found[member.family] | silent if member.family in found else silent
    return found


def _regime(
    manifest: Manifest, members: Mapping[str, Open], told: Mapping[str, Floats], matrix: Floats, rows: Ints
) -> Floats:
    """P(low), P(mid), P(high) (n, 3)."""

    def of(name: str) -> Floats:
        if name == HAR and pool is not None and pool.har is not None:
            columns = [manifest.features.names.index(column) for column in pool.har.columns]
            return pool.har.score.probabilities(matrix[rows][:, columns])
        return softmax(told[name]) if members[name].spec.output == "logit" else told[name]

    pool = manifest.ensemble.pool
    if pool is None:
        return of(manifest.ensemble.regime)
    return Pool(np.array(pool.weights), np.array(pool.bias))([of(name) for name in pool.members])


def _volatility(manifest: Manifest, matrix: Floats, rows: Ints) -> Floats | None:
    """What stacks read of volatility (n,); None if the set does not read that feature."""
    names = manifest.features.names
    return matrix[rows, names.index(VOLATILITY)] if VOLATILITY in names else None


def _heads(
    manifest: Manifest,
    logits: Mapping[str, Floats],
    dead: Mapping[str, NDArray[np.bool_]],
    volatility: Floats | None,
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Every head's calibrated probability (n,), and the rows that have one: no family is dead, or one that can be done
    without.
    """
    ensemble = manifest.ensemble
    heads = {
        key: _calibrated(manifest, key, logits, stacker, ensemble.calibrators[key], volatility)
        for key, stacker in ensemble.stackers.items()
    }
    deaths = np.sum(list(dead.values()), axis=0)
    answered = np.asarray(deaths == 0)
    for family, fusions in ensemble.without.items():
        alone = dead[family] & (deaths == 1)
        if not alone.any():
            continue
        answered |= alone
        for key, fusion in fusions.items():
            others = _calibrated(manifest, key, logits, fusion.stacker, fusion.calibrator, volatility)
            heads[key] = np.where(alone, others, heads[key])
    return heads, answered


def _calibrated(
    manifest: Manifest,
    key: str,
    logits: Mapping[str, Floats],
    stacker: Stacker,
    calibrator: Calibrator,
    volatility: Floats | None,
) -> Floats:
    """Members' logits to the calibrated probability (n,) of one head."""
    read = [logits[f"{name}/{manifest.member(name).head_for(key)}"] for name in stacker.members]
    total = fused(stacker, np.column_stack(read), volatility)
    return sigmoid(calibrator.slope * total + calibrator.intercept)


def fused(stacker: Stacker, logits: Floats, volatility: Floats | None) -> Floats:
    """Stacked logits (n,) of the members' (n, M), and of what the stack reads beside them."""
    beside = context_columns([c.name for c in stacker.context], logits, volatility)
    scaled = [(beside[:, at] - c.center) / c.scale for at, c in enumerate(stacker.context)]
    coefficients = np.array([*stacker.coefficients, *(c.coefficient for c in stacker.context)])
    return stacked(np.column_stack([logits, *scaled]), coefficients, stacker.intercept)
