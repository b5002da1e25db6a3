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
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from market.candles import Ints
from models import metrics
from training import heap, losses
from training.augmentation import Augmentation
from training.losses import LossName, Objective
from training.optimizers import PESG, adamw

Matrix = NDArray[np.float32]
Precision = Literal["auto", "float32", "bfloat16"]
OnEpoch = Callable[[int, float, float], None]
"""Called after each epoch with its number (from 1), the training loss and the early-stop loss, in nats."""
CLIP = 1.0
"""Longest gradient: one violent hour must not throw the weights away."""


class LoopError(RuntimeError):
    """Training that cannot be done, or cannot give a usable network."""


@dataclass(frozen=True)
class Schedule:
    """How long, how hard and on what a network is trained.

    Attributes
    ----------
    epochs : int
        At most this many passes over the training rows.
    patience : int
        Epochs without a better early-stop score before training ends.
    batch : int
        Windows in a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to a tenth along half a cosine.
    stride : int
        Train on every `stride`-th row, from a start drawn each epoch: neighbouring windows agree almost entirely.
    noise : float
        Standard deviation of the Gaussian noise added to all scaled inputs, in training only.
    loss : str
        "bce", "focal", "auc_margin" (each on (N, H) targets of 0, 1, NaN) or "classes" ((N,) classes from 0, or NaN).
    head_weights : tuple of float or None
        Each head's share of the loss, of any scale; None: every known target counts alike.
    diversity : float
        Weight of the penalty on heads that agree more than their labels do.
    augment : Augmentation or None
        What is done to a share of the windows.
    temperature, alpha : float
        Of a teacher: how far logits are cooled, and the share of the soft loss.
    warm_up : int
        Epochs of plain cross-entropy under AdamW before "auc_margin" begins: from random weights it finds nothing.
    margin_rate : float
        Step of PESG, for "auc_margin": plain descent, so a far longer one than AdamW's.
    precision : str
        "bfloat16" for autocast, "float32", or "auto": see `precision_on`. Weights and evaluation are float32 always.
    """

    epochs: int
    patience: int
    batch: int
    learning_rate: float
    weight_decay: float
    stride: int = 1
    noise: float = 0.0
    loss: LossName = "bce"
    head_weights: tuple[float, ...] | None = None
    diversity: float = 0.0
    augment: Augmentation | None = None
    temperature: float = 2.0
    alpha: float = 0.5
    warm_up: int = 2
    margin_rate: float = 0.1
    precision: Precision = "auto"


@dataclass(frozen=True)
class Fitted:
    """What came of a training, epoch by epoch.

    Attributes
    ----------
    train_loss : tuple of float
        Mean of what was minimised (nats for "bce", "focal" and "classes").
    stop_loss : tuple of float
        Cross-entropy (nats) on the early-stop slice, weighted by head: for every loss the same measure.
    best_epoch : int
        The epoch (from 1) whose weights were kept.
    stop_auc : tuple of float
        AUC on the early-stop slice, the mean over heads (for classes: each against the rest); NaN where there is none.
    gradient_norm : tuple of float
        Mean length of the gradient before clipping; NaN for an epoch without a finite step.
    not_finite : int
        Steps left out because loss or gradient was not a finite number.
    windows_per_second : float
        Windows trained on, by the clock, evaluation left out.
    """

    train_loss: tuple[float, ...]
    stop_loss: tuple[float, ...]
    best_epoch: int
    stop_auc: tuple[float, ...]
    gradient_norm: tuple[float, ...]
    not_finite: int
    windows_per_second: float = field(compare=False)


def device_of(name: str) -> torch.device:
    """The device called "auto" (a GPU if there is one), "cpu" or "cuda".

    Raises
    ------
    LoopError
        If it is none of them, or "cuda" and torch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise LoopError(f"device {name!r} is none of auto, cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise LoopError(
            f"device cuda was asked for, but torch {torch.__version__} sees no GPU; install torch for CUDA and check "
            "nvidia-smi, or train with --device auto or cpu"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def precision_on(device: torch.device, precision: Precision, network: nn.Module) -> torch.dtype:
    """What matrices are multiplied in while training: for "auto" bfloat16 where that pays, else float32.

    It pays on a GPU that has it, and on a processor that has it for a network that is mostly LSTM: there a step takes
    half the time, while attention's backward pass takes five times as long (`benchmarks/training.py`).
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able: dict[str, object] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # older torch does not tell: then float32
        recurrent = [module for module in network.modules() if isinstance(module, nn.LSTM)]
        within = sum(weight.numel() for module in recurrent for weight in module.parameters())
        mostly = 2 * within > sum(weight.numel() for weight in network.parameters())
        fast = mostly and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


def windows(matrix: Tensor, rows: Tensor, length: int) -> Tensor:
    """Windows (B, T, F) that end at the given rows of the scaled matrix (N, F)."""
    return matrix[rows[:, None] + torch.arange(1 - length, 1, device=matrix.device)]


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
        run = _Run(network.to(where), matrix, targets, train_rows, window, schedule, seed, where, teacher)
        return _until_it_stops(run, targets, stop_rows, on_epoch)


