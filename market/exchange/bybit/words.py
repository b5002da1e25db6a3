"""Bybit's words for what the exchange has: sides, timeframes, ids, and the life of an order.

A conditional order is one order here, which waits, triggers and fills under one id. The engine has two for it, the
stop and the order it spawned; both are told under the stop's id.
"""

from __future__ import annotations

from uuid import UUID

from market.exchange.engine import Engine
from market.exchange.orders import CONTRACT_PRICE, MARK_PRICE, Order, OrderStatus, Stop, StopStatus
from market.timeframes import Timeframe

SIDES = {"Buy": 1, "Sell": -1}
TIMEFRAMES = {
    word: Timeframe.parse(text)
    for word, text in (
        ("1", "1m"),
        ("3", "3m"),
        ("5", "5m"),
        ("15", "15m"),
        ("30", "30m"),
        ("60", "1h"),
        ("120", "2h"),
        ("240", "4h"),
        ("360", "6h"),
        ("720", "12h"),
        ("D", "1d"),
    )
}
INTERVALS = {timeframe: word for word, timeframe in TIMEFRAMES.items()}
TIMES_IN_FORCE = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "GTX"}
TRIGGERS = {"LastPrice": CONTRACT_PRICE, "MarkPrice": MARK_PRICE}
RISES, FALLS = 1, 2
"""triggerDirection."""

ORDER_STATUS = {
    OrderStatus.NEW: "New",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    OrderStatus.CANCELED: "Cancelled",
    OrderStatus.EXPIRED: "Cancelled",
}
STOP_STATUS = {
    StopStatus.NEW: "Untriggered",
    StopStatus.TRIGGERING: "Untriggered",
    StopStatus.TRIGGERED: "Triggered",
    StopStatus.FINISHED: "Filled",
    StopStatus.CANCELED: "Deactivated",
    StopStatus.REJECTED: "Rejected",
    StopStatus.EXPIRED: "Cancelled",
}
TRADING_STOP = "tpsl-"
"""How client ids begin of stops that are part of a position's trading stop."""
MADE_BY_EXCHANGE = ("order-", "stop-", TRADING_STOP)
"""How client ids begin that the client did not give."""
IMPOSED = {
    "autoclose-": ("BustTrade", "CreateByLiq"),
    "adl_autoclose-": ("AdlTrade", "CreateByAdl_PassThrough"),
    "settlement_autoclose-": ("Settle", "CreateBySettle"),
}
"""The engine's own orders: their execType and createType."""
FUNDING_ID_BASE = 1 << 64
"""Execution ids of funding lie above those of trades."""


def side(value: int) -> str:
    """Buy or Sell."""
    return "Buy" if value > 0 else "Sell"


def id_text(id_: int) -> str:
    """An id as the exchange writes it."""
    return str(UUID(int=id_))


def id_of(text: str) -> int:
    """The number of an id; 0, which no order has, for a text that is none."""
    try:
        return UUID(text).int
    except ValueError:
        return 0


def link_id(client_id: str) -> str:
    """The client's own id of an order; empty where it gave none, or the order is the exchange's own."""
    return "" if client_id.startswith((*MADE_BY_EXCHANGE, *IMPOSED)) else client_id


def execution_type(client_id: str) -> tuple[str, str]:
    """execType and createType of the executions of an order."""
    found = (words for prefix, words in IMPOSED.items() if client_id.startswith(prefix))
    return next(found, ("Trade", "CreateByUser"))


def trigger_word(working_type: str) -> str:
    """What a conditional order watches."""
    return "MarkPrice" if working_type == MARK_PRICE else "LastPrice"


def stop_kind(stop: Stop) -> str:
    """stopOrderType: a conditional order of its own, or part of a position's trading stop."""
    if not stop.client_id.startswith(TRADING_STOP):
        return "Stop"
    partial = "" if stop.close_position else "Partial"
    return f"{partial}{'TakeProfit' if stop.kind == 'TAKE_PROFIT_MARKET' else 'StopLoss'}"


def origin(engine: Engine, order: Order) -> Stop | None:
    """The stop that spawned an order."""
    if not order.trigger:
        return None
    latest = engine.stops.find(order.symbol, None, order.client_id)
    if latest is not None and latest.order_id == order.id:
        return latest
    return next((stop for stop in engine.stops.values() if stop.order_id == order.id), None)
