"""What a person does: trades, orders, settings and transfers by hand, through the same desk as anybody's."""

from __future__ import annotations

from dataclasses import fields, replace

from market.exchange.hand.wants import HandError, Reply, Wants
from market.exchange.orders import STOPS, WORKING_TYPES, OrderRequest, StopRequest
from market.exchange.venue import Permissions, Venue
from market.instruments import cash_text


def trade(venue: Venue, wants: Wants) -> Reply:
    """A market order by hand, under a client id of the exchange's website unless one is given."""
    request = OrderRequest(
        symbol=wants.symbol(),
        client_id=wants.text("client_id", venue.foreign_id()),
        side=wants.side(),
        kind="MARKET",
        quantity=wants.steps("quantity"),
        price=0,
        time_in_force="GTC",
        reduce_only=wants.flag("reduce_only", False),
    )
    order = venue.desk.place(request)
    return {"order_id": order.id, "client_id": order.client_id, "status": order.status}


def close_position(venue: Venue, wants: Wants) -> Reply:
    """The whole position is closed at market by hand; stops that guarded it stay."""
    symbol = wants.symbol()
    position = venue.engine.ledger.positions.get(symbol)
    if position is None:
        raise HandError(f"close_position: {symbol} is flat")
    client_id = wants.text("client_id", venue.foreign_id())
    request = OrderRequest(symbol, client_id, -position.side, "MARKET", position.quantity, 0, "GTC", True)
    order = venue.desk.place(request)
    return {"order_id": order.id, "client_id": order.client_id, "status": order.status}


def limit(venue: Venue, wants: Wants) -> Reply:
    """A limit order by hand."""
    request = OrderRequest(
        symbol=wants.symbol(),
        client_id=wants.text("client_id", venue.foreign_id()),
        side=wants.side(),
        kind="LIMIT",
        quantity=wants.steps("quantity"),
        price=wants.ticks("price"),
        time_in_force=wants.word("time_in_force", ("GTC", "IOC", "FOK", "GTX"), "GTC"),
        reduce_only=wants.flag("reduce_only", False),
    )
    order = venue.desk.place(request)
    return {"order_id": order.id, "client_id": order.client_id, "status": order.status}


def stop(venue: Venue, wants: Wants) -> Reply:
    """A conditional order by hand; without a quantity it closes the whole position."""
    whole = not wants.has("quantity")
    request = StopRequest(
        symbol=wants.symbol(),
        client_id=wants.text("client_id", venue.foreign_id()),
        side=wants.side(),
        kind=wants.word("kind", STOPS, "STOP_MARKET"),
        quantity=0 if whole else wants.steps("quantity"),
        trigger=wants.ticks("trigger"),
        time_in_force="GTC",
        reduce_only=not whole and wants.flag("reduce_only", True),
        close_position=whole,
        working_type=wants.word("working_type", WORKING_TYPES, "CONTRACT_PRICE"),
        price_protect=False,
    )
    placed = venue.desk.place_stop(request)
    return {"stop_id": placed.id, "client_id": placed.client_id, "status": placed.status}


def cancel(venue: Venue, wants: Wants) -> Reply:
    """Cancel by hand the open orders and stops of a symbol, or the one with this client id."""
    symbol, engine = wants.symbol(), venue.engine
    wanted = wants.text("client_id") if wants.has("client_id") else None
    orders = [order for order in engine.orders.open(symbol) if wanted in (None, order.client_id)]
    stops = [stop for stop in engine.stops.open(symbol) if wanted in (None, stop.client_id)]
    if not orders and not stops:
        raise HandError(f"cancel: {symbol} has no open order or stop" + (f" {wanted!r}" if wanted else ""))
    for order in orders:
        venue.desk.cancel(symbol, order.id, None)
    for resting in stops:
        venue.desk.cancel_stop(resting.id, None)
    return {"canceled": [order.client_id for order in orders] + [resting.client_id for resting in stops]}


def leverage(venue: Venue, wants: Wants) -> Reply:
    """Set a symbol's leverage by hand."""
    return {"leverage": venue.desk.set_leverage(wants.symbol(), wants.whole("leverage"))}


def margin_type(venue: Venue, wants: Wants) -> Reply:
    """Set a symbol's margin type by hand."""
    kind = wants.word("margin_type", ("ISOLATED", "CROSSED"))
    venue.desk.set_margin_mode(wants.symbol(), kind == "ISOLATED")
    return {"margin_type": kind}


def hedge_mode(venue: Venue, wants: Wants) -> Reply:
    """Switch hedge mode on or off."""
    venue.desk.set_hedge_mode(wants.flag("on"))
    return {"hedge_mode": venue.engine.hedge_mode}


def multi_assets(venue: Venue, wants: Wants) -> Reply:
    """Switch multi-assets mode on or off."""
    venue.desk.set_multi_assets(wants.flag("on"))
    return {"multi_assets": venue.engine.multi_assets}


def deposit(venue: Venue, wants: Wants) -> Reply:
    """Cash comes into the wallet."""
    return _transfer(venue, wants, 1)


def withdraw(venue: Venue, wants: Wants) -> Reply:
    """Cash leaves the wallet, as far as no position has it set aside."""
    return _transfer(venue, wants, -1)


def _transfer(venue: Venue, wants: Wants, sign: int) -> Reply:
    amount = wants.cash("amount")
    if amount <= 0:
        raise wants.wrong("amount", "positive", wants.fields["amount"])
    try:
        venue.engine.transfer(sign * amount)
    except ValueError as error:
        raise HandError(f"{wants.action}: {error}") from error
    return {"cash": cash_text(venue.engine.ledger.cash)}


def permissions(venue: Venue, wants: Wants) -> Reply:
    """Change what the API key may do, or whether the account may trade at all."""
    known = {field.name for field in fields(Permissions)}
    changed = {name: wants.flag(name) for name in known if wants.has(name)}
    if not changed and not wants.has("can_trade"):
        raise HandError(f"permissions: send true or false for one of: {', '.join(sorted(known))}, can_trade")
    venue.permissions = replace(venue.permissions, **changed)
    venue.engine.can_trade = wants.flag("can_trade", venue.engine.can_trade)
    return {name: getattr(venue.permissions, name) for name in sorted(known)} | {"can_trade": venue.engine.can_trade}
