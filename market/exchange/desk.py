"""The order desk: what a trader may ask, checked against the book, the margin and the exchange's own rules.

Every refusal is raised before anything changed. Amounts are integers already; the wire's texts were read below.
"""

from __future__ import annotations

from market import tiers
from market.exchange.engine import Engine
from market.exchange.orders import (
    AssetModeEvent,
    Execution,
    LeverageEvent,
    Order,
    OrderRequest,
    OrderStatus,
    Stop,
    StopRequest,
    StopStatus,
    SymbolStatus,
)
from market.exchange.refusals import Code, Refusal
from market.instruments import InstrumentError

MAX_QUANTITY = 1_000_000
"""Largest order, in steps; a thousand bitcoin where the step is 0.001."""


class Desk:
    """Accepts and refuses on behalf of one `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # -- plain orders -----------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> Order:
        """Take an order: a market order fills at once, a limit order when the price touches it; none in the dark."""
        engine, symbol = self.engine, request.symbol
        if symbol in engine.dark:
            raise Refusal(Code.DISCONNECTED)
        price = engine.best_price(symbol, request.side)
        self._check_open(symbol, request.reduce_only)
        self._check_mode(symbol, request.reduce_only)
        self._check_client_id(symbol, request.client_id)
        self._check_quantity(symbol, request.quantity)
        quantity = request.quantity
        if request.reduce_only:
            quantity = min(quantity, self._reducible(symbol, request.side))
        else:
            self._check_size(symbol, request.side, quantity)
        market = request.kind == "MARKET"
        crosses = market or request.side * (request.price - price) >= 0
        if crosses and request.time_in_force == "GTX":
            raise Refusal(Code.NOT_A_MAKER)
        fill_price = engine.market_price(symbol, request.side) if crosses else request.price
        if not market and request.side * (fill_price - request.price) > 0:
            fill_price = request.price
        if not request.reduce_only:
            self._check_notional(symbol, quantity, price if market else request.price)
            self._check_tier(symbol, request.side, quantity, price if market else request.price)
            if not engine.can_afford(symbol, request.side, quantity, fill_price):
                raise Refusal(Code.NO_MARGIN)
        order = self._order(request, quantity)
        engine.accept(order)
        killed = request.time_in_force == "FOK" and not engine.depth.whole(engine.instruments[symbol], quantity)
        if crosses and not killed:
            engine.execute(order, fill_price)
        if order.is_open and not market and request.time_in_force in ("IOC", "FOK"):
            engine.close_order(order, OrderStatus.EXPIRED)
        return order

    def find(self, symbol: str, id_: int | None, client_id: str | None) -> Order:
        """An order on record; refuses with *no such order*."""
        order = self.engine.orders.find(symbol, id_, client_id)
        if order is None:
            raise Refusal(Code.NO_SUCH_ORDER)
        return order

    def cancel(self, symbol: str, id_: int | None, client_id: str | None) -> Order:
        """Cancel an open order; one that is filled, gone or never was is *unknown*."""
        order = self.engine.orders.find(symbol, id_, client_id)
        if order is None or not order.is_open:
            raise Refusal(Code.UNKNOWN_ORDER)
        self.engine.close_order(order, OrderStatus.CANCELED)
        return order

    def amend(self, symbol: str, id_: int | None, client_id: str | None, quantity: int, price: int) -> Order:
        """Give an open limit order another price and quantity."""
        order = self.find(symbol, id_, client_id)
        if not order.is_open:
            raise Refusal(Code.NO_SUCH_ORDER)
        self._check_quantity(symbol, quantity)
        order.quantity, order.price, order.updated = quantity, price, self.engine.time
        self.engine.tell_order(order, Execution.AMENDMENT)
        if order.side * (price - self.engine.best_price(symbol, order.side)) >= 0:
            self.engine.execute(order, order.price, maker=True)
        return order

    def cancel_all(self, symbol: str) -> None:
        """Cancel the open plain orders of a symbol; its stops stay."""
        for order in self.engine.orders.open(symbol):
            self.engine.close_order(order, OrderStatus.CANCELED)

    # -- conditional orders -----------------------------------------------------------------------------------------

    def place_stop(self, request: StopRequest) -> Stop:
        """Take a conditional order; one whose trigger the price has passed already is refused."""
        engine, symbol = self.engine, request.symbol
        price = engine.working_price(symbol, request.working_type)
        self._check_open(symbol, request.reduce_only or request.close_position)
        if not request.close_position:
            self._check_quantity(symbol, request.quantity)
            if not request.reduce_only:
                self._check_size(symbol, request.side, request.quantity)
        self._check_mode(symbol, request.reduce_only or request.close_position)
        if engine.stops.holds_open(symbol, request.client_id):
            raise Refusal(Code.DUPLICATE_CLIENT_ID)
        if request.close_position and any(
            stop.close_position and stop.side == request.side and stop.kind == request.kind
            for stop in engine.stops.open(symbol)
        ):
            raise Refusal(Code.SECOND_CLOSE_POSITION)
        id_ = next(engine.stop_ids)
        stop = Stop(
            id=id_,
            client_id=request.client_id or f"stop-{id_}",
            symbol=symbol,
            side=request.side,
            kind=request.kind,
            quantity=request.quantity,
            trigger=request.trigger,
            time_in_force=request.time_in_force,
            reduce_only=request.reduce_only,
            close_position=request.close_position,
            working_type=request.working_type,
            price_protect=request.price_protect,
            created=engine.time,
            updated=engine.time,
        )
        if stop.reached(price):
            raise Refusal(Code.WOULD_TRIGGER)
        engine.place_stop(stop)
        return stop

    def find_stop(self, id_: int | None, client_id: str | None) -> Stop:
        """A conditional order on record, under any symbol; refuses with *no such order*."""
        stop = self._stop(id_, client_id)
        if stop is None:
            raise Refusal(Code.NO_SUCH_ORDER)
        return stop

    def cancel_stop(self, id_: int | None, client_id: str | None) -> Stop:
        """Cancel a waiting stop; any other is *unknown*."""
        stop = self._stop(id_, client_id)
        if stop is not None and stop.status is StopStatus.TRIGGERING:
            raise Refusal(Code.STOP_TRIGGERING)
        if stop is None or not stop.is_open:
            raise Refusal(Code.UNKNOWN_ORDER)
        self.engine.close_stop(stop, StopStatus.CANCELED)
        return stop

    def cancel_all_stops(self, symbol: str) -> None:
        """Cancel the waiting stops of a symbol."""
        for stop in self.engine.stops.open(symbol):
            if stop.is_open:
                self.engine.close_stop(stop, StopStatus.CANCELED)

    # -- settings ---------------------------------------------------------------------------------------------------

    def set_leverage(self, symbol: str, leverage: int) -> int:
        """Set a symbol's leverage, or to its clip where it has one; it is never lowered under a position.

        Returns
        -------
        int
            The leverage that binds the next entry.
        """
        leverage = min(leverage, self.engine.leverage_clips.get(symbol, leverage))
        settings, instrument = self.engine.settings[symbol], self.engine.instruments[symbol]
        if not 1 <= leverage <= instrument.max_leverage:
            raise Refusal(Code.BAD_LEVERAGE, f"Leverage {leverage} is not valid")
        position = self.engine.ledger.positions.get(symbol)
        if position is not None:
            if leverage < settings.leverage:
                raise Refusal(Code.LEVERAGE_BELOW_POSITION)
            held = instrument.notional(self.engine.mark_price(symbol), position.quantity)
            if held > tiers.max_notional(instrument.brackets, leverage):
                raise Refusal(Code.ABOVE_LEVERAGE_CAP)
        settings.leverage = leverage
        self.engine.emit(LeverageEvent(self.engine.time, symbol, leverage))
        return leverage

    def set_margin_mode(self, symbol: str, isolated: bool) -> None:
        """Set a symbol to isolated or cross margin while it is flat."""
        settings = self.engine.settings[symbol]
        if isolated and self.engine.multi_assets:
            raise Refusal(Code.ISOLATED_IN_MULTI_ASSETS)
        if settings.isolated == isolated:
            raise Refusal(Code.SAME_MARGIN_TYPE)
        if self.engine.orders.any_open(symbol) or self.engine.stops.any_open(symbol):
            raise Refusal(Code.MARGIN_TYPE_WITH_ORDERS)
        if symbol in self.engine.ledger.positions:
            raise Refusal(Code.MARGIN_TYPE_WITH_POSITION)
        settings.isolated = isolated
        self.engine.tell_account(symbol, "MARGIN_TYPE_CHANGE", 0)

    def set_hedge_mode(self, hedge_mode: bool) -> None:
        """Switch the account between one-way and hedge mode; orders are taken in one-way mode only."""
        if self.engine.hedge_mode == hedge_mode:
            raise Refusal(Code.SAME_POSITION_MODE)
        if self.engine.orders.open() or self.engine.stops.open():
            raise Refusal(Code.POSITION_MODE_WITH_ORDERS)
        if self.engine.ledger.positions:
            raise Refusal(Code.POSITION_MODE_WITH_POSITION)
        self.engine.hedge_mode = hedge_mode

    def set_multi_assets(self, multi_assets: bool) -> None:
        """Switch between single-asset and multi-assets mode; the latter knows cross margin alone."""
        engine = self.engine
        if engine.multi_assets == multi_assets:
            raise Refusal(Code.SAME_ASSET_MODE)
        if engine.orders.open() or engine.stops.open():
            raise Refusal(Code.ASSET_MODE_WITH_ORDERS)
        if any(settings.isolated for settings in engine.settings.values()):
            raise Refusal(Code.MULTI_ASSETS_WITH_ISOLATED)
        engine.multi_assets = multi_assets
        engine.emit(AssetModeEvent(engine.time, multi_assets))

    # -- checks -----------------------------------------------------------------------------------------------------

    def _price(self, symbol: str) -> int:
        return self.engine.prices[symbol]

    def _stop(self, id_: int | None, client_id: str | None) -> Stop | None:
        if id_ is not None:
            return self.engine.stops.get(id_)
        found = (self.engine.stops.find(symbol, None, client_id) for symbol in self.engine.instruments)
        return max((stop for stop in found if stop is not None), key=lambda stop: stop.id, default=None)

    def _check_open(self, symbol: str, reduces: bool) -> None:
        """The account may trade, and the symbol is traded: a halted one may be reduced, a closed one not even that."""
        status = self.engine.status[symbol]
        if not self.engine.can_trade:
            raise Refusal(Code.MAY_NOT_TRADE)
        if status is SymbolStatus.CLOSED:
            raise Refusal(Code.SYMBOL_CLOSED)
        if status is SymbolStatus.HALTED and not reduces:
            raise Refusal(Code.SYMBOL_HALTED)

    def _check_mode(self, symbol: str, reduces: bool) -> None:
        if self.engine.hedge_mode:
            raise Refusal(Code.WRONG_POSITION_SIDE)
        if not reduces and not self.engine.settings[symbol].isolated:
            raise Refusal(
                Code.ORDER_REJECTED,
                f"{symbol} is at cross margin, which this exchange does not simulate: set marginType ISOLATED first.",
            )

    def _check_client_id(self, symbol: str, client_id: str) -> None:
        if client_id and self.engine.orders.holds_open(symbol, client_id):
            raise Refusal(Code.DUPLICATE_CLIENT_ID)

    def _check_quantity(self, symbol: str, quantity: int) -> None:
        if quantity <= 0 or quantity < self.engine.instruments[symbol].min_quantity:
            raise Refusal(Code.NO_QUANTITY)
        if quantity > MAX_QUANTITY:
            raise Refusal(Code.TOO_LARGE)

    def _check_size(self, symbol: str, side: int, quantity: int) -> None:
        """A position must stay countable in int64 even if the price rises fourfold."""
        instrument, position = self.engine.instruments[symbol], self.engine.ledger.positions.get(symbol)
        held = position.quantity if position is not None and position.side == side else 0
        try:
            instrument.notional(4 * self._price(symbol), held + quantity)
        except InstrumentError as error:
            raise Refusal(Code.TOO_LARGE, str(error)) from error

    def _check_notional(self, symbol: str, quantity: int, price: int) -> None:
        instrument = self.engine.instruments[symbol]
        if instrument.notional(price, quantity) < instrument.min_notional:
            raise Refusal(Code.TOO_SMALL)

    def _check_tier(self, symbol: str, side: int, quantity: int, price: int) -> None:
        """What an order would make of the position stays within the largest one at the symbol's leverage."""
        instrument, position = self.engine.instruments[symbol], self.engine.ledger.positions.get(symbol)
        held = position.side * position.quantity if position is not None else 0
        after = abs(held + side * quantity)
        if after > abs(held) and instrument.notional(price, after) > tiers.max_notional(
            instrument.brackets, self.engine.settings[symbol].leverage
        ):
            raise Refusal(Code.ABOVE_LEVERAGE_CAP)

    def _reducible(self, symbol: str, side: int) -> int:
        held = self.engine.reducible(symbol, side)
        if not held:
            raise Refusal(Code.REDUCE_ONLY)
        return held

    def _order(self, request: OrderRequest, quantity: int) -> Order:
        id_ = next(self.engine.order_ids)
        return Order(
            id=id_,
            client_id=request.client_id or f"order-{id_}",
            symbol=request.symbol,
            side=request.side,
            kind=request.kind,
            quantity=quantity,
            price=request.price,
            time_in_force=request.time_in_force,
            reduce_only=request.reduce_only,
            close_position=False,
            original_kind=request.kind,
            trigger=0,
            working_type="CONTRACT_PRICE",
            created=self.engine.time,
            updated=self.engine.time,
        )
