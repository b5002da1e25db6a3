"""The outbox: holds a step's commands until the journal has the step on disk, then lets them go in order.

Intent before deed. What opens risk waits for the disk however long it takes, and is given up when it has grown old.
What protects waits for a moment only: it can but reduce risk, its client id is derived, and after a crash it is found
again by asking. Questions wait for nothing. Within a symbol the order stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.commands import CancelStop, Command, PlaceStop, SetLeverage, Submit
from daemon.events import Event, Failed
from daemon.journal import Journal

log = logging.getLogger("daemon.outbox")

STALE_S = 2.0
"""How long a command that opens risk may wait before it is not sent at all; its step was decided on older prices."""

LATE = "not sent: the journal did not take its intent in time"

Start = Callable[[Command, float], None]
"""Begins a command; the second argument is the monotonic instant (s) at which it was commanded."""


@dataclass(frozen=True, slots=True)
class Held:
    """A command that waits for its step to be durable, since a monotonic instant (s)."""

    seq: int
    command: Command
    since: float
    patience_s: float

    @property
    def overdue(self) -> bool:
        return time.monotonic() - self.since >= self.patience_s


class Outbox:
    """Lets commands go.

    Parameters
    ----------
    journal : Journal
        Whose `durable` is waited for, and which is told of commands that went ahead.
    start : callable
        Begins a command.
    emit : callable
        Takes the `Failed` of a command that was given up.
    patience_s : float
        How long a protective command waits for the disk, seconds.
    """

    def __init__(self, journal: Journal, start: Start, emit: Callable[[Event], None], patience_s: float) -> None:
        self._journal, self._start, self._emit, self.patience_s = journal, start, emit, patience_s
        self._lanes: dict[str, deque[Held]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.went_ahead = 0
        """Protective commands that did not wait for the disk."""
        self.given_up = 0
        """Commands that were not sent because their intent could not be recorded in time."""

    @property
    def held(self) -> int:
        """How many commands wait."""
        return sum(map(len, self._lanes.values()))

    def put(self, seq: int, commands: Sequence[Command]) -> None:
        """Take in the commands of a step; its number is `seq`."""
        now = time.monotonic()
        for command in commands:
            symbol = changes(command)
            if symbol is None:
                self._start(command, now)
            else:
                patience_s = self.patience_s if protects(command) else STALE_S
                self._lanes.setdefault(symbol, deque()).append(Held(seq, command, now, patience_s))
        self.look()

    def look(self) -> None:
        """Let go what may go now: call it when the journal has come further, or has failed."""
        for symbol in list(self._lanes):
            self._work_off(self._lanes[symbol])
            if not self._lanes[symbol]:
                del self._lanes[symbol]
        self._wake_later()

    def recall(self) -> None:
        """Give up the entries that wait: trading was restricted after they were decided."""
        for symbol, lane in self._lanes.items():
            waiting, kept = list(lane), deque[Held]()
            for held in waiting:
                if isinstance(held.command, Submit) and not protects(held.command):
                    self._give_up(held, "not sent: trading was restricted meanwhile")
                else:
                    kept.append(held)
            self._lanes[symbol] = kept
        self.look()

    def close(self) -> None:
        """Hold what is held for good; after the next start it is decided anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._lanes.clear()

    def _work_off(self, lane: deque[Held]) -> None:
        failed = self._journal.failure is not None
        while lane:
            head = lane[0]
            if head.seq <= self._journal.durable:
                self._start(lane.popleft().command, head.since)
            elif protects(head.command):
                if not failed and not head.overdue:
                    return
                self._go_ahead(lane.popleft())
            elif failed or head.overdue or any(protects(h.command) and h.overdue for h in lane):
                self._give_up(lane.popleft(), LATE)  # nothing that opens risk keeps a protective command waiting
            else:
                return

    def _go_ahead(self, held: Held) -> None:
        self.went_ahead += 1
        waited_ms = round((time.monotonic() - held.since) * 1000)
        kind, client_id = type(held.command).__name__, identity(held.command)
        self._journal.went_ahead(held.seq, kind, client_id, waited_ms)
        log.warning("%s did not wait for the journal's disk any longer (%d ms): %s", kind, waited_ms, client_id)
        self._start(held.command, held.since)

    def _give_up(self, held: Held, why: str) -> None:
        self.given_up += 1
        kind, client_id = type(held.command).__name__, identity(held.command)
        self._emit(Failed(changes(held.command) or "", kind, client_id, 0, why))

    def _wake_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lanes:
            due = min(h.since + h.patience_s for lane in self._lanes.values() for h in lane)
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()) + 0.001, self.look)


def changes(command: Command) -> str | None:
    """The symbol at which a command changes something at the exchange; None if it changes nothing."""
    match command:
        case Submit() | PlaceStop():
            return command.approved.order.symbol
        case SetLeverage() | CancelStop():
            return command.symbol
        case _:
            return None


def protects(command: Command) -> bool:
    """Whether a command can only reduce risk; a stop is cancelled only when another was read back, or when flat."""
    match command:
        case Submit():
            return command.approved.order.reduce_only
        case PlaceStop() | CancelStop():
            return True
        case _:
            return False


def identity(command: Command) -> str:
    """The client id of the order that a command is about; empty for none."""
    order = command.approved.order if isinstance(command, Submit | PlaceStop) else command
    return str(getattr(order, "client_id", ""))
