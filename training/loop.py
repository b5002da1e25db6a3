"""The training loop, one for every network: AdamW, masked cross-entropy, early stopping on a slice of its own.

The scaled matrix stays where it is; a batch of windows is gathered from it by index, so overlapping windows cost no
memory. The same seed on the same machine gives the same weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from market.candles import Ints

Matrix = NDArray[np.float32]
OnEpoch = Callable[[int, float, float], None]
"""Called after each epoch with its number (from 1), the training loss and the early-stop loss, in nats."""


class LoopError(RuntimeError):
    """Training that cannot give a usable network."""


@dataclass(frozen=True)
class Schedule:
    """How long and how hard a network is trained.

    Attributes
    ----------
    epochs : int
        At most this many passes over the training rows.
    patience : int
        Epochs without a better early-stop loss before training ends.
    batch : int
        Windows in a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to a tenth along half a cosine.
    stride : int
        Train on every `stride`-th row, from a start drawn each epoch: neighbouring windows agree almost entirely.
    noise : float
        Standard deviation of the Gaussian noise added to scaled inputs, in training only.
    """

    epochs: int
    patience: int
    batch: int
    learning_rate: float
    weight_decay: float
    stride: int = 1
    noise: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """What came of a training: the losses (nats) of each epoch, and the epoch (from 1) whose weights were kept."""

    train_loss: tuple[float, ...]
    stop_loss: tuple[float, ...]
    best_epoch: int


def windows(matrix: Tensor, rows: Tensor, length: int) -> Tensor:
    """Windows (B, T, F) that end at the given rows of the scaled matrix (N, F)."""
    return matrix[rows[:, None] + torch.arange(1 - length, 1, device=matrix.device)]


def masked_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy (nats) over the targets that are known; a NaN target counts for nothing."""
    known = ~torch.isnan(targets)
    return binary_cross_entropy_with_logits(logits[known], targets[known])


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
) -> Fitted:
    """Train the network in place and leave it in `eval()` with its best weights.

    Parameters
    ----------
    network : nn.Module
        Takes windows (B, T, F), gives logits (B, H).
    matrix : (N, F) float32
        Scaled features; rows that no window touches may be NaN.
    targets : (N, H) float32
        1, 0, or NaN where unknown.
    train_rows, stop_rows : (n,) int
        Rows at which windows end; every window must be complete.

    Raises
    ------
    LoopError
        If the early-stop loss is never a finite number.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout draws from the global generator
    inputs, labels = torch.from_numpy(matrix), torch.from_numpy(targets)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, foreach=True
    )
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: _rate(epoch, schedule.epochs))
    rows = torch.from_numpy(train_rows)
    best, best_epoch, kept = math.inf, 0, copy.deepcopy(network.state_dict())
    train_loss: list[float] = []
    stop_loss: list[float] = []
    for epoch in range(1, schedule.epochs + 1):
        train_loss.append(_epoch(network, inputs, labels, rows, window, schedule, optimizer, generator))
        falling.step()
        stop_loss.append(_loss(logits(network, matrix, stop_rows, window), targets[stop_rows]))
        if on_epoch is not None:
            on_epoch(epoch, train_loss[-1], stop_loss[-1])
        if stop_loss[-1] < best:
            best, best_epoch, kept = stop_loss[-1], epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= schedule.patience:
            break
    if not best_epoch:
        raise LoopError("the early-stop loss was never a finite number; check the labels and lower the learning rate")
    network.load_state_dict(kept)
    network.eval()
    return Fitted(tuple(train_loss), tuple(stop_loss), best_epoch)


def logits(network: nn.Module, matrix: Matrix, rows: Ints, window: int, batch: int = 2048) -> Matrix:
    """The network's logits (n, H) for windows that end at `rows`, without dropout or gradients."""
    network.eval()
    inputs = torch.from_numpy(matrix)
    with torch.no_grad():
        parts = [network(windows(inputs, part, window)) for part in torch.from_numpy(rows).split(batch)]
    result: Matrix = torch.cat(parts).numpy()
    return result


def _epoch(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    rows: Tensor,
    window: int,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> float:
    network.train()
    start = int(torch.randint(schedule.stride, (1,), generator=generator))
    drawn = rows[start :: schedule.stride]
    drawn = drawn[torch.randperm(len(drawn), generator=generator)]
    total = torch.zeros(())
    for part in drawn.split(schedule.batch):
        batch = windows(inputs, part, window)
        if schedule.noise:
            batch = batch + schedule.noise * torch.randn(batch.shape, generator=generator)
        loss = masked_cross_entropy(network(batch), labels[part])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # One violent hour must not throw the weights away.
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.detach() * len(part)
    return float(total) / len(drawn)


def _rate(epoch: int, epochs: int) -> float:
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1.0)))


def _loss(found: Matrix, targets: Matrix) -> float:
    return float(masked_cross_entropy(torch.from_numpy(found), torch.from_numpy(targets)))
