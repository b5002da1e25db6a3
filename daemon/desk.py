"""One symbol's desk: takes in what the exchange says of a symbol's position, order and stops.

It only keeps the `Book` true; what to do about it is `daemon.steering`'s part. An event that comes twice, late or out
of order leaves the book as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite

from daemon import lots
from daemon.commands import Alert, Command, Purpose, Reconcile, RecordExposure, RecordTrade
from daemon.events import (
    Filled,
    LeverageRead,
    Meaning,
    OrderStatus,
    OrderUpdated,
    StopUpdated,
)
from daemon.identity import prefix
from daemon.orders import ORDER, STOP, State, absence_proven, after
from daemon.state import Book, Counts, Lot, Stop, Working
from market import trades
from market.instruments import Instrument
from market.timeframes import Timeframe
from strategy.plan import Enter

LIQUIDATION_PREFIX = "autoclose-"
DELEVERAGING_PREFIX = "adl_autoclose"
"""Client ids of the exchange's own closing orders (Binance USDT-M, User Data Streams: Order Update)."""

SEEN = 200
"""How many trade ids are remembered to tell duplicates; more, if more were told since the last truth."""


class Foreign(StrEnum):
    """What is done about a position in a symbol of ours that no order of ours explains, while we hold none there.

    What somebody adds to or takes from a position of ours becomes part of it whatever stands here: the exchange has but
    one.
    """

    ADOPT = "adopt"
    """It is protected, and leaves by the rules."""
    IGNORE = "ignore"
    """It is left alone, and the symbol is not entered."""
    CLOSE = "close"
    """It is closed at market."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in ms, before asking again or trying again, and how often a stop is tried.

    `protect_ms` is within what an open position must have a stop that was read back. A quarter of it is given to the
    first question about an order or a stop and between tries, half of it until a stop that is still not confirmed is
    placed anew beside it; after all tries, or twice the time, the position is closed. `answer_ms` bounds a setting of
    leverage, `retry_ms` the pause after a closing order was refused, `reconcile_ms` how often the whole truth is asked.
    """

    answer_ms: int = 3_000
    protect_ms: int = 1_000
    retry_ms: int = 1_000
    reconcile_ms: int = 30_000
    stop_tries: int = 3

    @property
    def soon_ms(self) -> int:
        return self.protect_ms // 4

    def question_ms(self, asked: int) -> int:
        """How long after the last question the next is due: doubling, so that an outage brings no storm of them."""
        return min(self.answer_ms, self.soon_ms << min(asked, 8))


