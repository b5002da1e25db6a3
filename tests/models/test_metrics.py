"""Metrics are the field's, and intervals of dependent rows are wide enough to be believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from models import metrics


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60))
def test_auc_is_scikit_learns_ties_included(rows: list[tuple[bool, int]]) -> None:
    outcome = np.array([float(o) for o, _ in rows])
    score = np.array([s / 9 for _, s in rows])
    if outcome.min() == outcome.max():
        assert np.isnan(metrics.auc(outcome, score))
    else:
        assert metrics.auc(outcome, score) == pytest.approx(reference.roc_auc_score(outcome, score))


def test_losses_and_kappa_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    outcome, p = (rng.random(500) < 0.4).astype(float), rng.random(500)
    assert metrics.brier(outcome, p) == pytest.approx(reference.brier_score_loss(outcome, p))
    assert metrics.log_loss(outcome, p) == pytest.approx(reference.log_loss(outcome, p))
    classes, said = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    shares = rng.dirichlet((1, 1, 1), 500)
    assert metrics.class_log_loss(classes, shares) == pytest.approx(reference.log_loss(classes, shares))
    assert metrics.accuracy(classes, said) == pytest.approx(reference.accuracy_score(classes, said))
    assert metrics.quadratic_kappa(classes, said) == pytest.approx(
        reference.cohen_kappa_score(classes, said, weights="quadratic")
    )


def test_a_certain_and_wrong_probability_costs_much_and_not_infinity() -> None:
    assert 30 < metrics.log_loss(np.array([1.0]), np.array([0.0])) < 40


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        column = np.repeat(rng.standard_normal(60), 20)  # runs of 20 alike: 60 draws, not 1,200
        found = metrics.block_bootstrap(lambda c: float(c.mean()), column, block=60, draws=200, seed=seed)
        covered += found.low <= 0 <= found.high
    assert 160 <= covered <= 195  # 90 % of 200 is 180


def test_single_rows_would_have_given_a_false_confidence() -> None:
    column = np.repeat(np.random.default_rng(1).standard_normal(60), 20)
    blocks = metrics.block_bootstrap(lambda c: float(c.mean()), column, block=60)
    singles = metrics.block_bootstrap(lambda c: float(c.mean()), column, block=1)
    assert blocks.high - blocks.low > 2 * (singles.high - singles.low)


def test_columns_are_resampled_together_and_reproducibly() -> None:
    x = np.random.default_rng(2).standard_normal(500)
    together = metrics.block_bootstrap(lambda a, b: float((a - b).max()), x, x + 1, seed=4)
    assert [together.low, together.value, together.high] == pytest.approx([-1.0] * 3)
    assert metrics.block_bootstrap(np.mean, x, seed=4) == metrics.block_bootstrap(np.mean, x, seed=4)
    assert metrics.block_bootstrap(np.mean, x, seed=4) != metrics.block_bootstrap(np.mean, x, seed=5)


def test_no_rows_have_no_interval() -> None:
    with pytest.raises(ValueError, match="no rows"):
        metrics.block_bootstrap(np.mean, np.empty(0))


def test_auc_within_parts_ranks_no_row_against_another_parts() -> None:
    draws = np.random.default_rng(6)
    outcome = (draws.random(600) < 0.4).astype(float)
    score, part = draws.normal(size=600) + outcome, np.repeat([0, 1, 2], 200)
    plain = metrics.auc_within(outcome, score, part)
    assert metrics.auc_within(outcome, score + 5 * part, part) == plain
    assert metrics.auc_within(outcome, score, np.zeros(600)) == metrics.auc(outcome, score)
    by_part = [metrics.auc(outcome[part == p], score[part == p]) for p in range(3)]
    assert min(by_part) < plain < max(by_part)
    assert np.isnan(metrics.auc_within(np.ones(600), score, part))
