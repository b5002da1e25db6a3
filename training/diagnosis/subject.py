"""The subject of a diagnosis: one family of members of a verified set, opened as it is, and real rows to ask it about.

The set's golden answers are not demanded here: a set that inference refuses can still be diagnosed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from market.candles import Floats, Ints
from models import features, stages, walkforward
from models.evaluation import data as histories
from models.golden import golden_inputs
from models.inference import finer_rows
from models.inputs import Inputs
from models.manifest import Features, Manifest, Member
from models.members import Open
from models.modelset import ModelSet, ModelSetError
from models.scaling import scale
from models.stages import Reading, Stages
from models.walkforward import WalkForward
from training.diagnosis.network import Network, NetworkError, Windows

ROWS = 1024
"""Rows of the data that are looked at, spread over it."""


@dataclass(frozen=True)
class Sample:
    """Real rows, as the members diagnosed read them.

    Attributes
    ----------
    inputs : Inputs
        Candles of their timeframe, with funding and companion.
    matrix : (N, F) float64
        Unscaled features of these, in the manifest's order.
    rows : (n,) int64
        Positions that are ready.
    given : bool
        Whether they are of data given, and not of the stage goldens.
    """

    inputs: Inputs
    matrix: Floats
    rows: Ints
    given: bool

    def compute(self, names: tuple[str, ...]) -> Floats:
        """The matrix in another order of the columns."""
        return features.compute(self.inputs.candles, self.inputs.funding, names, self.inputs.companion)


@dataclass(frozen=True)
class Subject:
    """What is diagnosed.

    Attributes
    ----------
    family : str
        ``lstm``, ``tft``, ``lightgbm``.
    members : tuple of Member
        Of that family: one network, or a booster for each head.
    network : Network or None
        Of a network, its file; None of boosters, or if it cannot be run.
    fault : str
        Why a network cannot be run; empty if it can.
    opened : mapping
        Members of the set that can be opened as inference opens them.
    stages : Stages or None
        The set's stage goldens, if it has sound ones.
    sample : Sample or None
        Rows of the data given, else of the stage goldens' candles.
    source : str
        Where those rows are from.
    """

    model_set: ModelSet
    family: str
    members: tuple[Member, ...]
    network: Network | None
    fault: str
    opened: Mapping[str, Open]
    stages: Stages | None
    sample: Sample | None
    source: str

    @property
    def manifest(self) -> Manifest:
        """Of the set."""
        return self.model_set.manifest

    @property
    def member(self) -> Member:
        """The network, or the first of the boosters."""
        return self.members[0]

    @property
    def features(self) -> Features:
        """The matrix it reads, as the manifest tells it."""
        return self.manifest.features_of(self.member)

    @property
    def recorded(self) -> Reading | None:
        """What was recorded of its inputs, if there are stage goldens."""
        return None if self.stages is None else self.stages.reading(self.member.timeframe)

    @property
    def heads(self) -> tuple[str, ...]:
        """Of all its members, in their order."""
        return tuple(key for member in self.members for key in member.heads)

    @cached_property
    def outputs(self) -> Floats | None:
        """Raw outputs (n, heads) for the sample's rows, as served; None without rows, or if it cannot be asked."""
        if (
            self.sample is None
            or not len(self.sample.rows)
            or any(member.name not in self.opened for member in self.members)
        ):
            return None
        sample = self.sample
        return np.column_stack([self.opened[m.name].answer(sample.matrix, sample.rows) for m in self.members])

    @cached_property
    def trained(self) -> Floats | None:
        """Golden logits (count, heads) of the network before it was exported, if they were kept."""
        golden = self.manifest.golden
        names = [f"{self.member.name}/{key}" for key in self.member.heads]
        if golden is None or self.network is None or any(name not in golden.trained for name in names):
            return None
        return np.column_stack([np.array(golden.trained[name]) for name in names])

    @cached_property
    def golden_windows(self) -> Windows | None:
        """The golden inputs as the network reads them (count, T, F), if there are any."""
        golden = self.manifest.golden
        if golden is None or self.features.scaler is None or self.network is None:
            return None
        matrix, rows = golden_inputs(self.manifest, golden.seed, golden.count, self.member.timeframe)
        return self.network.windows(self.scaled(matrix), rows)

    @cached_property
    def record(self) -> WalkForward | None:
        """The walk-forward record, if there is a sound one."""
        try:
            return walkforward.read(self.model_set)
        except ModelSetError:
            return None

    @property
    def facts(self) -> dict[str, JsonValue]:
        """How its fitting went, as the manifest's evidence tells it; empty if it does not."""
        told = self.manifest.evidence.get("fitting")
        if not isinstance(told, dict):
            return {}
        alone = sum(member.kind == "onnx" for member in self.manifest.models) == 1
        found = told.get(self.family)
        if found is None and self.member.kind == "onnx" and alone:
            found = told.get("onnx")  # as sets of one network were written
        return found if isinstance(found, dict) else {}

    def scaled(self, matrix: Floats) -> Windows:
        """As the network reads it: by the manifest's scaler."""
        scaler = self.features.scaler
        assert scaler is not None, "a set with a network has a scaler"
        return scale(matrix, np.array(scaler.center), np.array(scaler.scale), scaler.clip)


