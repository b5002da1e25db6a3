"""The steps of a training: which windows, gathered and augmented, through the network, and one move of the optimiser.

Nothing inside an epoch is read back from the device; what is counted is counted there, and read once at its end.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from market.candles import Ints
from training.devices import precision_on
from training.losses import Objective
from training.optimizers import PESG, adamw
from training.schedule import Schedule

Matrix = NDArray[np.float32]
CLIP = 1.0
"""Longest gradient: one violent hour must not throw the weights away."""


def windows(matrix: Tensor, rows: Tensor, length: int) -> Tensor:
    """Windows (B, T, F) that end at the given rows of the scaled matrix (N, F)."""
    return matrix[rows[:, None] + torch.arange(1 - length, 1, device=matrix.device)]


class Run:
    """One training: what lies on the device, and how it goes through an epoch.

    `begins` is the epoch after which its own loss is in force: 0, but for a warm-up.
    """

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
        batches = self.batches()
        for part in batches:
            sums += self.step(part)
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

    def step(self, part: Tensor) -> Tensor:
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

    def batches(self) -> tuple[Tensor, ...]:
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
