"""Faults to plant in a set that is well, each as it happens: in the network's graph, its inputs, its log, its stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models import features, stages, walkforward
from models.inputs import Inputs
from models.logits import sigmoid
from models.manifest import Manifest
from models.members import open_member
from models.modelset import ModelSet
from models.walkforward import TEST
from tests.training.diagnosis.conftest import Whole

Fault = Callable[[Whole, Path], ModelSet]


def with_tail(content: bytes, *tail: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> bytes:
    """The network with nodes after its output: they read ``inner``, and the last one gives ``logits``."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.output[:] = ["inner" if name == "logits" else name for name in node.output]
        node.input[:] = ["inner" if name == "logits" else name for name in node.input]
    model.graph.node.extend(tail)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (constants or {}).items())
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def times(factor: float) -> tuple[tuple[onnx.NodeProto, ...], dict[str, np.ndarray]]:
    """A tail that multiplies the output."""
    return (helper.make_node("Mul", ["inner", "factor"], ["logits"]),), {"factor": np.array(factor, dtype=np.float32)}


def lstm(whole: Whole) -> bytes:
    return whole.model_set.contents["lstm.onnx"]


def ending_in(whole: Whole, *tail: onnx.NodeProto, **constants: np.ndarray) -> dict[str, bytes]:
    """The network's file with a tail."""
    return {"lstm.onnx": with_tail(lstm(whole), *tail, constants=constants)}


def sigmoid_inside(whole: Whole, where: Path) -> ModelSet:
    """Exported with its sigmoid, and declared a logit."""
    return whole.broken(where, ending_in(whole, helper.make_node("Sigmoid", ["inner"], ["logits"])))


def sigmoid_inside_from_the_start(whole: Whole, where: Path) -> ModelSet:
    """The sigmoid was there in torch too, so the export is faithful: the base rates alone give it away."""
    golden = whole.manifest.golden
    assert golden is not None
    trained = {name: tuple(sigmoid(np.array(values)).tolist()) for name, values in golden.trained.items()}
    files = ending_in(whole, helper.make_node("Sigmoid", ["inner"], ["logits"]))
    return whole.broken(where, files, golden=golden.model_dump() | {"trained": trained}, stages=None)


def logit_declared_a_probability(whole: Whole, where: Path) -> ModelSet:
    return whole.broken(where, models=members(whole, output="probability"))


def sigmoid_twice(whole: Whole, where: Path) -> ModelSet:
    """Declared a probability, and the second sigmoid draws all of it between .5 and .73."""
    tail = (helper.make_node("Sigmoid", ["inner"], ["once"]), helper.make_node("Sigmoid", ["once"], ["logits"]))
    return whole.broken(where, ending_in(whole, *tail), models=members(whole, output="probability"))


def softmax_for_heads(whole: Whole, where: Path) -> ModelSet:
    """Its columns are shares of one, where each should be an answer of its own."""
    return whole.broken(where, ending_in(whole, helper.make_node("Softmax", ["inner"], ["logits"])))


def too_few_columns(whole: Whole, where: Path) -> ModelSet:
    """Three columns, a classifier's, for four heads."""
    model = onnx.load_from_string(with_tail(
        lstm(whole), helper.make_node("Gather", ["inner", "first"], ["logits"], axis=1),
        constants={"first": np.array([0, 1, 2], dtype=np.int64)},
    ))  # fmt: skip
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]))
    return whole.broken(where, {"lstm.onnx": model.SerializeToString()})


def no_network(whole: Whole, where: Path) -> ModelSet:
    return whole.broken(where, {"lstm.onnx": b"not a network"})


def scaler_skipped(whole: Whole, where: Path) -> ModelSet:
    """The manifest's scaler is the identity: live rows reach the network raw."""
    count = len(whole.manifest.features.names)
    return whole.broken(where, features=scaled_by(whole, (0.0,) * count, (1.0,) * count))


def scaler_skipped_from_the_start(whole: Whole, where: Path) -> ModelSet:
    """As above, and the stage goldens were recorded so."""
    count = len(whole.manifest.features.names)
    return recorded_again(whole, where, features=scaled_by(whole, (0.0,) * count, (1.0,) * count))


def scaler_of_other_data(whole: Whole, where: Path) -> ModelSet:
    """Put in after the goldens were recorded: close to the right one, as another coin's would be."""
    scaler = whole.manifest.features.scaler
    assert scaler is not None
    return whole.broken(where, features=scaled_by(whole, scaler.center, tuple(1.2 * s for s in scaler.scale)))


