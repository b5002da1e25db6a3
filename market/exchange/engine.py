"""The engine: what a price does to orders and positions. Synchronous, no I/O, no clock of its own.

The replay hands in every price with its market time. The rules are those of `market.fills`; here stands only the
sequence in which they apply.
"""

from __future__ import annotations

from collections.abc import Iterable

from market import fills
from market.exchange.account import Account
from market.exchange.orders import Execution, Order, OrderStatus, Stop, StopStatus


class Engine(Account):
    """The account under a moving market: bars open, prices are visited, stops and liquidations follow."""

    def open_bar(self, symbol: str, price: int, time: int, rates: Iterable[int] = ()) -> None:
        """A bar opens: funding that fell due, on the open; then what the open itself does to the position."""
        self.time = time
        self.prices[symbol] = price
        for rate in rates:
            self._fund(symbol, price, rate)
        self._reach(symbol, price, at_open=True)

    def visit(self, symbol: str, price: int, time: int) -> None:
        """The price moves inside a bar."""
        self.time = time
        self.prices[symbol] = price
        self._reach(symbol, price, at_open=False)

    def _fund(self, symbol: str, price: int, rate: int) -> None:
        position = self.ledger.positions.get(symbol)
        if position is None:
            return
        notional = self.instruments[symbol].notional(price, position.quantity)
        payment = fills.funding_payment(notional, position.side, rate)
        self.ledger.pay_funding(symbol, payment, self.time)
        self.income(symbol, "FUNDING_FEE", -payment)
        self.tell_account(symbol, "FUNDING_FEE", -payment)

    def _reach(self, symbol: str, price: int, at_open: bool) -> None:
        if symbol in self.ledger.positions:
            self._guard(symbol, price, at_open)
        # what still waits once the position's own stop is through: entries by stop, taken profits, orphans
        if self.stops.any_open(symbol):
            for stop in self.stops.open(symbol):
                if stop.is_open and stop.reached(price):
                    reference = price if at_open else stop.trigger
                    self.trigger(stop, fills.slipped(reference, stop.side, self.costs.slippage_ppm))
        if self.orders.any_open(symbol):
            for order in self.orders.open(symbol):
                if order.is_open and order.side * (order.price - price) >= 0:
                    self.fill_resting(order)

    def _guard(self, symbol: str, price: int, at_open: bool) -> None:
        """Stop or liquidation of the position, nearest stop first, until the price leaves it alone."""
        while (position := self.ledger.positions.get(symbol)) is not None:
            stop = self._nearest_stop(symbol, position.side)
            trigger = stop.trigger if stop else 0
            what = fills.touched(position.side, trigger, self.liquidation_price(symbol), price, at_open)
            if what == fills.NOTHING:
                return
            filled_at = fills.exit_price(what, position.side, trigger, price, at_open, self.costs.slippage_ppm)
            if what == fills.LIQUIDATED:
                self._liquidate(symbol, filled_at)
            elif stop is not None:
                self.trigger(stop, filled_at)

    def _nearest_stop(self, symbol: str, side: int) -> Stop | None:
        guards = [s for s in self.stops.open(symbol) if s.kind == "STOP_MARKET" and s.side == -side]
        return max(guards, key=lambda stop: side * stop.trigger, default=None)

    def trigger(self, stop: Stop, price: int) -> None:
        """A conditional order fires: it spawns a market order under its own client id, which fills at `price`."""
        self.stops.settle(stop)
        stop.triggered = self.time
        self.tell_stop(stop, StopStatus.TRIGGERING)
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
        self.fill(order, quantity, price)
        stop.fill_price, stop.filled = price, quantity
        self.tell_stop(stop, StopStatus.FINISHED)

    def fill_resting(self, order: Order) -> None:
        """A limit order that the price touched fills at its own price, as maker."""
        quantity = order.left
        position = self.ledger.positions.get(order.symbol)
        if order.reduce_only:
            held = position.quantity if position is not None and position.side == -order.side else 0
            quantity = min(quantity, held)
        elif not self.can_afford(order.symbol, order.side, quantity, order.price):
            quantity = 0
        if quantity == 0:
            self.close_order(order, OrderStatus.EXPIRED)
            return
        self.fill(order, quantity, order.price, maker=True)
        if order.is_open:
            self.close_order(order, OrderStatus.EXPIRED)

    def _liquidate(self, symbol: str, price: int) -> None:
        """The position is taken over with its whole margin; orders and stops of the symbol go first."""
        position = self.ledger.positions[symbol]
        for order in self.orders.open(symbol):
            self.close_order(order, OrderStatus.CANCELED)
        for stop in self.stops.open(symbol):
            self.close_stop(stop, StopStatus.EXPIRED, "Liquidation")
        id_ = next(self.order_ids)
        order = Order(
            id=id_,
            client_id=f"autoclose-{id_}",
            symbol=symbol,
            side=-position.side,
            kind="LIMIT",
            quantity=position.quantity,
            price=price,
            time_in_force="IOC",
            reduce_only=True,
            close_position=False,
            original_kind="LIMIT",
            trigger=0,
            working_type="CONTRACT_PRICE",
            created=self.time,
            updated=self.time,
        )
        self.orders.place(order)
        notional = self.instruments[symbol].notional(price, position.quantity)
        profit, gained = self.ledger.liquidate(symbol, notional)
        fill = self.record(order, position.quantity, price, notional, 0, profit, False)
        self.income(symbol, "REALIZED_PNL", profit, fill.id)
        self.income(symbol, "INSURANCE_CLEAR", -gained, fill.id)
        self.tell_account(symbol, "ORDER", 0)
        self.tell_order(order, Execution.CALCULATED, fill)
