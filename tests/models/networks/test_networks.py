"""Every network of the zoo: its shapes, its gradients, what it reads, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models import networks
from models.networks import NetworkError
from models.networks.lstm import MultiHorizonLSTM
from models.networks.tft import TemporalFusionTransformer
from models.networks.transformer import MultiHorizonTransformer
from tests.models.networks.zoo import FEATURES, HEADS, LENGTH, ZOO, small
from training.loop import windows

EVERY = pytest.mark.parametrize("name", ZOO)


def drawn(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, LENGTH, FEATURES, generator=torch.Generator().manual_seed(seed))


@EVERY
@pytest.mark.parametrize("batch", [1, 5])
def test_windows_become_one_logit_for_each_head(name: str, batch: int) -> None:
    assert small(name)(drawn(batch)).shape == (batch, HEADS)


@EVERY
def test_gradients_reach_every_parameter(name: str) -> None:
    network = small(name)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # a pooling starts at 0, where some gradients vanish
    network(drawn(8)).square().sum().backward()
    largest = {key: 0.0 if p.grad is None else float(p.grad.abs().max()) for key, p in network.named_parameters()}
    assert [key for key, gradient in largest.items() if not gradient > 1e-7] == []


@EVERY
def test_the_heads_start_near_even_odds(name: str) -> None:
    assert small(name)(drawn(64)).abs().max() < 0.3


@EVERY
def test_a_window_is_answered_alone_as_among_others(name: str) -> None:
    network, batch = small(name).eval(), drawn(9)
    with torch.no_grad():
        alone = torch.cat([network(batch[i : i + 1]) for i in range(9)])
        torch.testing.assert_close(network(batch), alone, rtol=0, atol=1e-6)


@EVERY
def test_what_comes_after_the_window_changes_nothing_and_every_bar_in_it_counts(name: str) -> None:
    network = small(name).eval()
    matrix, rows = drawn(4).reshape(-1, FEATURES), torch.tensor([20])
    before = network(windows(matrix, rows, LENGTH))
    later = matrix.clone()
    later[21:] = 9.0
    assert torch.equal(network(windows(later, rows, LENGTH)), before)
    for row in (20, 20 - LENGTH + 1):
        changed = matrix.clone()
        changed[row] += 1.0
        assert not torch.equal(network(windows(changed, rows, LENGTH)), before)


@EVERY
def test_the_same_seed_builds_the_same_network_and_another_seed_another(name: str) -> None:
    batch = drawn(3)
    first, again, other = (small(name, seed).eval()(batch) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@EVERY
def test_it_learns_and_each_head_learns_its_own_column(name: str) -> None:
    """Each head has another question, so answers in another order would be wrong."""
    batch = drawn(96, seed=3)
    targets = torch.stack(
        [batch[:, -3:, 0].sum(1) > 0, batch[:, :, 1].mean(1) > 0, batch[:, 0, 2] > 0], dim=1
    ).float()  # the end, the whole and the beginning of the window
    network = trained(small(name, dropout=0.0), batch, targets)
    right = ((network(batch) > 0) == targets.bool()).float().mean(0)
    assert right.min() > 0.9
    turned = ((network(batch).roll(1, dims=1) > 0) == targets.bool()).float().mean(0)
    assert turned.max() < 0.75


def trained(network: nn.Module, batch: Tensor, targets: Tensor) -> nn.Module:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(network(batch), targets)
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            break
    return network.eval()


def test_the_lstms_defaults_are_one_direction_and_the_last_state() -> None:
    torch.manual_seed(1)
    network = MultiHorizonLSTM(FEATURES, HEADS).eval()
    states, _ = network.body(drawn(4))
    assert torch.equal(network(drawn(4)), network.heads(network.norm(states[:, -1])))
    assert not network.body.bidirectional
    assert network.pool is None


def test_backwards_the_last_state_is_the_one_that_has_read_every_bar() -> None:
    network = MultiHorizonLSTM(FEATURES, HEADS, hidden=4, bidirectional=True).eval()
    states, (finished, _) = network.body(drawn(4))
    assert torch.equal(network._finished(states), torch.cat([finished[0], finished[1]], dim=1))


def test_a_fresh_attention_pooling_takes_the_plain_average() -> None:
    network = small("lstm attention").eval()
    states, _ = network.body(drawn(4))
    torch.testing.assert_close(network.pool(states), states.mean(dim=1))


def test_the_tft_says_which_features_and_which_bars_it_read() -> None:
    network = small("tft")
    assert isinstance(network, TemporalFusionTransformer)
    network.train()
    variables, bars = network.explain(drawn(5))
    assert variables.shape == (5, FEATURES)
    assert bars.shape == (5, LENGTH)
    for weights in (variables, bars):
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))
    assert torch.equal(network.explain(drawn(5))[0], variables), "dropout must be off"
    assert network.training, "and back on afterwards"


def test_the_tft_learns_to_read_the_feature_that_matters() -> None:
    network = small("tft", dropout=0.0)
    assert isinstance(network, TemporalFusionTransformer)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(150):
        batch = drawn(64, seed=step)
        targets = (batch[:, -4:, 3].mean(1) > 0).float()[:, None].expand(-1, HEADS)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(batch), targets).backward()
        optimizer.step()
    variables, _ = network.explain(drawn(256, seed=999))
    assert int(variables.mean(dim=0).argmax()) == 3
    assert variables.mean(dim=0)[3] > 1.5 / FEATURES


def test_the_features_of_the_tft_do_not_mix_in_their_own_networks() -> None:
    """One batched product over the features is each feature's own network."""
    network = small("tft").eval()
    assert isinstance(network, TemporalFusionTransformer)
    select, batch = network.select, drawn(2)
    states, weights = select(batch)
    alone = torch.zeros(2, LENGTH, select.embedding)
    for f in range(FEATURES):
        inner = torch.nn.functional.elu(batch[..., f : f + 1] * select.inner[1, f] + select.inner[0, f])
        skip = batch[..., f : f + 1] * select.skip[1, f] + select.skip[0, f]
        value, gate = (inner @ select.gate[f] + select.gate_bias[f]).chunk(2, dim=-1)
        curve = torch.nn.functional.layer_norm(skip + value * torch.sigmoid(gate), (select.embedding,))
        alone = alone + weights[..., f : f + 1] * curve
    torch.testing.assert_close(states, select.widen(alone), rtol=1e-5, atol=1e-5)


