"""Making: the stages of a few rows of a set that was just trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from market.candles import VALUES, Candles, Floats, Ints
from market.funding import Funding
from models import features
from models.golden import Trained
from models.inference import finer_rows
from models.inputs import FinerRows, Inputs
from models.manifest import Features, Manifest
from models.members import open_members
from models.stages import answers
from models.stages.kept import COMPANION, FINER, Block, Columns, to_bytes

COUNT, SPAN = 4, 168
"""Rows that are recorded, and the bars they are spread over: a week shows how much the inputs move."""
_FUNDING_BEFORE_MS = 30 * 86_400_000


def rows_of(rows: Ints) -> Ints:
    """The rows to record: some of the last week of those given, the last one included."""
    last = rows[rows > rows[-1] - SPAN]
    return np.asarray(last[np.unique(np.linspace(0, len(last) - 1, COUNT).astype(np.int64))], dtype=np.int64)


def record(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    inputs: Inputs,
    rows: Ints,
    trained: Mapping[str, Trained] | None = None,
    *,
    matrix: Floats | None = None,
    finer: FinerRows | None = None,
) -> bytes:
    """The file's content; the same set and rows give the same bytes.

    Parameters
    ----------
    manifest, contents : Manifest, mapping
        Of the finished set, its files by name.
    inputs : Inputs
        What the set was made of.
    rows : (n,) int64
        Positions among the candles at which every member is ready: `rows_of`.
    trained : mapping, optional
        Member -> the network it was exported from.
    matrix, finer : (N, F) float64, FinerRows, optional
        What the members were fitted to, so that what was trained on is compared with what is served; without them,
        computed here.
    """
    if matrix is None:
        matrix = features.compute(inputs.candles, inputs.funding, manifest.features.names, inputs.companion)
    if manifest.finer is None:
        finer = None
    elif finer is None:
        finer = finer_rows(manifest, inputs.candles, inputs.finer, inputs.funding)
    cut, times = _cut(manifest, inputs, rows), inputs.candles.open_time[rows]
    blocks = _of_candles("", cut.candles, cut.funding)
    blocks += _of_reading("", manifest.features, matrix[rows], times)
    if manifest.finer is not None and finer is not None and cut.finer is not None:
        blocks += _of_candles(FINER, cut.finer, None)
        at = finer.at[rows]
        blocks += _of_reading(
            FINER, manifest.finer.features, np.where(at[:, None] >= 0, finer.matrix[at], np.nan), times
        )
    if cut.companion is not None and manifest.features.pair is not None:
        blocks += _of_candles(COMPANION, cut.companion, None)
    members = open_members(manifest, contents, Path(manifest.identity.name), "cpu")
    outputs = answers.outputs(members, matrix, rows, finer)
    computed: dict[str, Columns] = {
        "outputs": outputs,
        "trained": answers.trained(manifest, trained or {}, matrix, rows, finer),
        "stacked": answers.stacked(manifest, outputs, dict(zip(manifest.features.names, matrix[rows].T, strict=True))),
        "probability": answers.probabilities(manifest, members, matrix, rows, finer),
    }
    blocks += [(stage, name, times, column) for stage, columns in computed.items() for name, column in columns.items()]
    return to_bytes(blocks, {name: str(c.timeframe) for name, c in _candles_of(cut)})


def _cut(manifest: Manifest, inputs: Inputs, rows: Ints) -> Inputs:
    """As much as the rows are computed from."""
    candles = inputs.candles[max(0, int(rows[0]) - manifest.lookback + 1) : int(rows[-1]) + 1]
    step = candles.timeframe.ms
    start, end = int(candles.open_time[0]), int(candles.open_time[-1]) + step
    finer = None
    if inputs.finer is not None and manifest.finer is not None:
        first = int(inputs.candles.open_time[rows[0]]) + step - manifest.finer_lookback * inputs.finer.timeframe.ms
        finer = inputs.finer.between(first, end)
    return Inputs(
        candles,
        None if inputs.funding is None else inputs.funding.between(start - _FUNDING_BEFORE_MS, end),
        finer,
        None if inputs.companion is None else inputs.companion.between(start, end),
    )


def _candles_of(inputs: Inputs) -> Iterator[tuple[str, Candles]]:
    for kind, candles in (("", inputs.candles), (FINER, inputs.finer), (COMPANION, inputs.companion)):
        if candles is not None:
            yield f"{kind}timeframe", candles


def _of_candles(kind: str, candles: Candles, funding: Funding | None) -> list[Block]:
    blocks = [(f"{kind}candles", name, candles.open_time, getattr(candles, name)) for name in VALUES]
    if funding is not None:
        blocks.append(("funding", "rate", funding.time, funding.rate.astype(np.float64)))
    return blocks


def _of_reading(kind: str, told: Features, table: Floats, times: Ints) -> list[Block]:
    """The scaler, and the rows' features (n, F) before and after it."""
    blocks: list[Block] = []
    if told.scaler is not None:
        for stage, numbers in (("center", told.scaler.center), ("scale", told.scaler.scale)):
            pairs = zip(told.names, numbers, strict=True)
            blocks += [(kind + stage, name, times[:1], np.array([number])) for name, number in pairs]
    for stage, columns in (
        ("features", dict(zip(told.names, table.T, strict=True))),
        ("scaled", answers.scaled(told, table)),
    ):
        blocks += [(kind + stage, name, times, column) for name, column in columns.items()]
    return blocks
