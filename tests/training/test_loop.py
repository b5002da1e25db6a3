"""The training loop and the export: it learns, repeats itself to the bit, and ONNX says what torch says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models import metrics, networks
from models.networks.lstm import MultiHorizonLSTM
from training.augmentation import Augmentation
from training.devices import precision_on
from training.export import INPUT, OUTPUT, PARITY_BATCHES, ExportError, export, parity
from training.loop import Fitted, LoopError, Matrix, Schedule, device_of, fit, logits, windows
from training.losses import LossName
from training.steps import Run

WINDOW, FEATURES, HEADS = 8, 5, 2
SCHEDULE = Schedule(epochs=6, patience=2, batch=64, learning_rate=1e-2, weight_decay=1e-3, stride=2, noise=0.05)
TRAIN, STOP = np.arange(20, 1000), np.arange(1020, 1500)


def problem() -> tuple[Matrix, Matrix]:
    """A matrix, and targets that the average of the last three bars decides; one in ten is unknown."""
    draws = np.random.default_rng(5)
    matrix = draws.normal(size=(1500, FEATURES)).astype(np.float32)
    recent = matrix[:, 0] + np.roll(matrix[:, 0], 1) + np.roll(matrix[:, 0], 2)
    targets = np.stack([recent > 0, recent < -1], axis=1).astype(np.float32)
    targets[draws.random(targets.shape) < 0.1] = np.nan
    return matrix, targets


def trained(seed: int, schedule: Schedule = SCHEDULE, teacher: Matrix | None = None) -> tuple[MultiHorizonLSTM, Fitted]:
    matrix, targets = problem()
    torch.manual_seed(seed)
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=12, dropout=0.1)
    fitted = fit(network, matrix, targets, TRAIN, STOP, WINDOW, schedule, seed, teacher=teacher)
    return network, fitted


def test_the_loop_learns_what_the_window_tells() -> None:
    _, fitted = trained(1)
    assert fitted.stop_loss[fitted.best_epoch - 1] < 0.45 < fitted.stop_loss[0] + 0.2
    assert fitted.stop_loss[fitted.best_epoch - 1] == min(fitted.stop_loss)


@pytest.mark.parametrize("loss", ["bce", "auc_margin"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(loss: LossName) -> None:
    short = replace(SCHEDULE, epochs=3, warm_up=1, loss=loss, augment=Augmentation(), diversity=0.1)
    first, again, other = (trained(seed, short)[0].state_dict() for seed in (1, 1, 2))
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


def test_each_epoch_is_told_with_loss_auc_and_gradient() -> None:
    network, fitted = trained(1)
    epochs = len(fitted.train_loss)
    assert len(fitted.stop_loss) == len(fitted.stop_auc) == len(fitted.gradient_norm) == epochs
    assert fitted.not_finite == 0
    assert fitted.windows_per_second > 0
    matrix, targets = problem()
    said, outcomes = logits(network, matrix, STOP, WINDOW), targets[STOP]
    by_hand = [
        metrics.auc(outcomes[known, head].astype(float), said[known, head].astype(float))
        for head, known in enumerate(~np.isnan(outcomes.T))
    ]
    assert fitted.stop_auc[fitted.best_epoch - 1] == pytest.approx(np.mean(by_hand), abs=1e-6)


@pytest.mark.parametrize("loss", ["focal", "auc_margin"])
def test_an_improper_loss_keeps_the_epoch_that_ranks_best(loss: LossName) -> None:
    _, fitted = trained(1, replace(SCHEDULE, loss=loss, warm_up=1))
    assert fitted.stop_auc[fitted.best_epoch - 1] == max(fitted.stop_auc) > 0.9


def test_a_regime_is_learned_as_one_of_its_classes() -> None:
    matrix, targets = problem()
    classes = np.where(np.isnan(targets).any(axis=1), np.nan, 1 + targets[:, 0] - targets[:, 1]).astype(np.float32)
    torch.manual_seed(1)
    network = MultiHorizonLSTM(FEATURES, 3, hidden=12, dropout=0.1)
    fitted = fit(network, matrix, classes, TRAIN, STOP, WINDOW, replace(SCHEDULE, loss="classes"), 1)
    assert fitted.stop_loss[fitted.best_epoch - 1] < 0.7
    assert max(fitted.stop_auc) > 0.85


def test_a_teacher_teaches_what_the_labels_do_not_say() -> None:
    matrix, targets = problem()
    recent = matrix[:, 0] + np.roll(matrix[:, 0], 1) + np.roll(matrix[:, 0], 2)
    teacher = np.stack([3 * recent, 3 * (-1 - recent)], axis=1).astype(np.float32)
    teacher[::5] = np.nan
    blind = np.where(np.arange(len(targets))[:, None] < 1000, np.nan, targets).astype(np.float32)
    torch.manual_seed(1)
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=12, dropout=0.1)
    fitted = fit(network, matrix, blind, TRAIN, STOP, WINDOW, SCHEDULE, 1, teacher=teacher)
    assert max(fitted.stop_auc) > 0.95


def test_steps_that_are_not_finite_are_left_out_and_counted() -> None:
    matrix, targets = problem()
    matrix[500] = np.inf  # eight windows read it, in eight batches or fewer
    torch.manual_seed(1)
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=12, dropout=0.1)
    fitted = fit(network, matrix, targets, TRAIN, STOP, WINDOW, replace(SCHEDULE, epochs=2, augment=Augmentation()), 1)
    assert 2 <= fitted.not_finite <= 16
    assert all(math.isfinite(value) for value in (*fitted.train_loss, *fitted.gradient_norm, *fitted.stop_loss))
    assert all(torch.isfinite(value).all() for value in network.parameters())


class Waits(TorchDispatchMode):  # type: ignore[misc]
    """Notes each operation whose result the host has to wait for."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "_to_cpu")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::")
        by_mask = name.startswith("index") and any(
            each is not None and each.dtype == torch.bool
            for each in (args[1] if isinstance(args[1], (list, tuple)) else ())
        )
        if by_mask or name.startswith(self.WAITING):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["bce", "focal", "auc_margin", "classes"])
