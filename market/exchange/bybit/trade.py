"""Order requests and replies: plain and conditional orders in one place, their executions, and the trading stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from market.exchange.bybit import rows, words
from market.exchange.bybit.params import Params
from market.exchange.bybit.refusals import (
    EXPECT_FALLING,
    EXPECT_RISING,
    PARAMS,
    TRADING_STOP_NOT_MODIFIED,
    Ret,
)
from market.exchange.orders import Order, OrderRequest, Stop, StopRequest
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue

Result = dict[str, Any]
Row = dict[str, Any]

MAX_ORDERS, MAX_EXECUTIONS = 50, 100
WEEK_MS = 7 * 86_400_000
"""The longest span that history is asked for at once."""
CLOSED_KEPT = 500
"""How many orders that are over the realtime endpoint still knows."""
NOT_SIMULATED = ("takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "orderIv", "mmp", "bboSideType")
"""Parameters of a new order that would mean something, and mean nothing here."""


def create(venue: Venue, params: Params) -> Result:
    """A new order; one with a trigger price waits for it. The reply tells its ids alone."""
    params.linear()
    symbol, link_id = params.symbol(), params.text("orderLinkId", "")
    for name in NOT_SIMULATED:
        if params.has(name) and not (name in ("takeProfit", "stopLoss") and params.is_zero(name)):
            raise Ret(PARAMS, f"params error: {name} with a new order is not simulated; use trading-stop")
    _check_position_idx(params)
    if link_id and (_order(venue, symbol, "", link_id) or _stop(venue, symbol, "", link_id)):
        raise Refusal(Code.DUPLICATE_CLIENT_ID)  # unique for good, unlike elsewhere
    kind = params.one_of("orderType", ("Market", "Limit"), Code.BAD_ORDER_TYPE).upper()
    tif = params.one_of("timeInForce", tuple(words.TIMES_IN_FORCE), Code.BAD_TIME_IN_FORCE, "GTC")
    side = params.choice("side", words.SIDES, Code.BAD_SIDE)
    if params.has("triggerPrice"):
        stop = _place_stop(venue, params, symbol, link_id, side, kind)
        return {"orderId": words.id_text(stop.id), "orderLinkId": link_id}
    order = venue.desk.place(
        OrderRequest(
            symbol=symbol,
            client_id=link_id,
            side=side,
            kind=kind,
            quantity=params.quantity("qty"),
            price=params.price("price") if kind == "LIMIT" else 0,
            time_in_force=words.TIMES_IN_FORCE[tif] if kind == "LIMIT" else "GTC",
            reduce_only=params.flag("reduceOnly"),
        )
    )
    return {"orderId": words.id_text(order.id), "orderLinkId": link_id}


def cancel(venue: Venue, params: Params) -> Result:
    """Cancel one open order, conditional or not."""
    params.linear()
    symbol = params.symbol()
    order_id, link_id = _which(params)
    stop = _stop(venue, symbol, order_id, link_id)
    if stop is not None:
        venue.desk.cancel_stop(stop.id, None)
        return {"orderId": words.id_text(stop.id), "orderLinkId": words.link_id(stop.client_id)}
    order = _order(venue, symbol, order_id, link_id)
    if order is None:
        raise Refusal(Code.UNKNOWN_ORDER)
    venue.desk.cancel(symbol, order.id, None)
    return {"orderId": words.id_text(order.id), "orderLinkId": words.link_id(order.client_id)}


def cancel_all(venue: Venue, params: Params) -> Result:
    """Cancel a symbol's orders, or everybody's in a coin; `orderFilter` names one kind."""
    params.linear()
    if not params.has("symbol") and not params.has("settleCoin") and not params.has("baseCoin"):
        raise Refusal(Code.MISSING_PARAMETER, "params error: symbol, settleCoin or baseCoin is required")
    kind = params.text("orderFilter", "")
    gone: list[Row] = []
    for symbol in params.symbols():
        if kind in ("", "Order"):
            gone += [_ids(venue, order) for order in venue.engine.orders.open(symbol)]
            venue.desk.cancel_all(symbol)
        if kind in ("", "StopOrder", "tpslOrder"):
            gone += [_ids(venue, stop) for stop in venue.engine.stops.open(symbol)]
            venue.desk.cancel_all_stops(symbol)
    return {"list": gone, "success": "1"}


def realtime(venue: Venue, params: Params) -> Result:
    """Open orders; one that is named, or with `openOnly` 1, lately closed ones as well."""
    params.linear()
    order_id, link_id = params.text("orderId", ""), params.text("orderLinkId", "")
    if not (params.has("symbol") or params.has("settleCoin") or params.has("baseCoin") or order_id or link_id):
        raise Refusal(Code.MISSING_PARAMETER, "params error: symbol, settleCoin or baseCoin is required")
    found = list(_entries(venue, params, order_id, link_id))
    if not (order_id or link_id):
        closed = params.whole("openOnly", 0) == 1
        found = [entry for entry in found if entry.is_open != closed][:CLOSED_KEPT]
    return _page(venue, params, found, MAX_ORDERS)


def history(venue: Venue, params: Params) -> Result:
    """Orders that are over, the newest first, at most a week of them."""
    params.linear()
    order_id, link_id = params.text("orderId", ""), params.text("orderLinkId", "")
    start, end = _span(venue, params)
    found = [e for e in _entries(venue, params, order_id, link_id) if not e.is_open]
    if not (order_id or link_id):
        found = [e for e in found if start <= e.created <= end]
    return _page(venue, params, found, MAX_ORDERS)


def executions(venue: Venue, params: Params) -> Result:
    """Executions and funding payments, the newest first, at most a week of them."""
    params.linear()
    engine = venue.engine
    order_id, link_id = params.text("orderId", ""), params.text("orderLinkId", "")
    wanted, (start, end) = set(params.symbols()), _span(venue, params)
    found: list[Row] = []
    for fill in engine.fills:
        if fill.symbol in wanted and (start <= fill.time <= end or order_id or link_id):
            found.append(rows.execution(engine, fill, engine.orders[fill.order_id]))
    for income in engine.incomes:
        if income.kind == "FUNDING_FEE" and income.symbol in wanted and start <= income.time <= end:
            found.append(rows.funding(engine, income, None))
    kind = params.text("execType", "")
    found = [
        row
        for row in found
        if kind in ("", row["execType"]) and order_id in ("", row["orderId"]) and link_id in ("", row["orderLinkId"])
    ]
    found.sort(key=lambda row: (int(row["execTime"]), row["execType"] != "Funding", row["seq"]), reverse=True)
    return _cut(params, found, MAX_EXECUTIONS)


def trading_stop(venue: Venue, params: Params) -> Result:
    """Set, move or take back the stop loss and take profit of an open position."""
    params.linear()
    symbol = params.symbol()
    _check_position_idx(params)
    if params.has("trailingStop") and not params.is_zero("trailingStop"):
        raise Ret(PARAMS, "params error: trailingStop is not simulated")
    position = venue.engine.ledger.positions.get(symbol)
    if position is None:
        raise Ret(PARAMS, "can not set tp/sl/ts for zero position")
    partial = params.one_of("tpslMode", ("Full", "Partial"), Code.BAD_PARAMETER, "Full") == "Partial"
    changed = False
    for name, trigger_by, size, kind in (
        ("stopLoss", "slTriggerBy", "slSize", "STOP_MARKET"),
        ("takeProfit", "tpTriggerBy", "tpSize", "TAKE_PROFIT_MARKET"),
    ):
        if params.has(name):
            watched = params.one_of(trigger_by, tuple(words.TRIGGERS), Code.BAD_PARAMETER, "LastPrice")
            trigger = 0 if params.is_zero(name) else params.price(name)
            quantity = params.quantity(size) if partial else 0
            changed |= _set_trading_stop(
                venue, symbol, -position.side, kind, trigger, quantity, words.TRIGGERS[watched]
            )
    if not changed:
        raise Ret(TRADING_STOP_NOT_MODIFIED, "not modified")
    return {}


def _set_trading_stop(
    venue: Venue, symbol: str, side: int, kind: str, trigger: int, quantity: int, working_type: str
) -> bool:
    """Have a position's stop of a kind be as given, the old one gone; False if it is so already."""
    whole = quantity == 0
    before = [
        stop
        for stop in venue.engine.stops.open(symbol)
        if whole and stop.close_position and stop.kind == kind and stop.client_id.startswith(words.TRADING_STOP)
    ]
    if [(s.trigger, s.working_type) for s in before] == ([(trigger, working_type)] if trigger else []):
        return False
    if trigger:
        request = StopRequest(
            symbol=symbol,
            client_id=f"{words.TRADING_STOP}{len(venue.engine.stops) + 1}",
            side=side,
            kind=kind,
            quantity=quantity,
            trigger=trigger,
            time_in_force="GTC",
            reduce_only=not whole,
            close_position=whole,
            working_type=working_type,
            price_protect=False,
        )
        _check_reach(venue, request)
    for stop in before:
        venue.desk.cancel_stop(stop.id, None)
    if trigger:
        venue.desk.place_stop(request)
    return True


