"""Resampling by weights gives what resampling by copying rows gives, draw by draw, and in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models import metrics
from models.resampling import Drawn, Resamples

SIZES = [(500, 168), (168, 168), (100, 168), (337, 24), (1000, 1), (50, 7)]


def rows(count: int, seed: int = 0, digits: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and a score that knows something of them."""
    draw = np.random.default_rng(seed)
    outcome = (draw.random(count) < 0.4).astype(np.float64)
    return outcome, np.round(draw.standard_normal(count) + 0.3 * outcome, digits)


def by_copying(statistic: Callable[..., float], *columns: np.ndarray, block: int, draws: int = 60) -> metrics.Interval:
    return metrics.block_bootstrap(statistic, *columns, block=block, draws=draws, seed=3)


def alike(found: metrics.Interval, expected: metrics.Interval) -> None:
    assert [found.value, found.low, found.high] == pytest.approx([expected.value, expected.low, expected.high])


@pytest.mark.parametrize(("count", "block"), SIZES)
@pytest.mark.parametrize("digits", [9, 1, 0])
def test_auc_ties_included(count: int, block: int, digits: int) -> None:
    outcome, score = rows(count, digits=digits)
    resamples = Resamples(count, block, 60, seed=3)
    alike(resamples.auc(outcome, score).interval(), by_copying(metrics.auc, outcome, score, block=block))


@pytest.mark.parametrize(("count", "block"), SIZES)
def test_means_and_kappa(count: int, block: int) -> None:
    outcome, score = rows(count)
    classes, said = (np.random.default_rng(s).integers(0, 3, count) for s in (1, 2))
    resamples = Resamples(count, block, 60, seed=3)
    alike(resamples.mean(score).interval(), by_copying(lambda v: float(v.mean()), score, block=block))
    both = resamples.means(outcome, score)
    assert both[1].value == resamples.mean(score).value
    kappa = by_copying(metrics.quadratic_kappa, classes, said, block=block)
    alike(resamples.kappa(classes, said).interval(), kappa)


def test_every_draw_has_as_many_rows_as_the_sample() -> None:
    for count, block in SIZES:
        assert (Resamples(count, block, 40).weights.sum(axis=0) == count).all()


def test_a_lead_is_taken_draw_by_draw() -> None:
    outcome, score = rows(600)
    other = score + np.random.default_rng(5).standard_normal(600)
    resamples = Resamples(600, 24, 60, seed=3)
    lead = resamples.auc(outcome, score).minus(resamples.auc(outcome, other)).interval()
    alike(
        lead,
        by_copying(lambda o, a, b: metrics.auc(o, a) - metrics.auc(o, b), outcome, score, other, block=24),
    )
    nothing = resamples.auc(outcome, score).minus(resamples.auc(outcome, score)).interval()
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_a_constant_score_tells_nothing_apart() -> None:
    outcome, _ = rows(300)
    found = Resamples(300, 24, 50).auc(outcome, np.full(300, 0.3)).interval()
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_draws_without_a_value_are_left_out() -> None:
    outcome = np.zeros(200)
    outcome[:3] = 1  # most draws of long blocks hold none of them, or all rows alike
    score = np.arange(200.0)
    found = Resamples(200, 100, 80, seed=3).auc(outcome, score)
    assert np.isnan(found.draws).any()
    alike(found.interval(), by_copying(metrics.auc, outcome, score, block=100, draws=80))
    none = Resamples(200, 100, 20).auc(np.zeros(200), score)
    assert np.isnan([none.value, none.interval().low]).all()


def test_long_samples_are_weighed_in_stretches_without_losing_a_pair() -> None:
    outcome, score = rows(3000, digits=1)  # runs of equal scores across the stretches' ends
    alike(Resamples(3000, 168, 60, seed=3).auc(outcome, score).interval(),
          by_copying(metrics.auc, outcome, score, block=168))  # fmt: skip


def test_no_rows_have_no_sample() -> None:
    with pytest.raises(ValueError, match="no rows"):
        Resamples(0)
    assert np.isnan(Drawn(0.5, np.full(3, np.nan)).interval().low)
