"""WebSocket frames: klines and tickers of the market, and the account's events by topic.

One event of the engine may be several frames here: an execution is told under `execution`, then its order under
`order`; a change of the account under `position`, then `wallet`; a funding payment is an execution before both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from market.exchange import texts
from market.exchange.bybit import rows, words
from market.exchange.codec import Payload, Told
from market.exchange.engine import Engine
from market.exchange.feed import Kline
from market.exchange.orders import (
    AccountEvent,
    AssetModeEvent,
    Event,
    Execution,
    Income,
    KeyExpired,
    LeverageEvent,
    OrderEvent,
    StopEvent,
    StopStatus,
)
from market.instruments import Instrument

ORDER, EXECUTION, POSITION, WALLET = TOPICS = ("order", "execution", "position", "wallet")
"""What a private socket may listen to; ``order.linear`` and its like as well."""


def kline_topic(symbol: str, word: str) -> str:
    """Name of a kline topic, e.g. ``kline.60.BTCUSDT``."""
    return f"kline.{word}.{symbol}"


def kline(instrument: Instrument, kline: Kline, time: int) -> Payload:
    """One kline frame; `confirm` says whether it is closed."""
    price, word = instrument.price_text, words.INTERVALS[kline.timeframe]
    return {
        "topic": kline_topic(kline.symbol, word),
        "type": "snapshot",
        "ts": time,
        "data": [
            {
                "start": kline.open_time,
                "end": kline.open_time + kline.timeframe.ms - 1,
                "interval": word,
                "open": price(kline.open),
                "close": price(kline.close),
                "high": price(kline.high),
                "low": price(kline.low),
                "volume": texts.amount(kline.volume),
                "turnover": texts.amount(kline.quote_volume),
                "confirm": kline.closed,
                "timestamp": time,
            }
        ],
    }


def ticker_topic(symbol: str) -> str:
    """Name of a symbol's ticker topic, which tells of marks and quotes alike."""
    return f"tickers.{symbol}"


def ticker(row: dict[str, Any], time: int) -> Payload:
    """One ticker frame, from the ticker reply."""
    return {"topic": ticker_topic(row["symbol"]), "type": "snapshot", "data": row, "cs": time, "ts": time}


def account(engine: Engine, happened: Event) -> Iterator[Told]:
    """The frames of one event, each with its topic."""
    match happened:
        case OrderEvent():
            yield from _order(engine, happened)
        case StopEvent():
            if happened.stop.status not in (StopStatus.TRIGGERING, StopStatus.FINISHED):
                yield _frame(ORDER, happened.time, rows.waiting(engine, happened.stop))
        case AccountEvent():
            yield from _account(engine, happened)
        case LeverageEvent():
            held = engine.ledger.positions.get(happened.symbol)
            yield _frame(POSITION, happened.time, rows.position(engine, happened.symbol, held))
        case AssetModeEvent():
            pass  # a mode of another exchange
        case KeyExpired():
            pass  # a key of another exchange: sockets sign for themselves here


def _order(engine: Engine, happened: OrderEvent) -> Iterator[Told]:
    order, fill = happened.order, happened.fill
    stop = words.origin(engine, order)
    if stop is not None and happened.execution is Execution.NEW:
        return  # it was told as triggered
    if fill is not None:
        yield _frame(EXECUTION, happened.time, rows.execution(engine, fill, order))
    yield _frame(ORDER, happened.time, rows.order(engine, order, stop))


def _account(engine: Engine, happened: AccountEvent) -> Iterator[Told]:
    if happened.reason == "FUNDING_FEE":
        paid = Income(_income_id(engine, happened), happened.symbol, "", happened.change, 0, happened.time)
        yield _frame(EXECUTION, happened.time, rows.funding(engine, paid, happened.position))
    if happened.symbol:
        yield _frame(POSITION, happened.time, rows.position(engine, happened.symbol, happened.position))
    yield _frame(WALLET, happened.time, rows.wallet(engine, happened.cash, happened.free))


def _income_id(engine: Engine, happened: AccountEvent) -> int:
    """The number under which the payment is on record."""
    for income in reversed(engine.incomes):
        if (income.kind, income.symbol, income.time, income.amount) == (
            happened.reason,
            happened.symbol,
            happened.time,
            happened.change,
        ):
            return income.id
    return 0


def _frame(topic: str, time: int, row: dict[str, Any]) -> Told:
    data = row if topic == WALLET else {"category": "linear"} | row
    return topic, {"id": f"{topic}-{time}", "topic": topic, "creationTime": time, "data": [data]}
