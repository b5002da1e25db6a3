"""The export: does the file answer the same twice, whatever stands beside a row, and what the trained network said?"""

from __future__ import annotations

import numpy as np

from models.stages import LIMITS
from training.diagnosis.finding import BROKEN, OK, Figure, Finding, not_known
from training.diagnosis.network import BATCHES
from training.diagnosis.subject import Subject

MODE, BATCH, PARITY = "evaluation mode", "batch", "torch against ONNX"
LIMIT = LIMITS["outputs"]
"""Largest difference of a logit: that of the export."""
_BOOSTER = "it is no network"
_EVAL = "call eval() before the export, and export it again"


def mode(subject: Subject) -> Finding:
    """Does the network give the same answer to the same windows twice?"""
    network = subject.network
    if network is None:
        return Finding(MODE, OK, f"{_BOOSTER}, so nothing is drawn")
    windows = network.drawn(64)
    first = network.run(windows)
    apart = max(float(np.abs(network.run(windows) - first).max()) for _ in range(3))
    figures: dict[str, Figure] = {"largest_difference": apart}
    if apart > 0:
        sentence = f"asked the same twice it answers {apart:.2g} apart: it was exported in training mode (dropout)"
        return Finding(MODE, BROKEN, sentence, _EVAL, figures)
    return Finding(MODE, OK, "the same answer to the same windows, four times", figures=figures)


def batch(subject: Subject) -> Finding:
    """Is a row answered the same in batches of 1, 2, 7 and 64?"""
    network = subject.network
    if network is None:
        return Finding(BATCH, OK, f"{_BOOSTER}: it answers row by row")
    windows = network.drawn(64)
    alone = network.run(windows, 1)
    if not np.isfinite(alone).all():
        return not_known(BATCH, "outputs are no numbers: see output range")
    apart = {size: float(np.abs(network.run(windows, size) - alone).max()) for size in BATCHES}
    worst = max(apart, key=lambda size: apart[size])
    figures: dict[str, Figure] = {f"batch_{size}": found for size, found in apart.items()}
    if not apart[worst] <= LIMIT:
        sentence = (
            f"a row's answer depends on its neighbours: {apart[worst]:.2g} off in a batch of {worst}, against alone"
        )
        if np.abs(alone).max() < 1e-6:
            sentence += " (0.0 for any row alone, as of a batch norm in training mode)"
        remedy = f"take out what mixes the rows of a batch (batch norm, a mean over axis 0), or {_EVAL}"
        return Finding(BATCH, BROKEN, sentence, remedy, figures)
    return Finding(
        BATCH, OK, f"a row is answered the same in batches of 1, 2, 7, 64 ({apart[worst]:.1e})", figures=figures
    )


def torch_against_onnx(subject: Subject) -> Finding:
    """Does the file say what the network said before it was exported, at each batch size?"""
    network = subject.network
    if network is None:
        return Finding(PARITY, OK, f"{_BOOSTER}, so nothing was exported")
    figures: dict[str, Figure] = {f"recorded_{size}": found for size, found in subject.member.parity.items()}
    worst = max(subject.member.parity.values(), default=None)  # None: nothing was recorded
    trained, windows = subject.trained, subject.golden_windows
    remedy = "export the network again from its trained weights, in eval()"
    if trained is not None and windows is not None:
        for size in BATCHES:
            many = np.arange(max(size, len(windows))) % len(windows)
            figures[f"batch_{size}"] = float(np.abs(network.run(windows[many], size) - trained[many]).max())
        now = {size: figures[f"batch_{size}"] for size in BATCHES}
        off = max(now, key=lambda size: _number(now[size]))
        if not _number(now[off]) <= LIMIT:
            flat = " (the file's answers are constant)" if network.run(windows).std(axis=0).max() < 1e-6 else ""
            sentence = (
                f"the file's logits are up to {_number(now[off]):.2g} off the trained network's at batch {off} "
                f"(limit {LIMIT:g}){flat}"
            )
            return Finding(PARITY, BROKEN, sentence, remedy, figures)
    if worst is not None and not worst <= LIMIT:
        sentence = f"the export was {worst:.2g} off the trained network when it was made (limit {LIMIT:g})"
        return Finding(PARITY, BROKEN, sentence, remedy, figures)
    real = _on_real_rows(subject)
    if real is not None:
        figures["golden_rows"] = real
        if not real <= LIMIT:
            sentence = f"the file agrees with the trained network on drawn inputs, but is {real:.2g} off on real rows"
            return Finding(PARITY, BROKEN, sentence, "compare the inputs of both: see golden stages", figures)
    if trained is None and worst is None and real is None:
        return not_known(PARITY, "the trained network's logits were not recorded", **figures)
    largest = max(_number(found) for found in figures.values())
    return Finding(PARITY, OK, f"at most {largest:.1e} apart in a logit (limit {LIMIT:g})", figures=figures)


def _on_real_rows(subject: Subject) -> float | None:
    """Largest difference, on the golden rows as they were, of the outputs recorded from the trained network's."""
    stages = subject.stages
    if stages is None:
        return None
    trained, outputs = stages.values["trained"], stages.values["outputs"]
    names = [f"{subject.member.name}/{key}" for key in subject.member.heads]
    if any(name not in trained or name not in outputs for name in names):
        return None
    return max(float(np.abs(trained[name] - outputs[name]).max()) for name in names)


def _number(figure: Figure) -> float:
    assert isinstance(figure, int | float)
    return float(figure) if np.isfinite(figure) else float("inf")
