"""The Temporal Fusion Transformer: it says which features it read, and which bars.

Source: Lim et al. (2021), International Journal of Forecasting 37(4). Ours has what the paper has for observed inputs:
there are no static ones here and no known future ones, so the static encoders and the decoder fall away. The heads are
logits, one for each horizon and side, read at the last bar.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, glu, layer_norm

from models.networks.errors import NetworkError
from models.networks.gates import GatedResidual, GatedSkip
from models.networks.pooling import logit_heads


class VariableSelection(nn.Module):  # type: ignore[misc]
    """Each feature through a gated residual network of its own, and their average by weights drawn from all of them.

    All features at once, as one batched product. Where the paper's form costs most it is the same function written
    shorter: a scalar's embedding is affine, so the layers that follow it at once (the first of its own network, and the
    one over all embeddings that finds the weights) are affine in the scalars themselves. And a scalar is embedded in
    `embedding` numbers, not in `width`: a curve needs no more, and this is where the time went. Curves are normed and
    share one way on, so that a large weight means a large part.
    """

    def __init__(self, features: int, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.features, self.embedding = features, embedding
        self.weigh = GatedResidual(features, width, dropout)
        # (F, 1, ...): one network for each feature, the middle axis being every bar of every window
        self.inner = nn.Parameter(torch.empty(2, features, 1, embedding).uniform_(-1, 1))
        self.skip = nn.Parameter(torch.empty(2, features, 1, embedding).uniform_(-1, 1))
        self.gate = nn.Parameter(torch.empty(features, embedding, 2 * embedding).uniform_(-1, 1) / math.sqrt(embedding))
        self.gate_bias = nn.Parameter(torch.zeros(features, 1, 2 * embedding))
        self.widen = nn.Linear(embedding, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, D) and the features' weights (B, T, F), which sum to 1, from windows (B, T, F)."""
        weights = torch.softmax(self.weigh(window), dim=-1)
        scalars = window.reshape(-1, self.features).T.unsqueeze(-1)  # (F, B·T, 1)
        inner, skip = (torch.addcmul(offset, scalars, slope) for offset, slope in (self.inner, self.skip))
        gated = glu(torch.baddbmm(self.gate_bias, elu(inner, inplace=True), self.gate), dim=-1)
        curves = layer_norm(skip + gated, (self.embedding,))  # (F, B·T, E)
        chosen = (curves * weights.reshape(-1, self.features).T.unsqueeze(-1)).sum(dim=0)
        states = self.dropout(self.widen(chosen))
        return states.reshape(*window.shape[:2], -1), weights


class LastBarAttention(nn.Module):  # type: ignore[misc]
    """Interpretable multi-head attention: the heads share one value, so the mean of their weights is the attention.

    The last bar asks alone, for it alone is read, and everything in the window lies in its past: no mask is needed.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise NetworkError(f"width {width} does not divide among {heads} attention heads")
        self.split = (heads, width // heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # one would shift all scores alike
        self.value = nn.Linear(width, width // heads)
        self.out = nn.Linear(width // heads, width)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """What the last bar found (B, D) and the bars' weights (B, T), which sum to 1, from states (B, T, D)."""
        query = self.query(states[:, -1:]).unflatten(-1, self.split).transpose(1, 2)  # (B, heads, 1, D / heads)
        key = self.key(states).unflatten(-1, self.split).permute(0, 2, 3, 1)
        weights = torch.softmax(query @ key / math.sqrt(self.split[1]), dim=-1).mean(dim=1)  # (B, 1, T)
        found = self.out((weights @ self.value(states)).squeeze(1))
        return found, weights.squeeze(1)


class TemporalFusionTransformer(nn.Module):  # type: ignore[misc]
    """Variable selection, an LSTM, interpretable attention, and a gated skip round each of them.

    Parameters
    ----------
    features : int
        Columns F of the scaled feature matrix.
    heads : int
        Logits H, one for each horizon and side.
    hidden : int
        Width D of the states.
    attention_heads : int
        Heads of the attention.
    embedding : int
        Numbers E a feature's curve is made of.
    layers : int
        Stacked recurrent layers.
    dropout : float
        Share hidden in training, before each gate and the heads.

    Raises
    ------
    NetworkError
        If the width does not divide among the attention heads.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        hidden: int = 64,
        attention_heads: int = 4,
        embedding: int = 16,
        layers: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.select = VariableSelection(features, hidden, embedding, dropout)
        self.body = nn.LSTM(hidden, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.after_body = GatedSkip(hidden, hidden, dropout)
        self.enrich = GatedResidual(hidden, hidden, dropout)
        self.attend = LastBarAttention(hidden, attention_heads)
        self.after_attention = GatedSkip(hidden, hidden, dropout)
        self.forward_block = GatedResidual(hidden, hidden, dropout)
        self.after_all = GatedSkip(hidden, hidden, dropout)
        self.dropout = nn.Dropout(dropout)
        self.heads = logit_heads(hidden, heads)

    def forward(self, window: Tensor) -> Tensor:
        """Logits (B, H) from windows (B, T, F) of scaled features, oldest bar first."""
        return self._read(window)[0]

    def explain(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """The features' weights (B, F), averaged over the window's bars, and the bars' (B, T); both sum to 1.

        Without dropout, whichever mode the network is in.
        """
        training = self.training
        self.eval()
        with torch.no_grad():
            _, variables, bars = self._read(window)
        self.train(training)
        return variables.mean(dim=1), bars

    def _read(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen, variables = self.select(window)
        found, _ = self.body(chosen)
        temporal = self.after_body(found, chosen)
        enriched = self.enrich(temporal)
        attended, bars = self.attend(enriched)
        joined = self.after_attention(attended, enriched[:, -1])
        fused = self.after_all(self.forward_block(joined), temporal[:, -1])
        return self.heads(self.dropout(fused)), variables, bars
