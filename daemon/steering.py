"""Steering: what a symbol's desk still has to do.

Level-triggered: `advance` looks at what is known and says what is missing, after every event. The first thing it
mends is an open position without a stop that was read back.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon import approval, lots
from daemon.approval import Standing
from daemon.commands import (
    Approved,
    AskOrder,
    AskStop,
    CancelStop,
    Command,
    MarketOrder,
    PlaceStop,
    Purpose,
    SetLeverage,
    StopOrder,
    Submit,
)
from daemon.desk import Desk, covers, wanted
from daemon.identity import client_id
from daemon.orders import State
from daemon.state import Lot, Stop, Working
from market import trades
from strategy.plan import Enter, Exit, Tighten

WAITING = (State.SENT, State.RESTING, State.UNRESOLVED, State.CANCELING, State.TRIGGERED)
"""States of a stop that must not last: it should be read back, gone, or filled."""
KEPT = 50
"""How many stops of an open position are remembered that are over."""
PLACED = (State.SENT, State.RESTING, State.UNRESOLVED)
"""States of a stop that may be read back soon."""


def advance(desk: Desk, close: int, standing: Callable[[], Standing], at: int) -> list[Command]:
    """The commands that are missing now; `close` (ticks) and the account's `standing` bound an entry."""
    out = _follow(desk, at) + _give_up(desk, at)
    if desk.book.order is None:
        out += _pursue(desk, close, standing, at)
    out += _protect(desk, at)
    return out + _watch(desk, at)


def _follow(desk: Desk, at: int) -> list[Command]:
    """Ask about what has been silent for too long; forget what is over."""
    book, out, patience = desk.book, list[Command](), desk.patience
    order = book.order
    if order and order.done:
        book.order = order = None
        if not book.lot and isinstance(book.goal, Enter):
            book.goal = None
    # an order whose fate is open may have made a position, and one that is over owes its executions
    if order and (not order.asked_at or at - max(order.sent_at, order.asked_at) >= patience.question_ms(order.asked)):
        order.asked_at = at
        order.asked += 1
        out.append(AskOrder(desk.symbol, order.client_id))
    for stop in book.stops.values():
        if stop.state in WAITING and at - stop.since >= patience.question_ms(stop.asked):
            stop.since = at
            stop.asked += 1
            again = CancelStop if stop.state is State.CANCELING else AskStop
            out.append(again(desk.symbol, stop.client_id))
    if over := [i for i, s in book.stops.items() if s.over]:
        # while a position is open a late fill of one of them may still come
        forgotten = over if book.lot is None and book.order is None else over[:-KEPT]
        book.stops = {i: s for i, s in book.stops.items() if i not in forgotten}
    return out


def _give_up(desk: Desk, at: int) -> list[Command]:
    """A position that cannot be protected is closed; a nearer stop that cannot be had leaves the one there is."""
    book, lot, patience = desk.book, desk.book.lot, desk.patience
    if lot is None or book.urgent:
        return []
    spent = lot.stop_tries >= patience.stop_tries and not _pending(desk, lot, at) and at >= book.stop_retry_at
    if desk.protected():
        if not spent:
            return []
        keep = next(s for s in desk.live_stops() if covers(s, lot))
        lot.stop, lot.stop_bps, lot.stop_tries = keep.trigger, lots.distance_bps(lot, keep.trigger, desk.instrument), 0
        book.goal = None if isinstance(book.goal, Tighten) else book.goal
        return [desk.alert("critical", "another stop cannot be had; the one that rests is kept")]
    naked = at - book.tended_since if book.naked_since else 0
    triggered = any(s.state is State.TRIGGERED for s in desk.live_stops())
    if spent or naked >= (patience.protect_ms if triggered else 2 * patience.protect_ms):
        book.urgent = trades.UNPROTECTED
        why = "its stop has triggered, and nothing comes of it" if triggered else "no stop could be read back"
        return [desk.alert("critical", f"{why}: the position is closed")]
    return []


def _pursue(desk: Desk, close: int, standing: Callable[[], Standing], at: int) -> list[Command]:
    book = desk.book
    if book.urgent:
        if book.lot:
            return _close(desk, book.lot, Purpose.RESCUE, book.urgent, at)
        book.urgent, book.goal = "", None
    match book.goal:
        case Enter() as goal:
            return _enter(desk, goal, close, standing(), at)
        case Exit() as goal if book.lot:
            return _close(desk, book.lot, Purpose.EXIT, str(goal.reason), at)
        case Exit() if not desk.live_stops():
            book.goal = None
        case Tighten() as goal:
            if book.lot and book.lot.stop != goal.stop:
                book.lot.stop, book.lot.stop_bps = goal.stop, goal.stop_bps
            elif book.lot is None or desk.in_place():
                book.goal = None
        case _:
            pass
    return []