@dataclass(frozen=True, slots=True)
class Desk:
    """A symbol's book and the terms it is kept under; all state is in the book.

    `unknown_stop_bps` is the stop distance for a position that no order of ours explains.
    """

    instrument: Instrument
    book: Book
    counts: Counts
    deployment: str
    decision: Timeframe
    unknown_stop_bps: int
    patience: Patience
    foreign: Foreign = Foreign.ADOPT

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def live_stops(self) -> list[Stop]:
        """Stops that can still act."""
        return [s for s in self.book.stops.values() if not s.over]

    def protected(self) -> bool:
        """Whether a stop of the right side and size was read back for the open position."""
        lot = self.book.lot
        return lot is not None and any(covers(s, lot) for s in self.book.stops.values())

    def in_place(self) -> bool:
        """Whether the one live stop is exactly the one wanted, read back."""
        lot, live = self.book.lot, self.live_stops()
        return lot is not None and len(live) == 1 and live[0].state is State.CONFIRMED and wanted(live[0], lot)

    @property
    def at_rest(self) -> bool:
        """Nothing under way or in doubt: flat without stops, or a position with exactly its stop."""
        book = self.book
        if book.order or book.goal or book.urgent or book.doubted is not None:
            return False
        return self.in_place() if book.lot else not self.live_stops()

    def filled(self, event: Filled, cash: int, at: int, coin_value: int = 0) -> list[Command]:
        """An execution on the account: the only thing that changes a position.

        `cash` is the wallet behind it, `coin_value` what its fee in another coin was worth, both in cash units.
        """
        book = self.book
        if event.trade_id in book.trades_seen:
            return []
        book.trades_seen.append(event.trade_id)
        book.trades_told, book.doubted = book.trades_told + 1, None
        order = book.order if book.order and book.order.client_id == event.client_id else None
        if order:
            order.executed += event.quantity
            order.filled = max(order.filled, order.executed)
            if order.executed >= order.quantity:
                order.state = State.FILLED
        out, left = list[Command](), event
        if book.adopted:
            book.adopted = False
            out.append(Reconcile(f"{self.symbol}: an execution after a position was taken over"))
        if book.lot and event.side == -book.lot.side:
            closing = min(event.quantity, book.lot.quantity)
            book.lot.coin_fees += coin_value
            out += self._reduced(book.lot, replace(event, quantity=closing), order, cash, at)
            left, coin_value = replace(event, quantity=event.quantity - closing, fee=0), 0
        if left.quantity and not book.lot and not order and not self.is_ours(event.client_id):
            return out + self._opened_by_somebody(left, at)  # its fee is not ours to count
        if left.quantity:
            book.lot = lots.increase(book.lot, left, order, self.instrument, self.decision, self.unknown_stop_bps)
            book.lot.coin_fees += coin_value
            book.lot.margin = max(
                book.margin, lots.initial_margin(book.lot)
            )  # until it is stated behind this execution
            book.lot.stop_tries = 0  # a larger one wants another stop, not tried yet
            self.exposed(at)
            if not order:
                name = event.client_id or "no id"
                out.append(self.alert("critical", f"an execution of no order under way is taken over: {name}"))
        return out

    def forget(self) -> None:
        """Forget trades that no answer can tell of again: those from before the last truth, when there is another."""
        book = self.book
        book.trades_seen, book.trades_told = book.trades_seen[-max(SEEN, book.trades_told) :], 0

    def is_ours(self, client_id: str) -> bool:
        """Whether an order was made by this deployment."""
        return client_id.startswith(prefix(self.deployment))

    def _opened_by_somebody(self, fill: Filled, at: int) -> list[Command]:
        """An execution of no order of ours, while we hold nothing."""
        book, name = self.book, fill.client_id or "no id"
        if self.foreign is Foreign.IGNORE:
            book.foreign += fill.side * fill.quantity
            return [self.alert("warning", f"an execution of no order of ours, left alone: {name}")]
        book.lot = lots.increase(None, fill, None, self.instrument, self.decision, self.unknown_stop_bps)
        book.lot.margin = book.margin
        self.exposed(at)
        if self.foreign is Foreign.CLOSE:
            book.urgent = trades.FOREIGN
        return [self.alert("critical", f"an execution of no order of ours: {name}; {self.what_is_done()}")]

    def what_is_done(self) -> str:
        """What the configuration wants done about a position that is not ours, in words."""
        return {
            Foreign.ADOPT: "it is taken over and protected",
            Foreign.IGNORE: "it is left alone, and nothing is opened here",
            Foreign.CLOSE: "it is closed",
        }[self.foreign]

    def _reduced(self, lot: Lot, fill: Filled, order: Working | None, cash: int, at: int) -> list[Command]:
        book, reason = self.book, self._why_closed(fill, order)
        trade = lots.reduce(lot, fill, reason, self.instrument, cash)
        if trade is None:
            return []
        out = self.covered(at)
        book.lot, book.margin = None, 0
        if isinstance(book.goal, Enter):
            book.goal = None  # it was entered and is over already: stopped before its stop was even read back
        if reason in (trades.STOP, trades.LIQUIDATION):
            stopped_bar = self.decision.floor(fill.time)
            book.memory = replace(book.memory, stopped_bar=stopped_bar, liquidated=reason == trades.LIQUIDATION)
        self.counts.trades += 1
        return [RecordTrade(trade), *out]

    def exposed(self, at: int) -> None:
        """The position is without a stop that was read back, from now if it was not already."""
        book = self.book
        if not book.naked_since:
            book.naked_since = book.tended_since = at

    def covered(self, at: int) -> list[Command]:
        """The position is protected or gone: how long it was not is measured and written down."""
        book, since = self.book, self.book.naked_since
        book.naked_since = book.tended_since = 0
        if not since:
            return []
        self.counts.naked_max_ms = max(self.counts.naked_max_ms, at - since)
        return [RecordExposure(self.symbol, since, at)]

    def _why_closed(self, fill: Filled, order: Working | None) -> str:
        if order:
            return order.reason
        if fill.client_id in self.book.stops:
            return trades.STOP
        if fill.client_id.startswith(LIQUIDATION_PREFIX):
            return trades.LIQUIDATION
        return trades.DELEVERAGED if fill.client_id.startswith(DELEVERAGING_PREFIX) else trades.BY_HAND

    def order_updated(self, event: OrderUpdated, at: int) -> list[Command]:
        """What the exchange says of the market order under way."""
        order = self.book.order
        if order is None or order.client_id != event.client_id:
            return []
        order.filled = max(order.filled, event.filled)
        order.state = after(ORDER, order.state, event.status)
        absent = event.status is OrderStatus.ABSENT and absence_proven(order.sent_at, at)
        if order.state is State.UNRESOLVED and absent:
            order.state = State.ABSENT
        if order.state in (State.REJECTED, State.EXPIRED, State.ABSENT) and not order.filled:
            if order.purpose is not Purpose.ENTRY:
                self.book.retry_at = at + self.patience.retry_ms
            return [self.alert("warning", f"{order.purpose} order {order.state}: {event.message or event.code}")]
        return []

    def stop_updated(self, event: StopUpdated, at: int) -> list[Command]:
        """What the exchange says of a stop; only a stop that was asked for and found as wanted is CONFIRMED."""
        book = self.book
        stop = book.stops.get(event.client_id)
        rests, ours = event.status is OrderStatus.ACCEPTED, self.is_ours(event.client_id)
        if stop is None and rests and ours:  # given up as absent, and arrived after all
            stop = Stop(event.client_id, event.side, event.trigger, event.quantity, State.SENT, at, at)
            book.stops[event.client_id] = stop
        if stop is None:
            return []
        before = stop.state
        stop.state = after(STOP, before, event.status)
        if rests:
            stop.seen, stop.missing = at, False
        if stop.state is State.ABSENT and stop.seen and not absence_proven(stop.seen, at):
            stop.state, stop.missing = State.UNRESOLVED, True  # the answer may be older than the sighting: ask again
        if event.read_back and stop.state is State.RESTING:
            stop.side, stop.trigger, stop.quantity = event.side, event.trigger, event.quantity
            stop.state = State.CONFIRMED
        if stop.state is not before:
            stop.since, stop.asked = at, 0
        if book.lot and stop.state is State.CONFIRMED:
            book.lot.stop_tries = 0
        if book.lot and before is State.CONFIRMED and stop.state in (State.CANCELED, State.EXPIRED):
            return [self.alert("critical", f"its stop is gone ({stop.state}, not by us): another is placed")]
        if book.lot and stop.state is State.REJECTED and before is not State.REJECTED:
            return self._stop_refused(book.lot, event.code, event.message, at)
        if book.lot and stop.state is State.ABSENT and before is not State.ABSENT and not stop.seen:
            return [self.alert("critical", f"stop never arrived ({book.lot.stop_tries})")]
        return []

    def leverage_read(self, event: LeverageRead) -> list[Command]:
        """Leverage and margin mode as they are; an entry that wanted others is given up, never sent hoping."""
        book, goal = self.book, self._entry_awaiting_leverage()
        book.leverage, book.isolated, book.leverage_asked_at = event.leverage, event.isolated, 0
        told = event.price is not None and isfinite(event.price)
        book.price = self.instrument.nearest_ticks(event.price) if told and event.price is not None else None
        if goal is None or (event.leverage, event.isolated) == (goal.leverage, True):
            return []
        mode = "isolated" if event.isolated else "cross"
        text = f"{goal.leverage}x isolated was set, {event.leverage}x {mode} reads back: entry given up"
        book.goal = None
        return [self.alert("warning", text)]

    def _entry_awaiting_leverage(self) -> Enter | None:
        """The entry that the last setting of leverage was for; None if a late answer finds something else under way."""
        book = self.book
        awaited = isinstance(book.goal, Enter) and book.leverage_asked_at and not book.lot and not book.order
        return book.goal if awaited and isinstance(book.goal, Enter) else None

    def unresolved(self, client_id: str) -> None:
        """An order was sent and nobody knows what became of it: it will be asked for, never resent blind."""
        order, stop = self.book.order, self.book.stops.get(client_id)
        if order and order.client_id == client_id and order.state is State.SENT:
            order.state, order.asked_at = State.UNRESOLVED, 0
        if stop and not stop.over:
            stop.state, stop.since = State.UNRESOLVED, 0

    def failed(
        self, command: str, client_id: str, code: int, message: str, at: int, meaning: Meaning = Meaning.OTHER
    ) -> list[Command]:
        """The exchange refused a command, or it could not be sent."""
        book, stop = self.book, self.book.stops.get(client_id)
        match command:
            case "SetLeverage" if self._entry_awaiting_leverage():
                book.goal, book.leverage_asked_at = None, 0
                return [self.alert("warning", f"entry given up, setting its leverage was {_answer(code, message)}")]
            case "Submit" if book.order and book.order.client_id == client_id:
                return self._order_refused(book.order, code, message, at)
            case "CancelStop" if stop and not stop.over:
                stop.state, stop.since = State.UNRESOLVED, at
            case "PlaceStop" if stop and not stop.over:
                stop.state, stop.since = State.REJECTED, at
                return self._stop_refused(book.lot, code, message, at, meaning) if book.lot else []
        return []  # a question that was not answered is asked again in its own time

    def _order_refused(self, order: Working, code: int, message: str, at: int) -> list[Command]:
        book, book.order = self.book, None
        if order.purpose is Purpose.ENTRY:
            book.goal = None
            return [self.alert("warning", f"entry {_answer(code, message)}")]
        book.retry_at = at + self.patience.retry_ms
        return [
            self.alert("warning", f"closing order {_answer(code, message)}"),
            Reconcile(f"{self.symbol}: closing order {_answer(code, message)}"),
        ]

    def _stop_refused(
        self, lot: Lot, code: int, message: str, at: int, meaning: Meaning = Meaning.OTHER
    ) -> list[Command]:
        if meaning is Meaning.WOULD_TRIGGER:
            self.book.urgent = trades.UNPROTECTED  # and closed at once: no pause while nothing protects it
        elif lot.stop_tries < self.patience.stop_tries:  # the last refusal is not waited upon
            self.book.stop_retry_at = at + self.patience.soon_ms
        return [self.alert("critical", f"stop {_answer(code, message)} (try {lot.stop_tries})")]

    def alert(self, level: str, text: str) -> Alert:
        return Alert(level, f"{self.symbol}: {text}")


def _answer(code: int, message: str) -> str:
    """What became of a command that nothing came of: the exchange said no, or it never left."""
    return message if message.startswith("not sent") else f"refused by the exchange: {code} {message}"


def covers(stop: Stop, lot: Lot) -> bool:
    """Whether a stop was read back that closes the whole position, wherever it stands."""
    return stop.state is State.CONFIRMED and stop.side == -lot.side and stop.quantity >= lot.quantity


def wanted(stop: Stop, lot: Lot) -> bool:
    """Whether a stop has the side, size and trigger that the position wants."""
    return stop.trigger == lot.stop and stop.side == -lot.side and stop.quantity == lot.quantity
