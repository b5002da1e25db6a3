"""Every network as ONNX: what torch says at every batch size, and served as the daemon serves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models import networks
from models.manifest import REGIMES, Features, Member, Scaler
from models.members import BATCH, OnnxMember
from models.modelset import digest
from tests.models.networks.zoo import FEATURES, LENGTH, ZOO, small
from training.export import INPUT, OPSET, OUTPUT, PARITY_BATCHES, Exported, export
from training.loop import Matrix, logits

ROWS = np.arange(LENGTH, 300)
NAMES = tuple(f"f{i}" for i in range(FEATURES))


def matrix() -> Matrix:
    return np.random.default_rng(4).normal(size=(300, FEATURES)).astype(np.float32)


def loud(network: nn.Module) -> nn.Module:
    """With logits of the size that training gives, so that a difference has something to be seen in."""
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.normal_(std=0.3)
    return network


def member(exported: Exported, heads: tuple[str, ...], regime: bool = False) -> OnnxMember:
    spec = Member(
        name="tried",
        kind="onnx",
        role="regime" if regime else "direction",
        file="tried.onnx",
        sha256=digest(exported.onnx),
        bytes=len(exported.onnx),
        window=LENGTH,
        heads=heads,
        output="logit",
        opset=OPSET,
    )
    scaler = Scaler(center=(0.0,) * FEATURES, scale=(1.0,) * FEATURES, clip=10.0, fitted_on="train")
    features = Features(names=NAMES, schema_hash="0" * 64, lookback=1, scaler=scaler)
    return OnnxMember(spec, exported.onnx, features, Path("tried.onnx"), "cpu")


@pytest.mark.parametrize("name", ZOO)
def test_onnx_says_what_torch_says_and_a_member_serves_it(name: str) -> None:
    network = loud(small(name))
    exported = export(network, matrix(), ROWS, LENGTH)
    assert tuple(exported.parity) == PARITY_BATCHES == (1, 2, 7, 64)
    assert max(exported.parity.values()) <= 1e-5
    served = member(exported, ("5/long", "12/long", "24/long"))
    assert served.batch == BATCH, "an answer depends on its neighbours: a history would be asked row by row"
    said = served.answer(matrix().astype(np.float64), ROWS)
    assert np.abs(said - logits(network, matrix(), ROWS, LENGTH)).max() <= 1e-5
    assert said.std(axis=0).min() > 0.01


def test_the_regimes_three_logits_come_in_their_order() -> None:
    torch.manual_seed(2)
    network = networks.build("lstm", FEATURES, 3, hidden=8, bidirectional=True, pooling="attention")
    with torch.no_grad():
        network.heads.weight.zero_()
        network.heads.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    exported = export(network, matrix(), ROWS, LENGTH)
    said = member(exported, REGIMES, regime=True).answer(matrix().astype(np.float64), ROWS[:3])
    assert said.tolist() == [[-1.0, 0.0, 1.0]] * 3


@pytest.mark.parametrize("name", ZOO)
def test_an_exported_network_leaves_the_batch_open_and_is_one_plain_graph(name: str) -> None:
    model = onnx.load_from_string(export(small(name), matrix(), ROWS, LENGTH).onnx)
    assert [(i.name, i.type.tensor_type.shape.dim[0].dim_param) for i in model.graph.input] == [(INPUT, "batch")]
    assert [o.name for o in model.graph.output] == [OUTPUT]
    assert {(o.domain, o.version) for o in model.opset_import} == {("", OPSET)}
