"""The hand: what a person, or the exchange itself, does to the account behind the daemon's back.

One JSON object names an action and what it needs; the market's clock stands still meanwhile. What a person does passes
the same desk and is refused by the same codes; what the exchange does is simply so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from market import tiers
from market.exchange.orders import STOPS, WORKING_TYPES, OrderRequest, StopRequest, SymbolStatus
from market.exchange.venue import Permissions, Venue
from market.instruments import CASH, Instrument, InstrumentError, cash, cash_text

Reply = dict[str, Any]

SIDES = {"BUY": 1, "SELL": -1}
TERMS = {
    "min_quantity": "steps",
    "min_notional": "cash",
    "funding_hours": "whole",
}
"""What of an instrument may change while it is traded, and how it is written; tick and step count what is held."""


class HandError(ValueError):
    """The action cannot be read or done; the message says what to send."""


@dataclass(frozen=True, slots=True)
class Wants:
    """The fields of one action, read strictly."""

    action: str
    fields: Mapping[str, Any]
    instruments: Mapping[str, Instrument]

    def has(self, name: str) -> bool:
        """Whether the field was sent."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it must be sent."""
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text", value)
        return value

    def word(self, name: str, words: tuple[str, ...], default: str | None = None) -> str:
        """One of a few words."""
        value = self.fields.get(name, default)
        if value not in words:
            raise self.wrong(name, "one of " + ", ".join(words), value)
        return str(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """true or false."""
        value = self.fields.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "a whole number", value)
        return value

    def cash(self, name: str) -> int:
        """An amount of the quote currency, in cash units."""
        value = self.fields.get(name)
        try:
            return cash(self._decimal(name, value))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def symbol(self) -> str:
        """A symbol of this exchange."""
        return self.word("symbol", tuple(self.instruments))

    def side(self) -> int:
        """+1 to buy, -1 to sell."""
        return SIDES[self.word("side", tuple(SIDES))]

    def steps(self, name: str) -> int:
        """A quantity of the symbol, in steps."""
        try:
            return self.instruments[self.symbol()].steps(self._decimal(name, self.fields.get(name)))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def ticks(self, name: str) -> int:
        """A price of the symbol, in ticks."""
        try:
            return self.instruments[self.symbol()].ticks(self._decimal(name, self.fields.get(name)))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def wrong(self, name: str, wanted: str, got: object) -> HandError:
        """The error that says what the field should be."""
        return HandError(f"{self.action}: {name!r} must be {wanted}" + ("" if got is None else f", not {got!r}"))

    def _decimal(self, name: str, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(name, "a decimal number", value)
        return str(value)


class Hand:
    """Does one action at a time to a venue; the caller holds its turn and tells of the events after it."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def do(self, order: object) -> Reply:
        """Do what a decoded request asks.

        Returns
        -------
        dict
            What came of it, amounts in decimal text.

        Raises
        ------
        HandError
            If the action is unknown, a field is missing or malformed, or there is nothing to do it to.
        Refusal
            If the exchange's own rules refuse it.
        """
        if not isinstance(order, dict) or order.get("action") not in ACTIONS:
            raise HandError('send {"action": NAME, ...} with one of: ' + ", ".join(sorted(ACTIONS)))
        wants = Wants(order["action"], order, self._venue.engine.instruments)
        return ACTIONS[wants.action](self._venue, wants)


# -- what a person does -------------------------------------------------------------------------------------------


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
    venue.desk.set_leverage(wants.symbol(), wants.whole("leverage"))
    return {"leverage": wants.whole("leverage")}


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


# -- what the exchange does ---------------------------------------------------------------------------------------


def adl(venue: Venue, wants: Wants) -> Reply:
    """Auto-deleverage a position, in whole or by `quantity`."""
    symbol, engine = wants.symbol(), venue.engine
    held = engine.ledger.positions.get(symbol)
    if held is None:
        raise HandError(f"adl: {symbol} is flat")
    quantity = wants.steps("quantity") if wants.has("quantity") else held.quantity
    if not 0 < quantity <= held.quantity:
        most = engine.instruments[symbol].quantity_text(held.quantity)
        raise wants.wrong("quantity", f"positive and at most {most}", wants.fields["quantity"])
    order = engine.deleverage(symbol, quantity)
    return {"order_id": order.id, "client_id": order.client_id}


def liquidate(venue: Venue, wants: Wants) -> Reply:
    """Liquidate a position at the mark, wherever its liquidation price stands."""
    symbol, engine = wants.symbol(), venue.engine
    if symbol not in engine.ledger.positions:
        raise HandError(f"liquidate: {symbol} is flat")
    engine.liquidate(symbol, engine.mark_price(symbol))
    return {"cash": cash_text(engine.ledger.cash)}


def halt(venue: Venue, wants: Wants) -> Reply:
    """Halt a symbol: orders that open are refused (-4140), what rests stays, the price moves on."""
    return _status(venue, wants, SymbolStatus.HALTED)


def resume(venue: Venue, wants: Wants) -> Reply:
    """Trade a halted or delisted symbol again."""
    return _status(venue, wants, SymbolStatus.TRADING)


def delist(venue: Venue, wants: Wants) -> Reply:
    """Take a symbol off the list: its orders go, a position is settled at the mark, every order is refused (-4141)."""
    venue.engine.settle(wants.symbol())
    return _status(venue, wants, SymbolStatus.CLOSED)


def _status(venue: Venue, wants: Wants, status: SymbolStatus) -> Reply:
    venue.engine.status[wants.symbol()] = status
    return {"symbol": wants.symbol(), "status": status}


def terms(venue: Venue, wants: Wants) -> Reply:
    """Change a symbol's limits or funding interval while it is traded."""
    symbol = wants.symbol()
    readers: dict[str, Callable[[str], int]] = {"steps": wants.steps, "cash": wants.cash, "whole": wants.whole}
    changed: dict[str, Any] = {name: readers[kind](name) for name, kind in TERMS.items() if wants.has(name)}
    if not changed:
        raise HandError(f"terms: send a new value for one of: {', '.join(TERMS)}")
    for name, value in changed.items():
        if value <= 0:
            raise wants.wrong(name, "positive", wants.fields[name])
    if 24 % changed.get("funding_hours", 1):
        raise wants.wrong("funding_hours", "a divisor of 24", wants.fields["funding_hours"])
    instruments = venue.engine.instruments
    instruments[symbol] = replace(instruments[symbol], **changed)
    return {name: wants.fields[name] for name in changed}


def brackets(venue: Venue, wants: Wants) -> Reply:
    """Change a symbol's margin tiers while it is traded; a position is judged by them from the next price on."""
    symbol, rows = wants.symbol(), wants.fields.get("brackets")
    names = ("cap", "max_leverage", "maintenance_bps")
    readable = isinstance(rows, list) and all(
        isinstance(row, dict) and all(type(row.get(name)) is int for name in names) for row in rows
    )
    if not isinstance(rows, list) or not readable:
        raise wants.wrong("brackets", "a list of {" + ", ".join(names) + "}, whole numbers, smallest first", rows)
    try:
        made = tiers.brackets(*((row["cap"] * CASH, row["max_leverage"], row["maintenance_bps"]) for row in rows))
    except tiers.TierError as error:
        raise HandError(f"brackets: {error}") from error
    instruments = venue.engine.instruments
    instruments[symbol] = replace(instruments[symbol], brackets=made)
    return {"brackets": len(made)}


def expire_listen_key(venue: Venue, wants: Wants) -> Reply:
    """The listen key dies: the user stream is told, and nothing more comes under it."""
    if not venue.listen_key:
        raise HandError("expire_listen_key: no listen key is open; POST /fapi/v1/listenKey makes one")
    venue.expire_listen_key()
    return {}


Action = Callable[[Venue, Wants], Reply]

ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        trade,
        close_position,
        limit,
        stop,
        cancel,
        leverage,
        margin_type,
        hedge_mode,
        multi_assets,
        deposit,
        withdraw,
        permissions,
        adl,
        liquidate,
        halt,
        resume,
        delist,
        terms,
        brackets,
        expire_listen_key,
    )
}
"""Every action by its name on the wire."""
