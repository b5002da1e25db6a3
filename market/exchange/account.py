"""The account: what one trader holds, set and ordered, how an execution changes it, and the telling of it.

Each change is put in line as an event; `drain` hands them out in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from market import fills
from market.exchange.book import Ids, Shelf
from market.exchange.depth import UNLIMITED
from market.exchange.fee_coin import FeeCoin
from market.exchange.ledger import Ledger
from market.exchange.orders import (
    MARK_PRICE,
    AccountEvent,
    Event,
    Execution,
    Fill,
    Income,
    Order,
    OrderEvent,
    OrderStatus,
    Stop,
    StopEvent,
    StopFate,
    StopStatus,
    SymbolStatus,
)
from market.instruments import Instrument, cash_text


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs, in 1e-6: fees of the notional, slippage of the price."""

    taker_ppm: int = 500
    maker_ppm: int = 200
    slippage_ppm: int = 100


@dataclass(slots=True)
class Settings:
    """What a trader sets per symbol; a fresh account stands at cross margin and leverage 20, as at the exchange."""

    leverage: int = 20
    isolated: bool = False


class Account:
    """One account in a few perpetuals, at the prices of the moment.

    Parameters
    ----------
    instruments : sequence of Instrument
        What is traded, in the order that events follow.
    cash : int
        First deposit, cash units.
    costs : Costs
        Fees and slippage.
    """

    def __init__(self, instruments: Sequence[Instrument], cash: int, costs: Costs) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.costs = costs
        self.time = 0
        self.prices = dict.fromkeys(self.instruments, 0)
        self.marks: dict[str, int] = {}
        self.quotes: dict[str, tuple[int, int]] = {}
        self.dark: set[str] = set()
        """Symbols whose prices nobody tells at the moment: no order can be filled."""
        self.status = dict.fromkeys(self.instruments, SymbolStatus.TRADING)
        self.ledger = Ledger.opened_with(cash)
        self.settings = {symbol: Settings() for symbol in self.instruments}
        self.leverage_clips: dict[str, int] = {}
        """Symbols whose leverage is set no higher than this, whatever was asked."""
        self.realized = dict.fromkeys(self.instruments, 0)
        self.hedge_mode = False
        self.multi_assets = False
        self.depth = UNLIMITED
        self.fee_coin: FeeCoin | None = None
        self.can_trade = True
        self.stop_fates: dict[str, StopFate] = {}
        self.spawned: dict[int, Stop] = {}
        self.orders: Shelf[Order] = Shelf()
        self.stops: Shelf[Stop] = Shelf()
        self.fills: list[Fill] = []
        self.incomes: list[Income] = []
        self.order_ids = Ids(1_000_001)
        self.stop_ids = Ids(2_000_000_001)
        self._events: list[Event] = []

    def drain(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def emit(self, event: Event) -> None:
        """Put an event in line."""
        self._events.append(event)

    def liquidation_price(self, symbol: str) -> int:
        """Where the position is liquidated, in ticks; 0 when flat or out of reach."""
        position = self.ledger.positions.get(symbol)
        if position is None:
            return 0
        instrument = self.instruments[symbol]
        return instrument.liquidation_price(position.cost, position.margin, position.quantity, position.side)

    def mark_price(self, symbol: str) -> int:
        """The mark in ticks; the last price where nobody tells of a mark, as in a replay."""
        return self.marks.get(symbol) or self.prices[symbol]

    def working_price(self, symbol: str, working_type: str) -> int:
        """The price that a conditional order of this working type watches, in ticks."""
        return self.mark_price(symbol) if working_type == MARK_PRICE else self.prices[symbol]

    def best_price(self, symbol: str, side: int) -> int:
        """The best ask for a buyer, the best bid for a seller, in ticks; the last price where nothing is quoted."""
        quote = self.quotes.get(symbol)
        if quote is None:
            return self.prices[symbol]
        return quote[1] if side > 0 else quote[0]

    def open_profit(self, symbol: str) -> int:
        """Profit of the position at the mark, cash units."""
        position = self.ledger.positions.get(symbol)
        if position is None:
            return 0
        notional = self.instruments[symbol].notional(self.mark_price(symbol), position.quantity)
        return fills.realized_profit(position.side, position.cost, notional)

    def market_price(self, symbol: str, side: int) -> int:
        """Where a market order would fill now, in ticks: at the best quote, else at the last price slipped."""
        if symbol in self.quotes:
            return self.best_price(symbol, side)
        return fills.slipped(self.prices[symbol], side, self.costs.slippage_ppm)

    def can_afford(self, symbol: str, side: int, quantity: int, price: int) -> bool:
        """Whether free cash carries what an order would open, after what it would close."""
        position = self.ledger.positions.get(symbol)
        closing = min(quantity, position.quantity) if position is not None and position.side == -side else 0
        if closing == quantity:
            return True
        notional = self.instruments[symbol].notional(price, quantity - closing)
        leverage = self.settings[symbol].leverage
        return fills.affordable(self.ledger.free, notional, leverage, self.costs.taker_ppm)

    def reducible(self, symbol: str, side: int) -> int:
        """Steps that an order of this side can close; 0 when flat or on the same side."""
        position = self.ledger.positions.get(symbol)
        return position.quantity if position is not None and position.side == -side else 0

    def accept(self, order: Order) -> None:
        """The order stands in the book."""
        self.orders.place(order)
        self.tell_order(order, Execution.NEW)

    def place_stop(self, stop: Stop) -> None:
        """The stop waits for its trigger."""
        self.stops.place(stop)
        self.tell_stop(stop, StopStatus.NEW)

    def close_order(self, order: Order, status: OrderStatus) -> None:
        """An open order ends unfilled: cancelled or expired."""
        order.status = status
        order.updated = self.time
        self.orders.settle(order)
        self.tell_order(order, Execution(status))

    def close_stop(self, stop: Stop, status: StopStatus, reason: str = "") -> None:
        """A waiting stop ends before its trigger."""
        stop.reason = reason
        self.stops.settle(stop)
        self.tell_stop(stop, status)

    def fill(
        self, order: Order, quantity: int, price: int, maker: bool = False, imposed: Execution | None = None
    ) -> None:
        """Execute `quantity` at `price`: close what it closes, open what is left, charge the fee, tell of it.

        What the exchange imposes on a position costs no fee and is told under the execution `imposed`.
        """
        instrument, symbol = self.instruments[order.symbol], order.symbol
        position = self.ledger.positions.get(symbol)
        closing = min(quantity, position.quantity) if position is not None and position.side == -order.side else 0
        opening = quantity - closing
        profit = 0
        if closing:
            profit = self.ledger.reduce(symbol, closing, instrument.notional(price, closing), self.time)
        if opening:
            notional = instrument.notional(price, opening)
            margin = fills.initial_margin(notional, self.settings[symbol].leverage)
            self.ledger.add(symbol, order.side, opening, notional, margin, self.time)
        notional = instrument.notional(price, quantity)
        fee, coin = (0, "") if imposed else self._charge(notional, maker)
        fill = self.record(order, quantity, price, notional, fee, profit, maker, coin)
        if closing:
            self.income(symbol, "REALIZED_PNL", profit, fill.id)
        if not imposed:
            self.income(symbol, "COMMISSION", -fee, fill.id, coin)
        self.tell_account(symbol, "ORDER", 0)
        self.tell_order(order, imposed or Execution.TRADE, fill)

    def _charge(self, notional: int, maker: bool) -> tuple[int, str]:
        """The fee of an execution leaves a wallet: the amount, and the coin it was paid in, none for the quote."""
        fee = fills.fee(notional, self.costs.maker_ppm if maker else self.costs.taker_ppm)
        if self.fee_coin is not None and (paid := self.fee_coin.pay(fee)):
            return paid, self.fee_coin.asset
        self.ledger.charge(fee)
        return fee, ""

    def record(
        self,
        order: Order,
        quantity: int,
        price: int,
        notional: int,
        fee: int,
        profit: int,
        maker: bool,
        fee_asset: str = "",
    ) -> Fill:
        """Put an execution on record; `fee` is in units of 1e-8 of `fee_asset`, of the quote currency where empty."""
        fill = Fill(
            len(self.fills) + 1,
            order.id,
            order.symbol,
            order.side,
            quantity,
            price,
            notional,
            fee,
            profit,
            maker,
            self.time,
            fee_asset,
        )
        self.fills.append(fill)
        self.realized[order.symbol] += profit
        order.filled += quantity
        order.cost += notional
        order.updated = self.time
        order.status = OrderStatus.PARTIALLY_FILLED if order.left else OrderStatus.FILLED
        if not order.left:
            self.orders.settle(order)
        return fill

    def income(self, symbol: str, kind: str, amount: int, trade_id: int = 0, asset: str = "") -> None:
        """Put a movement of a wallet on record, that of `asset`, of the quote currency where empty."""
        self.incomes.append(Income(len(self.incomes) + 1, symbol, kind, amount, trade_id, self.time, asset))

    def transfer(self, amount: int) -> None:
        """A deposit, or a withdrawal where `amount` is negative: cash comes or goes, nothing was earned or lost.

        Raises
        ------
        ValueError
            If more is withdrawn than is free.
        """
        if amount < 0 and -amount > self.ledger.free:
            raise ValueError(f"only {cash_text(max(0, self.ledger.free))} is free to be withdrawn")
        self.ledger.transfer(amount)
        self.income("", "TRANSFER", amount)
        self.tell_account("", "DEPOSIT" if amount > 0 else "WITHDRAW", amount)

    def tell_account(self, symbol: str, reason: str, change: int) -> None:
        """Tell of the wallet and one position as they are now; of the wallet alone where no symbol is named."""
        position = copy(self.ledger.positions.get(symbol))
        self.emit(
            AccountEvent(
                self.time,
                reason,
                symbol,
                self.ledger.cash,
                self.ledger.free,
                change,
                self.realized[symbol] if symbol else 0,
                position,
                self.mark_price(symbol) if symbol else 0,
                bool(symbol) and self.settings[symbol].isolated,
                copy(self.fee_coin),
            )
        )

    def tell_order(self, order: Order, execution: Execution, fill: Fill | None = None) -> None:
        self.emit(OrderEvent(self.time, copy(order), execution, fill))

    def tell_stop(self, stop: Stop, status: StopStatus) -> None:
        stop.status = status
        stop.updated = self.time
        self.emit(StopEvent(self.time, copy(stop)))
