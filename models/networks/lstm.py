"""The multi-horizon LSTM: one reading of a window, one logit for each horizon and side."""

from __future__ import annotations

from torch import Tensor, nn


class MultiHorizonLSTM(nn.Module):  # type: ignore[misc]
    """A stacked LSTM whose last state feeds one linear head for each horizon and side.

    The heads share the body, so what one horizon learns about the market serves the others; they stay separate logits
    because P(long profitable) and P(short profitable) are not complements.

    Parameters
    ----------
    features : int
        Columns F of the scaled feature matrix.
    heads : int
        Logits H, one for each horizon and side.
    hidden : int
        Width of the recurrent state.
    layers : int
        Stacked recurrent layers.
    dropout : float
        Share of the state hidden in training, between layers and before the heads.
    """

    def __init__(self, features: int, heads: int, hidden: int = 32, layers: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.body = nn.LSTM(features, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.Linear(hidden, heads)
        # An untrained head says "even odds" for everything: what it says later, it has learned.
        nn.init.normal_(self.heads.weight, std=0.01)
        nn.init.zeros_(self.heads.bias)

    def forward(self, window: Tensor) -> Tensor:
        """Logits (B, H) from windows (B, T, F) of scaled features, oldest bar first."""
        states, _ = self.body(window)
        logits: Tensor = self.heads(self.dropout(self.norm(states[:, -1])))
        return logits


def count_parameters(network: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(p.numel() for p in network.parameters())