def test_no_step_waits_for_the_device(loss: LossName) -> None:
    matrix, targets = problem()
    classes = loss == "classes"
    schedule = replace(
        SCHEDULE,
        loss=loss,
        warm_up=0,
        augment=Augmentation(),
        head_weights=None if classes else (0.6, 0.4),
        diversity=0.0 if classes else 0.1,
    )
    teacher = targets if loss in ("bce", "focal") else None
    targets = targets[:, 0] if classes else targets
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=4)
    run = Run(network, matrix, targets, TRAIN, WINDOW, schedule, 1, torch.device("cpu"), teacher)
    run.epoch(1)
    batches = run.batches()[:3]
    with Waits() as waits:
        for part in batches:
            run.step(part)
    assert waits.seen == []
    with Waits() as waits:
        bool(torch.ones(3)[torch.tensor([True, False, True])].sum())
    assert len(waits.seen) == 2  # it would have seen one


def test_stratified_batches_hold_both_classes_of_each_head_as_often_as_the_whole() -> None:
    matrix, targets = problem()
    schedule = replace(SCHEDULE, loss="auc_margin", batch=49, stride=1)
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=4)
    run = Run(network, matrix, targets, TRAIN, WINDOW, schedule, 1, torch.device("cpu"), None)
    batches = [part.numpy() for part in run.batches()]
    assert np.array_equal(np.sort(np.concatenate(batches)), TRAIN)
    for part in batches:
        for value in (0.0, 1.0):
            expected = (targets[TRAIN] == value).mean(axis=0) * len(part)
            assert np.abs((targets[part] == value).sum(axis=0) - expected).max() <= 3
    assert not np.array_equal(batches[0], run.batches()[0].numpy())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed_by_name() -> None:
    with pytest.raises(LoopError, match=r"device cuda was asked for, but torch .* sees no GPU"):
        device_of("cuda")
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")


def test_on_a_cpu_bfloat16_is_for_networks_that_are_mostly_lstm() -> None:
    cpu = torch.device("cpu")
    lstm, attention = (networks.build(kind, FEATURES, HEADS) for kind in ("lstm", "transformer"))
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
    assert precision_on(cpu, "auto", lstm) == fast
    assert precision_on(cpu, "auto", attention) == torch.float32
    assert precision_on(cpu, "float32", lstm) == torch.float32
    assert precision_on(cpu, "bfloat16", attention) == torch.bfloat16


def test_weights_and_answers_are_float32_whatever_the_steps_are_multiplied_in() -> None:
    network, fitted = trained(1, replace(SCHEDULE, precision="bfloat16"))
    _, exact = trained(1, replace(SCHEDULE, precision="float32"))
    assert all(value.dtype == torch.float32 for value in network.parameters())
    assert logits(network, problem()[0], STOP, WINDOW).dtype == np.float32
    assert fitted.stop_loss == pytest.approx(exact.stop_loss, abs=0.02)


def test_a_device_nobody_knows_is_refused() -> None:
    with pytest.raises(LoopError, match="'gpu' is none of auto, cpu and cuda"):
        device_of("gpu")


@pytest.mark.parametrize(
    ("change", "teacher", "said"),
    [
        ({"loss": "classes"}, False, r"takes \(N,\) classes"),
        ({"head_weights": (1.0,)}, False, "must be 2 numbers"),
        ({"head_weights": (1.0, -1.0)}, False, "none below 0"),
        ({"loss": "auc_margin"}, True, "a teacher goes with loss bce or focal"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], teacher: bool, said: str) -> None:
    with pytest.raises(LoopError, match=said):
        trained(1, replace(SCHEDULE, **change), problem()[1] if teacher else None)


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
