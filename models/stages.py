"""Stage goldens: a few real rows as they were at every stage when the set was made, from candles to probability.

One file of the set, so that a wrong answer can be followed back to the stage at which it went wrong. It is a long
table (stage, name, at, value), in this order: ``candles`` and ``funding`` that the rows can be computed from, the
scaler's ``center`` and ``scale`` by feature, ``features`` and ``scaled`` inputs of the rows, raw ``outputs`` of each
member's file, ``trained`` networks' own before they were exported, ``stacked`` logits (without context) and calibrated
``probability``. `at` is the row's open time, UTC ms.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.candles import VALUES, Candles, Floats, Ints
from market.funding import Funding
from market.timeframes import Timeframe
from models import features
from models.ensemble import ask
from models.inference import Trained, open_members
from models.logits import logit
from models.manifest import Features, Manifest, Recorded, Scaler
from models.members import Open
from models.modelset import ModelSet, ModelSetError, digest
from models.scaling import scale
from models.stacking import stacked

FILE = "stages.parquet"
COUNT, SPAN = 4, 168
"""Rows that are recorded, and the bars they are spread over: a week shows how much the inputs move."""
CHAIN = ("features", "scaled", "outputs", "stacked", "probability")
"""The stages that are computed, each from the one before."""
LIMITS: Mapping[str, float] = {"features": 1e-9, "scaled": 1e-5, "outputs": 1e-4, "stacked": 1e-9, "probability": 1e-5}
"""Largest difference of a value now from the one recorded; scaled inputs and networks are float32."""
_FUNDING_BEFORE_MS = 30 * 86_400_000
_SCALER = ("center", "scale")
_Columns = dict[str, Floats]


@dataclass(frozen=True)
class Stages:
    """What was recorded of n rows.

    Attributes
    ----------
    candles, funding : Candles, Funding or None
        What the rows are computed from: the longest lookback before the first of them, up to the last.
    times : (n,) int64
        The rows' open times, UTC ms.
    names : tuple of str
        F features in the order in which the members were fitted to them.
    center, scale : (F,) float64 or None
        The scaler's numbers in force then; None if nothing was scaled.
    values : dict
        Stage -> name -> (n,) float64: ``features``, ``scaled``, ``outputs``, ``trained``, ``stacked``, ``probability``.
    """

    candles: Candles
    funding: Funding | None
    times: Ints
    names: tuple[str, ...]
    center: Floats | None
    scale: Floats | None
    values: Mapping[str, _Columns]

    @property
    def rows(self) -> Ints:
        """The rows' positions among the candles (n,)."""
        return np.asarray(np.searchsorted(self.candles.open_time, self.times), dtype=np.int64)

    def as_made(self, served: Features) -> Features:
        """The features as the members were fitted to them: in the order, and by the scaler, recorded."""
        scaler = served.scaler
        if scaler is not None and self.center is not None and self.scale is not None:
            numbers = {"center": tuple(self.center.tolist()), "scale": tuple(self.scale.tolist())}
            scaler = Scaler.model_validate(scaler.model_dump() | numbers)
        return served.model_copy(update={"names": self.names, "scaler": scaler})

    def table(self, stage: str) -> Floats:
        """A stage's values (n, K), columns in the order recorded."""
        return np.column_stack(list(self.values[stage].values()))


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


def rows_of(rows: Ints) -> Ints:
    """The rows to record: some of the last week of those given, the last one included."""
    last = rows[rows > rows[-1] - SPAN]
    return np.asarray(last[np.unique(np.linspace(0, len(last) - 1, COUNT).astype(np.int64))], dtype=np.int64)


