"""The stages that are computed: scaled inputs, members' outputs, stacked logits, probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from market.candles import Floats, Ints
from models.ensemble import ask, fused
from models.golden import Trained
from models.inputs import FinerRows
from models.logits import logit
from models.manifest import Features, Manifest
from models.members import Open
from models.scaling import scale
from models.stacking import VOLATILITY
from models.stages.kept import Columns


def scaled(served: Features, matrix: Floats) -> Columns:
    scaler = served.scaler
    if scaler is None:
        return {}
    inputs = scale(matrix, np.array(scaler.center), np.array(scaler.scale), scaler.clip).astype(np.float64)
    return dict(zip(served.names, inputs.T, strict=True))


def outputs(members: Mapping[str, Open], matrix: Floats, rows: Ints, finer: FinerRows | None) -> Columns:
    """Raw outputs of each member's file by member and head: logits, if that is what the manifest declares."""
    found: Columns = {}
    for name, member in members.items():
        answers = np.full((len(rows), len(member.spec.heads)), np.nan)
        if member.spec.timeframe is None:
            answers = member.answer(matrix, rows)
        elif finer is not None:
            there, at = finer.of(rows)
            answers[there] = member.answer(finer.matrix, at)
        found |= {f"{name}/{key}": column for key, column in zip(member.spec.heads, answers.T, strict=True)}
    return found


def trained(
    manifest: Manifest, trained: Mapping[str, Trained], matrix: Floats, rows: Ints, finer: FinerRows | None
) -> Columns:
    """Networks' own logits, window by window: between the rows may be some that no network can read."""
    found: Columns = {}
    for name, answer in trained.items():
        member = manifest.member(name)
        table, at = (matrix, rows) if member.timeframe is None or finer is None else (finer.matrix, finer.at[rows])
        window = manifest.window if member.timeframe is None else manifest.finer_window
        last = np.array([window - 1], dtype=np.int64)
        logits = np.full((len(rows), len(member.heads)), np.nan)
        for row in np.flatnonzero(at >= 0):
            logits[row] = answer(table[at[row] - window + 1 : at[row] + 1], last)[0]
        found |= {f"{name}/{key}": column for key, column in zip(member.heads, logits.T, strict=True)}
    return found


def stacked(manifest: Manifest, outputs: Columns, read: Columns) -> Columns:
    """Stacked logits by head of the outputs and features, NaN where a member gave none."""
    found = {}
    for key, stacker in manifest.ensemble.stackers.items():
        members = [manifest.member(name) for name in stacker.members]
        names = [f"{member.name}/{member.head_for(key)}" for member in members]
        if all(name in outputs for name in names):
            logits = [
                outputs[n] if m.output == "logit" else logit(outputs[n]) for n, m in zip(names, members, strict=True)
            ]
            found[key] = fused(stacker, np.column_stack(logits), read.get(VOLATILITY))
    return found


def probabilities(
    manifest: Manifest, members: Mapping[str, Open], matrix: Floats, rows: Ints, finer: FinerRows | None
) -> Columns:
    said = ask(manifest, members, matrix, rows, finer)
    return {**said.heads, "p_long": said.p_long, "p_short": said.p_short}
