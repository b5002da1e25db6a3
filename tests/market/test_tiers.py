"""Margin tiers: where they meet, what they require, and where a position of any size is liquidated."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market import fills, tiers
from market.catalogue import LISTED, instrument
from market.fills import LONG, SHORT
from market.instruments import CASH, ONE_TIER
from market.tiers import TierError, brackets, checked

THREE = brackets((50_000 * CASH, 125, 40), (600_000 * CASH, 100, 50), (3_000_000 * CASH, 75, 65))
UNIT = 1_000


def test_each_tier_takes_off_what_its_rate_takes_too_much_below_its_floor() -> None:
    assert [tier.cum for tier in THREE] == [0, 50 * CASH, 950 * CASH]
    assert [tier.floor for tier in THREE] == [0, 50_000 * CASH, 600_000 * CASH]


def test_the_listed_tiers_are_as_the_exchange_writes_them() -> None:
    last = LISTED["BTCUSDT"].brackets[-1]
    assert (last.max_leverage, last.maintenance_bps, last.cum) == (1, 5_000, 421_481_450 * CASH)
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        assert checked(instrument(symbol).brackets) == instrument(symbol).brackets


@given(st.integers(0, 3_000_000 * CASH))
def test_maintenance_is_that_of_the_tier_the_notional_lies_in(notional: int) -> None:
    own = next(tier for tier in THREE if notional <= tier.cap)
    assert tiers.maintenance(THREE, notional) == fills.ceil_div(notional * own.maintenance_bps, fills.BPS) - own.cum


@pytest.mark.parametrize(("notional", "leverage"), [(0, 125), (50_000, 125), (50_001, 100), (3_000_000, 75)])
def test_leverage_is_clipped_by_the_size_of_the_position(notional: int, leverage: int) -> None:
    assert tiers.max_leverage(THREE, notional * CASH) == leverage
    assert tiers.max_notional(THREE, leverage) >= notional * CASH
    assert tiers.max_notional(THREE, leverage + 1) < max(notional, 1) * CASH


def test_beyond_the_last_tier_nothing_may_stand() -> None:
    assert tiers.max_leverage(THREE, 3_000_000 * CASH + 1) == 0


@given(
    price=st.integers(1_000, 10**7),
    quantity=st.integers(1, 10**6),
    side=st.sampled_from((LONG, SHORT)),
    leverage=st.integers(1, 75),
)
def test_liquidation_stands_where_the_margin_no_longer_covers_the_tier_at_that_price(
    price: int, quantity: int, side: int, leverage: int
) -> None:
    cost = price * quantity * UNIT
    assume(cost <= 3_000_000 * CASH)
    margin = fills.initial_margin(cost, leverage)
    at = tiers.liquidation_price(THREE, cost, margin, quantity, UNIT, side)

    def surplus(ticks: int) -> Fraction:
        notional = ticks * quantity * UNIT
        needed = max(Fraction(notional * t.maintenance_bps, fills.BPS) - t.cum for t in THREE)
        return margin + side * (notional - cost) - needed

    assert surplus(at + side) >= 0
    assert surplus(at - side) < 0 or at == 0


@given(st.integers(1, 10**7), st.integers(1, 10**6), st.sampled_from((LONG, SHORT)), st.integers(1, 125))
def test_one_tier_is_the_plain_rule(price: int, quantity: int, side: int, leverage: int) -> None:
    cost = price * quantity * UNIT
    margin = fills.initial_margin(cost, leverage)
    plain = fills.liquidation_price(cost, margin, quantity, UNIT, side, 40)
    assert tiers.liquidation_price(ONE_TIER, cost, margin, quantity, UNIT, side) == plain


def test_tiers_that_do_not_follow_on_one_another_are_an_error() -> None:
    first, second, _ = THREE
    for broken in ([], [second], [first, replace(second, floor=1)], [first, replace(second, maintenance_bps=39)]):
        with pytest.raises(TierError):
            checked(broken)
    with pytest.raises(TierError, match="no tier"):
        brackets((0, 125, 40))
    with pytest.raises(TierError, match="leverage falls"):
        brackets((10, 50, 40), (20, 75, 50))
