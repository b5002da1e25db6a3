"""Losses, each once: what a network is told about its logits. A NaN target counts for nothing in any of them.

Logits come in as they are, whatever the precision of the network, and are taken to float32 first. Nothing here looks at
a value on the host, so nothing here makes a GPU wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

LossName = Literal["bce", "focal", "auc_margin", "classes"]
FOCAL_ALPHA = 0.25
"""Weight of the ones; zeros weigh 1 - .25."""
FOCAL_GAMMA = 2.0
MARGIN = 1.0
"""How far apart the two classes' mean probabilities should be."""
VARIANCE_FLOOR = 1e-4
"""Added to a head's variance of probabilities: a head that says one thing correlates with nothing, instead of NaN."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy (nats) of each logit (B, H); 0 where the target is unknown."""
    known = ~torch.isnan(targets)
    found = functional.binary_cross_entropy_with_logits(logits.float(), targets.nan_to_num(), reduction="none")
    return torch.where(known, found, 0.0)


def focal(logits: Tensor, targets: Tensor, alpha: float = FOCAL_ALPHA, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Focal loss (nats) of each logit (B, H): what is already told well weighs little; 0 where the target is unknown.

    `alpha` weighs the ones and 1 - alpha the zeros: the same factor on both would be a mere learning rate. Focal loss
    is not proper, its best probability is not the true one: calibration has to follow.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """
    y = targets.nan_to_num()
    entropy = cross_entropy(logits, targets)  # -log(p of what came true), so its p is exp(-entropy)
    missed = -torch.expm1(-entropy)
    return (alpha * y + (1 - alpha) * (1 - y)) * missed**gamma * entropy


def softmax_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of logits (B, H) with one known class (B,), numbered from 0, as a float or NaN."""
    known = ~torch.isnan(classes)
    found = functional.cross_entropy(logits.float(), classes.nan_to_num().long(), reduction="none")
    return torch.where(known, found, 0.0).sum() / known.sum().clamp(min=1)


def soft_cross_entropy(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Distillation (nats) of each logit (B, H): T² · BCE(logit / T, σ(teacher / T)); 0 where the teacher is NaN.

    Both logits are cooled, before the sigmoid, or T would not act; T² keeps the gradient's size as T rises.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """
    told = ~torch.isnan(teacher)
    soft = torch.sigmoid(teacher.nan_to_num() / temperature)
    found = functional.binary_cross_entropy_with_logits(logits.float() / temperature, soft, reduction="none")
    return torch.where(told, temperature**2 * found, 0.0)


def distil(
    hard: Tensor, logits: Tensor, targets: Tensor, teacher: Tensor, temperature: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Each logit's loss (B, H) with a teacher's, and which of them count (B, H).

    alpha · soft + (1 - alpha) · hard where there is a teacher, the hard loss alone where there is none, and the soft
    part alone where the outcome is unknown.
    """
    told = ~torch.isnan(teacher)
    soft = soft_cross_entropy(logits, teacher, temperature)
    return torch.where(told, alpha * soft + (1 - alpha) * hard, hard), told | ~torch.isnan(targets)


def average(elements: Tensor, counted: Tensor, weights: Tensor | None = None) -> Tensor:
    """One number from losses (B, H), of which those `counted` are known and the others 0.

    With weights (H,) the mean of each head, weighted; without, the mean of all that is known.
    """
    if weights is None:
        return elements.sum() / counted.sum().clamp(min=1)
    return (weights * elements.sum(0) / counted.sum(0).clamp(min=1)).sum()


class AUCMargin(nn.Module):  # type: ignore[misc]
    """AUC-margin loss of each head: ones should score a margin above zeros, and each class stay close to its mean.

    min over network, a, b, max over α ≥ 0 of, with h = σ(logit), p the share of ones and m the margin,

        E[(1-p)(h-a)² y + p(h-b)²(1-y) + 2α(p h (1-y) - (1-p) h y)] + p(1-p)(2αm - α²).

    At the best a, b and α this is p(1-p)(Var[h|1] + Var[h|0] + max(0, m + E[h|0] - E[h|1])²). It says nothing of the
    level of h: calibration has to follow. Descend in `a`, `b` and the network, ascend in `alpha`:
    `training.optimizers.PESG`.

    Parameters
    ----------
    rates : (H,) float32
        Share of ones among each head's known training labels.

    References
    ----------
    Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, equation 5.
    """

    rates: Tensor

    def __init__(self, rates: Tensor) -> None:
        super().__init__()
        self.register_buffer("rates", rates)
        # After a start on cross-entropy both classes score about the share of ones.
        self.a = nn.Parameter(rates.clone())
        self.b = nn.Parameter(rates.clone())
        self.alpha = nn.Parameter(torch.zeros_like(rates))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each head (H,) for logits and targets (B, H)."""
        known = ~torch.isnan(targets)
        h, y, p = torch.sigmoid(logits.float()), targets.nan_to_num(), self.rates
        ones = (1 - p) * y * ((h - self.a) ** 2 - 2 * self.alpha * h)
        zeros = p * (1 - y) * ((h - self.b) ** 2 + 2 * self.alpha * h)
        mean = torch.where(known, ones + zeros, 0.0).sum(0) / known.sum(0).clamp(min=1)
        return mean + p * (1 - p) * (2 * self.alpha * MARGIN - self.alpha**2)


def base_rates(targets: Tensor) -> Tensor:
    """Share of ones (H,) among the known targets (N, H); 0 for a head with none."""
    known = ~torch.isnan(targets)
    return targets.nan_to_num().sum(0) / known.sum(0).clamp(min=1)


def correlations(values: Tensor, floor: float = 0.0) -> Tensor:
    """Correlations (H, H) of columns (N, H), each over the rows both know; 1 where either does not vary."""
    known = (~torch.isnan(values)).double()
    x = values.double().nan_to_num()
    count = (known.T @ known).clamp(min=1)
    mean = (x.T @ known) / count  # [i, j]: mean of i over the rows that know i and j
    variance = (x**2).T @ known / count - mean**2
    covariance = x.T @ x / count - mean * mean.T
    spread = (variance.clamp(min=0) * variance.T.clamp(min=0)).sqrt()
    return torch.where(spread > 1e-12, covariance / spread.clamp(min=1e-12), 1.0).float()


class Diversity(nn.Module):  # type: ignore[misc]
    """Penalty on heads that say the same, or the opposite: correlation of probabilities beyond that of the labels.

    True labels of neighbouring horizons correlate by .3 to .5, so only what exceeds |correlation of the labels| is
    penalised: the mean over pairs of heads of its square.

    Parameters
    ----------
    targets : (N, H) float32
        Training labels; a pair that never varies together is left alone.
    """

    allowed: Tensor
    pairs: Tensor

    def __init__(self, targets: Tensor) -> None:
        super().__init__()
        heads = targets.shape[1]
        first, second = torch.triu_indices(heads, heads, offset=1)
        self.register_buffer("pairs", first * heads + second)
        self.register_buffer("allowed", correlations(targets)[first, second].abs())

    def forward(self, logits: Tensor) -> Tensor:
        """The penalty, from 0 to 1, for logits (B, H)."""
        if not len(self.allowed):
            return logits.new_zeros((), dtype=torch.float32)
        p = torch.sigmoid(logits.float())
        p = p - p.mean(0)
        covariance = p.T @ p / len(p)
        spread = (covariance.diagonal() + VARIANCE_FLOOR).sqrt()
        found = covariance / (spread[:, None] * spread)
        return ((found.flatten()[self.pairs].abs() - self.allowed).clamp(min=0) ** 2).mean()


class Objective(nn.Module):  # type: ignore[misc]
    """What a network is trained on: a loss, weighted by head, with or without teacher and diversity penalty.

    Parameters
    ----------
    loss : str
        Its name.
    targets : (N, H) float32
        Labels of the training rows, for the share of ones and the labels' own correlation; (N,) classes for "classes".
    weights : sequence of float or None
        One a head, scaled to sum to one; None: every known target counts alike.
    diversity : float
        Weight of the diversity penalty.
    temperature, alpha : float
        Of the teacher: how far logits are cooled, and the share of the soft loss.
    """

    weights: Tensor | None

    def __init__(
        self,
        loss: LossName,
        targets: Tensor,
        weights: Sequence[float] | None = None,
        diversity: float = 0.0,
        temperature: float = 2.0,
        alpha: float = 0.5,
    ) -> None:
        super().__init__()
        self.loss, self.share, self.temperature, self.alpha = loss, diversity, temperature, alpha
        scaled = None if weights is None else torch.tensor(weights) / sum(weights)
        self.register_buffer("weights", scaled)
        self.margin = AUCMargin(base_rates(targets)) if loss == "auc_margin" else None
        self.diversity = Diversity(targets) if diversity else None

    def forward(self, logits: Tensor, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """The loss of a batch: logits (B, H), targets (B, H) or classes (B,), the teacher's logits (B, H) or None."""
        if self.loss == "classes":
            return softmax_cross_entropy(logits, targets)
        if self.margin is not None:
            found = self.margin(logits, targets)
            total = found.mean() if self.weights is None else (self.weights * found).sum()
        else:
            elements = (focal if self.loss == "focal" else cross_entropy)(logits, targets)
            counted = ~torch.isnan(targets)
            if teacher is not None:
                elements, counted = distil(elements, logits, targets, teacher, self.temperature, self.alpha)
            total = average(elements, counted, self.weights)
        if self.diversity is not None:
            total = total + self.share * self.diversity(logits)
        return total
