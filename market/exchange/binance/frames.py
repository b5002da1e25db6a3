"""WebSocket frames: klines for the market stream, and the account's events for the user stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from market.exchange import texts
from market.exchange.feed import Kline
from market.exchange.orders import AccountEvent, AssetModeEvent, Event, KeyExpired, LeverageEvent, OrderEvent, StopEvent
from market.instruments import Instrument, cash_text

Payload = dict[str, Any]


def stream_name(symbol: str, timeframe: object) -> str:
    """Name of a kline stream, e.g. ``btcusdt@kline_1h``."""
    return f"{symbol.lower()}@kline_{timeframe}"


def kline(instrument: Instrument, kline: Kline, time: int) -> Payload:
    """One kline frame; `x` says whether it is closed. The trade ids of a replay are not known: -1."""
    price = instrument.price_text
    return {
        "e": "kline",
        "E": time,
        "s": kline.symbol,
        "k": {
            "t": kline.open_time,
            "T": kline.open_time + kline.timeframe.ms - 1,
            "s": kline.symbol,
            "i": str(kline.timeframe),
            "f": -1,
            "L": -1,
            "o": price(kline.open),
            "c": price(kline.close),
            "h": price(kline.high),
            "l": price(kline.low),
            "v": texts.amount(kline.volume),
            "n": texts.count(kline.trades),
            "x": kline.closed,
            "q": texts.amount(kline.quote_volume),
            "V": texts.amount(kline.taker_base),
            "Q": texts.amount(kline.taker_quote),
            "B": "0",
        },
    }


def mark_streams(symbol: str) -> tuple[str, str]:
    """Names of a symbol's mark-price streams."""
    return f"{symbol.lower()}@markPrice", f"{symbol.lower()}@markPrice@1s"


def mark_price(premium: Payload) -> Payload:
    """One mark-price frame, from the premium index reply."""
    return {
        "e": "markPriceUpdate",
        "E": premium["time"],
        "s": premium["symbol"],
        "p": premium["markPrice"],
        "i": premium["indexPrice"],
        "P": premium["estimatedSettlePrice"],
        "r": premium["lastFundingRate"],
        "T": premium["nextFundingTime"],
    }


def book_stream(symbol: str) -> str:
    """Name of a symbol's book ticker stream."""
    return f"{symbol.lower()}@bookTicker"


def book_ticker(row: Payload) -> Payload:
    """One book ticker frame, from the book ticker reply; its update id is the market's time."""
    return {
        "e": "bookTicker",
        "u": row["time"],
        "E": row["time"],
        "T": row["time"],
        "s": row["symbol"],
        "b": row["bidPrice"],
        "B": row["bidQty"],
        "a": row["askPrice"],
        "A": row["askQty"],
    }


def event(instruments: Mapping[str, Instrument], happened: Event) -> Payload:
    """One user-stream frame."""
    match happened:
        case OrderEvent():
            return _order(instruments[happened.symbol], happened)
        case StopEvent():
            return _algo(instruments[happened.symbol], happened)
        case AccountEvent():
            return _account(instruments.get(happened.symbol), happened)
        case AssetModeEvent():
            mode = {"j": happened.multi_assets}
            return {"e": "ACCOUNT_CONFIG_UPDATE", "E": happened.time, "T": happened.time, "ai": mode}
        case KeyExpired():
            return {"e": "listenKeyExpired", "E": happened.time, "listenKey": happened.key}
        case LeverageEvent():
            return {
                "e": "ACCOUNT_CONFIG_UPDATE",
                "E": happened.time,
                "T": happened.time,
                "ac": {"s": happened.symbol, "l": happened.leverage},
            }