def record(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    candles: Candles,
    funding: Funding | None,
    rows: Ints,
    matrix: Floats | None = None,
    trained: Mapping[str, Trained] | None = None,
) -> bytes:
    """The file's content; the same set and rows give the same bytes.

    Parameters
    ----------
    manifest, contents : Manifest, mapping
        Of the finished set, its files by name.
    candles, funding : Candles, Funding or None
        What the set was made of.
    rows : (n,) int64
        Positions among the candles at which every member is ready: `rows_of`.
    matrix : (N, F) float64, optional
        The feature matrix the members were fitted to, so that what was trained on is compared with what is served;
        without it, computed here.
    trained : mapping, optional
        Member -> the network it was exported from.
    """
    if matrix is None:
        matrix = features.compute(candles, funding, manifest.features.names)
    first = max(0, int(rows[0]) - manifest.lookback + 1)
    cut = candles[first : int(rows[-1]) + 1]
    members = open_members(manifest, contents, Path(manifest.identity.name), "cpu")
    times = candles.open_time[rows]
    blocks: list[tuple[str, str, Ints, Floats]] = [
        ("candles", name, cut.open_time, getattr(cut, name)) for name in VALUES
    ]
    if funding is not None:
        part = funding.between(int(cut.open_time[0]) - _FUNDING_BEFORE_MS, int(cut.open_time[-1]) + cut.timeframe.ms)
        blocks.append(("funding", "rate", part.time, part.rate.astype(np.float64)))
    names, scaler = manifest.features.names, manifest.features.scaler
    if scaler is not None:
        for stage, numbers in zip(_SCALER, (scaler.center, scaler.scale), strict=True):
            blocks += [(stage, name, times[:1], np.array([n])) for name, n in zip(names, numbers, strict=True)]
    outputs = _outputs(members, matrix, rows)
    stages: dict[str, _Columns] = {
        "features": dict(zip(names, matrix[rows].T, strict=True)),
        "scaled": _scaled(manifest.features, matrix[rows]),
        "outputs": outputs,
        "trained": _trained(manifest, trained or {}, matrix, rows),
        "stacked": _stacked(manifest, outputs),
        "probability": _probabilities(manifest, members, matrix, rows),
    }
    blocks += [(stage, name, times, column) for stage, columns in stages.items() for name, column in columns.items()]
    return _to_bytes(blocks, candles.timeframe)


def recorded(content: bytes) -> Recorded:
    """The manifest's entry for the file."""
    return Recorded(
        file=FILE, sha256=digest(content), bytes=len(content), rows=pq.read_metadata(io.BytesIO(content)).num_rows
    )


def read(model_set: ModelSet) -> Stages:
    """The stage goldens of a verified set.

    Raises
    ------
    ModelSetError
        If the set has none, or the file is damaged.
    """
    entry = model_set.manifest.stages
    if entry is None:
        remedy = "it was made by an earlier version; train it again"
        raise ModelSetError("it has no stage goldens", model_set.path, remedy)
    try:
        return _parsed(pq.read_table(io.BytesIO(model_set.contents[entry.file])))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        what = f"no stage goldens: {(str(error).splitlines() or [type(error).__name__])[0]}"
        raise ModelSetError(what, model_set.path / entry.file, "train the set again") from error


def check(manifest: Manifest, contents: Mapping[str, bytes], stages: Stages) -> list[Drift]:
    """How far each stage of `CHAIN` is off now, fed with what was recorded before it: a fault shows where it is.

    A member's outputs depend on a whole window, of which the last row alone is recorded: members are asked about
    features computed anew, but in the order and by the scaler recorded. Probabilities are asked for the same way, so
    they are off too where outputs are. A member that cannot be opened leaves what needs it not known.
    """
    served, said = manifest.features, stages.values
    matrix = features.compute(stages.candles, stages.funding, served.names)[stages.rows]
    found = [_drift("features", dict(zip(served.names, matrix.T, strict=True)), said["features"])]
    as_made = stages.table("features")
    fits = served.scaler is not None and as_made.shape[1] == len(served.names)
    found.append(_drift("scaled", _scaled(served, as_made), said["scaled"]) if fits else _unknown("scaled"))
    then = manifest.model_copy(update={"features": stages.as_made(served)})
    try:
        whole = features.compute(stages.candles, stages.funding, stages.names)
    except features.FeatureError:
        return [*found, *(_unknown(stage) for stage in CHAIN[2:])]
    members = openable(then, contents)
    found.append(_drift("outputs", _outputs(members, whole, stages.rows), said["outputs"]))
    found.append(_drift("stacked", _stacked(manifest, said["outputs"]), said["stacked"]))
    if len(members) < len(manifest.models):
        return [*found, _unknown("probability")]
    return [*found, _drift("probability", _probabilities(then, members, whole, stages.rows), said["probability"])]


def openable(manifest: Manifest, contents: Mapping[str, bytes]) -> dict[str, Open]:
    """The members that can be opened; of a set under diagnosis some may not."""
    found: dict[str, Open] = {}
    for member in manifest.models:
        with contextlib.suppress(ModelSetError):
            found |= open_members(manifest.model_copy(update={"models": (member,)}), contents, Path(member.name), "cpu")
    return found


def _outputs(members: Mapping[str, Open], matrix: Floats, rows: Ints) -> _Columns:
    """Raw outputs of each member's file by member and head: logits, if that is what the manifest declares."""
    return {
        f"{name}/{key}": column
        for name, member in members.items()
        for key, column in zip(member.spec.heads, member.answer(matrix, rows).T, strict=True)
    }