def _check_reach(venue: Venue, request: StopRequest) -> None:
    """Refuse a trading stop on the wrong side of the price, before the one it replaces is gone."""
    price = venue.engine.working_price(request.symbol, request.working_type)
    rises = (request.side > 0) == (request.kind == "STOP_MARKET")
    if price >= request.trigger if rises else price <= request.trigger:
        instrument = venue.engine.instruments[request.symbol]
        name = "StopLoss" if request.kind == "STOP_MARKET" else "TakeProfit"
        raise Ret(
            PARAMS,
            f"{name}:{instrument.price_text(request.trigger)} set for the position is on the wrong side of "
            f"base_price:{instrument.price_text(price)}",
        )


def _place_stop(venue: Venue, params: Params, symbol: str, link_id: str, side: int, kind: str) -> Stop:
    if kind != "MARKET":
        raise Ret(PARAMS, "params error: a conditional Limit order is not simulated")
    direction = params.whole("triggerDirection")
    if direction not in (words.RISES, words.FALLS):
        raise Ret(PARAMS, "params error: TriggerDirection invalid")
    watched = params.one_of("triggerBy", tuple(words.TRIGGERS), Code.BAD_PARAMETER, "LastPrice")
    request = StopRequest(
        symbol=symbol,
        client_id=link_id,
        side=side,
        # the direction says which it is: whoever buys as it rises, or sells as it falls, stops
        kind="STOP_MARKET" if (side > 0) == (direction == words.RISES) else "TAKE_PROFIT_MARKET",
        quantity=params.quantity("qty"),
        trigger=params.price("triggerPrice"),
        time_in_force="GTC",
        reduce_only=params.flag("reduceOnly") or params.flag("closeOnTrigger"),
        close_position=False,
        working_type=words.TRIGGERS[watched],
        price_protect=False,
    )
    try:
        return venue.desk.place_stop(request)
    except Refusal as refusal:
        if refusal.code is not Code.WOULD_TRIGGER:
            raise
    instrument = venue.engine.instruments[symbol]
    price = instrument.price_text(venue.engine.working_price(symbol, request.working_type))
    trigger = instrument.price_text(request.trigger)
    if direction == words.RISES:
        raise Ret(EXPECT_RISING, f"expect Rising, but trigger_price[{trigger}] <= current[{price}]??{watched}")
    raise Ret(EXPECT_FALLING, f"expect Falling, but trigger_price[{trigger}] >= current[{price}]??{watched}")


