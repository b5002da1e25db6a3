"""The words of the order book: orders, stops, executions, and the events that tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market.exchange.fee_coin import FeeCoin
from market.exchange.ledger import Position


class OrderStatus(StrEnum):
    """The life of a plain order."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class StopStatus(StrEnum):
    """The life of a conditional ("algo") order; TRIGGERED names the plain order it spawned."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class StopFate(StrEnum):
    """What may become of a stop after its trigger, short of an execution."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    STUCK = "stuck"


class Execution(StrEnum):
    """What an order event tells."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    CALCULATED = "CALCULATED"
    AMENDMENT = "AMENDMENT"


class SymbolStatus(StrEnum):
    """Whether a symbol is traded; a halted one keeps its orders and may be reduced, a closed one takes nothing."""

    TRADING = "TRADING"
    HALTED = "PENDING_TRADING"
    CLOSED = "CLOSE"


CONTRACT_PRICE, MARK_PRICE = WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")
"""What a conditional order watches: the last price or the mark."""

STOPS = ("STOP_MARKET", "TAKE_PROFIT_MARKET")
"""Conditional kinds the exchange keeps."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a trader asks of the plain order endpoint; `price` (ticks) is 0 for a market order."""

    symbol: str
    client_id: str
    side: int
    kind: str
    quantity: int
    price: int
    time_in_force: str
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class StopRequest:
    """What a trader asks of the conditional endpoint; `quantity` is 0 when the whole position is to be closed."""

    symbol: str
    client_id: str
    side: int
    kind: str
    quantity: int
    trigger: int
    time_in_force: str
    reduce_only: bool
    close_position: bool
    working_type: str
    price_protect: bool


@dataclass(slots=True)
class Order:
    """A plain order: prices in ticks, quantities in steps, `cost` the sum of its executions in cash units.

    `kind` is MARKET or LIMIT; `original_kind` is the stop's kind where a stop spawned it, `trigger` its trigger.
    """

    id: int
    client_id: str
    symbol: str
    side: int
    kind: str
    quantity: int
    price: int
    time_in_force: str
    reduce_only: bool
    close_position: bool
    original_kind: str
    trigger: int
    working_type: str
    created: int
    updated: int
    status: OrderStatus = OrderStatus.NEW
    filled: int = 0
    cost: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)

    @property
    def left(self) -> int:
        """Steps not filled yet."""
        return self.quantity - self.filled


@dataclass(slots=True)
class Stop:
    """A conditional order; after its trigger `order_id` names the market order it spawned, 0 before."""

    id: int
    client_id: str
    symbol: str
    side: int
    kind: str
    quantity: int
    trigger: int
    time_in_force: str
    reduce_only: bool
    close_position: bool
    working_type: str
    price_protect: bool
    created: int
    updated: int
    status: StopStatus = StopStatus.NEW
    order_id: int = 0
    triggered: int = 0
    fill_price: int = 0
    filled: int = 0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits for its trigger."""
        return self.status is StopStatus.NEW

    @property
    def rises_to(self) -> bool:
        """Whether it triggers at or above its price: a stop that buys, or a profit taken by selling."""
        return (self.side > 0) == (self.kind == "STOP_MARKET")

    def reached(self, price: int) -> bool:
        """Whether `price` (ticks) triggers it."""
        return price >= self.trigger if self.rises_to else price <= self.trigger


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution: price in ticks, quantity in steps, the rest in cash units, time in market ms.

    A fee paid in another coin is in 1e-8 of `fee_asset`.
    """

    id: int
    order_id: int
    symbol: str
    side: int
    quantity: int
    price: int
    notional: int
    fee: int
    profit: int
    maker: bool
    time: int
    fee_asset: str = ""


@dataclass(frozen=True, slots=True)
class Income:
    """One movement of the wallet: `kind` in the exchange's words, `amount` in cash units (negative: paid).

    Where `asset` names another coin, the amount is in 1e-8 of it.
    """

    id: int
    symbol: str
    kind: str
    amount: int
    trade_id: int
    time: int
    asset: str = ""


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An order changed: its state then, and its execution if there was one."""

    time: int
    order: Order
    execution: Execution
    fill: Fill | None = None

    @property
    def symbol(self) -> str:
        """Whose order it is."""
        return self.order.symbol


@dataclass(frozen=True, slots=True)
class StopEvent:
    """A conditional order changed: its state then."""

    time: int
    stop: Stop

    @property
    def symbol(self) -> str:
        """Whose stop it is."""
        return self.stop.symbol


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Wallet and position after a change: `change` is what moved the wallet besides profit and fees.

    `realized` is the symbol's profit since the start; all amounts in cash units. A deposit or withdrawal concerns no
    symbol: it is empty then.
    """

    time: int
    reason: str
    symbol: str
    cash: int
    free: int
    change: int
    realized: int
    position: Position | None
    price: int
    isolated: bool
    coin: FeeCoin | None = None


@dataclass(frozen=True, slots=True)
class LeverageEvent:
    """A symbol's leverage was set."""

    time: int
    symbol: str
    leverage: int


@dataclass(frozen=True, slots=True)
class KeyExpired:
    """A listen key is dead: nothing more comes under it."""

    time: int
    key: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class AssetModeEvent:
    """The account went into multi-assets mode, or back to single-asset mode."""

    time: int
    multi_assets: bool
    symbol: str = ""


Event = OrderEvent | StopEvent | AccountEvent | LeverageEvent | AssetModeEvent | KeyExpired
