"""Sizes, caps, cool-downs and stops, each against Python's unbounded integers where an invariant is claimed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from market import fills
from market.instruments import CASH
from strategy import risk, sizing

HOUR = 3_600_000
amounts = st.integers(-(10**16), 10**16)
shares = st.integers(0, 10_000)


@given(amounts, shares)
def test_a_share_is_exact_and_rounded_down(amount: int, bps: int) -> None:
    assert sizing.share(amount, bps) == amount * bps // 10_000


def test_notional_is_equity_times_margin_times_leverage_down_to_the_step() -> None:
    # 10,000 x 10 % x 10 = 10,000 notional; at 30,000.00 that is 0.333 (of 0.3333).
    assert sizing.entry_quantity(10_000 * CASH, 1_000, 10, 10**15, 3_000_000, 1_000) == 333


def test_a_size_is_cut_to_the_symbols_notional_cap() -> None:
    assert sizing.entry_quantity(10_000 * CASH, 1_000, 10, 3_000 * CASH, 3_000_000, 1_000) == 100


def test_no_equity_gives_no_size() -> None:
    assert sizing.entry_quantity(0, 1_000, 10, 10**15, 3_000_000, 1_000) == 0
    assert sizing.entry_quantity(-5, 1_000, 10, 10**15, 3_000_000, 1_000) == 0


@given(st.integers(1, 10**16), shares, st.integers(1, 125), st.integers(1, 4 * 10**14), st.integers(1, 10**8))
def test_a_size_never_passes_its_cap_and_never_leaves_int64(
    equity: int, margin: int, leverage: int, cap: int, price: int
) -> None:
    unit = 1_000
    quantity = sizing.entry_quantity(equity, margin, leverage, cap, price, unit)
    assert quantity * price * unit <= cap
    assert quantity * price * unit <= equity * margin * leverage // 10_000
    assert equity // 10_000 * margin * leverage < 2**63


def test_an_entry_has_at_least_the_smallest_quantity_and_notional() -> None:
    assert sizing.large_enough(1, 3_000_000, 1_000, 1, 5 * CASH)
    assert not sizing.large_enough(0, 3_000_000, 1_000, 1, 5 * CASH)
    assert not sizing.large_enough(4, 3_000_000, 1_000, 5, 5 * CASH)
    assert not sizing.large_enough(1, 3_000, 1_000, 1, 5 * CASH)


def test_no_entry_in_the_same_candle_as_a_stop() -> None:
    # Stopped at the open of candle 5, by a gap: what was decided at the close of candle 4 would fill in candle 5.
    assert risk.after_stop(4 * HOUR, HOUR, 5 * HOUR, 0) == risk.SAME_CANDLE
    assert risk.after_stop(5 * HOUR, HOUR, 5 * HOUR, 0) == risk.FREE


def test_the_cool_down_follows_the_candle_of_the_stop() -> None:
    results = [risk.after_stop(bar * HOUR, HOUR, 5 * HOUR, 2) for bar in (4, 5, 6, 7)]
    assert results == [risk.SAME_CANDLE, risk.COOLING, risk.COOLING, risk.FREE]


def test_without_a_stop_there_is_no_cool_down() -> None:
    assert risk.after_stop(0, HOUR, -1, 100) == risk.FREE


def test_the_reserve_stays_untouched() -> None:
    assert risk.within_reserve(800, 1_000, 2_000)
    assert not risk.within_reserve(801, 1_000, 2_000)


def test_what_all_stops_may_lose_is_capped() -> None:
    assert risk.at_risk(10_000, 200) == 200
    assert risk.at_risk(10_001, 200) == 201, "rounded up"
    assert risk.within_risk(600, 10_000, 600)
    assert not risk.within_risk(601, 10_000, 600)


def test_the_stop_lies_within_half_the_way_to_liquidation() -> None:
    assert risk.stop_near_enough(1_000, 950, 900, 1)
    assert not risk.stop_near_enough(1_000, 949, 900, 1)
    assert risk.stop_near_enough(1_000, 1_050, 1_100, -1)
    assert not risk.stop_near_enough(1_000, 1_051, 1_100, -1)
    assert not risk.stop_near_enough(1_000, 1_000, 900, 1), "a stop at the fill would fire at once"


sides = st.sampled_from([1, -1])


@given(
    sides,
    st.integers(100, 10**7),
    st.integers(1, 10_000),
    st.integers(1, 4_999),
    st.integers(1, 4_999),
    st.integers(1, 10**7),
)
def test_a_stop_is_never_loosened(side: int, entry: int, quantity: int, old: int, new: int, price: int) -> None:
    unit = 10
    cost = entry * quantity * unit
    stop = fills.stop_price(cost, quantity, unit, side, old)
    moved = risk.tighter_stop(cost, quantity, unit, side, stop, new, price)
    if moved:
        assert side * (moved - stop) > 0
        assert side * (price - moved) >= 1, "and never to where it would fire at once"
    if new >= old:
        assert moved == 0
