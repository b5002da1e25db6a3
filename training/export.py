"""Export: a trained network as ONNX bytes, proven to say what torch says at several batch sizes.

The legacy exporter is meant: the newer one takes ten times as long and freezes the window's length.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from market.candles import Ints
from training.loop import Matrix, logits, windows

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the first import of onnxruntime
import onnxruntime

OPSET = 17
PARITY_BATCHES = (1, 2, 7, 64)
PARITY_LIMIT = 1e-4
INPUT, OUTPUT = "window", "logits"


class ExportError(RuntimeError):
    """The exported network does not say what the trained one says."""


@dataclass(frozen=True)
class Exported:
    """ONNX bytes, and the largest |difference of logits| (nats) between torch and ONNX for each batch size."""

    onnx: bytes
    parity: Mapping[int, float]


def export(network: nn.Module, matrix: Matrix, rows: Ints, window: int) -> Exported:
    """Export a network (B, T, F) -> (B, H), the batch left open, and compare it on windows that end at `rows`.

    Raises
    ------
    ExportError
        If a logit differs by more than 1e-4 at any batch size, or is not finite.
    """
    network.eval()
    example = windows(torch.from_numpy(matrix), torch.from_numpy(rows[:2]), window)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about a batch size that parity below puts to the test
        torch.onnx.export(
            network,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
    onnx = buffer.getvalue()
    return Exported(onnx, parity(network, onnx, matrix, rows, window))


def parity(network: nn.Module, onnx: bytes, matrix: Matrix, rows: Ints, window: int) -> dict[int, float]:
    """Largest |Δlogit| for each of the batch sizes, over batches spread through `rows`.

    Raises
    ------
    ExportError
        As `export`.
    """
    session = _session(onnx)
    found: dict[int, float] = {}
    for batch in PARITY_BATCHES:
        chosen = rows[np.linspace(0, len(rows) - 1, batch).astype(np.int64)]
        fed = windows(torch.from_numpy(matrix), torch.from_numpy(chosen), window).numpy()
        difference = np.abs(session.run([OUTPUT], {INPUT: fed})[0] - logits(network, matrix, chosen, window))
        found[batch] = float(difference.max())
        if not found[batch] <= PARITY_LIMIT:
            raise ExportError(
                f"at batch {batch} the ONNX network differs from torch by {found[batch]:.2g} in a logit "
                f"(limit {PARITY_LIMIT:g}); the set was not written"
            )
    return found


def run(onnx: bytes, matrix: Matrix, rows: Ints, window: int, batch: int = 512, threads: int = 1) -> Matrix:
    """The exported network's logits (n, H) for windows that end at `rows`; `threads` ask about batches side by side."""
    session, inputs = _session(onnx), torch.from_numpy(matrix)

    def asked(part: torch.Tensor) -> Matrix:
        found: Matrix = session.run([OUTPUT], {INPUT: windows(inputs, part, window).numpy()})[0]
        return found

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(asked, torch.from_numpy(rows).split(batch))))


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
