"""The multi-horizon LSTM: one reading of a window, one logit for each horizon and side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.pooling import AttentionPooling, check_pooling, logit_heads


class MultiHorizonLSTM(nn.Module):  # type: ignore[misc]
    """A stacked LSTM whose pooled states feed one linear head for each horizon and side.

    The heads share the body, so what one horizon learns about the market serves the others; they stay separate logits
    because P(long profitable) and P(short profitable) are not complements.

    Parameters
    ----------
    features : int
        Columns F of the scaled feature matrix.
    heads : int
        Logits H, one for each horizon and side.
    hidden : int
        Width of the recurrent state, in each direction.
    layers : int
        Stacked recurrent layers.
    dropout : float
        Share of the state hidden in training, between layers and before the heads.
    bidirectional : bool
        Read the window backwards too. Nothing is foreseen by that: the window ends with the last closed bar.
    pooling : {"last", "attention"}
        What the heads read: the state after the whole window, or a learned average of every bar's state.

    Raises
    ------
    NetworkError
        If there is no such pooling.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        hidden: int = 32,
        layers: int = 1,
        dropout: float = 0.2,
        bidirectional: bool = False,
        pooling: str = "last",
    ) -> None:
        super().__init__()
        check_pooling(pooling)
        between = dropout if layers > 1 else 0.0
        self.body = nn.LSTM(features, hidden, layers, batch_first=True, dropout=between, bidirectional=bidirectional)
        width = hidden * (2 if bidirectional else 1)
        self.pool = AttentionPooling(width) if pooling == "attention" else None
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.heads = logit_heads(width, heads)

    def forward(self, window: Tensor) -> Tensor:
        """Logits (B, H) from windows (B, T, F) of scaled features, oldest bar first."""
        states, _ = self.body(window)
        pooled = self._finished(states) if self.pool is None else self.pool(states)
        logits: Tensor = self.heads(self.dropout(self.norm(pooled)))
        return logits

    def _finished(self, states: Tensor) -> Tensor:
        """The state (B, D) of each direction once it has read every bar."""
        if not self.body.bidirectional:
            return states[:, -1]
        hidden = self.body.hidden_size
        return torch.cat([states[:, -1, :hidden], states[:, 0, hidden:]], dim=1)  # backwards, the first bar comes last
