"""The training loop and the export: it learns, repeats itself to the bit, and ONNX says what torch says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from models.networks.lstm import MultiHorizonLSTM
from training.export import INPUT, OUTPUT, PARITY_BATCHES, ExportError, export, parity
from training.loop import Fitted, LoopError, Matrix, Schedule, fit, logits, windows

WINDOW, FEATURES, HEADS = 8, 5, 2
SCHEDULE = Schedule(epochs=6, patience=2, batch=64, learning_rate=1e-2, weight_decay=1e-3, stride=2, noise=0.05)


def problem() -> tuple[Matrix, Matrix]:
    """A matrix, and targets that the average of the last three bars decides; one in ten is unknown."""
    draws = np.random.default_rng(5)
    matrix = draws.normal(size=(1500, FEATURES)).astype(np.float32)
    recent = matrix[:, 0] + np.roll(matrix[:, 0], 1) + np.roll(matrix[:, 0], 2)
    targets = np.stack([recent > 0, recent < -1], axis=1).astype(np.float32)
    targets[draws.random(targets.shape) < 0.1] = np.nan
    return matrix, targets


def trained(seed: int) -> tuple[MultiHorizonLSTM, Fitted]:
    matrix, targets = problem()
    torch.manual_seed(seed)
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=12, dropout=0.1)
    return network, fit(network, matrix, targets, np.arange(20, 1000), np.arange(1020, 1500), WINDOW, SCHEDULE, seed)


def test_the_loop_learns_what_the_window_tells() -> None:
    _, fitted = trained(1)
    assert fitted.stop_loss[fitted.best_epoch - 1] < 0.45 < fitted.stop_loss[0] + 0.2
    assert fitted.stop_loss[fitted.best_epoch - 1] == min(fitted.stop_loss)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (trained(seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_window_ends_at_its_row_and_reads_nothing_after_it() -> None:
    matrix = torch.arange(10.0)[:, None]
    assert windows(matrix, torch.tensor([3, 9]), 3)[:, :, 0].tolist() == [[1, 2, 3], [7, 8, 9]]


def test_training_without_a_finite_loss_is_refused() -> None:
    matrix, targets = problem()
    matrix[1200] = np.nan
    with pytest.raises(LoopError, match="never a finite number"):
        fit(
            MultiHorizonLSTM(FEATURES, HEADS),
            matrix,
            targets,
            np.arange(20, 900),
            np.arange(1100, 1400),
            8,
            SCHEDULE,
            1,
        )


def test_onnx_says_what_torch_says_at_every_batch_size() -> None:
    matrix, _ = problem()
    network, _ = trained(1)
    exported = export(network, matrix, np.arange(20, 1500), WINDOW)
    assert tuple(exported.parity) == PARITY_BATCHES == (1, 2, 7, 64)
    assert max(exported.parity.values()) <= 1e-5
    graph = onnx.load_from_string(exported.onnx).graph
    assert [value.name for value in graph.input] == [INPUT]
    assert [value.name for value in graph.output] == [OUTPUT]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_an_export_that_disagrees_is_refused() -> None:
    matrix, _ = problem()
    rows = np.arange(20, 1500)
    network, _ = trained(1)
    exported = export(network, matrix, rows, WINDOW)
    with torch.no_grad():
        network.heads.bias += 0.01
    with pytest.raises(ExportError, match="at batch 1 the ONNX network differs"):
        parity(network, exported.onnx, matrix, rows, WINDOW)


def test_dropout_is_off_when_logits_are_asked_for() -> None:
    matrix, _ = problem()
    network, _ = trained(1)
    network.train()
    rows = np.arange(100, 200)
    assert np.array_equal(logits(network, matrix, rows, WINDOW), logits(network, matrix, rows, WINDOW))
