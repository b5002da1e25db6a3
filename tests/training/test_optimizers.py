"""The optimisers: PESG finds the saddle and keeps α at 0 or above, and a step that is not finite changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import metrics
from training.losses import AUCMargin, base_rates
from training.optimizers import PESG, adamw


def ranked(rows: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs whose first column says which rows are likely ones; one row in five is."""
    draws = torch.Generator().manual_seed(8)
    x = torch.randn((rows, 4), generator=draws)
    return x, (x[:, :1] + torch.randn((rows, 1), generator=draws) > 1.2).float()


def test_pesg_ranks_ones_above_zeros_and_its_dual_variable_reaches_the_missing_margin() -> None:
    x, y = ranked()
    torch.manual_seed(1)
    network, margin = nn.Linear(4, 1), AUCMargin(base_rates(y))
    optimizer = PESG(network, margin, rate=1.0, weight_decay=0.0)
    for stage in range(6):
        optimizer.new_stage(1.0 / (1 + stage))
        for _ in range(60):
            optimizer.zero_grad()
            margin(network(x), y).sum().backward()
            optimizer.step()
    with torch.no_grad():
        h = torch.sigmoid(network(x))
    assert metrics.auc(y[:, 0].double().numpy(), h[:, 0].double().numpy()) > 0.85
    assert margin.a.item() == pytest.approx(h[y == 1].mean().item(), abs=0.02)
    assert margin.b.item() == pytest.approx(h[y == 0].mean().item(), abs=0.02)
    assert margin.alpha.item() == pytest.approx(1 + margin.b.item() - margin.a.item(), abs=0.02)


def test_the_dual_variable_goes_up_its_gradient_and_never_below_zero() -> None:
    margin = AUCMargin(torch.tensor([0.5, 0.5]))
    optimizer = PESG(nn.Linear(1, 1), margin, rate=0.5, weight_decay=0.0)
    margin.alpha.grad = torch.tensor([2.0, -2.0])
    optimizer.step()
    assert margin.alpha.tolist() == [1.0, 0.0]


def test_a_stage_starts_from_the_mean_of_the_last_and_pulls_towards_it() -> None:
    network, margin = nn.Linear(1, 1, bias=False), AUCMargin(torch.tensor([0.5]))
    optimizer = PESG(network, margin, rate=0.5, weight_decay=0.0)
    seen = []
    for _ in range(4):
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        seen.append(network.weight.item())
    optimizer.new_stage(0.1)
    assert optimizer.state[network.weight]["reference"].item() == pytest.approx(sum(seen) / 4)
    optimizer.state[network.weight]["velocity"].zero_()
    network.weight.grad = torch.zeros_like(network.weight)
    optimizer.step()
    assert network.weight.item() > seen[-1]


@pytest.mark.parametrize("name", ["adamw", "pesg"])
def test_a_step_that_is_not_finite_changes_nothing(name: str) -> None:
    x, y = ranked(50)
    torch.manual_seed(1)
    network, margin = nn.Linear(4, 1), AUCMargin(base_rates(y))
    optimizer = adamw(network, 0.1, 0.1) if name == "adamw" else PESG(network, margin, 0.1, 0.1)

    def step(scale: float) -> None:
        optimizer.zero_grad()
        (margin(network(x), y).sum() * scale).backward()
        optimizer.found_inf = torch.tensor(float(scale != 1.0))
        optimizer.step()

    step(1.0)
    kept = [value.clone() for value in (*network.parameters(), *margin.parameters())]
    step(float("nan"))
    assert all(torch.equal(a, b) for a, b in zip(kept, (*network.parameters(), *margin.parameters()), strict=True))
    step(1.0)
    assert all(torch.isfinite(value).all() for value in network.parameters())
    assert not torch.equal(kept[0], network.weight)
