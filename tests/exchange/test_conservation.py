"""Nothing is lost or made, to the last unit, whatever a trader, a hand and a market do in whatever order.

Two symbols with margin tiers, executions in parts, fees in two currencies, marks apart from last prices, funding,
deposits and withdrawals, auto-deleveraging, liquidations and settlements.
"""

from __future__ import annotations

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from market.exchange.account import Costs
from market.exchange.depth import UNLIMITED, Depth, Rest
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.fee_coin import FeeCoin
from market.exchange.orders import AccountEvent, OrderRequest, StopFate, StopRequest, StopStatus, SymbolStatus
from market.exchange.refusals import Refusal
from market.instruments import CASH, Instrument, cash
from market.tiers import brackets

TIERS = brackets(
    (20_000 * CASH, 125, 40), (60_000 * CASH, 50, 100), (150_000 * CASH, 20, 250), (400_000 * CASH, 5, 500)
)
INSTRUMENTS = [Instrument("BTCUSDT", "BTC", brackets=TIERS), Instrument("ETHUSDT", "ETH", brackets=TIERS)]
PRICE = 3_000_000
SYMBOLS = st.sampled_from(("BTCUSDT", "ETHUSDT"))
SIDES = st.sampled_from((1, -1))
QUANTITIES = st.integers(1, 4_000)
BPS = st.integers(-900, 900)


