"""Order requests and replies: plain orders, conditional ("algo") orders, and the executions of both."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from market.exchange import texts
from market.exchange.binance.account import refuse_hedge_parameter
from market.exchange.binance.params import Params
from market.exchange.orders import STOPS, Fill, Order, OrderRequest, OrderStatus, Stop, StopRequest
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.instruments import Instrument, cash_text

Payload = dict[str, Any]

SIDES = {"BUY": 1, "SELL": -1}
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX")
CONDITIONAL = (*STOPS, "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET")
ALL_CANCELED = {"code": 200, "msg": "The operation of cancel all open order is done."}
MAX_ROWS = 1_000


def place_order(venue: Venue, params: Params) -> Payload:
    """A plain order; conditional kinds belong to the algo endpoint."""
    symbol = params.symbol()
    kind = params.text("type")
    if kind in CONDITIONAL:
        raise Refusal(Code.USE_ALGO_ENDPOINT)
    params.one_of("type", ("MARKET", "LIMIT"), Code.BAD_ORDER_TYPE)
    refuse_hedge_parameter(params)
    request = OrderRequest(
        symbol=symbol,
        client_id=params.text("newClientOrderId", ""),
        side=params.choice("side", SIDES, Code.BAD_SIDE),
        kind=kind,
        quantity=params.quantity("quantity"),
        price=params.price("price") if kind == "LIMIT" else 0,
        time_in_force=params.one_of(
            "timeInForce", TIMES_IN_FORCE, Code.BAD_TIME_IN_FORCE, "GTC" if kind == "MARKET" else None
        ),
        reduce_only=params.flag("reduceOnly"),
    )
    order = venue.desk.place(request)
    payload = order_payload(venue.engine.instruments[symbol], order)
    if params.text("newOrderRespType", "ACK") == "ACK":
        payload.update(status=OrderStatus.NEW.value, executedQty="0", cumQty="0", cumQuote="0", avgPrice="0.00")
    return payload


def get_order(venue: Venue, params: Params) -> Payload:
    """One order, by id or by client id."""
    order = venue.desk.find(params.symbol(), *_which(params, "orderId", "origClientOrderId"))
    return order_payload(venue.engine.instruments[order.symbol], order)


def amend_order(venue: Venue, params: Params) -> Payload:
    """Another price and quantity for an open limit order."""
    symbol = params.symbol()
    which = _which(params, "orderId", "origClientOrderId")
    order = venue.desk.amend(symbol, *which, params.quantity("quantity"), params.price("price"))
    return order_payload(venue.engine.instruments[symbol], order)


def cancel_order(venue: Venue, params: Params) -> Payload:
    """Cancel one open order."""
    order = venue.desk.cancel(params.symbol(), *_which(params, "orderId", "origClientOrderId"))
    return order_payload(venue.engine.instruments[order.symbol], order)


def cancel_all_orders(venue: Venue, params: Params) -> Payload:
    """Cancel a symbol's plain orders."""
    venue.desk.cancel_all(params.symbol())
    return ALL_CANCELED


def open_orders(venue: Venue, params: Params) -> list[Payload]:
    """Open plain orders."""
    symbols = params.symbols()
    return [_order_row(venue, order) for order in venue.engine.orders.open() if order.symbol in symbols]


def all_orders(venue: Venue, params: Params) -> list[Payload]:
    """Every plain order of a symbol, oldest first."""
    symbol, limit = params.symbol(), min(params.whole("limit", 500), MAX_ROWS)
    first, start = params.whole("orderId", 0), params.whole("startTime", 0)
    end = params.whole("endTime", venue.replay.time)
    rows = [
        _order_row(venue, order)
        for order in venue.engine.orders.values()
        if order.symbol == symbol and order.id >= first and start <= order.created <= end
    ]
    return rows[:limit] if params.has("orderId") or params.has("startTime") else rows[-limit:]


def user_trades(venue: Venue, params: Params) -> list[Payload]:
    """Executions of a symbol, oldest first."""
    symbol, limit = params.symbol(), min(params.whole("limit", 500), MAX_ROWS)
    first, order_id = params.whole("fromId", 0), params.optional_whole("orderId")
    start, end = params.whole("startTime", 0), params.whole("endTime", venue.replay.time)
    rows = [
        _trade_row(venue.engine.instruments[symbol], fill)
        for fill in venue.engine.fills
        if fill.symbol == symbol
        and fill.id >= first
        and order_id in (None, fill.order_id)
        and start <= fill.time <= end
    ]
    return rows[:limit] if params.has("fromId") or params.has("startTime") else rows[-limit:]


def place_algo_order(venue: Venue, params: Params) -> Payload:
    """A conditional order."""
    symbol = params.symbol()
    if params.text("algoType") != "CONDITIONAL":
        raise Refusal(Code.BAD_PARAMETER, "Data sent for parameter 'algoType' is not valid.")
    kind = _conditional_kind(params)
    refuse_hedge_parameter(params)
    close_position = params.flag("closePosition")
    if close_position and (params.has("quantity") or params.has("reduceOnly")):
        name = "quantity" if params.has("quantity") else "reduceOnly"
        raise Refusal(Code.UNWANTED_PARAMETER, f"Parameter '{name}' sent when not required.")
    request = StopRequest(
        symbol=symbol,
        client_id=params.text("clientAlgoId", ""),
        side=params.choice("side", SIDES, Code.BAD_SIDE),
        kind=kind,
        quantity=0 if close_position else params.quantity("quantity"),
        trigger=params.price("triggerPrice"),
        time_in_force=params.one_of("timeInForce", TIMES_IN_FORCE, Code.BAD_TIME_IN_FORCE, "GTC"),
        reduce_only=params.flag("reduceOnly"),
        close_position=close_position,
        working_type=params.one_of(
            "workingType", ("CONTRACT_PRICE", "MARK_PRICE"), Code.BAD_PARAMETER, "CONTRACT_PRICE"
        ),
        price_protect=params.flag("priceProtect"),
    )
    stop = venue.desk.place_stop(request)
    return algo_payload(venue.engine.instruments[symbol], stop)


