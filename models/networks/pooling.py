"""From a state for each bar to logits: which states are read, and the heads that read them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.errors import NetworkError

POOLINGS = ("last", "attention")


class AttentionPooling(nn.Module):  # type: ignore[misc]
    """The average of a window's states, each weighted by a learned score of itself.

    Scores start at 0, so that a fresh network takes the plain average.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, states: Tensor) -> Tensor:
        """One state (B, D) from one for each bar (B, T, D)."""
        weights = torch.softmax(self.score(states), dim=1)
        pooled: Tensor = (weights.transpose(1, 2) @ states).squeeze(1)
        return pooled


def check_pooling(pooling: str) -> None:
    """Raise NetworkError unless there is such a pooling."""
    if pooling not in POOLINGS:
        raise NetworkError(f"unknown pooling {pooling!r}; there are {' and '.join(POOLINGS)}")


def logit_heads(width: int, heads: int) -> nn.Linear:
    """One linear head for each logit, in the order of the targets' columns, starting near 0."""
    layer = nn.Linear(width, heads)
    # An untrained head says "even odds" for everything: what it says later, it has learned.
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
