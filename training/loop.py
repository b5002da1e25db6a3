"""The training loop, one for every network, loss and device: it gathers, steps, listens to the early-stop slice, stops.

The scaled matrix lies on the device once; a batch of windows is gathered from it by index, so overlapping windows cost
no memory and no copying. Inside an epoch nothing is read back from the device. The same seed on the same processor
gives the same weights.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from market.candles import Ints
from models import metrics
from training import heap, losses
from training.devices import device_of
from training.schedule import Fitted, LoopError, Schedule
from training.steps import Matrix, Run, windows

__all__ = ["Fitted", "LoopError", "Matrix", "OnEpoch", "Schedule", "device_of", "fit", "logits", "windows"]

OnEpoch = Callable[[int, float, float], None]
"""Called after each epoch with its number (from 1), the training loss and the early-stop loss, in nats."""


def logits(network: nn.Module, matrix: Matrix, rows: Ints, window: int, batch: int = 256) -> Matrix:
    """The network's logits (n, H) for windows that end at `rows`: float32, without dropout or gradients."""
    device = next(network.parameters()).device
    result: Matrix = _logits(network, torch.from_numpy(matrix).to(device), rows, window, batch).cpu().numpy()
    return result


def fit(
    network: nn.Module,
    matrix: Matrix,
    targets: Matrix,
    train_rows: Ints,
    stop_rows: Ints,
    window: int,
    schedule: Schedule,
    seed: int,
    on_epoch: OnEpoch | None = None,
    *,
    device: str = "cpu",
    teacher: Matrix | None = None,
) -> Fitted:
    """Train the network in place and leave it on the CPU, in `eval()`, with its best weights.

    The best epoch is the one with the lowest cross-entropy on the early-stop slice for "bce" and "classes". For "focal"
    and "auc_margin" it is the one with the highest mean AUC there: their outputs are no probabilities until they are
    calibrated, so cross-entropy would choose by a level that calibration sets anyway, and what is left is the order.

    Parameters
    ----------
    network : nn.Module
        Takes windows (B, T, F), gives logits (B, H).
    matrix : (N, F) float32
        Scaled features; rows that no window touches may be NaN.
    targets : (N, H) float32
        1, 0, or NaN where unknown; for the loss "classes" (N,), numbered from 0.
    train_rows, stop_rows : (n,) int
        Rows at which windows end; every window must be complete.
    device : str
        "auto", "cpu" or "cuda".
    teacher : (N, H) float32 or None
        Logits of an out-of-fold teacher, NaN where there is none; for "bce" and "focal".

    Raises
    ------
    LoopError
        If the early-stop score is never a finite number, the device is missing, or targets, weights and teacher do not
        fit the loss.
    """
    _check(schedule, targets, teacher)
    where = device_of(device)
    with heap.kept() if where.type == "cpu" else nullcontext():
        run = Run(network.to(where), matrix, targets, train_rows, window, schedule, seed, where, teacher)
        return _until_it_stops(run, targets, stop_rows, on_epoch)


def _until_it_stops(run: Run, targets: Matrix, stop_rows: Ints, on_epoch: OnEpoch | None) -> Fitted:
    """Epoch after epoch until the early-stop slice hears nothing better; the best weights are kept."""
    network, schedule, window = run.network, run.schedule, run.window
    by_auc = schedule.loss in ("focal", "auc_margin")
    best, best_epoch, kept = math.inf, 0, copy.deepcopy(network.state_dict())
    heard: list[tuple[float, float, float, float]] = []
    skipped, seen, seconds = 0, 0, 0.0
    for epoch in range(1, schedule.epochs + 1):
        began = time.perf_counter()
        train_loss, norm, left_out, trained_on = run.epoch(epoch)
        seconds += time.perf_counter() - began
        skipped, seen = skipped + left_out, seen + trained_on
        found = _logits(network, run.inputs, stop_rows, window).cpu()
        stop_loss, stop_auc = _heard(found, targets[stop_rows], schedule.head_weights)
        heard.append((train_loss, stop_loss, stop_auc, norm))
        if on_epoch is not None:
            on_epoch(epoch, train_loss, stop_loss)
        score = -stop_auc if by_auc else stop_loss
        if score < best and epoch > run.begins:
            best, best_epoch, kept = score, epoch, copy.deepcopy(network.state_dict())
        elif epoch - max(best_epoch, run.begins) >= schedule.patience:
            break
    if not best_epoch:
        what = "AUC" if by_auc else "loss"
        raise LoopError(
            f"the early-stop {what} was never a finite number; check the labels and lower the learning rate"
        )
    network.load_state_dict(kept)
    network.cpu().eval()
    columns = list(zip(*heard, strict=True))
    return Fitted(columns[0], columns[1], best_epoch, columns[2], columns[3], skipped, seen / max(seconds, 1e-9))


def _logits(network: nn.Module, inputs: Tensor, rows: Ints, window: int, batch: int = 256) -> Tensor:
    network.eval()
    with torch.no_grad():
        parts = torch.from_numpy(rows).to(inputs.device).split(batch)
        return torch.cat([network(windows(inputs, part, window)).float() for part in parts])


def _heard(found: Tensor, targets: Matrix, weights: Sequence[float] | None) -> tuple[float, float]:
    """Cross-entropy (nats) and mean AUC of logits (n, H) on the early-stop slice."""
    labels = torch.from_numpy(targets)
    outcomes = targets
    if targets.ndim == 1:
        loss = losses.softmax_cross_entropy(found, labels)
        classes = np.arange(found.shape[1])
        outcomes = np.where(np.isnan(targets)[:, None], np.nan, targets[:, None] == classes).astype(np.float32)
        found = found.softmax(1)
    else:
        share = None if weights is None else torch.tensor(weights) / sum(weights)
        loss = losses.average(losses.cross_entropy(found, labels), ~torch.isnan(labels), share)
    scores = found.double().numpy()
    known = ~np.isnan(outcomes)
    each = [
        metrics.auc(outcomes[rows, head].astype(np.float64), scores[rows, head]) for head, rows in enumerate(known.T)
    ]
    usable = [value for value in each if not math.isnan(value)]
    return float(loss), sum(usable) / len(usable) if usable else math.nan


def _check(schedule: Schedule, targets: Matrix, teacher: Matrix | None) -> None:
    """Refuse what does not fit together."""
    classes = schedule.loss == "classes"
    if targets.ndim != (1 if classes else 2):
        raise LoopError(
            f"loss {schedule.loss} takes {'(N,) classes' if classes else '(N, H) targets'}, not {targets.shape}"
        )
    weights = schedule.head_weights
    if classes and (weights is not None or schedule.diversity):
        raise LoopError("loss classes has one outcome, not heads: leave out head_weights and diversity")
    if weights is not None and (len(weights) != targets.shape[1] or min(weights) < 0 or sum(weights) <= 0):
        raise LoopError(f"head_weights {weights} must be {targets.shape[1]} numbers, none below 0 and not all 0")
    if teacher is None:
        return
    if schedule.loss not in ("bce", "focal"):
        raise LoopError(f"a teacher goes with loss bce or focal, which judge each row, not with {schedule.loss}")
    if teacher.shape != targets.shape:
        raise LoopError(f"the teacher's logits {teacher.shape} are not of the targets' shape {targets.shape}")
