"""Bybit v5 linear payloads into events.

Pure functions over one frame or row. A conditional order is one order from waiting to filled; funding comes as an
execution; the wallet is told whole, without a word about what moved it. Absent numbers are empty texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from decimal import Decimal

from daemon.account import SNAPSHOT
from daemon.desk import DELEVERAGING_PREFIX, LIQUIDATION_PREFIX
from daemon.events import (
    BalanceUpdated,
    Event,
    Filled,
    FundingPaid,
    InstrumentRead,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    RestingStop,
    StopUpdated,
    Transferred,
)
from daemon.gateway import Refused
from daemon.venues.payloads import (
    Instruments,
    KlineFrame,
    Payload,
    UnreadablePayload,
    bps_up,
    cost,
    countable,
    fee,
    grid,
    known,
    number,
    rows,
    side,
    span,
    units,
    whole,
    word,
    yes,
)
from daemon.venues.venue import Holding, OpenOrder
from market.candles import Candle
from market.instruments import Instrument
from market.tiers import TierError, brackets
from market.timeframes import Timeframe

BUY_OR_SELL = {"Buy": 1, "Sell": -1}
INTERVALS = {
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
}
TIMEFRAMES = {word: timeframe for timeframe, word in INTERVALS.items()}

ORDER_STATUS = {
    "Created": OrderStatus.ACCEPTED,
    "New": OrderStatus.ACCEPTED,
    "PartiallyFilled": OrderStatus.PARTIAL,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
STOP_STATUS = {
    "Created": OrderStatus.ACCEPTED,
    "Untriggered": OrderStatus.ACCEPTED,
    "Triggered": OrderStatus.TRIGGERED,
    "New": OrderStatus.TRIGGERED,
    "PartiallyFilled": OrderStatus.TRIGGERED,
    "Filled": OrderStatus.FILLED,
    "Deactivated": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
TRADES = ("Trade", "AdlTrade", "BustTrade", "Settle", "Delivery")
"""Kinds of execution that change the position."""
IMPOSED = {"BustTrade": LIQUIDATION_PREFIX, "AdlTrade": f"{DELEVERAGING_PREFIX}-"}
"""How the client ids begin that we give to the exchange's own executions, as they have none."""

SAME_SEQUENCE_BITS = 19
SEQUENCES = 1 << 63 - SAME_SEQUENCE_BITS


def interval(timeframe: str) -> str:
    """The exchange's word for a timeframe; refuses one that it has no klines of."""
    if timeframe not in INTERVALS:
        raise Refused(0, f"Bybit has no klines of {timeframe}; choose among {', '.join(INTERVALS)}")
    return INTERVALS[timeframe]


def klines_in(frame: Payload) -> Iterator[KlineFrame]:
    """The klines of a frame of the market stream.

    `confirm` is believed of a candle that had ended when the frame was made, by the exchange's own clock.
    """
    kind, _, rest = str(frame.get("topic", "")).partition(".")
    if kind == "kline":
        told, _, symbol = rest.partition(".")
        if told not in TIMEFRAMES:
            raise UnreadablePayload(f"interval {told!r}")
        for k in rows(frame["data"]):
            values = (k["open"], k["high"], k["low"], k["close"], k["volume"], k["turnover"])
            candle = Candle(span(k["start"], k["end"], TIMEFRAMES[told]), *(number(v) for v in values))
            closed = yes(k["confirm"]) and whole(frame["ts"]) >= whole(k["end"])
            yield KlineFrame(symbol, TIMEFRAMES[told], closed, candle)


def kline_row(row: Sequence[object], timeframe: str) -> Candle:
    """A row of the kline endpoint: open time, OHLC, volume, turnover; trades and takers' share are not told."""
    end = whole(row[0]) + Timeframe.parse(timeframe).ms - 1
    return Candle(span(row[0], end, timeframe), *(number(row[i]) for i in range(1, 7)))


