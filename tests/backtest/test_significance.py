"""What may be luck: every figure against a published example, a simulation, or what it must be by construction."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from backtest.significance import (
    annual_sharpe,
    bootstrap,
    break_even_cost,
    deflated_sharpe,
    expected_maximum,
    mean_return,
    paired_difference,
    pbo,
    probabilistic_sharpe,
    sharpe,
    sharpe_interval,
    sharpe_probability,
)
from market import catalogue, fills
from market.candles import Floats
from market.instruments import CASH
from market.trades import Trade


def noise(days: int = 1_000, variants: int | None = None, mean: float = 0.0, seed: int = 0) -> Floats:
    shape = days if variants is None else (days, variants)
    return np.random.default_rng(seed).normal(mean, 0.01, shape)


def test_sharpe_is_annual_and_none_where_it_means_nothing() -> None:
    daily = np.array([0.01, -0.02, 0.03, 0.01])
    assert sharpe(daily) == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365))
    assert sharpe(daily[:2]) is None
    assert sharpe(np.zeros(10)) is None
    assert sharpe(np.array([0.01, np.nan, 0.02, 0.0])) is None


def test_the_interval_is_as_wide_as_theory_says_and_the_same_again() -> None:
    daily = noise(3_650, mean=0.001)
    interval = sharpe_interval(daily)
    assert interval.value == sharpe(daily)
    # Lo (2002): a Sharpe ratio over ten years has a standard error of about 1 / sqrt(10)
    assert interval.high - interval.low == pytest.approx(2 * 1.645 / math.sqrt(10), rel=0.1)
    assert interval == sharpe_interval(daily)
    assert interval != sharpe_interval(daily, seed=1)


def test_days_that_come_in_streaks_widen_the_interval_of_whole_weeks() -> None:
    streaks = np.repeat(noise(300), 7)
    by_day, by_week = (bootstrap(streaks, mean_return, block=block) for block in (1, 28))
    assert by_week.high - by_week.low > 2 * (by_day.high - by_day.low)


def test_a_paired_difference_is_narrower_than_two_apart() -> None:
    market, better = noise(1_000), noise(1_000, seed=1) / 10 + 0.0005
    difference = paired_difference(market + better, market)
    assert difference.value == pytest.approx(float(annual_sharpe(market + better) - annual_sharpe(market)))
    alone = sharpe_interval(market)
    assert difference.low > 0
    assert difference.high - difference.low < (alone.high - alone.low) / 3


def test_nothing_is_made_up_of_an_account_that_never_trades() -> None:
    flat = np.zeros(500)
    assert math.isnan(sharpe_interval(flat).value)
    assert math.isnan(paired_difference(noise(500), flat).low)
    assert math.isfinite(paired_difference(noise(500), flat, mean_return).low)
    assert probabilistic_sharpe(flat) is None
    assert deflated_sharpe(flat, 10).probability is None


def test_days_that_are_not_the_same_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(noise(10), noise(11))


def test_the_deflated_sharpe_ratio_agrees_with_the_example_of_its_paper() -> None:
    # 100 trials whose annual ratios vary by 1/2, the best 2.5 over 1,250 days of 250 a year, skew -3, kurtosis 10
    highest = expected_maximum(100, 0.5 / 250)
    assert highest == pytest.approx(0.1132, abs=1e-4)
    assert sharpe_probability(2.5 / math.sqrt(250), highest, 1_250, -3, 10) == pytest.approx(0.9004, abs=1e-4)


@pytest.mark.parametrize("trials", [10, 100, 1_000])
def test_the_expected_maximum_is_that_of_simulated_worthless_trials(trials: int) -> None:
    ratios = np.random.default_rng(1).normal(0, 2.0, size=(4_000, trials))
    assert expected_maximum(trials, 4.0) == pytest.approx(ratios.max(axis=1).mean(), rel=0.03)
    assert expected_maximum(1, 4.0) == 0.0


def test_the_best_of_many_worthless_trials_passes_undeflated_and_fails_deflated() -> None:
    naive, deflated = 0, 0
    for seed in range(50):
        daily = noise(750, 100, seed=seed)
        ratios = annual_sharpe(daily.T)
        best = daily[:, int(np.argmax(ratios))]
        naive += (probabilistic_sharpe(best) or 0) > 0.95
        deflated += (deflated_sharpe(best, 100, ratios.tolist()).probability or 0) > 0.95
    assert naive >= 48
    assert deflated <= 3


def test_a_variance_that_is_not_known_is_assumed_and_said_to_be() -> None:
    daily = noise(730, mean=0.001)
    unknown = deflated_sharpe(daily, 50)
    assert unknown.assumed
    assert unknown.variance == 0.5  # one over the years
    told = deflated_sharpe(daily, 50, [1.0, None, 2.0, math.nan])
    assert not told.assumed
    assert (told.variance, told.trials) == (0.5, 50)
    assert told.probability == unknown.probability
    assert deflated_sharpe(daily, 50, variance=0.5).probability == unknown.probability
    with pytest.raises(ValueError, match="a trial as well"):
        deflated_sharpe(daily, 0)


def test_choosing_among_noise_is_overfitted_in_half_of_the_halves() -> None:
    found = [pbo(noise(480, variants, seed=seed), blocks=8).probability for seed in range(60) for variants in (7, 30)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_choosing_a_truly_better_variant_is_not_overfitted() -> None:
    daily = noise(1_000, 200)
    daily[:, 17] += 0.005
    found = pbo(daily)
    assert found.probability == 0
    assert (found.combinations, found.variants, found.days) == (12_870, 200, 992)
    assert found.loss == 0
    assert found.out_of_sample == pytest.approx(0.5, abs=0.05)
    assert found.logits[0.5] > 4


def test_choosing_what_pays_in_one_half_alone_is_overfitted_for_certain() -> None:
    daily = noise(800, 8, seed=3) / 100
    for variant in range(8):  # each earns in a stretch of its own, and loses as much in the rest
        daily[:, variant] -= 0.001
        daily[variant * 100 : variant * 100 + 100, variant] += 0.008
    found = pbo(daily, blocks=8)
    assert found.probability > 0.9
    assert found.slope is not None
    assert found.slope < 0


def test_overfitting_agrees_with_a_plain_reckoning_of_it() -> None:
    daily = noise(96, 9, seed=5)
    blocks, below = daily.reshape(6, 16, 9), []
    for taken in combinations(range(6), 3):
        rest = [b for b in range(6) if b not in taken]
        inside, outside = (np.concatenate([blocks[b] for b in part]) for part in (taken, rest))
        one, other = (half.mean(axis=0) / half.std(axis=0) for half in (inside, outside))
        rank = np.argsort(np.argsort(other))[np.argmax(one)]
        below.append(0.5 if rank == 4 else float(rank < 4))
    assert pbo(daily, blocks=6).probability == pytest.approx(np.mean(below))


def test_variants_that_are_alike_or_never_trade_are_ranked() -> None:
    alike = np.repeat(noise(320, 1), 40, axis=1)
    assert pbo(alike).probability == 0.5
    assert pbo(np.zeros((320, 10))).probability == 0.5
    losing = noise(320, 10, mean=-0.01)
    losing[:, 3] = 0  # never trades, and is the best of them in every half
    assert pbo(losing).probability == 0
    rising = noise(320, 10)
    rising[:, 4] = 0.0001  # without any change: its Sharpe ratio has no end
    assert pbo(rising).probability == 0


@pytest.mark.parametrize(
    ("daily", "blocks", "why"),
    [
        (noise(320, 1), 16, "two variants"),
        (noise(320, 5), 7, "halved"),
        (noise(31, 5), 16, "at least 32"),
        (np.full((320, 5), np.nan), 16, "missing"),
    ],
)
def test_what_cannot_be_cut_into_halves_is_refused(daily: Floats, blocks: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        pbo(daily, blocks)


def test_at_the_break_even_cost_the_same_trades_earn_nothing() -> None:
    instrument = catalogue.instrument("BTCUSDT")
    entry, leave, quantity = 6_000_000, 6_060_000, 100
    cost, proceeds = instrument.notional(entry, quantity), instrument.notional(leave, quantity)
    fees = fills.fee(cost, 500) + fills.fee(proceeds, 500)
    trade = Trade("BTCUSDT", 1, quantity, 5, 0, entry, 1, leave, "signal gone", fees, 0, proceeds - cost - fees, 0)
    found = break_even_cost([trade], {"BTCUSDT": instrument})
    assert found is not None
    assert found == pytest.approx(0.01 / 2.01, rel=1e-6)  # one per cent gained on two sides
    again = fills.fee(cost, round(found * 1e6)) + fills.fee(proceeds, round(found * 1e6))
    assert abs(proceeds - cost - again) < CASH
    with_slippage = break_even_cost([trade], {"BTCUSDT": instrument}, slippage_ppm=100)
    assert with_slippage == pytest.approx(found + 0.0001)
    assert break_even_cost([], {}) is None
