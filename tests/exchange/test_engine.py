"""What a price does to orders and positions, step by step, on the engine itself."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from market import fills
from market.exchange.account import Costs
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.orders import AccountEvent, Execution, OrderEvent, OrderRequest, StopEvent, StopRequest
from market.exchange.refusals import Refusal
from market.instruments import Instrument, cash

BTC = Instrument("BTCUSDT", "BTC")
ETH = Instrument("ETHUSDT", "ETH")
PRICE = 3_000_000  # 30,000.00
SIDES = st.sampled_from((1, -1))


def venue(leverage: int = 10, deposit: int = 10_000, costs: Costs | None = None) -> tuple[Engine, Desk]:
    engine = Engine([BTC, ETH], cash(deposit), costs or Costs())
    desk = Desk(engine)
    for symbol in engine.instruments:
        desk.set_margin_mode(symbol, isolated=True)
        desk.set_leverage(symbol, leverage)
        engine.open_bar(symbol, PRICE, 1_000)
    engine.drain()
    return engine, desk


def market(side: int, quantity: int, reduce_only: bool = False, client_id: str = "") -> OrderRequest:
    return OrderRequest("BTCUSDT", client_id, side, "MARKET", quantity, 0, "GTC", reduce_only)


def limit(side: int, quantity: int, price: int, time_in_force: str = "GTC", reduce_only: bool = False) -> OrderRequest:
    return OrderRequest("BTCUSDT", "", side, "LIMIT", quantity, price, time_in_force, reduce_only)


def stop(
    side: int,
    trigger: int,
    quantity: int = 100,
    kind: str = "STOP_MARKET",
    reduce_only: bool = True,
    all_: bool = False,
) -> StopRequest:
    amount = 0 if all_ else quantity
    only = reduce_only and not all_
    return StopRequest("BTCUSDT", "", side, kind, amount, trigger, "GTC", only, all_, "CONTRACT_PRICE", False)


def story(engine: Engine) -> list[str]:
    """What was told, in words short enough to compare."""
    words = []
    for event in engine.drain():
        match event:
            case OrderEvent():
                words.append(f"order {event.execution} {event.order.status}")
            case StopEvent():
                words.append(f"stop {event.stop.status}")
            case AccountEvent():
                words.append(f"account {event.reason}")
    return words


def test_a_market_order_fills_at_once_at_the_slipped_price_and_pays_the_fee() -> None:
    engine, desk = venue()
    order = desk.place(market(1, 100))
    position = engine.ledger.positions["BTCUSDT"]
    price = fills.slipped(PRICE, 1, 100)
    notional = BTC.notional(price, 100)
    assert (order.status, order.cost) == ("FILLED", notional)
    assert (position.side, position.quantity, position.cost) == (1, 100, notional)
    assert position.margin == fills.initial_margin(notional, 10)
    assert engine.ledger.cash == cash(10_000) - fills.fee(notional, 500)


def test_the_account_is_told_before_the_execution() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    assert story(engine) == ["order NEW NEW", "account ORDER", "order TRADE FILLED"]


def test_an_order_beyond_the_position_closes_it_and_opens_the_rest() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place(market(-1, 150))
    position = engine.ledger.positions["BTCUSDT"]
    assert (position.side, position.quantity) == (-1, 50)
    assert engine.ledger.imbalance() == 0


def test_a_stop_inside_a_bar_fills_at_its_trigger_under_its_own_client_id() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.drain()
    engine.visit("BTCUSDT", 2_900_000, 2_000)
    assert engine.fills[-1].price == fills.slipped(2_950_000, -1, 100)
    assert engine.orders[placed.order_id].client_id == placed.client_id
    assert not engine.ledger.positions
    assert story(engine) == [
        "stop TRIGGERING",
        "stop TRIGGERED",
        "order NEW NEW",
        "account ORDER",
        "order TRADE FILLED",
        "stop FINISHED",
    ]


def test_a_stop_that_the_open_gapped_through_fills_at_the_open() -> None:
    engine, desk = venue()
    desk.place(market(-1, 100))
    desk.place_stop(stop(1, 3_050_000))
    engine.open_bar("BTCUSDT", 3_100_000, 2_000)
    assert engine.fills[-1].price == fills.slipped(3_100_000, 1, 100)


def test_the_nearest_stop_fires_first_and_the_orphan_expires_at_its_own_trigger() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    far, near = desk.place_stop(stop(-1, 2_900_000)), desk.place_stop(stop(-1, 2_950_000))
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert (near.status, far.status) == ("FINISHED", "NEW")
    engine.visit("BTCUSDT", 2_890_000, 3_000)
    assert far.status == "EXPIRED"
    assert len(engine.fills) == 2


def test_a_stop_smaller_than_the_position_leaves_the_rest_open() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place_stop(stop(-1, 2_950_000, quantity=60))
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert engine.ledger.positions["BTCUSDT"].quantity == 40


def test_a_stop_larger_than_the_position_closes_only_it() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place_stop(stop(-1, 2_950_000, quantity=500))
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert not engine.ledger.positions


def test_a_close_position_stop_takes_whatever_is_held_then() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place_stop(stop(-1, 2_950_000, all_=True))
    desk.place(market(1, 50))
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert engine.fills[-1].quantity == 150


def test_a_profit_is_taken_at_its_trigger() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place_stop(stop(-1, 3_100_000, kind="TAKE_PROFIT_MARKET"))
    engine.visit("BTCUSDT", 3_150_000, 2_000)
    assert engine.fills[-1].price == fills.slipped(3_100_000, -1, 100)


def test_a_stop_that_enters_is_rejected_after_its_trigger_without_margin() -> None:
    engine, desk = venue(deposit=100)
    entry = desk.place_stop(stop(1, 3_050_000, quantity=10_000, reduce_only=False))
    engine.visit("BTCUSDT", 3_060_000, 2_000)
    assert (entry.status, engine.fills) == ("REJECTED", [])


def test_liquidation_takes_the_whole_margin_after_every_order_of_the_symbol_went() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place(limit(-1, 100, 3_500_000))
    waiting = desk.place_stop(stop(-1, 3_500_000, kind="TAKE_PROFIT_MARKET"))
    margin, before = engine.ledger.positions["BTCUSDT"].margin, engine.ledger.cash
    engine.drain()
    engine.visit("BTCUSDT", 2_700_000, 2_000)
    assert engine.ledger.cash == before - margin
    assert waiting.status == "EXPIRED"
    assert engine.orders[engine.fills[-1].order_id].client_id.startswith("autoclose-")
    assert story(engine) == ["order CANCELED CANCELED", "stop EXPIRED", "account ORDER", "order CALCULATED FILLED"]
    assert engine.ledger.imbalance() == 0


def test_liquidation_leaves_the_other_symbol_alone() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    desk.place(OrderRequest("ETHUSDT", "", 1, "MARKET", 100, 0, "GTC", False))
    engine.visit("BTCUSDT", 2_000_000, 2_000)
    assert list(engine.ledger.positions) == ["ETHUSDT"]


def test_funding_is_charged_at_the_open_before_anything_the_open_does() -> None:
    engine, desk = venue(leverage=20)
    desk.place(market(1, 100))
    engine.drain()
    position = engine.ledger.positions["BTCUSDT"]
    price, margin = engine.liquidation_price("BTCUSDT") + 1, position.margin
    engine.open_bar("BTCUSDT", price, 2_000, [1_000_000])  # 1 %: enough to bring liquidation up to this price
    assert [i.kind for i in engine.incomes][-3:] == ["FUNDING_FEE", "REALIZED_PNL", "INSURANCE_CLEAR"]
    assert engine.ledger.funding == fills.funding_payment(BTC.notional(price, 100), 1, 1_000_000)
    assert engine.ledger.cash == cash(10_000) - engine.ledger.fees - margin
    assert story(engine)[0] == "account FUNDING_FEE"


def test_a_limit_order_fills_when_touched_at_its_own_price_as_maker() -> None:
    engine, desk = venue()
    order = desk.place(limit(1, 100, 2_990_000))
    assert order.status == "NEW"
    engine.visit("BTCUSDT", 2_980_000, 2_000)
    assert (engine.fills[-1].price, engine.fills[-1].maker) == (2_990_000, True)
    assert engine.fills[-1].fee == fills.fee(BTC.notional(2_990_000, 100), 200)


def test_a_limit_order_across_the_market_fills_at_once_and_never_beyond_its_limit() -> None:
    engine, desk = venue()
    assert desk.place(limit(1, 100, 3_000_100)).status == "FILLED"
    assert engine.fills[-1].price == 3_000_100
    assert not engine.fills[-1].maker
    assert desk.place(limit(-1, 100, 2_990_000)).status == "FILLED"
    assert engine.fills[-1].price == fills.slipped(PRICE, -1, 100)


def test_an_immediate_order_away_from_the_market_expires() -> None:
    _, desk = venue()
    assert desk.place(limit(1, 100, 2_900_000, "IOC")).status == "EXPIRED"


def test_a_resting_reduce_only_order_expires_when_nothing_is_left_to_reduce() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    resting = desk.place(limit(-1, 100, 3_010_000, reduce_only=True))
    desk.place(market(-1, 100, reduce_only=True))
    engine.visit("BTCUSDT", 3_020_000, 2_000)
    assert resting.status == "EXPIRED"
    assert not engine.ledger.positions


class Market(RuleBasedStateMachine):
    """Random orders and prices; refusals are part of it."""

    @initialize(leverage=st.integers(1, 125), slippage=st.integers(0, 10_000))
    def start(self, leverage: int, slippage: int) -> None:
        self.engine, self.desk = venue(leverage, costs=Costs(slippage_ppm=slippage))
        self.told = self.engine.ledger.cash

    @rule(side=SIDES, quantity=st.integers(1, 5_000), reduce_only=st.booleans())
    def trade(self, side: int, quantity: int, reduce_only: bool) -> None:
        before = self.engine.ledger.cash
        try:
            self.desk.place(market(side, quantity, reduce_only))
        except Refusal:
            assert self.engine.ledger.cash == before

    @rule(
        side=st.sampled_from((1, -1)), quantity=st.integers(1, 5_000), bps=st.integers(-900, 900), stops=st.booleans()
    )
    def guard(self, side: int, quantity: int, bps: int, stops: bool) -> None:
        trigger = self.engine.prices["BTCUSDT"] * (10_000 + bps) // 10_000
        kind = "STOP_MARKET" if stops else "TAKE_PROFIT_MARKET"
        with suppress(Refusal):
            self.desk.place_stop(stop(side, trigger, quantity, kind, reduce_only=bps % 2 == 0))

    @rule(bps=st.integers(-3_000, 3_000), at_open=st.booleans(), rate=st.integers(-(10**6), 10**6))
    def move(self, bps: int, at_open: bool, rate: int) -> None:
        # within a factor of four, for which the desk lets a position be counted exactly
        price = min(max(PRICE // 2, self.engine.prices["BTCUSDT"] * (10_000 + bps) // 10_000), 2 * PRICE)
        if at_open:
            self.engine.open_bar("BTCUSDT", price, self.engine.time + 1, [rate])
        else:
            self.engine.visit("BTCUSDT", price, self.engine.time + 1)

    @invariant()
    def the_books_balance_to_the_last_unit(self) -> None:
        ledger = self.engine.ledger
        assert ledger.imbalance() == 0
        assert ledger.cash == ledger.deposits + sum(income.amount for income in self.engine.incomes)

    @invariant()
    def the_stream_says_what_the_wallet_holds(self) -> None:
        for event in self.engine.drain():
            if isinstance(event, AccountEvent):
                self.told = event.cash
        assert self.told == self.engine.ledger.cash

    @invariant()
    def executions_add_up_to_the_position(self) -> None:
        position = self.engine.ledger.positions.get("BTCUSDT")
        held = position.side * position.quantity if position else 0
        assert held == sum(fill.side * fill.quantity for fill in self.engine.fills)


TestMarket = Market.TestCase


@given(st.integers(1, 1_000), st.integers(1, 99))
def test_what_is_filled_is_what_the_executions_say(quantity: int, parts: int) -> None:
    engine, desk = venue(deposit=1_000_000)
    order = desk.place(market(1, quantity))
    mine = [fill for fill in engine.fills if fill.order_id == order.id]
    assert sum(fill.quantity for fill in mine) == order.filled == quantity
    assert [e.execution for e in engine.drain() if isinstance(e, OrderEvent)] == [Execution.NEW, Execution.TRADE]
