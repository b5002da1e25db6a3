"""Gates of the Temporal Fusion Transformer: blocks that can shut themselves off where the data do not need them.

Source: B. Lim, S. Arik, N. Loeff, T. Pfister (2021), "Temporal Fusion Transformers for interpretable multi-horizon time
series forecasting", International Journal of Forecasting 37(4), section 4.1.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import elu, glu


class GatedSkip(nn.Module):  # type: ignore[misc]
    """LayerNorm(skip + σ(gate) · value), gate and value linear in what a block found.

    Parameters
    ----------
    found, width : int
        Columns of what the block found, and of what went round it.
    dropout : float
        Share of what was found hidden in training.
    """

    def __init__(self, found: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Linear(found, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, found: Tensor, skip: Tensor) -> Tensor:
        """States (..., width) from what was found (..., found) and what went round (..., width)."""
        passed: Tensor = self.norm(skip + glu(self.gate(self.dropout(found)), dim=-1))
        return passed


class GatedResidual(nn.Module):  # type: ignore[misc]
    """The gated residual network: one hidden layer, ELU, and a gate that decides how much of it is added.

    The paper's second linear layer is left out: the gate's own linear layers follow it at once.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.skip = GatedSkip(hidden, width, dropout)

    def forward(self, states: Tensor) -> Tensor:
        """States (..., width) from states (..., width)."""
        # In place, torch differentiates ELU from its result: several times faster on a CPU.
        passed: Tensor = self.skip(elu(self.inner(states), inplace=True), states)
        return passed
