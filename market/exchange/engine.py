"""The engine: what a price does to orders and positions. Synchronous, no I/O, no clock of its own.

The replay hands in every price with its market time; a mirror of a live market hands in marks and quotes as well. The
rules are those of `market.fills`; here stands only the sequence in which they apply.
"""

from __future__ import annotations

from collections.abc import Iterable

from market import fills
from market.exchange.account import Account
from market.exchange.depth import Rest
from market.exchange.orders import (
    CONTRACT_PRICE,
    MARK_PRICE,
    WORKING_TYPES,
    Execution,
    Order,
    OrderStatus,
    Stop,
    StopFate,
    StopStatus,
)


class Engine(Account):
    """The account under a moving market: bars open, prices are visited, stops and liquidations follow."""

    def open_bar(self, symbol: str, price: int, time: int, rates: Iterable[int] = ()) -> None:
        """A bar opens: funding that fell due, on the open; then what the open itself does to the position."""
        self.time = time
        self.prices[symbol] = price
        for rate in rates:
            self._fund(symbol, rate)
        self._reach(symbol, price, at_open=True, watching=self._watching_last(symbol))

    def visit(self, symbol: str, price: int, time: int) -> None:
        """The price moves inside a bar."""
        self.time = time
        self.prices[symbol] = price
        self._reach(symbol, price, at_open=False, watching=self._watching_last(symbol))

    def mark(self, symbol: str, price: int, time: int) -> None:
        """The mark moves: stops that watch it, liquidation and funding go by it from now on."""
        self.time = time
        self.marks[symbol] = price
        self._reach(symbol, price, at_open=False, watching=(MARK_PRICE,))

    def quote(self, symbol: str, bid: int, ask: int, time: int) -> None:
        """The best bid and ask move: market orders fill at them, and resting orders that they crossed."""
        if not 0 < bid <= ask:
            raise ValueError(f"{symbol}: a bid of {bid} and an ask of {ask} ticks are no quote")
        self.time = time
        self.quotes[symbol] = (bid, ask)
        self._fill_crossed(symbol)

    def fund(self, symbol: str, rate: int, time: int) -> None:
        """A funding instant: the position pays or receives `rate` (1e-8) of its notional at the mark."""
        self.time = time
        self._fund(symbol, rate)

    def _watching_last(self, symbol: str) -> tuple[str, ...]:
        """What the last price decides: everything, unless the mark is told apart."""
        return (CONTRACT_PRICE,) if symbol in self.marks else WORKING_TYPES

    def _fund(self, symbol: str, rate: int) -> None:
        position = self.ledger.positions.get(symbol)
        if position is None:
            return
        notional = self.instruments[symbol].notional(self.mark_price(symbol), position.quantity)
        payment = fills.funding_payment(notional, position.side, rate)
        self.ledger.pay_funding(symbol, payment, self.time)
        self.income(symbol, "FUNDING_FEE", -payment)
        self.tell_account(symbol, "FUNDING_FEE", -payment)

    def _reach(self, symbol: str, price: int, at_open: bool, watching: tuple[str, ...]) -> None:
        if symbol in self.ledger.positions:
            self._guard(symbol, price, at_open, watching)
        # what still waits once the position's own stop is through: entries by stop, taken profits, orphans
        if self.stops.any_open(symbol):
            for stop in self.stops.open(symbol):
                if stop.is_open and stop.working_type in watching and stop.reached(price):
                    reference = price if at_open else stop.trigger
                    by_rule = fills.slipped(reference, stop.side, self.costs.slippage_ppm)
                    self.trigger(stop, self._stop_fills_at(stop, by_rule))
        if CONTRACT_PRICE in watching:
            self._fill_crossed(symbol)

    def _fill_crossed(self, symbol: str) -> None:
        if not self.orders.any_open(symbol):
            return
        for order in self.orders.open(symbol):
            if order.kind == "MARKET":
                if self.depth.rest is not Rest.COMMAND:
                    self.execute(order, self.market_price(symbol, order.side))
            elif order.is_open and order.side * (order.price - self.best_price(symbol, order.side)) >= 0:
                self.execute(order, order.price, maker=True)

    def _stop_fills_at(self, stop: Stop, by_rule: int) -> int:
        """Rule: where the market is quoted, or the mark is not the last price, a fired stop fills as any market order.

        `by_rule` is its price where one price is all that is known.
        """
        apart = stop.working_type == MARK_PRICE and stop.symbol in self.marks
        return self.market_price(stop.symbol, stop.side) if apart or stop.symbol in self.quotes else by_rule

    def _guard(self, symbol: str, price: int, at_open: bool, watching: tuple[str, ...]) -> None:
        """Stop or liquidation of the position, nearest stop first, until the price leaves it alone."""
        while (position := self.ledger.positions.get(symbol)) is not None:
            stop = self._nearest_stop(symbol, position.side, watching)
            trigger = stop.trigger if stop else 0
            liquidation = self.liquidation_price(symbol) if MARK_PRICE in watching else 0
            what = fills.touched(position.side, trigger, liquidation, price, at_open)
            if what == fills.NOTHING:
                return
            filled_at = fills.exit_price(what, position.side, trigger, price, at_open, self.costs.slippage_ppm)
            if what == fills.LIQUIDATED:
                self.liquidate(symbol, filled_at)
            elif stop is not None:
                self.trigger(stop, self._stop_fills_at(stop, filled_at))

    def _nearest_stop(self, symbol: str, side: int, watching: tuple[str, ...]) -> Stop | None:
        guards = [
            s
            for s in self.stops.open(symbol)
            if s.is_open and s.kind == "STOP_MARKET" and s.side == -side and s.working_type in watching
        ]
        return max(guards, key=lambda stop: side * stop.trigger, default=None)

    def trigger(self, stop: Stop, price: int) -> None:
        """A conditional order fires: it spawns a market order under its own client id, which fills at `price`."""
        stop.triggered = self.time
        self.tell_stop(stop, StopStatus.TRIGGERING)
        if not self._meets_its_fate(stop):
            return
        self.stops.settle(stop)
        position = self.ledger.positions.get(stop.symbol)
        quantity = stop.quantity
        if stop.reduce_only or stop.close_position:
            if position is None or position.side == stop.side:
                stop.reason = "Reduce Only reject"
                self.tell_stop(stop, StopStatus.EXPIRED)
                return
            quantity = position.quantity if stop.close_position else min(quantity, position.quantity)
        elif not self.can_afford(stop.symbol, stop.side, quantity, price):
            stop.reason = "Margin is insufficient."
            self.tell_stop(stop, StopStatus.REJECTED)
            return
        order = Order(
            id=next(self.order_ids),
            client_id=stop.client_id,
            symbol=stop.symbol,
            side=stop.side,
            kind="MARKET",
            quantity=quantity,
            price=0,
            time_in_force=stop.time_in_force,
            reduce_only=stop.reduce_only or stop.close_position,
            close_position=stop.close_position,
            original_kind=stop.kind,
            trigger=stop.trigger,
            working_type=stop.working_type,
            created=self.time,
            updated=self.time,
        )
        stop.order_id = order.id
        self.tell_stop(stop, StopStatus.TRIGGERED)
        self.accept(order)
        self.spawned[order.id] = stop
        self.execute(order, price)

    def _meets_its_fate(self, stop: Stop) -> bool:
        """Whether a fired stop goes on to its market order, or comes to grief as it was told to."""
        fate = self.stop_fates.pop(stop.symbol, None)
        match fate:
            case StopFate.REJECTED:
                self.close_stop(stop, StopStatus.REJECTED, "Margin is insufficient.")
            case StopFate.EXPIRED:
                self.close_stop(stop, StopStatus.EXPIRED, "The order expired in the matching engine.")
        return fate is None

    def release(self, symbol: str) -> int:
        """Stops of a symbol that hang in TRIGGERING go on, at the market; returns how many."""
        stuck = [stop for stop in self.stops.open(symbol) if stop.status is StopStatus.TRIGGERING]
        for stop in stuck:
            self.trigger(stop, self.market_price(symbol, stop.side))
        return len(stuck)

    def execute(self, order: Order, price: int, maker: bool = False) -> None:
        """Fill an order at `price` as far as the depth lets it: whole, in executions at once, or one and then others.

        Rule: a reduce-only order never fills beyond the position, an opening one never beyond the margin; what is left
        of it then expires.
        """
        instrument = self.instruments[order.symbol]
        while order.is_open:
            quantity = self.depth.take(instrument, order.id, order.quantity, order.filled)
            if order.reduce_only:
                quantity = min(quantity, self.reducible(order.symbol, order.side))
            elif not self.can_afford(order.symbol, order.side, quantity, price):
                quantity = 0
            if quantity == 0:
                self.close_order(order, OrderStatus.EXPIRED)
                return
            self.fill(order, quantity, price, maker)
            self._follow(order)
            if self.depth.rest is not Rest.AT_ONCE:
                return

    def go_on(self, symbol: str) -> int:
        """Market orders that are filled in part have one more execution at the market; returns how many had."""
        waiting = [order for order in self.orders.open(symbol) if order.kind == "MARKET"]
        for order in waiting:
            self.execute(order, self.market_price(symbol, order.side))
        return len(waiting)

    def close_order(self, order: Order, status: OrderStatus) -> None:
        """An open order ends: cancelled or expired; the stop that spawned it is finished with it."""
        super().close_order(order, status)
        self._follow(order)

    def _follow(self, order: Order) -> None:
        """The stop that spawned an order tells of its fills, and is finished once the order is done."""
        stop = self.spawned.get(order.id)
        if stop is None:
            return
        stop.filled = order.filled
        if order.filled:
            stop.fill_price = order.cost // (order.filled * self.instruments[order.symbol].unit)
        if not order.is_open:
            del self.spawned[order.id]
            self.tell_stop(stop, StopStatus.FINISHED)

    def liquidate(self, symbol: str, price: int) -> None:
        """The position is taken over with its whole margin; orders and stops of the symbol go first."""
        position = self.ledger.positions[symbol]
        self.withdraw_orders(symbol, "Liquidation")
        order = self._imposed("autoclose-", symbol, position.quantity, price, "LIMIT")
        self.orders.place(order)
        notional = self.instruments[symbol].notional(price, position.quantity)
        profit, gained = self.ledger.liquidate(symbol, notional)
        fill = self.record(order, position.quantity, price, notional, 0, profit, False)
        self.income(symbol, "REALIZED_PNL", profit, fill.id)
        self.income(symbol, "INSURANCE_CLEAR", -gained, fill.id)
        self.tell_account(symbol, "ORDER", 0)
        self.tell_order(order, Execution.CALCULATED, fill)

    def deleverage(self, symbol: str, quantity: int) -> Order:
        """Auto-deleveraging: the exchange closes `quantity` of a position at the mark, at no fee; orders stay."""
        order = self._imposed("adl_autoclose-", symbol, quantity, 0, "MARKET")
        self.accept(order)
        self.fill(order, quantity, self.mark_price(symbol), imposed=Execution.CALCULATED)
        return order

    def settle(self, symbol: str) -> None:
        """The symbol is taken off the list: orders and stops go, a position is closed at the mark, at no fee."""
        self.withdraw_orders(symbol, "Symbol is closed")
        position = self.ledger.positions.get(symbol)
        if position is not None:
            price = self.mark_price(symbol)
            order = self._imposed("settlement_autoclose-", symbol, position.quantity, price, "LIMIT")
            self.orders.place(order)
            self.fill(order, position.quantity, price, imposed=Execution.TRADE)

    def withdraw_orders(self, symbol: str, reason: str) -> None:
        """The exchange takes every order and stop of a symbol out of the book."""
        for order in self.orders.open(symbol):
            self.close_order(order, OrderStatus.CANCELED)
        for stop in self.stops.open(symbol):
            self.close_stop(stop, StopStatus.EXPIRED, reason)

    def _imposed(self, prefix: str, symbol: str, quantity: int, price: int, kind: str) -> Order:
        """An order of the exchange's own against a position, under its own client id; `price` 0 for a market order."""
        id_ = next(self.order_ids)
        return Order(
            id=id_,
            client_id=f"{prefix}{id_}",
            symbol=symbol,
            side=-self.ledger.positions[symbol].side,
            kind=kind,
            quantity=quantity,
            price=price,
            time_in_force="IOC" if price else "GTC",
            reduce_only=True,
            close_position=False,
            original_kind=kind,
            trigger=0,
            working_type=CONTRACT_PRICE,
            created=self.time,
            updated=self.time,
        )