def test_a_window_of_another_length_has_no_positions() -> None:
    network = small("transformer")
    with pytest.raises(NetworkError, match=f"a window of 5 bars, where the positions are for {LENGTH}"):
        network(drawn(2)[:, :5])


def test_positions_start_small_beside_the_features() -> None:
    network = MultiHorizonTransformer(FEATURES, HEADS, width=32, attention_heads=4)
    assert network.positions.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_last_block_asked_for_the_last_bar_alone_says_what_the_whole_block_says() -> None:
    network = small("transformer").eval()
    assert isinstance(network, MultiHorizonTransformer)
    states = torch.randn(3, LENGTH, 8)
    block = network.blocks[-1]
    torch.testing.assert_close(block(states, 1), block(states, LENGTH)[:, -1:])


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("gru", {}, "unknown network 'gru'; there are lstm, tft, transformer"),
        ("tft", {"lenght": 96}, "the tft has no option lenght; it has hidden, attention_heads"),
        ("lstm", {"pooling": "mean"}, "unknown pooling 'mean'; there are last and attention"),
        ("tft", {"hidden": 30}, "width 30 does not divide among 4 attention heads"),
        ("transformer", {"width": 30}, "width 30 does not divide among 8 attention heads"),
        ("transformer", {"patch": 5}, "a window of 96 bars does not divide into patches of 5"),
    ],
)
def test_a_network_that_cannot_be_is_refused(kind: str, options: dict[str, object], why: str) -> None:
    with pytest.raises(NetworkError, match=why):
        networks.build(kind, FEATURES, HEADS, **options)


def test_parameters_are_counted() -> None:
    assert networks.count_parameters(nn.Linear(3, 2)) == 8
