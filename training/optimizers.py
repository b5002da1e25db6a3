"""The optimisers: AdamW for losses that are minimised, and PESG for the AUC-margin loss, which has a saddle instead.

Both leave everything as it was in a step whose `found_inf` is not 0, decided on the device: GradScaler's own way to
skip a step without asking the GPU first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.losses import AUCMargin

MOMENTUM = 0.9
PROXIMAL = 2e-3
"""Pull towards where the stage began."""


def adamw(network: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one kernel for all parameters."""
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=weight_decay, fused=True)


class PESG(torch.optim.Optimizer):  # type: ignore[misc]
    """Proximal epoch stochastic gradient: descent for network, a and b, ascent for α, in stages.

    A primal step goes down the gradient with momentum, weight decay (the network's weights alone) and a pull towards
    the stage's reference, the mean of the weights over the stage before. A dual step goes up its gradient and back to
    α ≥ 0 where it left it. `new_stage` sets the rate and the reference: here every epoch is a stage.

    References
    ----------
    Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021; Guo et al., "Fast Objective & Duality Gap
    Convergence for Nonconvex-Strongly-Concave Min-Max Problems", 2020.
    """

    found_inf: Tensor | None = None

    def __init__(self, network: nn.Module, margin: AUCMargin, rate: float, weight_decay: float) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(network.parameters()), "weight_decay": weight_decay},
            {"params": [margin.a, margin.b], "weight_decay": 0.0},
            {"params": [margin.alpha], "dual": True},
        ]
        super().__init__(groups, {"lr": rate, "weight_decay": 0.0, "dual": False})
        self._steps = 0
        for value in self._primal():
            self.state[value] = {
                "reference": value.detach().clone(),
                "sum": torch.zeros_like(value),
                "velocity": torch.zeros_like(value),
            }

    def _primal(self) -> Iterable[Tensor]:
        return (value for group in self.param_groups if not group["dual"] for value in group["params"])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        """One step down and up, or none where `found_inf` says so."""
        self._steps += 1
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is None:
                    continue
                if group["dual"]:
                    value.copy_(self._where_fine((value + group["lr"] * value.grad).clamp(min=0.0), value))
                    continue
                state = self.state[value]
                pull = value.grad + PROXIMAL * (value - state["reference"]) + group["weight_decay"] * value
                state["velocity"] = self._where_fine(MOMENTUM * state["velocity"] + pull, state["velocity"])
                value.copy_(self._where_fine(value - group["lr"] * state["velocity"], value))
                state["sum"] += value

    def _where_fine(self, then: Tensor, otherwise: Tensor) -> Tensor:
        return then if self.found_inf is None else torch.where(self.found_inf == 0, then, otherwise)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def new_stage(self, rate: float) -> None:
        """Begin a stage at this rate, from a reference that is the mean of the weights over the last one."""
        for group in self.param_groups:
            group["lr"] = rate
        for value in self._primal():
            state = self.state[value]
            state["reference"] = state["sum"] / self._steps if self._steps else value.detach().clone()
            state["sum"] = torch.zeros_like(value)
        self._steps = 0
