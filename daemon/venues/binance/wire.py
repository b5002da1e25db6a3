"""Binance USDT-M payloads into events.

Pure functions over one frame or row. Payloads as in the exchange's documentation: User Data Streams, Account Trade
List, Query Algo Order; amounts are texts, absent ones null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from daemon.events import (
    BalanceUpdated,
    Event,
    Filled,
    FundingPaid,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    RestingStop,
    StopUpdated,
    Transferred,
)
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
    side,
    signed_steps,
    span,
    units,
    whole,
    word,
    yes,
)
from daemon.venues.venue import Holding, OpenOrder, Terms
from market.candles import Candle
from market.instruments import Instrument
from market.tiers import Bracket, Brackets, TierError, checked

KEY_EXPIRED = ("listenKeyExpired", "eventStreamTerminated")

ORDER_STATUS = {
    "NEW": OrderStatus.ACCEPTED,
    "NEW_INSURANCE": OrderStatus.ACCEPTED,
    "NEW_ADL": OrderStatus.ACCEPTED,
    "PARTIALLY_FILLED": OrderStatus.PARTIAL,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}

STOP_STATUS = {
    "NEW": OrderStatus.ACCEPTED,
    "TRIGGERING": OrderStatus.TRIGGERING,
    "TRIGGERED": OrderStatus.TRIGGERED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
}


BUY_OR_SELL = {"BUY": 1, "SELL": -1}


def kline_frame(frame: Payload) -> KlineFrame:
    """A kline frame; a value the exchange does not know is NaN.

    Its closed flag is believed of a candle that had ended when the frame was made, by the exchange's own clock.
    """
    k = frame["k"]
    closed = yes(k["x"]) and whole(frame["E"]) >= whole(k["T"])
    values = (k["o"], k["h"], k["l"], k["c"], k["v"], k["q"], k["n"], k["V"], k["Q"])
    timeframe = word(k["i"])
    candle = Candle(span(k["t"], k["T"], timeframe), *(number(v) for v in values))
    return KlineFrame(word(k["s"]), timeframe, closed, candle)


def kline_row(row: list[Any], timeframe: str) -> Candle:
    """A row of the klines endpoint: open time, OHLC, volume, close time, quote volume, trades, taker volumes."""
    return Candle(span(row[0], row[6], timeframe), *(number(row[i]) for i in (1, 2, 3, 4, 5, 7, 8, 9, 10)))


def user_event(frame: Payload, instruments: Instruments) -> Iterator[Event]:
    """The events of one user-stream frame, for the instruments we trade; others are not ours to act on."""
    match frame.get("e"):
        case "ORDER_TRADE_UPDATE":
            yield from _order_frame(frame["o"], instruments)
        case "ALGO_UPDATE":
            yield from _stop_frame(frame["o"], instruments)
        case "ACCOUNT_UPDATE":
            yield from _account_frame(frame["a"], whole(frame["T"]), instruments)


def _order_frame(order: Payload, instruments: Instruments) -> Iterator[Event]:
    instrument = instruments.get(order["s"])
    if instrument is None:
        return
    quantity = instrument.steps(order["l"])
    told = order_updated(instrument, word(order["c"]), order["X"], order["z"], order["q"])
    if quantity > told.filled:
        raise UnreadablePayload(f"{order['l']} executed of {order['z']} in all")
    # a liquidation's executions come as CALCULATED, and it closes with a frame that fills nothing
    if order["x"] in ("TRADE", "CALCULATED") and quantity:
        countable(instrument, order["L"], quantity)
        yield Filled(
            symbol=instrument.symbol,
            client_id=word(order["c"]),
            trade_id=whole(order["t"]),
            side=side(order["S"], BUY_OR_SELL),
            price=instrument.ticks(order["L"]),
            quantity=quantity,
            time=whole(order["T"]),
            **fee(instrument, order["n"] if order.get("N") else None, order.get("N")),
        )
    yield told


def order_updated(instrument: Instrument, client_id: str, status: str, filled: str, quantity: str) -> OrderUpdated:
    """The state of a plain order from its words; no order fills more than was asked for."""
    if instrument.steps(filled) > instrument.steps(quantity):
        raise UnreadablePayload(f"{filled} filled of {quantity}")
    return OrderUpdated(instrument.symbol, client_id, known(ORDER_STATUS, status), instrument.steps(filled))


def _stop_frame(stop: Payload, instruments: Instruments) -> Iterator[Event]:
    instrument = instruments.get(stop["s"])
    if instrument is not None:
        yield StopUpdated(
            symbol=instrument.symbol,
            client_id=word(stop["caid"]),
            status=stop_status(stop["X"], stop.get("aq")),
            side=side(stop["S"], BUY_OR_SELL),
            trigger=instrument.ticks(stop["tp"]),
            quantity=instrument.steps(stop["q"]),
            message=word(stop.get("rm") or ""),
        )


def stop_row(instrument: Instrument, row: Payload) -> StopUpdated:
    """A conditional order as the exchange answers when asked."""
    return StopUpdated(
        symbol=instrument.symbol,
        client_id=word(row["clientAlgoId"]),
        status=stop_status(row["algoStatus"], row.get("actualQty")),
        side=side(row["side"], BUY_OR_SELL),
        trigger=instrument.ticks(row["triggerPrice"]),
        quantity=instrument.steps(row["quantity"]),
        read_back=True,
    )


def resting_stop(instrument: Instrument, row: Payload) -> RestingStop:
    """A row of the open conditional orders."""
    quantity = instrument.steps(row.get("quantity") or "0")
    trigger = instrument.ticks(row["triggerPrice"])
    return RestingStop(word(row["clientAlgoId"]), side(row["side"], BUY_OR_SELL), trigger, quantity)


def stop_status(word: str, executed: object) -> OrderStatus:
    """The state of a conditional order; FINISHED means its market order ended, having filled something or not."""
    if word == "FINISHED":
        return OrderStatus.FILLED if Decimal(str(executed or 0)) > 0 else OrderStatus.EXPIRED
    return known(STOP_STATUS, word)


def _account_frame(account: Payload, time: int, instruments: Instruments) -> Iterator[Event]:
    cause = str(account["m"])
    named = [p["s"] for p in account.get("P", ())]
    about = named[0] if len(set(named)) == 1 and named[0] in instruments else ""
    quotes = {i.quote for i in instruments.values()}
    for balance in account.get("B", ()):
        if balance["a"] in quotes:
            yield BalanceUpdated(units(balance["wb"]), units(balance["bc"]), cause, about, time)
    for position in account.get("P", ()):
        instrument = instruments.get(position["s"])
        if instrument is not None and position.get("ps", "BOTH") == "BOTH":
            quantity = signed_steps(instrument, position["pa"])
            yield PositionUpdated(instrument.symbol, quantity, units(position["iw"]), cause)


def is_held(row: Payload) -> bool:
    """Whether a row of the positions is one that is open, in one-way mode."""
    side = row.get("positionSide", "BOTH")
    if side not in ("BOTH", "LONG", "SHORT"):
        raise UnreadablePayload(f"position side {side!r}")
    return side == "BOTH" and Decimal(word(row["positionAmt"])) != 0


def holding(instrument: Instrument | None, row: Payload) -> Holding:
    """An open position at the exchange's rounded average price; of no instrument of ours the side alone."""
    if instrument is None:
        return Holding(-1 if row["positionAmt"].startswith("-") else 1, 0, 0)
    quantity = signed_steps(instrument, row["positionAmt"])
    countable(instrument, row["markPrice"], quantity)
    return Holding(quantity, cost(instrument, row["entryPrice"], quantity), units(row["isolatedWallet"]))