def _enter(desk: Desk, goal: Enter, close: int, standing: Standing, at: int) -> list[Command]:
    book = desk.book
    if book.lot:
        if desk.in_place():
            book.goal = None
        return []
    if desk.live_stops() or book.doubted is not None:
        return []  # orphans of the last position are being cancelled, or the exchange may hold one that we do not know
    if (book.leverage, book.isolated) != (goal.leverage, True):
        if at - book.leverage_asked_at < desk.patience.answer_ms:
            return []
        book.leverage_asked_at = at
        return [SetLeverage(desk.symbol, goal.leverage)]
    identity = client_id(desk.deployment, book.goal_bar, desk.symbol, Purpose.ENTRY, 0)
    order = MarketOrder(desk.symbol, identity, Purpose.ENTRY, goal.side, goal.quantity, reduce_only=False)
    try:
        approved = approval.approve_entry(order, goal, desk.instrument, book, close, standing, at)
    except approval.Denied as denied:
        book.goal = None
        return [desk.alert("warning", f"entry not approved: {denied}")]
    return _submit(desk, approved, goal, at)


def _close(desk: Desk, lot: Lot, purpose: Purpose, reason: str, at: int) -> list[Command]:
    """Close the whole position at market, reduce-only; the stop stays until it is flat."""
    book = desk.book
    if at < book.retry_at:
        return []
    bar = book.goal_bar if purpose is Purpose.EXIT else lot.entry_bar
    identity = client_id(desk.deployment, bar, desk.symbol, purpose, book.attempts)
    book.attempts += 1
    lot.stop_tries = min(lot.stop_tries, desk.patience.stop_tries - 1)  # should this hang or be refused: one more stop
    order = MarketOrder(desk.symbol, identity, purpose, -lot.side, lot.quantity, reduce_only=True)
    return _submit(desk, approval.approve_close(order, lot), reason, at)


def _submit(desk: Desk, approved: Approved[MarketOrder], why: Enter | str, at: int) -> list[Command]:
    """Send an order: of an entry, whose terms the position will keep, or for a reason to close."""
    order, reason = approved.order, why if isinstance(why, str) else str(why.reason)
    working = Working(order.client_id, order.purpose, order.side, order.quantity, reason, State.SENT, at, at)
    if isinstance(why, Enter):
        working.leverage, working.stop_bps, working.max_hold_bars = why.leverage, why.stop_bps, why.max_hold_bars
    desk.book.order = working
    desk.counts.orders += 1
    return [Submit(approved)]


def _protect(desk: Desk, at: int) -> list[Command]:
    """Exactly one stop, the wanted one: place it, and only when it was read back cancel every other."""
    book, lot, patience = desk.book, desk.book.lot, desk.patience
    live = desk.live_stops()
    if lot is None:
        return _cancel(desk, live, at) if book.order is None else []
    order = book.order
    if order and order.purpose is Purpose.ENTRY and at - book.naked_since < patience.soon_ms:
        return []  # the rest of the entry is about to arrive
    closing = order is not None and order.purpose is not Purpose.ENTRY
    if closing and order and at - order.sent_at < patience.protect_ms // 2:
        return []  # it is about to be gone
    keep = next((s for s in live if s.state is State.CONFIRMED and wanted(s, lot) and not s.missing), None)
    if keep:
        return _cancel(desk, [s for s in live if s is not keep], at)
    # a close that takes long or is refused is no reason to stand naked, and an exit has its stop already
    needless = desk.protected() and (closing or bool(book.urgent))
    triggered = any(s.state is State.TRIGGERED for s in live)
    if needless or triggered or _pending(desk, lot, at) or at < book.stop_retry_at:
        return []
    if lot.stop_tries >= patience.stop_tries:
        return []  # given up at the next look
    identity = client_id(desk.deployment, lot.entry_bar, desk.symbol, Purpose.STOP, book.attempts)
    book.attempts += 1
    lot.stop_tries += 1
    stop = StopOrder(desk.symbol, identity, -lot.side, lot.quantity, lot.stop)
    approved = approval.approve_stop(stop, lot)
    book.stops[identity] = Stop(identity, stop.side, stop.trigger, stop.quantity, State.SENT, at, placed=at)
    return [PlaceStop(approved)]


def _pending(desk: Desk, lot: Lot, at: int) -> bool:
    """Whether a stop as wanted is on its way and may still be read back in time."""
    return any(
        wanted(s, lot) and s.state in PLACED and not s.missing and at - s.placed < desk.patience.protect_ms // 2
        for s in desk.live_stops()
    )


def _cancel(desk: Desk, stops: list[Stop], at: int) -> list[Command]:
    """Cancel the stops that were acknowledged; one that is still unknown is asked for first."""
    ready = [s for s in stops if s.state in (State.RESTING, State.CONFIRMED)]
    for stop in ready:
        stop.state, stop.since = State.CANCELING, at
    return [CancelStop(desk.symbol, stop.client_id) for stop in ready]


def _watch(desk: Desk, at: int) -> list[Command]:
    """Measure how long a position stands without a stop that was read back."""
    if desk.book.lot is None or desk.protected():
        return desk.covered(at)
    desk.exposed(at)
    return []
