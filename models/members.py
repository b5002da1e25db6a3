"""Members: the model files of a set, opened and ready to answer.

A row's answer must not depend on its neighbours in a batch, or history and live would part; LightGBM's never does, a
network's is tried out when it is opened, and one that does is asked row by row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from market.candles import Floats, Ints
from models.manifest import Features, Manifest, Member
from models.modelset import ModelSetError
from models.scaling import scale

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is first imported

Provider = Literal["auto", "cpu", "cuda"]
BATCH = 64
"""Windows a network is asked about at once."""
_NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Open(Protocol):
    """A member that answers."""

    @property
    def spec(self) -> Member:
        """What the manifest says of it."""

    @property
    def provider(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""

    def answer(self, matrix: Floats, rows: Ints) -> Floats:
        """Outputs (n, heads) for the given rows of the unscaled feature matrix (N, F)."""


def open_member(spec: Member, content: bytes, features: Features, file: Path, provider: Provider = "auto") -> Open:
    """Open a member from its verified content.

    Raises
    ------
    ModelSetError
        If the content is no model, or another one than the manifest describes.
    """
    if spec.kind == "lightgbm":
        return LightGBMMember(spec, content, features, file)
    return OnnxMember(spec, content, features, file, provider)


class LightGBMMember:
    """A LightGBM booster, from its text."""

    provider = "cpu"

    def __init__(self, spec: Member, content: bytes, features: Features, file: Path) -> None:
        import lightgbm

        self.spec = spec
        lightgbm.register_logger(_Quiet())
        try:
            self._booster = lightgbm.Booster(model_str=content.decode("utf-8"))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError, ValueError) as error:
            raise ModelSetError(f"no LightGBM model: {error}", file, "train the set again") from error
        columns, outputs = self._booster.num_feature(), self._booster.num_model_per_iteration()
        if columns != len(features.names) or outputs != len(spec.heads):
            raise ModelSetError(
                f"a model of {columns} features and {outputs} outputs, where the manifest says "
                f"{len(features.names)} and {len(spec.heads)}", file, "train the set again",
            )  # fmt: skip

    def answer(self, matrix: Floats, rows: Ints) -> Floats:
        """As `Open`."""
        found = self._booster.predict(
            np.ascontiguousarray(matrix[rows]), raw_score=self.spec.output == "logit", num_threads=1
        )
        return np.asarray(found, dtype=np.float64).reshape(len(rows), len(self.spec.heads))


class OnnxMember:
    """An ONNX network in onnxruntime, one thread, not spinning."""

    def __init__(self, spec: Member, content: bytes, features: Features, file: Path, provider: Provider) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelSetError("onnxruntime is not installed", file, "install it: pip install '.[cpu]'") from error
        if features.scaler is None:
            raise ModelSetError("a network needs scaled features, and the manifest has no scaler", file, "train again")
        self.spec = spec
        self._center, self._scale = np.array(features.scaler.center), np.array(features.scaler.scale)
        self._clip = features.scaler.clip
        there = onnxruntime.get_available_providers()
        wanted = provider if provider != "auto" else "cuda" if _NAMES["cuda"] in there else "cpu"
        unusable = ModelSetError(
            f"the GPU cannot be used; onnxruntime offers {', '.join(there)}", file,
            "install onnxruntime-gpu with a matching CUDA, or choose the provider cpu or auto",
        )  # fmt: skip
        if _NAMES[wanted] not in there:
            raise unusable
        try:
            self._session = onnxruntime.InferenceSession(content, _options(onnxruntime), providers=_providers(wanted))
        except Exception as error:  # onnxruntime's errors share no base class
            raise ModelSetError(f"no ONNX network onnxruntime can run: {error}", file, "train the set again") from error
        # onnxruntime falls back to the CPU without a word
        self.provider = "cuda" if self._session.get_providers()[0] == _NAMES["cuda"] else "cpu"
        if provider == "cuda" and self.provider != "cuda":
            raise unusable
        self._check_shape(len(features.names), file)
        self.batch = BATCH if self._neighbours_do_not_matter(len(features.names)) else 1

    def answer(self, matrix: Floats, rows: Ints) -> Floats:
        """As `Open`."""
        length = self.spec.window
        if not len(rows):
            return np.empty((0, len(self.spec.heads)))
        first = int(rows.min()) - length + 1
        scaled = scale(matrix[first : int(rows.max()) + 1], self._center, self._scale, self._clip)
        windows = sliding_window_view(scaled, length, axis=0)
        starts = rows - first - length + 1
        parts = [windows[starts[at : at + self.batch]] for at in range(0, len(rows), self.batch)]
        return np.concatenate([self._run(np.ascontiguousarray(p.transpose(0, 2, 1))) for p in parts]).astype(np.float64)

    def _run(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._session.run([self.spec.output_name], {self.spec.input_name: windows})[0]
        return result

    def _check_shape(self, columns: int, file: Path) -> None:
        spec = self.spec
        inputs = [(i.name, i.shape, i.type) for i in self._session.get_inputs()]
        outputs = {o.name: o.shape for o in self._session.get_outputs()}
        wanted = [None, spec.window, columns]
        problem = None
        if len(inputs) != 1 or inputs[0][0] != spec.input_name or inputs[0][2] != "tensor(float)":
            problem = f"its inputs are {inputs}, not one float32 tensor {spec.input_name!r}"
        elif not _fits(inputs[0][1], wanted):
            problem = f"its input is {inputs[0][1]}, not (batch, {spec.window}, {columns})"
        elif spec.output_name not in outputs or not _fits(outputs[spec.output_name], [None, len(spec.heads)]):
            problem = f"its outputs are {outputs}, not {spec.output_name!r} of (batch, {len(spec.heads)})"
        if problem:
            raise ModelSetError(problem, file, "the manifest describes another network; train the set again")

    def _neighbours_do_not_matter(self, columns: int) -> bool:
        """Whether each of a full batch's answers is to the last bit what the network says of that window alone."""
        shape = (BATCH, self.spec.window, columns)
        tried = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        together = self._run(tried)
        some = (0, 1, BATCH // 2, BATCH - 1)
        alone = np.concatenate([self._run(tried[i : i + 1]) for i in some])
        return bool(np.array_equal(together[list(some)], alone) and np.array_equal(self._run(tried[:7]), together[:7]))


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _providers(wanted: str) -> list[Any]:
    # TF32 would part the GPU's answers from the CPU's by 1e-3
    return [(_NAMES["cuda"], {"use_tf32": "0"}), _NAMES["cpu"]] if wanted == "cuda" else [_NAMES["cpu"]]


def _fits(shape: list[Any], wanted: list[int | None]) -> bool:
    """Whether a shape, in which names stand for free sizes, allows the one wanted; None demands a free size."""
    return len(shape) == len(wanted) and all(
        not isinstance(has, int) if want is None else has == want or not isinstance(has, int)
        for has, want in zip(shape, wanted, strict=True)
    )


class _Quiet:
    """LightGBM's remarks on opening a model; what matters comes as an exception."""

    def info(self, message: str) -> None:
        """Dropped."""

    def warning(self, message: str) -> None:
        """Dropped."""


def open_members(
    manifest: Manifest, contents: Mapping[str, bytes], path: Path, provider: Provider = "auto"
) -> dict[str, Open]:
    """Every member of the manifest, opened from its content."""
    return {
        m.name: open_member(m, contents[m.file], manifest.features_of(m), path / m.file, provider)
        for m in manifest.models
    }