def terms(row: Payload) -> Terms:
    """What is set for a symbol."""
    return Terms(whole(row["leverage"]), str(row["marginType"]).upper() == "ISOLATED")


def open_order(instrument: Instrument | None, row: Payload) -> OpenOrder:
    """A row of the open plain orders; of one in no instrument of ours the amounts are not read."""
    quantity = filled = 0
    if instrument is not None:
        quantity, filled = instrument.steps(row["origQty"]), instrument.steps(row["executedQty"])
    return OpenOrder(word(row["symbol"]), word(row["clientOrderId"]), side(row["side"], BUY_OR_SELL), quantity, filled)


def trade_row(instrument: Instrument, row: Payload, client_id: str) -> Filled:
    """A row of the account's trades; the row does not name its order's client id."""
    countable(instrument, row["price"], instrument.steps(row["qty"]))
    return Filled(
        symbol=instrument.symbol,
        client_id=client_id,
        trade_id=whole(row["id"]),
        side=side(row["side"], BUY_OR_SELL),
        price=instrument.ticks(row["price"]),
        quantity=instrument.steps(row["qty"]),
        time=whole(row["time"]),
        asked=True,
        **fee(instrument, row["commission"], row.get("commissionAsset")),
    )


def moved(rows: Iterable[Payload], instruments: Instruments) -> Iterator[FundingPaid | Transferred]:
    """Rows of the account's income that are funding of our instruments (what the wallet lost was paid) or transfers."""
    quotes = {i.quote for i in instruments.values()}
    for row in rows:
        if row["incomeType"] == "FUNDING_FEE" and row["symbol"] in instruments:
            yield FundingPaid(word(row["symbol"]), -units(row["income"]), whole(row["time"]))
        elif row["incomeType"] == "TRANSFER" and row["asset"] in quotes:
            yield Transferred(units(row["income"]), whole(row["time"]))


def instrument_from(info: Payload, bracket: Payload | None, funding: Payload | None = None) -> Instrument:
    """The instrument of a row of exchangeInfo, its leverage brackets, and its funding interval where it has its own."""
    filters = {f["filterType"]: f for f in info["filters"]}
    lots = [filters[name] for name in ("LOT_SIZE", "MARKET_LOT_SIZE") if name in filters]
    step = max(grid(lot["stepSize"]) for lot in lots)
    smallest = max(Decimal(lot["minQty"]) for lot in lots)
    return Instrument(
        symbol=info["symbol"],
        base=info["baseAsset"],
        quote=info["quoteAsset"],
        tick=grid(filters["PRICE_FILTER"]["tickSize"]),
        step=step,
        min_quantity=int(-(-smallest // step)),
        min_notional=units(filters["MIN_NOTIONAL"]["notional"]) if "MIN_NOTIONAL" in filters else 0,
        brackets=brackets_from(bracket["brackets"]) if bracket else Instrument.brackets,
        funding_hours=whole(funding["fundingIntervalHours"]) if funding else Instrument.funding_hours,
    )


def brackets_from(rows: Sequence[Payload]) -> Brackets:
    """Margin tiers from the exchange's rows; raises UnreadablePayload where they do not follow on one another."""
    tiers = [
        Bracket(
            floor=units(row["notionalFloor"]),
            cap=units(row["notionalCap"]),
            max_leverage=whole(row["initialLeverage"]),
            maintenance_bps=bps_up(row["maintMarginRatio"]),
            cum=units(row["cum"]),
        )
        for row in rows
    ]
    try:
        return checked(sorted(tiers, key=lambda tier: tier.floor))
    except TierError as error:
        raise UnreadablePayload(f"leverage brackets: {error}") from error
