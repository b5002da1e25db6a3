"""Losses: each does what its paper says, and none makes the mistake it is usually written with."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from training.losses import (
    AUCMargin,
    Diversity,
    LossName,
    Objective,
    average,
    base_rates,
    correlations,
    cross_entropy,
    distil,
    focal,
    soft_cross_entropy,
    softmax_cross_entropy,
)

NAN = math.nan
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, NAN], [NAN, 1.0], [0.0, 0.0]])
SAID = torch.tensor([[0.3, -9.0], [-2.0, 0.1], [0.7, 1.5], [0.2, 4.0], [-7.0, 0.3], [0.4, -0.8]])


def slope(of: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Gradient of a scalar in logits."""
    at = at.clone().requires_grad_()
    of(at).backward()
    assert at.grad is not None
    return at.grad


@pytest.mark.parametrize("loss", ["bce", "focal", "auc_margin"])
def test_an_unknown_target_has_no_say_in_any_loss(loss: LossName) -> None:
    objective = Objective(loss, LABELS, weights=(0.7, 0.3))
    wild = torch.where(torch.isnan(LABELS), SAID + 50.0, SAID)
    assert torch.equal(objective(SAID, LABELS), objective(wild, LABELS))
    assert not slope(lambda at: objective(at, LABELS), SAID)[torch.isnan(LABELS)].any()


def test_an_unknown_class_has_no_say() -> None:
    said, classes = torch.randn(5, 3), torch.tensor([0.0, 2.0, NAN, 1.0, 0.0])
    known = ~torch.isnan(classes)
    expected = torch.nn.functional.cross_entropy(said[known], classes[known].long())
    assert torch.allclose(softmax_cross_entropy(said, classes), expected)


def test_a_batch_in_which_nothing_is_known_gives_zero_and_no_nan() -> None:
    unknown = torch.full_like(LABELS, NAN)
    for loss in ("bce", "focal", "auc_margin"):
        objective = Objective(loss, LABELS)
        found = slope(lambda at, of=objective: of(at, unknown), SAID)
        assert torch.equal(found, torch.zeros_like(SAID)), loss
    assert float(softmax_cross_entropy(SAID, unknown[:, 0])) == 0.0


def test_heads_are_weighted_by_their_own_means() -> None:
    of_heads = [
        binary_cross_entropy_with_logits(SAID[known, head], LABELS[known, head])
        for head, known in enumerate(~torch.isnan(LABELS.T))
    ]
    found = Objective("bce", LABELS, weights=(3.0, 1.0))(SAID, LABELS)
    assert torch.allclose(found, 0.75 * of_heads[0] + 0.25 * of_heads[1])


def test_without_weights_every_known_target_counts_alike() -> None:
    known = ~torch.isnan(LABELS)
    assert torch.allclose(
        Objective("bce", LABELS)(SAID, LABELS), binary_cross_entropy_with_logits(SAID[known], LABELS[known])
    )


def test_focal_alpha_weighs_ones_against_zeros_and_is_no_mere_learning_rate() -> None:
    even = torch.zeros(1, 2)  # both are told equally well, so only alpha tells them apart
    found = focal(even, torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([[0.25, 0.75]]) * 0.25 * math.log(2))


def test_focal_loss_without_its_exponent_is_weighted_cross_entropy() -> None:
    entropy = cross_entropy(SAID, LABELS)
    weight = 0.25 * LABELS.nan_to_num() + 0.75 * (1 - LABELS.nan_to_num())
    assert torch.allclose(focal(SAID, LABELS, gamma=0.0), weight * entropy)


def test_focal_loss_hardly_listens_to_what_is_told_well() -> None:
    ones = torch.ones(1, 1)
    sure, unsure = (float(slope(lambda at: focal(at, ones).sum(), torch.tensor([[z]])).abs()) for z in (4.0, 0.0))
    plain = float(torch.sigmoid(torch.tensor(-4.0)))
    assert sure / unsure < 0.05 * plain / 0.5


def test_the_best_probability_under_focal_loss_is_not_the_true_one() -> None:
    rate, p = 0.7, torch.linspace(0.01, 0.99, 197)
    said = torch.logit(p)[:, None]
    expected = rate * focal(said, torch.ones_like(said)) + (1 - rate) * focal(said, torch.zeros_like(said))
    assert abs(float(p[expected.argmin()]) - rate) > 0.1


def test_the_margin_loss_at_its_saddle_is_spread_within_classes_plus_the_missing_margin() -> None:
    draws = torch.Generator().manual_seed(3)
    labels = (torch.rand((400, 2), generator=draws) < torch.tensor([0.5, 0.2])).float()
    said = torch.randn((400, 2), generator=draws) + 0.8 * labels
    loss = AUCMargin(base_rates(labels))
    h = torch.sigmoid(said)
    ones, zeros = ([h[labels[:, j] == y, j] for j in range(2)] for y in (1, 0))
    mean_one, mean_zero = (torch.stack([part.mean() for part in parts]) for parts in (ones, zeros))
    short = (1 + mean_zero - mean_one).clamp(min=0)
    with torch.no_grad():
        loss.a.copy_(mean_one)
        loss.b.copy_(mean_zero)
        loss.alpha.copy_(short)
    spread = torch.stack([a.var(correction=0) + b.var(correction=0) for a, b in zip(ones, zeros, strict=True)])
    rate = base_rates(labels)
    found = loss(said, labels)
    assert torch.allclose(found, rate * (1 - rate) * (spread + short**2), atol=1e-6)
    found.sum().backward()
    for value in (loss.a, loss.b, loss.alpha):
        assert value.grad is not None
        assert value.grad.abs().max() < 1e-6