def account_events(frame: Payload, instruments: Instruments) -> Iterator[Event]:
    """The events of one frame of a private topic, for the instruments we trade."""
    topic = str(frame.get("topic", "")).partition(".")[0]
    if topic not in ("order", "execution", "position", "wallet"):
        return
    for row in rows(frame["data"]):
        if topic == "wallet":
            yield from _wallet(row, whole(frame["creationTime"]), instruments)
        elif instrument := instruments.get(row["symbol"]):
            match topic:
                case "order":
                    yield order_state(instrument, row, read_back=False)
                case "execution":
                    yield from execution(instrument, row)
                case "position":
                    held = holding(instrument, row)
                    yield PositionUpdated(instrument.symbol, held.quantity, held.margin, "")


def order_state(instrument: Instrument, row: Payload, read_back: bool) -> OrderUpdated | StopUpdated:
    """The state of an order, conditional or plain, from the stream or as the exchange answers when asked."""
    name = name_of(row)
    filled, quantity = instrument.steps(row["cumExecQty"] or "0"), instrument.steps(row["qty"])
    if filled > quantity and quantity:  # a trading stop of the whole position states none
        raise UnreadablePayload(f"{row['cumExecQty']} filled of {row['qty']}")
    if not is_stop(row):
        return OrderUpdated(instrument.symbol, name, known(ORDER_STATUS, row["orderStatus"]), filled)
    return StopUpdated(
        symbol=instrument.symbol,
        client_id=name,
        status=stop_status(row),
        side=side(row["side"], BUY_OR_SELL),
        trigger=instrument.ticks(row["triggerPrice"]),
        quantity=quantity,
        read_back=read_back,
        message="" if row.get("rejectReason") in (None, "EC_NoError") else word(row["rejectReason"]),
    )


def name_of(row: Payload) -> str:
    """The client's id of an order; the exchange's own where it has none."""
    return word(row["orderLinkId"]) or word(row["orderId"])


def is_stop(row: Payload) -> bool:
    """Whether an order is a conditional one, which it remains once it has triggered."""
    return row.get("stopOrderType") not in (None, "", "UNKNOWN")


def stop_status(row: Payload) -> OrderStatus:
    """The state of a conditional order; cancelled after its trigger, it has filled something or it has expired."""
    word = row["orderStatus"]
    if word not in ("Cancelled", "PartiallyFilledCanceled"):
        return known(STOP_STATUS, word)
    if Decimal(row["cumExecQty"] or 0) > 0:
        return OrderStatus.FILLED
    return OrderStatus.CANCELED if row.get("cancelType") == "CancelByUser" else OrderStatus.EXPIRED


def execution(instrument: Instrument, row: Payload, asked: bool = False) -> Iterator[Filled | FundingPaid]:
    """An execution: a fill, or a funding payment; of other kinds nothing."""
    kind = row["execType"]
    if kind == "Funding":
        yield FundingPaid(instrument.symbol, units(row["execFee"]), whole(row["execTime"]))
    elif kind in TRADES:
        quantity = instrument.steps(row["execQty"])
        countable(instrument, row["execPrice"], quantity)
        if not quantity:
            raise UnreadablePayload(f"an execution of {row['execQty']}")
        yield Filled(
            symbol=instrument.symbol,
            client_id=f"{IMPOSED[kind]}{row['orderId']}" if kind in IMPOSED else name_of(row),
            trade_id=trade_id(row),
            side=side(row["side"], BUY_OR_SELL),
            price=instrument.ticks(row["execPrice"]),
            quantity=quantity,
            time=whole(row["execTime"]),
            asked=asked,
            **fee(instrument, row["execFee"], row.get("feeCurrency")),
        )


def trade_id(row: Payload) -> int:
    """A number of an execution, rising with time within a symbol, the same from stream and reply.

    The exchange's own id is a text without order, its sequence is shared by what was matched at once: the number is the
    sequence, with bits of the id behind it.
    """
    sequence = whole(row["seq"])
    if not 0 <= sequence < SEQUENCES:
        raise UnreadablePayload(f"seq {sequence}")
    tail = int.from_bytes(hashlib.sha256(word(row["execId"]).encode()).digest()[:4])
    return sequence << SAME_SEQUENCE_BITS | tail >> 32 - SAME_SEQUENCE_BITS


