"""Checking: how far each stage is now from what was recorded, each given what was recorded of the one before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market.candles import Floats
from models import features
from models.inputs import FinerRows
from models.manifest import Features, Manifest
from models.members import Open, open_members
from models.modelset import ModelSetError
from models.stages import answers
from models.stages.kept import FINER, Columns, Reading, Stages

CHAIN = ("features", "scaled", "outputs", "stacked", "probability")
"""The stages that are computed, each from the one before."""
LIMITS: Mapping[str, float] = {"features": 1e-9, "scaled": 1e-5, "outputs": 1e-4, "stacked": 1e-9, "probability": 1e-5}
"""Largest difference of a value now from the one recorded; scaled inputs and networks are float32."""


@dataclass(frozen=True)
class Drift:
    """How far a stage is from what was recorded, when it is given the recorded values of the stage before.

    `worst` names the value furthest off; `known` is False if the stage was not recorded, or cannot be computed.
    """

    stage: str
    largest: float
    worst: str
    limit: float
    known: bool = True

    @property
    def broken(self) -> bool:
        """Whether it is further off than it may be; a difference that is no number is."""
        return self.known and not self.largest <= self.limit


def check(manifest: Manifest, contents: Mapping[str, bytes], stages: Stages) -> list[Drift]:
    """How far each stage of `CHAIN` is off now, fed with what was recorded before it: a fault shows where it is.

    A member's outputs depend on a whole window, of which the last row alone is recorded: members are asked about
    features computed anew, but in the order and by the scaler recorded. Probabilities are asked for the same way, so
    they are off too where outputs are. A member that cannot be opened leaves what needs it not known.
    """
    readings = [("", manifest.features, stages.decision)]
    if manifest.finer is not None and stages.finer is not None:
        readings.append((FINER, manifest.finer.features, stages.finer))
    found = [_furthest(_features_now(*each) for each in readings), _furthest(_scaled_now(*each) for each in readings)]
    try:
        then, matrix, finer = _as_made(manifest, stages)
    except features.FeatureError:
        return [*found, *(_unknown(stage) for stage in CHAIN[2:])]
    members, rows = openable(then, contents), stages.decision.rows
    found.append(_drift("outputs", answers.outputs(members, matrix, rows, finer), stages.values["outputs"]))
    stacked = answers.stacked(manifest, stages.values["outputs"], stages.decision.features)
    found.append(_drift("stacked", stacked, stages.values["stacked"]))
    if len(members) < len(manifest.models):
        return [*found, _unknown("probability")]
    probabilities = answers.probabilities(then, members, matrix, rows, finer)
    return [*found, _drift("probability", probabilities, stages.values["probability"])]


def openable(manifest: Manifest, contents: Mapping[str, bytes]) -> dict[str, Open]:
    """The members that can be opened; of a set under diagnosis some may not."""
    found: dict[str, Open] = {}
    for member in manifest.models:
        with contextlib.suppress(ModelSetError):
            found |= open_members(manifest.model_copy(update={"models": (member,)}), contents, Path(member.name), "cpu")
    return found


def _as_made(manifest: Manifest, stages: Stages) -> tuple[Manifest, Floats, FinerRows | None]:
    """The manifest with features as they were then, and both matrices in that order, computed now."""
    parts: dict[str, object] = {"features": stages.decision.as_made(manifest.features)}
    finer = None
    if manifest.finer is not None and stages.finer is not None:
        then = stages.finer.as_made(manifest.finer.features)
        parts["finer"] = manifest.finer.model_copy(update={"features": then})
        at = np.full(len(stages.inputs.candles), -1, dtype=np.int64)
        at[stages.decision.rows] = stages.finer.rows
        finer = FinerRows(stages.finer.compute(stages.finer.names), at)
    return manifest.model_copy(update=parts), stages.decision.compute(stages.decision.names), finer


def _features_now(kind: str, served: Features, reading: Reading) -> Drift:
    now = reading.at_rows(reading.compute(served.names))
    return _drift("features", dict(zip(served.names, now.T, strict=True)), reading.features, kind)


def _scaled_now(kind: str, served: Features, reading: Reading) -> Drift:
    if served.scaler is None or len(reading.names) != len(served.names):
        return _unknown("scaled")
    return _drift("scaled", answers.scaled(served, reading.table), reading.scaled, kind)


def _drift(stage: str, now: Columns, then: Columns, kind: str = "") -> Drift:
    """The largest difference: of inputs column by column, for networks know no names; of answers name by name."""
    limit = LIMITS[stage]
    if stage == "outputs":  # of a member that cannot be opened nothing can be said
        then = {name: column for name, column in then.items() if name in now}
    if not now or not then:
        return _unknown(stage)
    inputs = stage in ("features", "scaled")
    if len(now) != len(then) or not (inputs or set(now) == set(then)):
        return Drift(stage, float("inf"), f"{len(now)} columns where {len(then)} were recorded", limit)
    pairs = zip(now, then, strict=True) if inputs else ((name, name) for name in now)
    apart = {a: _apart(now[a], then[b]) for a, b in pairs}
    worst = max(apart, key=lambda name: apart[name])
    return Drift(stage, apart[worst], kind + worst, limit)


def _apart(now: Floats, then: Floats) -> float:
    """The largest difference, endless where one has a number and the other has none."""
    both, neither = np.isfinite(now) & np.isfinite(then), np.isnan(now) & np.isnan(then)
    if not (both | neither).all():
        return float("inf")
    return float(np.abs(now[both] - then[both]).max(initial=0.0))


def _furthest(drifts: Iterator[Drift]) -> Drift:
    """The one furthest off of those that are known."""
    return max(drifts, key=lambda drift: drift.largest if drift.known else -1.0)


def _unknown(stage: str) -> Drift:
    return Drift(stage, float("nan"), "", LIMITS[stage], known=False)
