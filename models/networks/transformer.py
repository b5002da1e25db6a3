"""The multi-horizon Transformer: every bar of a window reads every other, one logit for each horizon and side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from models.networks.errors import NetworkError
from models.networks.pooling import AttentionPooling, check_pooling, logit_heads


class Block(nn.Module):  # type: ignore[misc]
    """Attention, then a feed-forward layer, each normed before and added after (pre-norm: Xiong et al. 2020).

    Not causal: every bar of the window has closed when it is read, and only its end is asked, so a mask would hide
    nothing but the context.
    """

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise NetworkError(f"width {width} does not divide among {heads} attention heads")
        self.attention_heads = heads
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.wide, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, bars: Tensor, keep: int) -> Tensor:
        """States (B, keep, D) of the last `keep` bars, which have read all bars (B, T, D)."""
        normed = self.attention_norm(bars)
        key, value = self.key_value(normed).chunk(2, dim=-1)
        found = scaled_dot_product_attention(
            self._split(self.query(normed[:, -keep:])), self._split(key), self._split(value)
        )
        bars = bars[:, -keep:] + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        added: Tensor = bars + self.dropout(self.narrow(gelu(self.wide(self.forward_norm(bars)))))
        return added

    def _split(self, states: Tensor) -> Tensor:
        """(B, heads, T, D / heads) from (B, T, D)."""
        return states.unflatten(-1, (self.attention_heads, -1)).transpose(1, 2)


class MultiHorizonTransformer(nn.Module):  # type: ignore[misc]
    """A pre-norm encoder over a window's bars with learned positions, and one linear head for each horizon and side.

    Parameters
    ----------
    features : int
        Columns F of the scaled feature matrix.
    heads : int
        Logits H, one for each horizon and side.
    width : int
        Width D of the states.
    attention_heads : int
        Heads of each attention.
    layers : int
        Blocks.
    length : int
        Bars T of a window; each has a position of its own, so no other length can be read.
    patch : int
        Bars read as one step, which has one position (Nie et al. 2023): the time falls with it, and so does the detail.
    expansion : int
        Width of the feed-forward layers, in widths.
    dropout : float
        Share of each block's addition, and of the state before the heads, hidden in training.
    pooling : {"last", "attention"}
        What the heads read: the last bar's state, or a learned average of every bar's. With ``last``, the last block
        works for the last bar alone: the same answer for a fifth less.

    Raises
    ------
    NetworkError
        If the width does not divide among the attention heads, the length not into patches, or there is no such
        pooling; in `forward`, if a window has another length.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        width: int = 256,
        attention_heads: int = 8,
        layers: int = 4,
        length: int = 96,
        patch: int = 1,
        expansion: int = 4,
        dropout: float = 0.2,
        pooling: str = "last",
    ) -> None:
        super().__init__()
        check_pooling(pooling)
        if length % patch:
            raise NetworkError(f"a window of {length} bars does not divide into patches of {patch}")
        self.length, self.patched = length, (length // patch, patch * features)
        self.embed = nn.Linear(patch * features, width)
        # Of the spread of a small correction: a table of unit spread would drown the features.
        self.positions = nn.Parameter(torch.randn(length // patch, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, attention_heads, expansion, dropout) for _ in range(layers))
        self.pool = AttentionPooling(width) if pooling == "attention" else None
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.heads = logit_heads(width, heads)

    def forward(self, window: Tensor) -> Tensor:
        """Logits (B, H) from windows (B, T, F) of scaled features, oldest bar first."""
        if window.shape[1] != self.length:
            raise NetworkError(f"a window of {window.shape[1]} bars, where the positions are for {self.length}")
        steps = self.patched[0]
        bars = self.dropout(self.embed(window.reshape(-1, *self.patched)) + self.positions)
        for block in self.blocks[:-1]:
            bars = block(bars, steps)
        bars = self.blocks[-1](bars, 1 if self.pool is None else steps)
        normed = self.norm(bars)
        pooled = normed[:, -1] if self.pool is None else self.pool(normed)
        logits: Tensor = self.heads(self.dropout(pooled))
        return logits
