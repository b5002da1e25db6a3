"""Takeover: the exchange's truth about a symbol in place of what its desk has on record.

What was under way is asked for by its id. A truth may be older than what the streams brought meanwhile: what is newer
than the question is left as it is, and a position that differs is believed at second sight, or at the first of a life;
that it is gone only when some time lies between the two.
"""

from __future__ import annotations

from daemon.commands import AskOrder, Command, Reconcile
from daemon.desk import Desk, Foreign
from daemon.events import RestingStop, SymbolTruth
from daemon.orders import State
from daemon.state import Lot, Stop
from market import fills, trades


def take(desk: Desk, truth: SymbolTruth, first: bool, asked_at: int, at: int) -> list[Command]:
    """Take a symbol's truth, asked for at `asked_at` (ms); `first` is the first one of a life."""
    book, out = desk.book, list[Command]()
    desk.forget()
    if first:
        _by_this_clock(desk, at)
    if (truth.leverage, truth.isolated) != (book.leverage, book.isolated):
        # overtaken or changed by hand: unknown, so that the next entry sets it
        book.leverage, book.isolated = (truth.leverage, truth.isolated) if first else (0, False)
    out += _position(desk, truth, first, at)
    if book.lot and book.doubted is None:
        book.lot.margin = truth.margin
    found = {s.client_id for s in truth.stops}
    book.strangers = [name for name in book.strangers if name in found]
    for stop in book.stops.values():
        newer = max(stop.placed, stop.since, stop.seen) > asked_at
        if stop.client_id not in found and not stop.over and not (newer and not first):
            stop.state, stop.since = State.UNRESOLVED, 0
    for resting in truth.stops:
        out += _stop(desk, resting, at)
    if first and book.naked_since:
        book.tended_since = at
    if book.order and book.order.state is State.SENT:
        book.order.state, book.order.asked_at = State.UNRESOLVED, 0
    for name in truth.orders:
        if desk.is_ours(name) and (book.order is None or book.order.client_id != name):
            text = f"an order of ours is open that is not under way: {name}"
            out += [desk.alert("warning", text), AskOrder(desk.symbol, name)]
    return out


def _by_this_clock(desk: Desk, at: int) -> None:
    """A clock that was set back between two lives keeps nothing waiting for the time it once told."""
    book = desk.book
    book.retry_at, book.stop_retry_at = min(book.retry_at, at), min(book.stop_retry_at, at)
    if book.order:
        book.order.sent_at, book.order.asked_at = min(book.order.sent_at, at), min(book.order.asked_at, at)
    for stop in book.stops.values():
        stop.placed, stop.since, stop.seen = min(stop.placed, at), min(stop.since, at), min(stop.seen, at)


def _position(desk: Desk, truth: SymbolTruth, first: bool, at: int) -> list[Command]:
    book = desk.book
    if desk.foreign is not Foreign.IGNORE:
        book.foreign = 0  # it was left alone by a former life that was told to
    have = book.foreign + (book.lot.side * book.lot.quantity if book.lot else 0)
    gone = have != 0 and truth.quantity == 0  # that nothing is left is never believed at first sight
    if have == truth.quantity:
        book.doubted, book.margin = None, truth.margin
        return []
    if book.doubted == truth.quantity and gone and at - book.doubted_at < desk.patience.answer_ms:
        return []  # the same answer again may be as old as the first; its stop rests meanwhile
    if book.doubted == truth.quantity or (first and not gone):
        return _taken_over(desk, truth, have, at)
    book.doubted, book.doubted_at = truth.quantity, at
    return [Reconcile(f"{desk.symbol}: {truth.quantity} steps stated, {have} on record")]


def _taken_over(desk: Desk, truth: SymbolTruth, have: int, at: int) -> list[Command]:
    """The exchange's position in place of the one on record, which no execution explains."""
    book, ours = desk.book, desk.book.lot is not None
    text = f"the exchange holds {truth.quantity} steps, the journal {have}; the exchange's is taken"
    out = [desk.alert("critical", text), Reconcile(f"{desk.symbol}: a position was taken over"), *desk.covered(at)]
    book.lot, book.foreign, book.adopted, book.doubted, book.margin = None, 0, True, None, truth.margin
    if not truth.quantity:
        return out
    if not ours:
        out.append(desk.alert("critical", f"a position of no order of ours; {desk.what_is_done()}"))
    if not ours and desk.foreign is Foreign.IGNORE:
        book.foreign = truth.quantity
        return out
    book.lot = _adopted(desk, truth, at)
    desk.exposed(at)
    if not ours and desk.foreign is Foreign.CLOSE:
        book.urgent = trades.FOREIGN
    return out


def _stop(desk: Desk, found: RestingStop, at: int) -> list[Command]:
    """A stop that rests at the exchange: ours is seen, or asked for; another's is told of once."""
    book, name = desk.book, found.client_id
    known = book.stops.get(name)
    if known is None and not desk.is_ours(name):
        if name in book.strangers:
            return []
        book.strangers.append(name)
        return [desk.alert("warning", f"a stop of somebody else rests here and is left alone: {name}")]
    # one that is over by what we know may have ended after it was seen: it proves nothing until it was asked for
    sure = known is not None and not known.over and known.state is not State.TRIGGERED
    state, since = (State.CONFIRMED, at) if sure else (State.UNRESOLVED, 0)
    if sure and book.lot:
        book.lot.stop_tries = 0
    placed = known.placed if known else at
    book.stops[name] = Stop(name, found.side, found.trigger, found.quantity, state, since, placed, seen=at)
    return []


def _adopted(desk: Desk, truth: SymbolTruth, at: int) -> Lot:
    """A position as stated, with the stop distance of a middling regime, held from now on."""
    side, quantity = (1, truth.quantity) if truth.quantity > 0 else (-1, -truth.quantity)
    unit, bps = desk.instrument.unit, desk.unknown_stop_bps
    return Lot(
        side=side,
        quantity=quantity,
        cost=truth.cost,
        opened=quantity,
        notional=truth.cost,
        entry_time=at,
        entry_bar=desk.decision.floor(at),
        leverage=truth.leverage,
        stop_bps=bps,
        stop=fills.stop_price(truth.cost, quantity, unit, side, bps),
        margin=truth.margin,
    )
