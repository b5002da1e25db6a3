"""The synthetic market: seeded, sound, on its grid, and with the habits of a real one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import history, synthetic
from market.candles import VALUES, Candles, Floats
from market.catalogue import instrument
from market.funding import Funding
from market.synthetic import SyntheticError
from market.timeframes import Timeframe

QUARTER, HOUR = Timeframe.parse("15m"), Timeframe.parse("1h")


@cache
def market(symbol: str = "BTCUSDT", bars: int = 50_000, seed: int = 1) -> tuple[Candles, Funding]:
    return synthetic.generate(symbol, bars=bars, timeframe=QUARTER, seed=seed)


def returns(candles: Candles) -> Floats:
    values: Floats = np.diff(np.log(candles.close))
    return values


def equal(ours: Candles, theirs: Candles) -> bool:
    return all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in ("open_time", *VALUES))


def test_the_same_seed_gives_the_same_market() -> None:
    again = synthetic.generate(bars=50_000, timeframe=QUARTER, seed=1)
    assert equal(market()[0], again[0])
    assert np.array_equal(market()[1].rate, again[1].rate)


def test_another_seed_or_symbol_gives_another_market() -> None:
    assert not np.array_equal(returns(market()[0]), returns(market(seed=2)[0]))
    assert not np.array_equal(returns(market()[0]), returns(market("ETHUSDT")[0]))


def test_more_bars_of_a_seed_begin_with_the_same_bars() -> None:
    candles, funding = synthetic.generate(bars=700, timeframe=QUARTER, seed=1)
    assert equal(candles, market()[0][slice(0, 700)])
    assert np.array_equal(funding.rate, market()[1].rate[: len(funding)])


@settings(max_examples=25, deadline=None)
@given(
    symbol=st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
    seed=st.integers(0, 10**6),
    timeframe=st.sampled_from(["1m", "15m", "1h", "1d"]),
    signal=st.sampled_from([0.0, 0.5, 1.0]),
    bars=st.integers(1, 2_000),
)
def test_every_market_is_sound_complete_and_on_its_grid(
    symbol: str, seed: int, timeframe: str, signal: float, bars: int
) -> None:
    candles, funding = synthetic.generate(
        symbol, bars=bars, timeframe=Timeframe.parse(timeframe), seed=seed, signal=signal
    )
    assert len(candles) == bars
    assert history.check(candles) == history.Report()
    for name in VALUES:
        assert np.isfinite(getattr(candles, name)).all(), name
    on = instrument(symbol)
    for name in ("open", "high", "low", "close"):
        for price in getattr(candles, name)[:20].tolist():
            assert Decimal(repr(price)) % on.tick == 0
    for quantity in candles.volume[:20].tolist() + candles.taker_base[:20].tolist():
        assert Decimal(repr(quantity)) % on.step == 0
    assert (funding.time % (8 * HOUR.ms) == 0).all()
    assert (np.diff(funding.time) == 8 * HOUR.ms).all()
    assert (np.abs(funding.rate) <= 300_000).all()


def test_candles_follow_one_another_from_the_start_named() -> None:
    start = synthetic.START_MS + 7 * QUARTER.ms
    candles, funding = synthetic.generate(bars=100, timeframe=QUARTER, seed=1, start_ms=start)
    assert candles.open_time.tolist() == [start + i * QUARTER.ms for i in range(100)]
    assert funding.time[0] == synthetic.START_MS + 8 * HOUR.ms


def test_tails_are_fat() -> None:
    moves = returns(market()[0])
    assert np.mean((moves / moves.std()) ** 4) > 10


def test_volatility_comes_in_spells() -> None:
    sizes = np.abs(returns(market()[0]))
    assert np.corrcoef(sizes[:-4], sizes[4:])[0, 1] > 0.15
    assert np.corrcoef(sizes[:-96], sizes[96:])[0, 1] > 0.08


def test_volatility_follows_the_clock_and_the_week() -> None:
    candles, _ = market()
    hours, days = candles.open_time[1:] // HOUR.ms % 24, (candles.open_time[1:] // (24 * HOUR.ms) + 4) % 7
    sizes = np.abs(returns(candles))
    assert sizes[(hours >= 12) & (hours < 17)].mean() > 1.5 * sizes[(hours >= 0) & (hours < 5)].mean()
    assert sizes[(days > 0) & (days < 6)].mean() > 1.2 * sizes[(days == 0) | (days == 6)].mean()


def test_opens_often_leave_the_close_before_and_rarely_leave_it_far() -> None:
    candles, _ = market()
    gaps = np.abs(np.log(candles.open[1:] / candles.close[:-1]))
    assert 0.3 < (gaps > 0).mean() < 0.7
    assert 2 <= (gaps > 0.01).sum() <= 40
    assert gaps.max() < 0.15


def test_a_bar_ranges_about_twice_as_far_as_it_moves() -> None:
    candles, _ = market()
    assert 1.8 < np.log(candles.high / candles.low).mean() / np.abs(np.log(candles.close / candles.open)).mean() < 2.3


def test_volume_is_high_where_the_price_moves() -> None:
    candles, _ = market()
    ranges = np.log(candles.high / candles.low)
    assert np.corrcoef(np.log(candles.volume), np.log(ranges + 1e-6))[0, 1] > 0.4


def test_taker_flow_leans_with_the_move_and_stays_within_the_volume() -> None:
    candles, _ = market()
    share = candles.taker_base / candles.volume
    assert 0.2 < share.min() < share.max() < 0.8
    assert 0.1 < np.corrcoef(share[1:], returns(candles))[0, 1] < 0.6


def test_symbols_of_one_seed_move_together_and_of_two_seeds_do_not() -> None:
    btc, eth = returns(market()[0]), returns(market("ETHUSDT")[0])
    assert 0.65 < np.corrcoef(btc, eth)[0, 1] < 0.9
    assert abs(np.corrcoef(btc, returns(market("ETHUSDT", seed=2)[0]))[0, 1]) < 0.1


def test_funding_is_mostly_one_basis_point_and_changes_sign() -> None:
    rates = market()[1].rate
    assert np.median(rates) == 10_000
    assert (rates < 0).any()
    assert (rates > 20_000).any()


def test_the_course_is_that_of_the_history() -> None:
    candles, _ = market()
    driver = synthetic.course(bars=50_000, timeframe=QUARTER, seed=1)
    assert set(driver.regime.tolist()) == {0, 1, 2}
    moves = np.abs(np.log(candles.close / candles.open))
    assert [moves[driver.regime == r].mean() for r in (0, 1, 2)] == sorted(
        moves[driver.regime == r].mean() for r in (0, 1, 2)
    )
    assert np.corrcoef(driver.volatility, moves)[0, 1] > 0.4


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: synthetic.generate(bars=0, timeframe=HOUR), "at least one"),
        (lambda: synthetic.generate(bars=10, timeframe=HOUR, signal=1.5), "from 0"),
        (lambda: synthetic.generate(bars=10, timeframe=HOUR, signal=float("nan")), "from 0"),
        (lambda: synthetic.generate(bars=10, timeframe=HOUR, seed=-1), "not negative"),
        (lambda: synthetic.generate(bars=10, timeframe=HOUR, start_ms=1_704_067_260_000), "2024-01-01T00:01Z"),
    ],
)
def test_a_number_out_of_range_is_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(SyntheticError, match=what):
        make()