def _check_position_idx(params: Params) -> None:
    """An order that names a hedge side does not fit the one-way account."""
    if params.whole("positionIdx", 0) != 0:
        raise Refusal(Code.WRONG_POSITION_SIDE)


def _which(params: Params) -> tuple[str, str]:
    order_id, link_id = params.text("orderId", ""), params.text("orderLinkId", "")
    if not (order_id or link_id):
        raise Refusal(Code.MISSING_PARAMETER, "params error: orderId or orderLinkId is required")
    return order_id, link_id


def _order(venue: Venue, symbol: str, order_id: str, link_id: str) -> Order | None:
    """A plain order by either id; one that a stop spawned is the stop's."""
    found = venue.engine.orders.find(symbol, words.id_of(order_id) if order_id else None, link_id)
    return None if found is None or words.origin(venue.engine, found) is not None else found


def _stop(venue: Venue, symbol: str, order_id: str, link_id: str) -> Stop | None:
    """A conditional order by either id, triggered or not."""
    return venue.engine.stops.find(symbol, words.id_of(order_id) if order_id else None, link_id)


def _entries(venue: Venue, params: Params, order_id: str, link_id: str) -> Iterator[Order | Stop]:
    """What is asked for, the newest first."""
    symbols = params.symbols()
    if order_id or link_id:
        for symbol in symbols:
            for entry in (_order(venue, symbol, order_id, link_id), _stop(venue, symbol, order_id, link_id)):
                if entry is not None:
                    yield entry
        return
    kind = params.text("orderFilter", "")
    entries: list[Order | Stop] = []
    if kind in ("", "Order"):
        entries += [order for order in venue.engine.orders.values() if words.origin(venue.engine, order) is None]
    if kind in ("", "StopOrder", "tpslOrder"):
        entries += venue.engine.stops.values()
    yield from sorted((e for e in entries if e.symbol in symbols), key=lambda e: (e.created, e.id), reverse=True)