def _until_it_stops(run: _Run, targets: Matrix, stop_rows: Ints, on_epoch: OnEpoch | None) -> Fitted:
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
        if score < best:
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


class _Run:
    """One training: what lies on the device, and the two ways to step."""

    def __init__(
        self,
        network: nn.Module,
        matrix: Matrix,
        targets: Matrix,
        train_rows: Ints,
        window: int,
        schedule: Schedule,
        seed: int,
        device: torch.device,
        teacher: Matrix | None,
    ) -> None:
        self.network, self.window, self.schedule, self.device = network, window, schedule, device
        self.order = torch.Generator().manual_seed(seed)  # which rows, and when: drawn on the CPU on every device
        self.draws = self.order if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
        torch.manual_seed(seed)  # dropout draws from the global generator
        self.inputs, self.labels = torch.from_numpy(matrix).to(device), torch.from_numpy(targets).to(device)
        self.teacher = None if teacher is None else torch.from_numpy(teacher).to(device)
        self.rows = torch.from_numpy(train_rows)
        self.precision = precision_on(device, schedule.precision, network)
        known = torch.from_numpy(targets[train_rows])
        margin = schedule.loss == "auc_margin"
        self.begins = schedule.warm_up if margin else 0
        options = (schedule.head_weights, schedule.diversity, schedule.temperature, schedule.alpha)
        self.objective = Objective("bce" if margin else schedule.loss, known, *options).to(device)
        self.optimizer: torch.optim.Optimizer = adamw(network, schedule.learning_rate, schedule.weight_decay)
        self.strata: Tensor | None = None
        if margin:
            self.ranking = Objective("auc_margin", known, *options).to(device)
            self.strata = _strata(torch.from_numpy(targets))

    def epoch(self, number: int) -> tuple[float, float, int, int]:
        """Train through one epoch: mean loss, mean gradient norm, steps left out, windows seen."""
        schedule = self.schedule
        rate = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (number - 1) / schedule.epochs))
        if schedule.loss == "auc_margin" and number > self.begins:
            self._rank(rate)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = rate * schedule.learning_rate
        self.network.train()
        # loss of all windows, norms of all steps, windows and steps that counted: summed where they are
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        batches = self._batches()
        for part in batches:
            sums += self._step(part)
        loss, norm, counted, steps = sums.tolist()
        mean = loss / counted if counted else math.nan
        return mean, norm / steps if steps else math.nan, len(batches) - int(steps), sum(map(len, batches))

    def _rank(self, rate: float) -> None:
        """Go over to the AUC-margin loss and its optimiser, or begin its next stage."""
        if not isinstance(self.optimizer, PESG):
            margin = self.ranking.margin
            assert margin is not None, "an objective for ranking has a margin"
            self.objective = self.ranking
            self.optimizer = PESG(self.network, margin, self.schedule.margin_rate, self.schedule.weight_decay)
        self.optimizer.new_stage(rate * self.schedule.margin_rate)

    def _step(self, part: Tensor) -> Tensor:
        """One step on the rows `part`; (loss · windows, gradient norm, windows, 1), or zeros if it was not finite."""
        batch = windows(self.inputs, part, self.window)
        if self.schedule.noise:
            drift = torch.randn(batch.shape, generator=self.draws, device=self.device)
            batch = batch + self.schedule.noise * drift
        if self.schedule.augment is not None:
            batch = self.schedule.augment(batch, self.draws)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            found = self.network(batch)
        told = None if self.teacher is None else self.teacher[part]
        loss = self.objective(found, self.labels[part], told)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        fine = torch.isfinite(loss.detach()) & torch.isfinite(norm)
        # The optimiser itself leaves the step out, on the device: nobody waits for the answer.
        self.optimizer.found_inf = (~fine).float()
        self.optimizer.step()
        one = torch.ones_like(norm)
        return torch.where(fine, torch.stack([loss.detach() * len(part), norm, one * len(part), one]), 0.0)

    def _batches(self) -> tuple[Tensor, ...]:
        """The rows of each step of an epoch, on the device; a last one that is not full is dropped on a GPU."""
        size, order = self.schedule.batch, self.order
        start = int(torch.randint(self.schedule.stride, (1,), generator=order))
        drawn = self.rows[start :: self.schedule.stride]
        drawn = drawn[torch.randperm(len(drawn), generator=order)]
        if self.device.type == "cuda" and len(drawn) > size:
            drawn = drawn[: len(drawn) // size * size]
        if self.strata is None:
            return tuple(drawn.to(self.device).split(size))
        drawn = drawn[self.strata[drawn].argsort(stable=True)].to(self.device)
        count = -(-len(drawn) // size)
        return tuple(drawn[first::count] for first in range(count))


def _strata(targets: Tensor) -> Tensor:
    """A number (N,) for each row's pattern of 0, 1 and unknown over the heads.

    Rows sorted by it and dealt out in turn give batches that all hold each pattern, and so both classes of each head,
    as often as the whole does, give or take one.
    """
    digits = torch.where(torch.isnan(targets), 2, targets.nan_to_num().long())
    return torch.unique(digits, dim=0, return_inverse=True)[1]


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
