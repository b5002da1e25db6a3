"""What a training is told, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.augmentation import Augmentation
from training.losses import LossName
from training.member_spec import WARM_UP

Precision = Literal["auto", "float32", "bfloat16"]


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
    warm_up: int = WARM_UP
    margin_rate: float = 0.3
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
