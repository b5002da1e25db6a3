"""Choosing: the best of the variants, and when it is said to be luck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest import significance, statistics
from backtest.sweep.choice import choose, daily_returns, sharpes
from backtest.sweep.work import Played
from market.candles import Floats


def noise(variants: int, days: int = 800, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.01, (variants, days))


def played(daily_equity: list[list[int]]) -> Played:
    equity = np.array(daily_equity, dtype=np.int64)
    count = np.zeros(len(equity), dtype=np.int64)
    return Played(count, count, count, count, count, count, equity[:, -1], count.astype(float), equity)


def test_the_best_of_noise_is_said_to_be_luck() -> None:
    choice = choose(noise(300), 300)
    assert choice.pbo is not None
    assert choice.pbo.probability > 0.3
    assert choice.deflated is not None
    assert choice.deflated.probability is not None
    assert choice.deflated.probability < 0.95
    assert any("likely luck" in w and "300 worthless trials" in w for w in choice.warnings)


def test_a_truly_better_variant_is_chosen_without_a_warning() -> None:
    daily = noise(300)
    daily[123] += 0.003
    choice = choose(daily, 300)
    assert choice.best == choice.order[0] == 123
    assert choice.warnings == ()


def test_trials_that_came_before_count() -> None:
    daily = noise(50)
    daily[7] += 0.001
    few, many = choose(daily, 50), choose(daily, 50, earlier=100_000)
    assert few.deflated is not None
    assert many.deflated is not None
    assert (few.deflated.trials, many.deflated.trials) == (50, 100_050)
    assert many.deflated.probability is not None
    assert few.deflated.probability is not None
    assert many.deflated.probability < few.deflated.probability


def test_variants_are_in_order_and_those_without_a_ratio_come_last() -> None:
    daily = noise(5)
    daily[1] = 0
    daily[3, 10] = -1
    choice = choose(daily, 5)
    assert set(choice.order[-2:].tolist()) == {1, 3}
    assert np.isnan(choice.sharpe[[1, 3]]).all()
    assert np.all(np.diff(choice.sharpe[choice.order[:3]]) <= 0)


def test_where_nothing_trades_there_is_nothing_to_choose() -> None:
    choice = choose(np.zeros((4, 100)), 4)
    assert choice.best is None
    assert choice.deflated is None
    assert "nothing to choose" in choice.warnings[0]


@pytest.mark.parametrize(("variants", "days", "why"), [(1, 800, "two variants"), (10, 20, "at least 32")])
def test_overfitting_that_cannot_be_reckoned_is_none_with_its_reason(variants: int, days: int, why: str) -> None:
    choice = choose(noise(variants, days), variants)
    assert choice.pbo is None
    assert choice.no_pbo is not None
    assert why in choice.no_pbo
    assert any(why in warning for warning in choice.warnings)


def test_returns_and_ratios_are_the_judges_own() -> None:
    equity = [[101, 99, 103, 104], [100, 100, 100, 100], [90, 40, -5, 10]]
    daily = daily_returns(played(equity), 100)
    times = np.arange(1, 5, dtype=np.int64) * statistics.DAY_MS
    for row, curve in zip(daily[:2], equity, strict=False):
        assert row.tolist() == statistics.daily_returns(times, np.array(curve, dtype=np.float64), 100.0).tolist()
    assert daily[2].tolist() == pytest.approx([-0.1, 40 / 90 - 1, -1, 0])
    assert sharpes(daily)[0] == significance.sharpe(daily[0])
    assert math.isnan(sharpes(daily)[1])
    assert math.isnan(sharpes(daily)[2])


def test_variants_that_resemble_each_other_do_not_hide_what_was_tried_before() -> None:
    """The best of a thousand worthless tries, and then a grid drawn tightly around it."""
    pool = noise(1_000)
    best = pool[np.nanargmax(sharpes(pool))]
    around = best + noise(10, seed=1) / 1_000
    choice = choose(around, 10, earlier=1_000)
    assert choice.deflated is not None
    assert choice.deflated.probability is not None
    assert choice.deflated.probability < 0.9
    assert choice.deflated.variance >= 365 / 800
