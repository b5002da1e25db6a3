"""Each fill rule of the house, in a test of its name; the numbers are worked by hand or against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import fills
from market.fills import LIQUIDATED, LONG, NOTHING, SHORT, STOPPED

PRICES = st.integers(1, 10**8)
QUANTITIES = st.integers(1, 10**6)
SIDES = st.sampled_from((LONG, SHORT))
UNIT = 1_000


def test_a_market_order_fills_worse_by_the_slippage_rounded_to_the_worse_tick() -> None:
    assert fills.slipped(10_001, LONG, 100) == 10_003  # 10,002.0001 rounds up
    assert fills.slipped(10_001, SHORT, 100) == 9_999  # 9,999.9999 rounds down
    assert fills.slipped(10_000, LONG, 0) == fills.slipped(10_000, SHORT, 0) == 10_000


def test_a_sale_never_fills_below_one_tick() -> None:
    assert fills.slipped(1, SHORT, 500_000) == 1


@given(PRICES, SIDES, st.integers(0, 100_000))
def test_slippage_never_favours_the_order(price: int, side: int, ppm: int) -> None:
    assert side * (fills.slipped(price, side, ppm) - price) >= 0


def test_the_fee_is_a_share_of_the_notional_rounded_up() -> None:
    assert fills.fee(1_000_000, 500) == 500
    assert fills.fee(1_000_001, 500) == 501


def test_isolated_margin_is_set_aside_rounded_up() -> None:
    assert fills.initial_margin(1_000, 10) == 100
    assert fills.initial_margin(1_001, 10) == 101


def test_an_opening_order_needs_its_margin_and_its_fee_out_of_free_cash() -> None:
    notional, leverage, ppm = 1_000_000, 10, 500
    needed = 100_000 + 500
    assert fills.affordable(needed, notional, leverage, ppm)
    assert not fills.affordable(needed - 1, notional, leverage, ppm)


@given(st.integers(1, 10**12), st.integers(1, 1_000), SIDES, st.data())
def test_a_partial_close_takes_its_share_of_the_cost_rounded_to_the_smaller_profit(
    cost: int, quantity: int, side: int, data: st.DataObject
) -> None:
    closed = data.draw(st.integers(1, quantity))
    exact = Fraction(cost * closed, quantity)
    assert fills.closed_share(cost, quantity, closed, side) == (ceil(exact) if side > 0 else floor(exact))


@given(PRICES, QUANTITIES, SIDES, st.integers(1, 5_000))
def test_a_stop_stands_at_its_distance_rounded_toward_the_entry(price: int, quantity: int, side: int, bps: int) -> None:
    cost = price * quantity * UNIT
    exact = Fraction(price * (10_000 - side * bps), 10_000)
    stop = fills.stop_price(cost, quantity, UNIT, side, bps)
    assert stop == (ceil(exact) if side > 0 else floor(exact))
    assert side * (price - stop) <= side * (price - exact)


@given(PRICES, QUANTITIES, SIDES, st.integers(2, 125), st.integers(0, 100))
def test_liquidation_stands_where_margin_and_profit_no_longer_cover_maintenance(
    price: int, quantity: int, side: int, leverage: int, bps: int
) -> None:
    cost = price * quantity * UNIT
    margin = fills.initial_margin(cost, leverage)
    liquidation = fills.liquidation_price(cost, margin, quantity, UNIT, side, bps)

    def surplus(at: int) -> Fraction:
        notional = at * quantity * UNIT
        return margin + side * (notional - cost) - Fraction(notional * bps, 10_000)

    assert surplus(liquidation + side) >= 0  # one tick on the safe side of it, the margin suffices
    assert surplus(liquidation - side) < 0 or liquidation == 0


def test_a_long_at_leverage_one_cannot_be_liquidated() -> None:
    assert fills.liquidation_price(1_000_000, 1_000_000, 1, UNIT, LONG, 40) == 0


def test_funding_moves_liquidation_because_margin_pays_it() -> None:
    before = fills.liquidation_price(100 * UNIT * 1_000, 10 * UNIT * 1_000, 1_000, UNIT, LONG, 40)
    after = fills.liquidation_price(100 * UNIT * 1_000, 9 * UNIT * 1_000, 1_000, UNIT, LONG, 40)
    assert after > before


def test_funding_is_paid_on_the_mark_by_the_long_when_the_rate_is_positive_rounded_up() -> None:
    assert fills.funding_payment(1_000_000_000, LONG, 10_000) == 100_000
    assert fills.funding_payment(1_000_000_000, SHORT, 10_000) == -100_000
    assert fills.funding_payment(1_000_001, LONG, 10_000) == 101
    assert fills.funding_payment(1_000_001, SHORT, 10_000) == -100


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_at_the_open_beyond_liquidation_means_liquidated_whatever_the_stop(side: int) -> None:
    stop, liquidation = 1_000 - side * 10, 1_000 - side * 50
    assert fills.touched(side, stop, liquidation, liquidation, at_open=True) == LIQUIDATED
    assert fills.touched(side, stop, liquidation, liquidation + side, at_open=True) == STOPPED
    assert fills.touched(side, stop, liquidation, stop + side, at_open=True) == NOTHING


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_inside_a_bar_the_stop_fires_before_liquidation(side: int) -> None:
    stop, liquidation = 1_000 - side * 10, 1_000 - side * 50
    assert fills.touched(side, stop, liquidation, liquidation - side * 100, at_open=False) == STOPPED
    assert fills.touched(side, stop, liquidation, stop, at_open=False) == STOPPED
    assert fills.touched(side, 0, liquidation, liquidation, at_open=False) == LIQUIDATED


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_stop_beyond_liquidation_saves_nobody(side: int) -> None:
    liquidation, stop = 1_000 - side * 50, 1_000 - side * 60
    assert fills.touched(side, stop, liquidation, stop, at_open=False) == LIQUIDATED


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_stop_fills_at_the_open_when_the_bar_gaps_through_it_else_at_its_trigger(side: int) -> None:
    stop, price = 10_000, 10_000 - side * 500
    assert fills.exit_price(STOPPED, side, stop, price, True, 0) == price
    assert fills.exit_price(STOPPED, side, stop, price, False, 0) == stop
    assert fills.exit_price(STOPPED, side, stop, price, False, 100) == stop - side


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_liquidation_fills_at_the_price_that_caused_it(side: int) -> None:
    price = 10_000 - side * 500
    assert fills.exit_price(LIQUIDATED, side, 10_000, price, True, 0) == price
    assert fills.exit_price(LIQUIDATED, side, 0, price, False, 0) == price


def test_profit_is_what_the_price_moved_in_favour() -> None:
    assert fills.realized_profit(LONG, 1_000, 1_100) == 100
    assert fills.realized_profit(SHORT, 1_000, 1_100) == -100


def test_a_rising_bar_dips_first_and_a_falling_one_rallies_first() -> None:
    assert fills.path(10, 15, 8, 12) == (10, 8, 15, 12)
    assert fills.path(12, 15, 8, 10) == (12, 15, 8, 10)
    assert fills.path(10, 15, 8, 10) == (10, 8, 15, 10)


def test_a_bar_visits_its_prices_at_its_open_its_thirds_and_its_last_millisecond() -> None:
    assert fills.path_times(900_000, 900_000) == (900_000, 1_200_000, 1_500_000, 1_799_999)