def test_the_margin_loss_sees_probabilities_so_a_far_logit_cannot_buy_margin() -> None:
    loss = AUCMargin(torch.tensor([0.5]))
    labels = torch.tensor([[1.0], [0.0]])
    near, far = loss(torch.tensor([[9.0], [-9.0]]), labels), loss(torch.tensor([[900.0], [-900.0]]), labels)
    assert torch.allclose(near, far, atol=1e-3)


def test_a_head_that_says_one_thing_gives_a_penalty_and_no_nan() -> None:
    labels = torch.randint(0, 2, (64, 3)).float()
    said = torch.randn(64, 3)
    said[:, 1] = 0.4
    penalty = Diversity(labels)
    assert torch.isfinite(penalty(said))
    assert torch.isfinite(slope(penalty, said)).all()
    assert torch.isfinite(slope(penalty, torch.zeros(64, 3))).all()
    assert torch.isfinite(slope(penalty, said[:1])).all()


def test_heads_may_agree_as_much_as_their_labels_do() -> None:
    draws = torch.Generator().manual_seed(2)
    first = torch.randn(4000, generator=draws)
    second = 0.7 * first + 0.7 * torch.randn(4000, generator=draws)
    labels = torch.stack([first > 0, second > 0], dim=1).float()
    allowed = float(correlations(labels)[0, 1])
    assert 0.4 < allowed < 0.6
    penalty = Diversity(labels)
    less = torch.stack([first, 0.3 * first + torch.randn(4000, generator=draws)], dim=1)
    assert float(penalty(less)) == 0.0
    assert math.isclose(float(penalty(torch.stack([first, first], dim=1))), (1 - allowed) ** 2, abs_tol=0.01)
    assert math.isclose(float(penalty(torch.stack([first, -first], dim=1))), (1 - allowed) ** 2, abs_tol=0.01)


def test_labels_correlate_over_the_rows_both_know() -> None:
    x = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, NAN], [NAN, 0.0], [1.0, 0.0], [0.0, 0.0]])
    both = ~torch.isnan(x).any(1)
    assert torch.allclose(correlations(x), torch.corrcoef(x[both].T))


def test_labels_that_never_vary_forbid_nothing() -> None:
    labels = torch.stack([torch.ones(20), torch.randint(0, 2, (20,)).float()], dim=1)
    same = torch.randn(20, 1).expand(20, 2)
    assert float(Diversity(labels)(same)) == 0.0


def test_the_student_is_done_when_it_says_what_the_teacher_says() -> None:
    teacher = torch.tensor([[1.2, -0.4]])
    for temperature in (1.0, 2.0, 5.0):
        found = slope(lambda at, t=temperature: soft_cross_entropy(at, teacher, t).sum(), teacher)
        assert found.abs().max() < 1e-6


def test_temperature_acts() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 6.0]])
    cold, warm = (slope(lambda at, t=t: soft_cross_entropy(at, teacher, t).sum(), student) for t in (1.0, 4.0))
    # warm, a sure teacher pulls harder compared with an unsure one: that is what is distilled
    assert float(warm[0, 1] / warm[0, 0]) > 1.5 * float(cold[0, 1] / cold[0, 0])
    hot = slope(lambda at: soft_cross_entropy(at, teacher, 1000.0).sum(), student)
    assert torch.allclose(hot, (student - teacher) / 4, atol=1e-3)  # Hinton's limit, of a size that T² has kept


def test_rows_without_a_teacher_have_the_hard_loss_alone() -> None:
    teacher = torch.tensor([[0.4, NAN], [NAN, NAN], [1.0, -1.0], [NAN, NAN], [2.0, 1.0], [NAN, NAN]])
    hard = cross_entropy(SAID, LABELS)
    found, counted = distil(hard, SAID, LABELS, teacher, 2.0, 0.5)
    alone, soft = torch.isnan(teacher), soft_cross_entropy(SAID, teacher, 2.0)
    assert torch.equal(found[alone], hard[alone])
    assert torch.allclose(found[~alone], (0.5 * soft + 0.5 * hard)[~alone])
    assert torch.equal(counted, ~torch.isnan(LABELS) | ~alone)
    assert float(average(found, counted)) == float(Objective("bce", LABELS)(SAID, LABELS, teacher))


def test_a_teacher_alone_teaches_where_the_outcome_is_unknown() -> None:
    unknown = torch.full((1, 1), NAN)
    objective = Objective("bce", unknown, alpha=0.5)
    found = slope(lambda at: objective(at, unknown, torch.tensor([[2.0]])), torch.zeros(1, 1))
    assert float(found) < 0
