"""Golden answers: what the members gave to inputs drawn from a seed when the set was made, asked again at every load.

A file that its hash calls whole may still be computed otherwise by another processor or library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from market.candles import Floats, Ints
from models.ensemble import ask
from models.inputs import FinerRows
from models.manifest import Features, Golden, Manifest
from models.members import Open, open_members
from models.modelset import ModelSetError

TOLERANCE = 1e-5
"""Golden answers may differ by this much: another processor or library version rounds otherwise."""

Trained = Callable[[Floats, Ints], Floats]
"""A network before it was exported: logits (n, heads) for the given rows of the unscaled matrix (N, F) it reads."""


def check(manifest: Manifest, members: Mapping[str, Open], path: Path) -> None:
    """Ask the golden inputs again; a set without golden answers passes.

    Raises
    ------
    ModelSetError
        If an answer is further than `TOLERANCE` from the one in the manifest.
    """
    golden = manifest.golden
    if golden is None:
        return
    found = golden_outputs(manifest, members, golden.seed, golden.count)
    remedy = "this machine or its libraries compute otherwise than those that made it; train the set here"
    if set(found) != set(golden.outputs):
        raise ModelSetError("its golden answers are of other outputs than it has", path, remedy)
    worst = max(found, key=lambda name: _apart(found[name], golden.outputs[name]))
    apart = _apart(found[worst], golden.outputs[worst])
    if not apart <= TOLERANCE:
        raise ModelSetError(f"it answers {worst} {apart:.2g} off its golden answers", path, remedy)


def golden_inputs(manifest: Manifest, seed: int, count: int, timeframe: str | None = None) -> tuple[Floats, Ints]:
    """A feature matrix of plausible values drawn from a seed, and the `count` rows of it to be asked about.

    Of the decision's timeframe, or of the finer one that a member names: what `Member.timeframe` says.
    """
    if timeframe is None:
        return _drawn(np.random.default_rng(seed), manifest.features, manifest.window, count)
    assert manifest.finer is not None, "a member names a finer timeframe, and the manifest has none"
    return _drawn(np.random.default_rng([seed, 1]), manifest.finer.features, manifest.finer_window, count)


def _drawn(generator: np.random.Generator, told: Features, window: int, count: int) -> tuple[Floats, Ints]:
    drawn = generator.standard_normal((count + window - 1, len(told.names)))
    scaler = told.scaler
    matrix = drawn if scaler is None else drawn * np.array(scaler.scale) + np.array(scaler.center)
    return matrix, np.arange(window - 1, len(matrix), dtype=np.int64)


def golden_finer_rows(manifest: Manifest, seed: int, count: int) -> FinerRows | None:
    """The finer matrix drawn from a seed beside the golden inputs, row for row; None if no member reads one."""
    if manifest.finer is None:
        return None
    matrix, rows = golden_inputs(manifest, seed, count, manifest.finer.timeframe)
    return FinerRows(matrix, np.concatenate([np.full(manifest.window - 1, -1, dtype=np.int64), rows]))


def golden_outputs(manifest: Manifest, members: Mapping[str, Open], seed: int, count: int) -> dict[str, Floats]:
    """What the members answer to the golden inputs."""
    inputs, finer = golden_inputs(manifest, seed, count), golden_finer_rows(manifest, seed, count)
    return ask(manifest, members, *inputs, finer).named()


def with_golden(
    manifest: Manifest,
    files: Mapping[str, bytes],
    seed: int = 0,
    count: int = 16,
    trained: Mapping[str, Trained] | None = None,
) -> Manifest:
    """The manifest with the answers its files give now, so that every later load can ask them again.

    Called once, when a set is made, before `models.modelset.save`.

    Parameters
    ----------
    trained : mapping, optional
        Member -> the network it was exported from; its logits are kept, so that the export can be judged without it. A
        finer member's is given the finer matrix.
    """
    members = open_members(manifest, files, Path(manifest.identity.name), "cpu")
    outputs = golden_outputs(manifest, members, seed, count)
    originals = {
        f"{name}/{key}": column
        for name, answer in (trained or {}).items()
        for member in (manifest.member(name),)
        for key, column in zip(
            member.heads, answer(*golden_inputs(manifest, seed, count, member.timeframe)).T, strict=True
        )
    }
    golden = Golden(
        seed=seed,
        count=count,
        outputs={k: tuple(v.tolist()) for k, v in outputs.items()},
        trained={k: tuple(v.tolist()) for k, v in originals.items()},
    )
    return manifest.model_copy(update={"golden": golden})


def _apart(found: Floats, golden: tuple[float, ...]) -> float:
    return float(np.abs(found - np.array(golden)).max()) if len(found) == len(golden) else float("inf")
