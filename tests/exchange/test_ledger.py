"""The ledger loses nothing: whatever happens, cash is deposits plus profit less fees, funding and insurance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from market.exchange.ledger import Ledger
from market.fills import LONG, SHORT
from market.instruments import cash

SYMBOLS = st.sampled_from(("BTCUSDT", "ETHUSDT"))
SIDES = st.sampled_from((LONG, SHORT))
QUANTITIES = st.integers(1, 5_000)
PRICES = st.integers(1, 10**7)
UNIT = 1_000


class Account(RuleBasedStateMachine):
    """Random trading, with the signed cash of every execution kept apart as a witness."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.opened_with(cash(10_000))
        self.paid_for_contracts = 0

    @rule(symbol=SYMBOLS, side=SIDES, quantity=QUANTITIES, price=PRICES, margin=st.integers(0, 10**12))
    def open(self, symbol: str, side: int, quantity: int, price: int, margin: int) -> None:
        held = self.ledger.positions.get(symbol)
        side = held.side if held else side
        self.ledger.add(symbol, side, quantity, price * quantity * UNIT, margin, 0)
        self.paid_for_contracts += side * price * quantity * UNIT

    @rule(symbol=SYMBOLS, price=PRICES, part=st.integers(1, 100))
    def close(self, symbol: str, price: int, part: int) -> None:
        held = self.ledger.positions.get(symbol)
        if held is not None:
            side, quantity = held.side, -(-held.quantity * part // 100)
            self.ledger.reduce(symbol, quantity, price * quantity * UNIT, 0)
            self.paid_for_contracts -= side * price * quantity * UNIT

    @rule(fee=st.integers(0, 10**9))
    def charge(self, fee: int) -> None:
        self.ledger.charge(fee)

    @rule(symbol=SYMBOLS, payment=st.integers(-(10**9), 10**9))
    def fund(self, symbol: str, payment: int) -> None:
        if symbol in self.ledger.positions:
            self.ledger.pay_funding(symbol, payment, 0)

    @rule(symbol=SYMBOLS, price=PRICES)
    def liquidate(self, symbol: str, price: int) -> None:
        held = self.ledger.positions.get(symbol)
        if held is not None:
            notional = price * held.quantity * UNIT
            self.paid_for_contracts -= held.side * notional
            self.ledger.liquidate(symbol, notional)

    @invariant()
    def nothing_is_lost_or_made(self) -> None:
        assert self.ledger.imbalance() == 0

    @invariant()
    def profit_is_what_the_contracts_brought(self) -> None:
        still_open = sum(p.side * p.cost for p in self.ledger.positions.values())
        assert self.ledger.realized == still_open - self.paid_for_contracts

    @invariant()
    def free_cash_is_the_wallet_less_every_margin(self) -> None:
        margins = sum(p.margin for p in self.ledger.positions.values())
        assert self.ledger.free == self.ledger.cash - margins


TestAccount = Account.TestCase


@given(QUANTITIES, st.lists(st.integers(1, 100), max_size=8), SIDES, PRICES, PRICES)
def test_closing_in_parts_brings_what_closing_at_once_brings(
    quantity: int, parts: list[int], side: int, entry: int, exit_: int
) -> None:
    whole, split = Ledger.opened_with(0), Ledger.opened_with(0)
    for ledger in (whole, split):
        ledger.add("BTCUSDT", side, quantity, entry * quantity * UNIT + 7, 11, 0)
    whole.reduce("BTCUSDT", quantity, exit_ * quantity * UNIT, 0)
    for part in [*parts, quantity]:
        held = split.positions.get("BTCUSDT")
        if held is not None:
            closed = min(part, held.quantity)
            split.reduce("BTCUSDT", closed, exit_ * closed * UNIT, 0)
    assert split.cash == whole.cash
    assert not split.positions


def test_a_liquidated_position_loses_its_whole_margin_and_the_fund_takes_the_rest() -> None:
    ledger = Ledger.opened_with(cash(1_000))
    ledger.add("BTCUSDT", LONG, 1_000, cash(5_000), cash(500), 0)
    assert ledger.liquidate("BTCUSDT", cash(4_600)) == (-cash(400), cash(100))
    assert ledger.cash == cash(500)
    assert ledger.insurance == cash(100)


def test_the_insurance_fund_pays_what_a_gap_costs_beyond_the_margin() -> None:
    ledger = Ledger.opened_with(cash(1_000))
    ledger.add("BTCUSDT", SHORT, 1_000, cash(5_000), cash(500), 0)
    assert ledger.liquidate("BTCUSDT", cash(6_000)) == (-cash(1_000), -cash(500))
    assert ledger.cash == cash(500)


def test_funding_moves_wallet_and_isolated_margin_alike() -> None:
    ledger = Ledger.opened_with(cash(1_000))
    ledger.add("BTCUSDT", LONG, 1_000, cash(5_000), cash(500), 0)
    ledger.pay_funding("BTCUSDT", cash(3), 0)
    assert ledger.cash == cash(997)
    assert ledger.positions["BTCUSDT"].margin == cash(497)
    assert ledger.free == cash(500)