def sequence(id_: int) -> int:
    """The exchange's sequence of a trade id."""
    return id_ >> SAME_SEQUENCE_BITS


def holding(instrument: Instrument | None, row: Payload) -> Holding:
    """A position at the exchange's rounded average price; of no instrument of ours the side alone."""
    if not row["side"] or Decimal(row["size"] or 0) == 0:
        return Holding(0, 0, 0)
    way = side(row["side"], BUY_OR_SELL)
    if instrument is None:
        return Holding(way, 0, 0)
    quantity = way * instrument.steps(row["size"])
    price = row.get("avgPrice") or row["entryPrice"]  # a reply's name, and a frame's
    countable(instrument, price, quantity)
    return Holding(quantity, cost(instrument, price, quantity), units(row["positionBalance"]))


def open_order(instrument: Instrument | None, row: Payload) -> OpenOrder:
    """A row of the open plain orders; of one in no instrument of ours the amounts are not read."""
    quantity = filled = 0
    if instrument is not None:
        quantity, filled = instrument.steps(row["qty"]), instrument.steps(row["cumExecQty"] or "0")
    return OpenOrder(word(row["symbol"]), name_of(row), side(row["side"], BUY_OR_SELL), quantity, filled)


def resting_stop(instrument: Instrument, row: Payload, own_prefix: str) -> RestingStop:
    """A row of the open conditional orders; of one that is not ours only the name."""
    name = name_of(row)
    if not name.startswith(own_prefix):
        return RestingStop(name, 0, 0, 0)
    trigger, quantity = instrument.ticks(row["triggerPrice"]), instrument.steps(row["qty"])
    return RestingStop(name, side(row["side"], BUY_OR_SELL), trigger, quantity)


def wallet_units(row: Payload, quotes: set[str]) -> int:
    """The wallet's cash in the quote currencies, open profit not included."""
    found = [units(coin["walletBalance"]) for coin in rows(row["coin"]) if coin["coin"] in quotes]
    if not found:
        raise UnreadablePayload(f"no balance of {', '.join(sorted(quotes))}")
    return sum(found)


def _wallet(row: Payload, time: int, instruments: Instruments) -> Iterator[BalanceUpdated]:
    quotes = {i.quote for i in instruments.values()}
    if any(coin["coin"] in quotes for coin in rows(row["coin"])):
        yield BalanceUpdated(wallet_units(row, quotes), 0, SNAPSHOT, "", time)


def transferred(row: Payload) -> Transferred:
    """A row of the transaction log that is a transfer."""
    return Transferred(units(row["change"]), whole(row["transactionTime"]))


def instrument_from(info: Payload, tiers: Sequence[Payload]) -> InstrumentRead:
    """The instrument of a row of instruments-info and its risk limits, smallest first or not.

    Raises
    ------
    UnreadablePayload
        If the risk limits do not follow on one another.
    """
    lots = info["lotSizeFilter"]
    step = grid(lots["qtyStep"])
    limits = sorted(
        (units(t["riskLimitValue"]), int(Decimal(t["maxLeverage"])), bps_up(t["maintenanceMargin"])) for t in tiers
    )
    try:
        margin = brackets(*limits) if limits else Instrument.brackets
    except TierError as error:
        raise UnreadablePayload(f"risk limits of {info['symbol']}: {error}") from error
    instrument = Instrument(
        symbol=info["symbol"],
        base=info["baseCoin"],
        quote=info["quoteCoin"],
        tick=grid(info["priceFilter"]["tickSize"]),
        step=step,
        min_quantity=int(-(-Decimal(lots["minOrderQty"]) // step)),
        min_notional=units(lots.get("minNotionalValue") or "5"),
        brackets=margin,
        funding_hours=max(1, int(info.get("fundingInterval") or 480) // 60),
    )
    return InstrumentRead(instrument, info["status"] == "Trading")
