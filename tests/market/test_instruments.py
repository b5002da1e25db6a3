"""Instruments: decimal text and integers, exactly, both ways."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market.catalogue import LISTED, instrument
from market.instruments import CASH, INT64_MAX, Instrument, InstrumentError, cash, cash_text

GRIDS = [
    Instrument("BTCUSDT", "BTC", tick=Decimal("0.1"), step=Decimal("0.001")),
    Instrument("ETHUSDT", "ETH", tick=Decimal("0.01"), step=Decimal("0.001")),
    Instrument("DOGEUSDT", "DOGE", tick=Decimal("0.00001"), step=Decimal("1")),
    Instrument("PEPEUSDT", "PEPE", tick=Decimal("0.0000001"), step=Decimal("1")),
    Instrument("ODDUSDT", "ODD", tick=Decimal("0.25"), step=Decimal("0.5")),
]
grids = st.sampled_from(GRIDS)
counts = st.integers(1, 10**9)


@given(grids, counts)
def test_ticks_and_their_text_are_one(on: Instrument, ticks: int) -> None:
    text = on.price_text(ticks)
    assert on.ticks(text) == ticks
    assert Decimal(text) == ticks * on.tick
    assert "E" not in text


@given(grids, counts)
def test_steps_and_their_text_are_one(on: Instrument, steps: int) -> None:
    assert on.steps(on.quantity_text(steps)) == steps


@given(grids, counts)
def test_a_price_as_a_float_finds_its_tick(on: Instrument, ticks: int) -> None:
    price = float(ticks * on.tick)
    assert on.ticks(price) == ticks
    assert on.nearest_ticks(price) == ticks


@given(grids, counts, st.decimals("0.001", "0.999", places=3))
def test_a_price_between_ticks_is_refused(on: Instrument, ticks: int, off: Decimal) -> None:
    with pytest.raises(InstrumentError, match=f"{on.symbol}: price"):
        on.ticks((ticks + off) * on.tick)


@given(grids, st.floats(0.01, 1e6))
def test_the_nearest_tick_is_within_half_a_tick(on: Instrument, price: float) -> None:
    assert abs(on.nearest_ticks(price) * on.tick - Decimal(repr(price))) <= on.tick / 2


@given(grids, st.lists(st.integers(1, 10**8), min_size=1, max_size=50), st.sampled_from(["0", "0.5", "0.3", "0.4999"]))
def test_a_column_of_prices_rounds_as_each_price_does(on: Instrument, ticks: list[int], off: str) -> None:
    prices = [float((t + Decimal(off)) * on.tick) for t in ticks]
    assert on.ticks_column(np.array(prices)).tolist() == [on.nearest_ticks(p) for p in prices]


@given(grids, st.integers(1, 10**7), st.integers(1, 10**5))
def test_notional_is_price_times_quantity_to_the_last_unit(on: Instrument, ticks: int, steps: int) -> None:
    assume(ticks * steps * on.unit <= INT64_MAX // 10_000)
    exact = Decimal(on.price_text(ticks)) * Decimal(on.quantity_text(steps))
    assert cash_text(on.notional(ticks, steps)) == f"{exact:.8f}"


@given(grids, st.integers(1, 2**40), st.integers(1, 2**40))
def test_a_notional_beyond_what_int64_can_carry_is_refused(on: Instrument, ticks: int, steps: int) -> None:
    exact = ticks * steps * on.unit
    if exact > INT64_MAX // 10_000:
        with pytest.raises(InstrumentError, match="trade smaller"):
            on.notional(ticks, steps)
    else:
        assert on.notional(ticks, steps) == exact


@given(st.integers(-(10**18), 10**18))
def test_cash_and_its_text_are_one(units: int) -> None:
    assert cash(cash_text(units)) == units
    assert cash(Decimal(units) / CASH) == units


@pytest.mark.parametrize("amount", ["0.000000001", "1.123456789", 1e-9])
def test_cash_finer_than_its_unit_is_refused(amount: str | float) -> None:
    with pytest.raises(InstrumentError, match="finer than 1e-8"):
        cash(amount)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "12,5", "a lot", float("inf")])
def test_what_is_no_number_is_refused(value: str | float) -> None:
    with pytest.raises(InstrumentError):
        cash(value)
    with pytest.raises(InstrumentError):
        GRIDS[0].ticks(value)


def test_negative_prices_and_quantities_are_refused() -> None:
    with pytest.raises(InstrumentError):
        GRIDS[0].ticks("-0.1")
    with pytest.raises(InstrumentError):
        GRIDS[0].steps("-0.001")


def test_a_grid_finer_than_cash_is_refused() -> None:
    with pytest.raises(InstrumentError, match="finer than 1e-8"):
        Instrument("XUSDT", "X", tick=Decimal("0.000001"), step=Decimal("0.001"))


def test_a_grid_of_nothing_is_refused() -> None:
    with pytest.raises(InstrumentError, match="must be positive"):
        Instrument("XUSDT", "X", tick=Decimal("0"))


def test_the_unified_name_is_ccxts() -> None:
    assert GRIDS[0].ccxt_symbol == "BTC/USDT:USDT"


def test_listed_instruments_have_their_own_terms() -> None:
    assert instrument("BTCUSDT") is LISTED["BTCUSDT"]
    assert instrument("BTCUSDT").min_notional == cash(100)


def test_any_other_base_gets_common_terms() -> None:
    other = instrument("1000PEPEUSDT")
    assert (other.base, other.min_notional, other.unit) == ("1000PEPE", cash(5), 1_000)


@pytest.mark.parametrize("symbol", ["", "USDT", "btcusdt", "BTC", "BTC/USDT", "BTCUSD", "BTC-USDT"])
def test_a_name_that_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(InstrumentError, match="such as BTCUSDT"):
        instrument(symbol)