def _conditional_kind(params: Params) -> str:
    """The kind of a conditional order that this exchange keeps; a trailing stop is refused for what is wrong first."""
    kind = params.text("type")
    if kind == "TRAILING_STOP_MARKET":
        if params.flag("closePosition"):
            raise Refusal(Code.BAD_STRATEGY)
        if not Decimal("0.1") <= params.decimal("callbackRate") <= 10:
            raise Refusal(Code.BAD_CALLBACK_RATE)
    if kind not in STOPS:
        raise Refusal(Code.BAD_ORDER_TYPE)
    return kind


def get_algo_order(venue: Venue, params: Params) -> Payload:
    """One conditional order, by id or by client id."""
    return _algo_row(venue, venue.desk.find_stop(*_which(params, "algoId", "clientAlgoId")))


def cancel_algo_order(venue: Venue, params: Params) -> Payload:
    """Cancel one waiting conditional order."""
    stop = venue.desk.cancel_stop(*_which(params, "algoId", "clientAlgoId"))
    return {"algoId": stop.id, "clientAlgoId": stop.client_id, "code": "200", "msg": "success"}


def cancel_all_algo_orders(venue: Venue, params: Params) -> Payload:
    """Cancel a symbol's conditional orders."""
    venue.desk.cancel_all_stops(params.symbol())
    return ALL_CANCELED


def open_algo_orders(venue: Venue, params: Params) -> list[Payload]:
    """Waiting conditional orders."""
    symbols = params.symbols()
    return [_algo_row(venue, stop) for stop in venue.engine.stops.open() if stop.symbol in symbols]


def all_algo_orders(venue: Venue, params: Params) -> list[Payload]:
    """Every conditional order of a symbol, oldest first."""
    symbol, limit = params.symbol(), min(params.whole("limit", 500), MAX_ROWS)
    start, end = params.whole("startTime", 0), params.whole("endTime", venue.replay.time)
    stops = venue.engine.stops.values()
    return [_algo_row(venue, s) for s in stops if s.symbol == symbol and start <= s.created <= end][-limit:]


def order_payload(instrument: Instrument, order: Order) -> Payload:
    """A plain order as replies show it."""
    executed = instrument.quantity_text(order.filled)
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_id,
        "price": instrument.price_text(order.price),
        "avgPrice": texts.average_price(instrument, order.cost, order.filled),
        "origQty": instrument.quantity_text(order.quantity),
        "executedQty": executed,
        "cumQty": executed,
        "cumQuote": cash_text(order.cost),
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": texts.side(order.side),
        "positionSide": "BOTH",
        "stopPrice": instrument.price_text(order.trigger),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.original_kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": order.created,
        "updateTime": order.updated,
    }


def algo_payload(instrument: Instrument, stop: Stop) -> Payload:
    """A conditional order as replies show it."""
    return {
        "algoId": stop.id,
        "clientAlgoId": stop.client_id,
        "algoType": "CONDITIONAL",
        "orderType": stop.kind,
        "type": stop.kind,
        "symbol": stop.symbol,
        "side": texts.side(stop.side),
        "positionSide": "BOTH",
        "timeInForce": stop.time_in_force,
        "quantity": instrument.quantity_text(stop.quantity),
        "algoStatus": stop.status.value,
        "triggerPrice": instrument.price_text(stop.trigger),
        "price": instrument.price_text(0),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": stop.working_type,
        "priceMatch": "NONE",
        "closePosition": stop.close_position,
        "priceProtect": stop.price_protect,
        "reduceOnly": stop.reduce_only,
        "actualOrderId": str(stop.order_id) if stop.order_id else "",
        "actualPrice": instrument.price_text(stop.fill_price),
        "actualQty": instrument.quantity_text(stop.filled),
        "createTime": stop.created,
        "updateTime": stop.updated,
        "triggerTime": stop.triggered,
        "goodTillDate": 0,
    }


def _order_row(venue: Venue, order: Order) -> Payload:
    return order_payload(venue.engine.instruments[order.symbol], order)


def _algo_row(venue: Venue, stop: Stop) -> Payload:
    return algo_payload(venue.engine.instruments[stop.symbol], stop)


def _trade_row(instrument: Instrument, fill: Fill) -> Payload:
    return {
        "symbol": fill.symbol,
        "id": fill.id,
        "orderId": fill.order_id,
        "side": texts.side(fill.side),
        "price": instrument.price_text(fill.price),
        "qty": instrument.quantity_text(fill.quantity),
        "realizedPnl": cash_text(fill.profit),
        "marginAsset": instrument.quote,
        "quoteQty": cash_text(fill.notional),
        "commission": cash_text(fill.fee),
        "commissionAsset": fill.fee_asset or instrument.quote,
        "time": fill.time,
        "positionSide": "BOTH",
        "buyer": fill.side > 0,
        "maker": fill.maker,
    }


def _which(params: Params, id_name: str, client_name: str) -> tuple[int | None, str | None]:
    """The id or else the client id that a request names; one of them is mandatory."""
    id_ = params.optional_whole(id_name)
    if id_ is None and not params.has(client_name):
        raise Refusal(
            Code.MISSING_PARAMETER, f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!"
        )
    return id_, params.text(client_name) if id_ is None else None
