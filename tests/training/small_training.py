"""A real training, of a small network in a second: units of a fold and a seed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models.networks.lstm import MultiHorizonLSTM
from training import loop

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Market:
    """What all units share: features (N, F) and targets (N, H)."""

    matrix: Array
    targets: Array


@dataclass(frozen=True)
class Part:
    """A fold, by its last training row, and a seed."""

    end: int
    seed: int


def small_market(rows: int = 300, features: int = 5) -> Market:
    """Noise whose first column says something of the next one's sign."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(rows, features)).astype(np.float32)
    targets = (matrix[:, :2] + rng.normal(size=(rows, 2)) > 0).astype(np.float32)
    return Market(matrix, targets)


def train(market: Market, part: Part) -> dict[str, Any]:
    """A real training of a small network: its losses, and its logits on the rows after the fold."""
    torch.manual_seed(part.seed)
    network = MultiHorizonLSTM(market.matrix.shape[1], 2, hidden=8)
    grow, stop = np.arange(8, part.end), np.arange(part.end, part.end + 50)
    schedule = loop.Schedule(epochs=3, patience=3, batch=32, learning_rate=3e-3, weight_decay=1e-4, noise=0.05)
    fitted = loop.fit(network, market.matrix, market.targets, grow, stop, 8, schedule, part.seed)
    return {"losses": np.array(fitted.stop_loss), "logits": loop.logits(network, market.matrix, stop, 8)}


def threads_of(context: Any, unit: Any) -> tuple[int, str | None, str | None]:
    """How many threads torch takes, what OpenMP was told, and whether it waits passively."""
    return torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("OMP_WAIT_POLICY")
