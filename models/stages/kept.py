"""The file of stage goldens: what was recorded of each row, as a table and back."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.candles import VALUES, Candles, Floats, Ints
from market.funding import Funding
from market.timeframes import Timeframe
from models import features
from models.inputs import Inputs, closing_with
from models.manifest import Features, Recorded, Scaler
from models.modelset import ModelSet, ModelSetError, digest

FILE = "stages.parquet"
FINER, COMPANION = "finer ", "companion "
"""What stands before the stages of a finer timeframe, and the companion's candles."""
Columns = dict[str, Floats]
Block = tuple[str, str, Ints, Floats]
"""Stage, name, the times of its rows, and their values."""
ANSWERS = ("outputs", "trained", "stacked", "probability")


@dataclass(frozen=True)
class Reading:
    """What members of one timeframe read, as it was recorded of n rows.

    Attributes
    ----------
    inputs : Inputs
        Candles that the rows are computed from, with funding and companion where they are read.
    rows : (n,) int64
        The rows' positions among them; -1 where a decision's row has no finer one.
    names : tuple of str
        F features in the order in which the members were fitted to them.
    center, scale : (F,) float64 or None
        The scaler's numbers in force then; None if nothing was scaled.
    features, scaled : dict
        Feature -> (n,) float64, NaN where there is no row.
    """

    inputs: Inputs
    rows: Ints
    names: tuple[str, ...]
    center: Floats | None
    scale: Floats | None
    features: Columns
    scaled: Columns

    @property
    def table(self) -> Floats:
        """The features (n, F), in the order recorded."""
        return np.column_stack(list(self.features.values()))

    def compute(self, names: tuple[str, ...]) -> Floats:
        """The matrix of these features of all the candles (N, F), computed now."""
        return features.compute(self.inputs.candles, self.inputs.funding, names, self.inputs.companion)

    def at_rows(self, matrix: Floats) -> Floats:
        """The recorded rows of such a matrix (n, F), NaN where there is none."""
        return np.where(self.rows[:, None] >= 0, matrix[self.rows], np.nan)

    def as_made(self, served: Features) -> Features:
        """The features as the members were fitted to them: in the order, and by the scaler, recorded."""
        scaler = served.scaler
        if scaler is not None and self.center is not None and self.scale is not None:
            numbers = {"center": tuple(self.center.tolist()), "scale": tuple(self.scale.tolist())}
            scaler = Scaler.model_validate(scaler.model_dump() | numbers)
        return served.model_copy(update={"names": self.names, "scaler": scaler})


@dataclass(frozen=True)
class Stages:
    """What was recorded of n rows.

    Attributes
    ----------
    inputs : Inputs
        What they are computed from: the longest lookback before the first of them, up to the last.
    times : (n,) int64
        The rows' open times, UTC ms.
    decision : Reading
        What members of the decision's timeframe read.
    finer : Reading or None
        What those of a finer one read.
    values : dict
        Stage -> name -> (n,) float64: ``outputs``, ``trained``, ``stacked``, ``probability``.
    """

    inputs: Inputs
    times: Ints
    decision: Reading
    finer: Reading | None
    values: Mapping[str, Columns]

    def reading(self, timeframe: str | None) -> Reading | None:
        """What a member of that timeframe reads, as `Member.timeframe` names it."""
        return self.decision if timeframe is None else self.finer


def recorded(content: bytes) -> Recorded:
    """The manifest's entry for the file."""
    rows = pq.read_metadata(io.BytesIO(content)).num_rows
    return Recorded(file=FILE, sha256=digest(content), bytes=len(content), rows=rows)


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


def to_bytes(blocks: list[Block], told: dict[str, str]) -> bytes:
    lengths = [len(values) for _, _, _, values in blocks]
    table = pa.table(
        {
            "stage": pa.array(np.repeat([b[0] for b in blocks], lengths)).dictionary_encode(),
            "name": pa.array(np.repeat([b[1] for b in blocks], lengths)).dictionary_encode(),
            "at": np.concatenate([b[2] for b in blocks]),
            "value": np.concatenate([b[3] for b in blocks]),
        }
    ).replace_schema_metadata(told)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19, write_statistics=False)
    return buffer.getvalue()


def _parsed(table: pa.Table) -> Stages:
    values: dict[str, Columns] = {}
    times: dict[str, Ints] = {}
    for stage, name, at, column in _blocks(table):
        values.setdefault(stage, {})[name], times[stage] = column, at
    told = {key.decode(): Timeframe.parse(value.decode()) for key, value in (table.schema.metadata or {}).items()}

    def candles(kind: str) -> Candles:
        columns = values[f"{kind}candles"]
        return Candles(told[f"{kind}timeframe"], times[f"{kind}candles"], *(columns[name] for name in VALUES))

    funding = Funding(times["funding"], values["funding"]["rate"].astype(np.int64)) if "funding" in values else None
    companion = candles(COMPANION) if f"{COMPANION}candles" in values else None
    finer = candles(FINER) if f"{FINER}candles" in values else None
    inputs = Inputs(candles(""), funding, finer, companion)
    rows = np.searchsorted(inputs.candles.open_time, times["features"]).astype(np.int64)
    return Stages(
        inputs=inputs,
        times=times["features"],
        decision=_reading("", Inputs(inputs.candles, funding, None, companion), rows, values),
        finer=None
        if finer is None
        else _reading(FINER, Inputs(finer, funding), closing_with(inputs.candles, finer)[rows], values),
        values={stage: values.get(stage, {}) for stage in ANSWERS},
    )


def _reading(kind: str, inputs: Inputs, rows: Ints, values: Mapping[str, Columns]) -> Reading:
    def numbers(stage: str) -> Floats | None:
        return np.concatenate(list(values[kind + stage].values())) if kind + stage in values else None

    read = values[f"{kind}features"]
    scaled = values.get(f"{kind}scaled", {})
    return Reading(inputs, rows, tuple(read), numbers("center"), numbers("scale"), read, scaled)


def _blocks(table: pa.Table) -> Iterator[Block]:
    """Runs of rows of one stage and name, in the file's order."""
    words = (table[name].combine_chunks().cast(pa.string()) for name in ("stage", "name"))
    stage, name = (column.to_numpy(zero_copy_only=False) for column in words)
    at, value = table["at"].to_numpy(), table["value"].to_numpy()
    new = np.flatnonzero((stage[1:] != stage[:-1]) | (name[1:] != name[:-1])) + 1
    for start, end in itertools.pairwise([0, *new.tolist(), len(table)]):
        yield str(stage[start]), str(name[start]), at[start:end].copy(), value[start:end].copy()
