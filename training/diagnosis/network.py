"""The network's file as it is: asked about scaled windows in batches of any size, whatever the manifest says of it."""

from __future__ import annotations

import os

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from market.candles import Floats, Ints
from models.manifest import Member

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is first imported

BATCHES = (1, 2, 7, 64)
Windows = NDArray[np.float32]
"""Scaled inputs: (N, F), or windows of them (n, T, F)."""


class NetworkError(Exception):
    """A file that onnxruntime cannot run."""


class Network:
    """An ONNX network on the CPU, one thread.

    Attributes
    ----------
    columns : int
        Of its output.
    """

    def __init__(self, member: Member, content: bytes, features: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.member, self.features = member, features
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            found = self.run(self.drawn(2), 2)
        except Exception as error:  # onnxruntime's errors share no base class
            raise NetworkError(str(error).splitlines()[0]) from error
        self.columns = found.shape[1] if found.ndim == 2 else 0

    def run(self, windows: Windows, batch: int = 64) -> Floats:
        """Outputs (n, columns) of windows (n, T, F), asked about `batch` at a time."""
        member = self.member
        parts = [windows[at : at + batch] for at in range(0, len(windows), batch)]
        answers = [self._session.run([member.output_name], {member.input_name: part})[0] for part in parts]
        return np.concatenate(answers).astype(np.float64)

    def drawn(self, count: int) -> Windows:
        """Windows (count, T, F) of standard normals: what a well-scaled input looks like."""
        shape = (count, self.member.window, self.features)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def windows(self, scaled: Windows, rows: Ints) -> Windows:
        """Windows (n, T, F) that end at the given rows of scaled inputs (N, F)."""
        length = self.member.window
        views = sliding_window_view(scaled, length, axis=0)
        return np.ascontiguousarray(views[rows - length + 1].transpose(0, 2, 1))