def _order(instrument: Instrument, happened: OrderEvent) -> Payload:
    order, fill = happened.order, happened.fill
    price, quantity = instrument.price_text, instrument.quantity_text
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": happened.time,
        "T": happened.time,
        "o": {
            "s": order.symbol,
            "c": order.client_id,
            "S": texts.side(order.side),
            "o": order.kind,
            "f": order.time_in_force,
            "q": quantity(order.quantity),
            "p": price(order.price),
            "ap": texts.average_price(instrument, order.cost, order.filled),
            "sp": price(order.trigger),
            "x": happened.execution.value,
            "X": order.status.value,
            "i": order.id,
            "l": quantity(fill.quantity if fill else 0),
            "z": quantity(order.filled),
            "L": price(fill.price if fill else 0),
            "N": (fill.fee_asset if fill else "") or instrument.quote,
            "n": cash_text(fill.fee if fill else 0),
            "T": happened.time,
            "t": fill.id if fill else 0,
            "b": "0",
            "a": "0",
            "m": fill.maker if fill else False,
            "R": order.reduce_only,
            "wt": order.working_type,
            "ot": order.original_kind,
            "ps": "BOTH",
            "cp": order.close_position,
            "AP": "0",
            "cr": "0",
            "pP": False,
            "si": 0,
            "ss": 0,
            "rp": cash_text(fill.profit if fill else 0),
            "V": "NONE",
            "pm": "NONE",
            "gtd": 0,
        },
    }


def _algo(instrument: Instrument, happened: StopEvent) -> Payload:
    stop = happened.stop
    return {
        "e": "ALGO_UPDATE",
        "E": happened.time,
        "T": happened.time,
        "o": {
            "caid": stop.client_id,
            "aid": stop.id,
            "at": "CONDITIONAL",
            "o": stop.kind,
            "s": stop.symbol,
            "S": texts.side(stop.side),
            "ps": "BOTH",
            "f": stop.time_in_force,
            "q": instrument.quantity_text(stop.quantity),
            "X": stop.status.value,
            "ai": str(stop.order_id) if stop.order_id else "",
            "ap": instrument.price_text(stop.fill_price),
            "aq": instrument.quantity_text(stop.filled),
            "act": "MARKET" if stop.order_id else "0",
            "tp": instrument.price_text(stop.trigger),
            "p": "0",
            "V": "EXPIRE_MAKER",
            "wt": stop.working_type,
            "pm": "NONE",
            "cp": stop.close_position,
            "pP": stop.price_protect,
            "R": stop.reduce_only,
            "tt": stop.triggered,
            "gtd": 0,
            "rm": stop.reason,
        },
    }


def _account(instrument: Instrument | None, happened: AccountEvent) -> Payload:
    quote = instrument.quote if instrument else "USDT"
    balances = [_balance(quote, happened.cash, happened.free, happened.change)]
    if happened.coin is not None:
        balances.append(_balance(happened.coin.asset, happened.coin.balance, happened.coin.balance, 0))
    positions = [_position(instrument, happened)] if instrument else []
    return {
        "e": "ACCOUNT_UPDATE",
        "E": happened.time,
        "T": happened.time,
        "a": {"m": happened.reason, "B": balances, "P": positions},
    }


def _balance(asset: str, wallet: int, free: int, change: int) -> Payload:
    return {"a": asset, "wb": cash_text(wallet), "cw": cash_text(free), "bc": cash_text(change)}


def _position(instrument: Instrument, happened: AccountEvent) -> Payload:
    position = happened.position
    amount, entry, profit, margin = "0", "0", 0, 0
    if position is not None:
        amount = instrument.quantity_text(position.side * position.quantity)
        entry = texts.average_price(instrument, position.cost, position.quantity)
        profit = position.side * (instrument.notional(happened.price, position.quantity) - position.cost)
        margin = position.margin
    return {
        "s": happened.symbol,
        "pa": amount,
        "ep": entry,
        "bep": entry,
        "cr": cash_text(happened.realized),
        "up": cash_text(profit),
        "mt": "isolated" if happened.isolated else "cross",
        "iw": cash_text(margin),
        "ps": "BOTH",
        "ma": instrument.quote,
    }