def _trained(manifest: Manifest, trained: Mapping[str, Trained], matrix: Floats, rows: Ints) -> _Columns:
    """Networks' own logits, window by window: between the rows may be some that no network can read."""
    window = manifest.window
    last = np.array([window - 1], dtype=np.int64)
    found: _Columns = {}
    for name, answer in trained.items():
        logits = np.concatenate([answer(matrix[row - window + 1 : row + 1], last) for row in rows])
        found |= {f"{name}/{key}": column for key, column in zip(manifest.member(name).heads, logits.T, strict=True)}
    return found


def _scaled(served: Features, matrix: Floats) -> _Columns:
    scaler = served.scaler
    if scaler is None:
        return {}
    inputs = scale(matrix, np.array(scaler.center), np.array(scaler.scale), scaler.clip).astype(np.float64)
    return dict(zip(served.names, inputs.T, strict=True))


def _stacked(manifest: Manifest, outputs: _Columns) -> _Columns:
    found = {}
    for key, stacker in manifest.ensemble.stackers.items():
        names = [f"{name}/{key}" for name in stacker.members]
        if all(name in outputs for name in names):
            kinds = [manifest.member(name).output for name in stacker.members]
            logits = [outputs[n] if k == "logit" else logit(outputs[n]) for n, k in zip(names, kinds, strict=True)]
            found[key] = stacked(np.column_stack(logits), np.array(stacker.coefficients), stacker.intercept)
    return found


def _probabilities(manifest: Manifest, members: Mapping[str, Open], matrix: Floats, rows: Ints) -> _Columns:
    answers = ask(manifest, members, matrix, rows)
    return {**answers.heads, "p_long": answers.p_long, "p_short": answers.p_short}


def _drift(stage: str, now: _Columns, then: _Columns) -> Drift:
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
    apart = {a: float(np.abs(now[a] - then[b]).max()) for a, b in pairs}
    worst = max(apart, key=lambda name: np.inf if np.isnan(apart[name]) else apart[name])
    return Drift(stage, apart[worst], worst, limit)


def _unknown(stage: str) -> Drift:
    return Drift(stage, float("nan"), "", LIMITS[stage], known=False)


def _to_bytes(blocks: list[tuple[str, str, Ints, Floats]], timeframe: Timeframe) -> bytes:
    lengths = [len(values) for _, _, _, values in blocks]
    table = pa.table(
        {
            "stage": pa.array(np.repeat([b[0] for b in blocks], lengths)).dictionary_encode(),
            "name": pa.array(np.repeat([b[1] for b in blocks], lengths)).dictionary_encode(),
            "at": np.concatenate([b[2] for b in blocks]),
            "value": np.concatenate([b[3] for b in blocks]),
        }
    ).replace_schema_metadata({"timeframe": str(timeframe)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19, write_statistics=False)
    return buffer.getvalue()


def _parsed(table: pa.Table) -> Stages:
    timeframe = Timeframe.parse(table.schema.metadata[b"timeframe"].decode())
    values: dict[str, _Columns] = {stage: {} for stage in ("candles", *_SCALER, *CHAIN, "trained", "funding")}
    times: dict[str, Ints] = {}
    for stage, name, at, column in _blocks(table):
        values[stage][name], times[stage] = column, at
    candles = Candles(timeframe, times["candles"], *(values["candles"][name] for name in VALUES))
    funding = values["funding"].get("rate")
    scaler = [np.concatenate(list(values[stage].values())) if values[stage] else None for stage in _SCALER]
    return Stages(
        candles=candles,
        funding=None if funding is None else Funding(times["funding"], funding.astype(np.int64)),
        times=times["features"],
        names=tuple(values["features"]),
        center=scaler[0],
        scale=scaler[1],
        values={stage: values[stage] for stage in (*CHAIN, "trained")},
    )


def _blocks(table: pa.Table) -> Iterator[tuple[str, str, Ints, Floats]]:
    """Runs of rows of one stage and name, in the file's order."""
    stage, name = (
        table[c].combine_chunks().cast(pa.string()).to_numpy(zero_copy_only=False) for c in ("stage", "name")
    )
    at, value = table["at"].to_numpy(), table["value"].to_numpy()
    new = np.flatnonzero((stage[1:] != stage[:-1]) | (name[1:] != name[:-1])) + 1
    for start, end in itertools.pairwise([0, *new.tolist(), len(table)]):
        yield str(stage[start]), str(name[start]), at[start:end].copy(), value[start:end].copy()