def _row(venue: Venue, entry: Order | Stop) -> Row:
    if isinstance(entry, Order):
        return rows.order(venue.engine, entry, None)
    if entry.order_id:
        return rows.order(venue.engine, venue.engine.orders[entry.order_id], entry)
    return rows.waiting(venue.engine, entry)


def _ids(venue: Venue, entry: Order | Stop) -> Row:
    return {"orderId": words.id_text(entry.id), "orderLinkId": words.link_id(entry.client_id)}


def _span(venue: Venue, params: Params) -> tuple[int, int]:
    """The time asked for: a week up to now, from a start, or up to an end."""
    start, end = params.optional_whole("startTime"), params.optional_whole("endTime")
    if start is None and end is None:
        return venue.replay.time - WEEK_MS, venue.replay.time
    if start is None:
        return int(end or 0) - WEEK_MS, int(end or 0)
    if end is None:
        return start, start + WEEK_MS
    if end < start or end - start > WEEK_MS:
        raise Refusal(Code.BAD_PARAMETER, "params error: endTime must be within 7 days after startTime")
    return start, end


def _page(venue: Venue, params: Params, entries: list[Order | Stop], most: int) -> Result:
    wanted = params.text("orderStatus", "")
    found = [_row(venue, entry) for entry in entries]
    return _cut(params, [row for row in found if wanted in ("", row["orderStatus"])], most)


def _cut(params: Params, found: list[Row], most: int) -> Result:
    """One page; its cursor is the offset of the next one, empty on the last."""
    limit, cursor = params.limit(20 if most == MAX_ORDERS else 50, most), params.text("cursor", "0")
    if not cursor.isdecimal():
        raise Refusal(Code.BAD_PARAMETER, "params error: cursor invalid")
    at = int(cursor)
    following = str(at + limit) if at + limit < len(found) else ""
    return {"category": "linear", "list": found[at : at + limit], "nextPageCursor": following}
