"""The pool of regime classifiers: it follows who knows, turns nobody round, and in doubt stays near the average."""

from __future__ import annotations

import numpy as np
import pytest

from models import metrics, pooling
from models.logits import softmax

ROWS = 4000


@pytest.fixture(scope="module")
def outcome() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, ROWS).astype(np.float64)


def knowing(outcome: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Probabilities that lean to what came, by so many nats."""
    draws = np.random.default_rng(seed).standard_normal((len(outcome), 3))
    return softmax(draws + strength * np.eye(3)[outcome.astype(int)])


def test_it_follows_the_member_that_knows(outcome: np.ndarray) -> None:
    knows, guesses = knowing(outcome, 1.5, 1), knowing(outcome, 0.0, 2)
    pool = pooling.fit([knows, guesses], outcome, 10.0)
    assert pool.weights[0] > 0.8 > 0.2 > pool.weights[1]
    alone = metrics.class_log_loss(outcome, knows)
    assert metrics.class_log_loss(outcome, pool([knows, guesses])) < alone + 0.005


def test_two_that_know_are_better_than_either(outcome: np.ndarray) -> None:
    said = [knowing(outcome, 0.8, seed) for seed in (1, 2)]
    pooled = pooling.fit(said, outcome, 10.0)(said)
    assert metrics.class_log_loss(outcome, pooled) < min(metrics.class_log_loss(outcome, s) for s in said) - 0.05
    np.testing.assert_allclose(pooled.sum(axis=1), 1)


def test_a_member_that_is_always_wrong_is_left_out_and_not_turned_round(outcome: np.ndarray) -> None:
    wrong = knowing((outcome + 1) % 3, 2.0, 3)
    pool = pooling.fit([knowing(outcome, 1.0, 1), wrong], outcome, 1.0)
    assert pool.weights[1] == 0
    assert (pool.weights >= 0).all()


def test_a_strong_pull_leaves_the_average(outcome: np.ndarray) -> None:
    said = [knowing(outcome, 1.5, 1), knowing(outcome, 0.0, 2)]
    pool = pooling.fit(said, outcome, 1e9)
    np.testing.assert_allclose(pool.weights, 0.5, atol=1e-3)
    np.testing.assert_allclose(pool.bias, 0, atol=1e-3)


def test_rows_that_are_not_known_or_not_told_count_for_nothing(outcome: np.ndarray) -> None:
    said = [knowing(outcome, 1.0, 1), knowing(outcome, 0.5, 2)]
    more = [np.vstack([each, np.full((500, 3), np.nan)]) for each in said]
    unknown = np.concatenate([outcome, np.zeros(500)])
    unknown[:100] = np.nan
    one = pooling.fit(more, unknown, 10.0)
    two = pooling.fit([each[100:] for each in said], outcome[100:], 10.0)
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-6)
    nobody = pooling.fit(said, np.full(ROWS, np.nan), 10.0)
    np.testing.assert_array_equal(nobody.weights, [0.5, 0.5])
    assert np.isnan(one([each[-1:] for each in more])).all()


def test_a_certain_mistake_does_not_rule_an_outcome_out() -> None:
    sure, fair = np.array([[1.0, 0.0, 0.0]]), np.full((1, 3), 1 / 3)
    said = pooling.average(2, 3)([sure, fair])
    assert (said > 0).all()