def scaler_of_other_data_from_the_start(whole: Whole, where: Path) -> ModelSet:
    """Per cent taken for fractions, in the goldens too."""
    scaler = whole.manifest.features.scaler
    assert scaler is not None
    hundred = tuple(100 * s for s in scaler.scale)
    return recorded_again(whole, where, features=scaled_by(whole, scaler.center, hundred))


def features_reordered(whole: Whole, where: Path) -> ModelSet:
    """The manifest names them in another order than the training matrix had, with a hash that fits."""
    return whole.broken(where, features=in_order(whole, tuple(reversed(whole.manifest.features.names))))


def two_features_exchanged(whole: Whole, where: Path) -> ModelSet:
    names = list(whole.manifest.features.names)
    names[2], names[5] = names[5], names[2]
    return whole.broken(where, features=in_order(whole, tuple(names)))


def fed_in_another_order(whole: Whole, where: Path) -> ModelSet:
    """The names are in order, but the matrix that was trained on was not: the goldens hold it as it was."""
    matrix = whole_matrix(whole)
    matrix[:, [1, 4]] = matrix[:, [4, 1]]
    return recorded_again(whole, where, matrix=matrix)


def a_feature_redefined(whole: Whole, where: Path) -> ModelSet:
    matrix = whole_matrix(whole)
    matrix[:, 3] *= 2
    return recorded_again(whole, where, matrix=matrix)


def exported_in_train_mode(whole: Whole, where: Path) -> ModelSet:
    """Dropout still draws."""
    tail = helper.make_node("Dropout", ["inner", "ratio", "training"], ["logits"], seed=1)
    constants = {"ratio": np.array(0.4, dtype=np.float32), "training": np.array(True)}
    return whole.broken(where, ending_in(whole, tail, **constants))


def other_weights(whole: Whole, where: Path) -> ModelSet:
    """Exported from another epoch than the one that was kept."""
    tail, constants = times(1.1)
    return whole.broken(where, ending_in(whole, *tail, **constants))


def export_recorded_as_unfaithful(whole: Whole, where: Path) -> ModelSet:
    golden = whole.manifest.golden
    assert golden is not None
    changed = members(whole, parity={"batch_1": 1e-7, "batch_64": 0.02})
    return whole.broken(where, golden=golden.model_dump() | {"trained": {}}, models=changed, stages=None)


