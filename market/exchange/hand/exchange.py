"""What the exchange does to an account or a symbol, whatever anybody asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from market import tiers
from market.exchange.hand.wants import HandError, Reply, Wants
from market.exchange.orders import StopFate, SymbolStatus
from market.exchange.venue import Venue
from market.instruments import CASH, cash_text

TERMS = {"min_quantity": "steps", "min_notional": "cash", "funding_hours": "whole"}
"""What of an instrument may change while it is traded, and how it is written; tick and step count what is held."""


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


def clip_leverage(venue: Venue, wants: Wants) -> Reply:
    """Set a symbol's leverage to `at` whenever more is asked for, with a reply that says so; 0 lifts the clip."""
    clips, at = venue.engine.leverage_clips, wants.whole("at")
    clips.pop(wants.symbol(), None)
    if at > 0:
        clips[wants.symbol()] = at
    return {"symbol": wants.symbol(), "at": at}


def expire_listen_key(venue: Venue, wants: Wants) -> Reply:
    """The listen key dies: the user stream is told, and nothing more comes under it."""
    if not venue.listen_key:
        raise HandError("expire_listen_key: no listen key is open; POST /fapi/v1/listenKey makes one")
    venue.expire_listen_key()
    return {}


def next_stop_trigger(venue: Venue, wants: Wants) -> Reply:
    """What becomes of the symbol's next stop that fires: rejected, expired, stuck in TRIGGERING, or filled as ever."""
    fates = venue.engine.stop_fates
    fate = wants.word("fate", (*StopFate, "filled"))
    fates.pop(wants.symbol(), None)
    if fate != "filled":
        fates[wants.symbol()] = StopFate(fate)
    return {"symbol": wants.symbol(), "fate": fate}


def release_stops(venue: Venue, wants: Wants) -> Reply:
    """Stops that hang in TRIGGERING go on, at the market."""
    return {"released": venue.engine.release(wants.symbol())}