def families(manifest: Manifest) -> tuple[str, ...]:
    """What can be diagnosed in a set, in the manifest's order."""
    return tuple(dict.fromkeys(member.family for member in manifest.models))


def subject(
    model_set: ModelSet,
    family: str,
    data: str | None = None,
    funding: Path | None = None,
    companion: Path | None = None,
) -> Subject:
    """Open a family of a set for diagnosis.

    Parameters
    ----------
    family : str
        One of `families`.
    data : str, optional
        A klines file the set can read, as `models.evaluation.data.read` takes it; so `funding` and `companion`.

    Raises
    ------
    ModelSetError
        If the set has no such family.
    HistoryError, DataError
        If the data cannot be read for this set.
    """
    manifest = model_set.manifest
    members = tuple(m for m in manifest.models if m.family == family)
    if not members:
        raise ModelSetError(
            f"it has no model called {family!r}", model_set.path, f"name one of {', '.join(families(manifest))}"
        )
    network, fault = None, ""
    if members[0].kind == "onnx":
        try:
            columns = len(manifest.features_of(members[0]).names)
            network = Network(members[0], model_set.contents[members[0].file], columns)
        except NetworkError as error:
            fault = str(error)
    try:
        found = stages.read(model_set)
    except ModelSetError:
        found = None
    sample, source = None, "no real rows: give --data FILE"
    if data is not None:
        history = histories.read(manifest, data, manifest.data.symbols[0], funding, companion)
        sample = _sample(manifest, members[0], history.inputs, given=True)
        source = f"{history.file.name}, {len(sample.rows)} rows"
        if not len(sample.rows):
            raise histories.DataError(
                f"{history.file}: no row has the history before it that {family} of set {manifest.id} reads "
                f"({manifest.warmup} candles, funding where it reads it, and after a comma the shorter klines where it "
                f"reads those); give what is missing, or a longer history"
            )
    elif found is not None:
        sample = _sample(manifest, members[0], found.inputs, given=False)
        source = f"the set's stage goldens, {len(sample.rows)} rows"
    opened = stages.openable(manifest, model_set.contents)
    return Subject(model_set, family, members, network, fault, opened, found, sample, source)


def _sample(manifest: Manifest, member: Member, inputs: Inputs, given: bool) -> Sample:
    """Rows spread over the inputs at which the member's own matrix and its whole window are there."""
    candles, matrix = inputs.candles, np.empty((0, 0))
    ready = np.empty(0, dtype=np.int64)
    if member.timeframe is None:
        matrix = features.compute(candles, inputs.funding, manifest.features.names, inputs.companion)
        ready = np.flatnonzero(features.rows_ready(matrix, manifest.window))
    else:
        finer = finer_rows(manifest, candles, inputs.finer, inputs.funding)
        if finer is not None and inputs.finer is not None:
            matrix, ready = finer.matrix, finer.at[finer.at >= 0]
            inputs = Inputs(inputs.finer, inputs.funding)
    chosen = np.unique(np.linspace(0, len(ready) - 1, min(ROWS, len(ready))).astype(np.int64))
    return Sample(inputs, matrix, ready[chosen], given)