def torch_read_other_inputs(whole: Whole, where: Path) -> ModelSet:
    """On drawn inputs the file agrees with torch; on real rows torch was fed others."""

    def trained(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
        spec = whole.manifest.member("lstm")
        return open_member(spec, lstm(whole), whole.manifest.features, where).answer(1.1 * matrix, rows)

    return recorded_again(whole, where, trained={"lstm": trained})


def rows_depend_on_their_batch(whole: Whole, where: Path) -> ModelSet:
    """The batch's mean is taken off, as a batch norm in training mode does: alone, every row gives exactly 0.0."""
    tail = (
        helper.make_node("ReduceMean", ["inner"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["inner", "mean"], ["logits"]),
    )
    return whole.broken(where, ending_in(whole, *tail))


def never_trained(whole: Whole, where: Path) -> ModelSet:
    """Its loss stood still and it says one thing; the export is faithful to that."""
    tail, constants = times(0.0)
    golden = whole.manifest.golden
    assert golden is not None
    flat = {name: (0.0,) * len(values) for name, values in golden.trained.items()}
    return whole.broken(
        where,
        ending_in(whole, *tail, **constants),
        golden=golden.model_dump() | {"trained": flat},
        evidence=logged(whole, train_loss=[0.6931, 0.6931, 0.6931], stop_loss=[0.6931, 0.6931, 0.6931], best_epoch=1),
        stages=None,
    )


def loss_no_number(whole: Whole, where: Path) -> ModelSet:
    losses = logged(whole, train_loss=[0.69, None, None], stop_loss=[0.68, None, None], not_finite=311)
    return whole.broken(where, evidence=losses)


def no_gradient(whole: Whole, where: Path) -> ModelSet:
    return whole.broken(where, evidence=logged(whole, gradient_norm=[0.0, 0.0, 0.0, 0.0]))


def constant_zero(whole: Whole, where: Path) -> ModelSet:
    """It says 0.0 to everything, and the log and the trained logits of it are gone."""
    tail, constants = times(0.0)
    golden = whole.manifest.golden
    assert golden is not None
    return whole.broken(
        where,
        ending_in(whole, *tail, **constants),
        golden=golden.model_dump() | {"trained": {}},
        evidence={},
        stages=None,
        walkforward=None,
    )


def weights_no_numbers(whole: Whole, where: Path) -> ModelSet:
    """NaN throughout, in torch too."""
    tail, constants = times(float("nan"))
    golden = whole.manifest.golden
    assert golden is not None
    return whole.broken(
        where,
        ending_in(whole, *tail, **constants),
        golden=golden.model_dump() | {"trained": {}},
        stages=None,
        walkforward=None,
    )


def stacked_otherwise(whole: Whole, where: Path) -> ModelSet:
    """The stack was changed after the goldens were recorded."""
    return whole.broken(where, ensemble=stack_weights(whole, lambda weight: weight + 0.05))


def negative_weight(whole: Whole, where: Path) -> ModelSet:
    """In the manifest, in the goldens too: a stack fitted without its bound."""
    return recorded_again(whole, where, ensemble=stack_weights(whole, lambda weight: -0.2 - weight))


def members(whole: Whole, **parts: Any) -> list[dict[str, Any]]:
    """The manifest's models, the network's entry changed."""
    return [m.model_dump() | (parts if m.name == "lstm" else {}) for m in whole.manifest.models]


def scaled_by(whole: Whole, center: tuple[float, ...], scale: tuple[float, ...]) -> dict[str, Any]:
    served = whole.manifest.features.model_dump()
    return served | {"scaler": served["scaler"] | {"center": center, "scale": scale}}


def in_order(whole: Whole, names: tuple[str, ...]) -> dict[str, Any]:
    """The features under these names, each column's scaler constants left where they were."""
    return whole.manifest.features.model_dump() | {"names": names, "schema_hash": features.schema_hash(names)}


def logged(whole: Whole, **facts: Any) -> dict[str, Any]:
    """The evidence with another training log of the network."""
    fitting = dict(whole.manifest.evidence["fitting"])  # type: ignore[call-overload]
    key = "lstm" if "lstm" in fitting else "onnx"
    return dict(whole.manifest.evidence) | {"fitting": fitting | {key: dict(fitting[key]) | facts}}


def stack_weights(whole: Whole, changed: Callable[[float], float]) -> dict[str, Any]:
    """The ensemble with other weights of the network."""
    ensemble = whole.manifest.ensemble.model_dump()
    for stacker in ensemble["stackers"].values():
        pairs = zip(stacker["members"], stacker["coefficients"], strict=True)
        stacker["coefficients"] = tuple(changed(c) if name == "lstm" else c for name, c in pairs)
    return ensemble


def whole_matrix(whole: Whole) -> np.ndarray:
    return features.compute(whole.bars.candles, whole.bars.funding, whole.manifest.features.names)


def recorded_again(
    whole: Whole, where: Path, matrix: np.ndarray | None = None, trained: Any = None, **parts: Any
) -> ModelSet:
    """The set with other parts, its stage goldens recorded with them as a run would have."""
    manifest = Manifest.model_validate(whole.manifest.model_dump() | parts)
    found = stages.read(whole.model_set)
    rows = np.searchsorted(whole.bars.candles.open_time, found.times)
    inputs = Inputs(whole.bars.candles, whole.bars.funding)
    content = stages.record(manifest, whole.model_set.contents, inputs, rows, trained, matrix=matrix)
    entry = stages.recorded(content).model_dump()
    return whole.broken(where, {stages.FILE: content}, **(parts | {"stages": entry}))


def against_the_outcome(whole: Whole, where: Path) -> ModelSet:
    """A record in which the network says the opposite of what came, a little: unbounded, its weight is negative."""
    record = walkforward.read(whole.model_set)
    draws = np.random.default_rng(0)
    logits = dict(record.logits)
    turned = {}
    for key in whole.manifest.member("lstm").heads:
        horizon, side = key.split("/")
        outcome = record.profitable(int(horizon), 1 if side == "long" else -1, whole.manifest.data.labels.cost)
        turned[key] = -0.5 * np.nan_to_num(outcome - 0.5) + 0.5 * draws.standard_normal(len(record))
        turned[key][record.part == TEST] = logits["lstm"][key][record.part == TEST]
    content = walkforward.to_bytes(replace(record, logits=logits | {"lstm": turned}))
    return whole.broken(where, {walkforward.FILE: content})