class Exchange(RuleBasedStateMachine):
    """Random deeds; refusals are part of it."""

    @initialize(
        leverage=st.integers(1, 50),
        slippage=st.integers(0, 10_000),
        share=st.integers(1, 100),
        rest=st.sampled_from(Rest),
        coin=st.booleans(),
    )
    def start(self, leverage: int, slippage: int, share: int, rest: Rest, coin: bool) -> None:
        self.engine = Engine(INSTRUMENTS, cash(20_000), Costs(slippage_ppm=slippage))
        self.desk = Desk(self.engine)
        for symbol in self.engine.instruments:
            self.desk.set_margin_mode(symbol, isolated=True)
            self.desk.set_leverage(symbol, leverage)
            self.engine.open_bar(symbol, PRICE, 1_000)
        self.engine.depth = UNLIMITED if share == 100 else Depth.parse(f"{share}%", rest)
        self.engine.fee_coin = FeeCoin.opened_with("BNB", 600 * CASH, CASH // 10) if coin else None
        self.paid_for_contracts = 0
        self.seen = 0
        self.told = self.engine.ledger.cash

    def _time(self) -> int:
        return self.engine.time + 1

    @rule(symbol=SYMBOLS, side=SIDES, quantity=QUANTITIES, reduce_only=st.booleans())
    def trade(self, symbol: str, side: int, quantity: int, reduce_only: bool) -> None:
        before = self.engine.ledger.cash
        try:
            self.desk.place(OrderRequest(symbol, "", side, "MARKET", quantity, 0, "GTC", reduce_only))
        except Refusal:
            assert self.engine.ledger.cash == before

    @rule(symbol=SYMBOLS, side=SIDES, quantity=QUANTITIES, bps=BPS, kind=st.sampled_from(("GTC", "IOC", "FOK", "GTX")))
    def rest(self, symbol: str, side: int, quantity: int, bps: int, kind: str) -> None:
        price = self.engine.prices[symbol] * (10_000 + bps) // 10_000
        with suppress(Refusal):
            self.desk.place(OrderRequest(symbol, "", side, "LIMIT", quantity, price, kind, bps % 2 == 0))

    @rule(symbol=SYMBOLS, side=SIDES, quantity=QUANTITIES, bps=BPS, mark=st.booleans(), whole=st.booleans())
    def guard(self, symbol: str, side: int, quantity: int, bps: int, mark: bool, whole: bool) -> None:
        trigger = self.engine.prices[symbol] * (10_000 + bps) // 10_000
        kind = "STOP_MARKET" if bps % 3 else "TAKE_PROFIT_MARKET"
        watching = "MARK_PRICE" if mark else "CONTRACT_PRICE"
        amount, only = (0, False) if whole else (quantity, bps % 2 == 0)
        with suppress(Refusal):
            self.desk.place_stop(
                StopRequest(symbol, "", side, kind, amount, trigger, "GTC", only, whole, watching, False)
            )

    @rule(symbol=SYMBOLS, bps=st.integers(-3_000, 3_000), at_open=st.booleans(), rate=st.integers(-(10**6), 10**6))
    def move(self, symbol: str, bps: int, at_open: bool, rate: int) -> None:
        price = min(max(PRICE // 2, self.engine.prices[symbol] * (10_000 + bps) // 10_000), 2 * PRICE)
        if at_open:
            self.engine.open_bar(symbol, price, self._time(), [rate])
        else:
            self.engine.visit(symbol, price, self._time())

    @rule(symbol=SYMBOLS, bps=st.integers(-500, 500), spread=st.integers(0, 300))
    def tell_mark_and_quote(self, symbol: str, bps: int, spread: int) -> None:
        price = min(max(PRICE // 2, self.engine.prices[symbol] * (10_000 + bps) // 10_000), 2 * PRICE)
        self.engine.mark(symbol, price, self._time())
        self.engine.quote(symbol, price - spread, price + spread, self._time())

    @rule(symbol=SYMBOLS)
    def go_on(self, symbol: str) -> None:
        self.engine.go_on(symbol)

    @rule(symbol=SYMBOLS, fate=st.sampled_from(StopFate))
    def spoil_the_next_stop(self, symbol: str, fate: StopFate) -> None:
        self.engine.stop_fates[symbol] = fate

    @rule(symbol=SYMBOLS)
    def release(self, symbol: str) -> None:
        self.engine.release(symbol)

    @rule(symbol=SYMBOLS)
    def cancel(self, symbol: str) -> None:
        self.desk.cancel_all(symbol)
        self.desk.cancel_all_stops(symbol)

    @rule(amount=st.integers(-(10**12), 10**12).filter(bool))
    def transfer(self, amount: int) -> None:
        with suppress(ValueError):
            self.engine.transfer(amount)

    @rule(symbol=SYMBOLS, part=st.integers(1, 100))
    def deleverage(self, symbol: str, part: int) -> None:
        held = self.engine.ledger.positions.get(symbol)
        if held is not None:
            self.engine.deleverage(symbol, -(-held.quantity * part // 100))

    @rule(symbol=SYMBOLS)
    def liquidate(self, symbol: str) -> None:
        if symbol in self.engine.ledger.positions:
            self.engine.liquidate(symbol, self.engine.mark_price(symbol))

    @rule(symbol=SYMBOLS)
    def delist_and_list_again(self, symbol: str) -> None:
        self.engine.settle(symbol)
        self.engine.status[symbol] = SymbolStatus.CLOSED
        with suppress(Refusal):
            self.desk.place(OrderRequest(symbol, "", 1, "MARKET", 1, 0, "GTC", False))
        assert symbol not in self.engine.ledger.positions
        self.engine.status[symbol] = SymbolStatus.TRADING

    @invariant()
    def cash_fees_profit_funding_insurance_and_transfers_balance(self) -> None:
        ledger, incomes = self.engine.ledger, self.engine.incomes
        assert ledger.imbalance() == 0
        quote = [income for income in incomes if not income.asset]
        moved = {kind: sum(i.amount for i in quote if i.kind == kind) for kind in {i.kind for i in quote}}
        assert ledger.cash == cash(20_000) + sum(moved.values())
        assert ledger.deposits == cash(20_000) + moved.get("TRANSFER", 0)
        assert ledger.fees == -moved.get("COMMISSION", 0)
        assert ledger.funding == -moved.get("FUNDING_FEE", 0)
        assert ledger.realized == moved.get("REALIZED_PNL", 0)
        assert ledger.insurance == -moved.get("INSURANCE_CLEAR", 0)

    @invariant()
    def every_contract_was_paid_for(self) -> None:
        fills = self.engine.fills[self.seen :]
        self.seen += len(fills)
        self.paid_for_contracts += sum(fill.side * fill.notional for fill in fills)
        ledger = self.engine.ledger
        still_open = sum(position.side * position.cost for position in ledger.positions.values())
        assert still_open - self.paid_for_contracts == ledger.realized

    @invariant()
    def the_coin_balances(self) -> None:
        coin = self.engine.fee_coin
        if coin is not None:
            assert coin.balance + coin.paid == coin.deposits
            assert coin.paid == -sum(income.amount for income in self.engine.incomes if income.asset)
            assert coin.paid == sum(fill.fee for fill in self.engine.fills if fill.fee_asset)

    @invariant()
    def executions_add_up_to_positions_orders_and_stops(self) -> None:
        engine = self.engine
        for symbol in engine.instruments:
            position = engine.ledger.positions.get(symbol)
            held = position.side * position.quantity if position else 0
            assert held == sum(fill.side * fill.quantity for fill in engine.fills if fill.symbol == symbol)
        by_order: dict[int, int] = {}
        for fill in engine.fills:
            by_order[fill.order_id] = by_order.get(fill.order_id, 0) + fill.quantity
        assert {order.id: order.filled for order in engine.orders.values() if order.filled} == by_order
        for stop in engine.stops.values():
            assert stop.filled == by_order.get(stop.order_id, 0)
            assert (stop.status is StopStatus.TRIGGERED) == (stop.order_id in engine.spawned)

    @invariant()
    def what_is_open_can_still_happen(self) -> None:
        assert all(order.is_open and order.left > 0 for order in self.engine.orders.open())
        assert all(stop.is_open or stop.status is StopStatus.TRIGGERING for stop in self.engine.stops.open())

    @invariant()
    def the_stream_says_what_the_wallets_hold(self) -> None:
        for event in self.engine.drain():
            if isinstance(event, AccountEvent):
                self.told = event.cash
                if event.coin is not None:
                    assert event.coin.asset == "BNB"
        assert self.told == self.engine.ledger.cash


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
