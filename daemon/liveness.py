"""Liveness: when the daemon counts as started, as healthy and as stopping, told to the service manager by the loop.

Nothing here runs in a thread, nor beside the loop once it trades: a loop that does not turn says nothing, and is
killed. A market that is silent and an exchange that is down are no illness: streams have their own deadlines, and the
loop turns.
"""

from __future__ import annotations

import asyncio
import time

from daemon.notify import FEEDS, Manager
from daemon.status import Observed
from market.timeframes import utc_text

START_S = 30.0
"""A start that is under way asks for so much time again and again, seconds; one that hangs does not."""
STOP_S = 30.0
"""So much time a stop asks for, over and over until the daemon rests; its own deadline ends it first, seconds."""
STATUS_S = 1.0
"""The line for a person is looked at no more often, seconds."""
STUCK_S = 5.0
"""A journal's write that takes so much longer than a locked file is waited for hangs in the kernel, seconds."""


class Liveness:
    """Speaks for one daemon to the manager that started it."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._ready = self._stopping = False
        self._fed = self._asked = self._looked = 0.0
        self._line = ""

    async def start(self) -> None:
        """While the daemon starts, and perhaps waits for an exchange for hours, ask for time; ends with the start."""
        while self._manager.present and not self._ready and not self._stopping:
            self._manager.extend(START_S)
            await asyncio.sleep(START_S / FEEDS)

    def turned(self, daemon: Observed, market_live: bool) -> None:
        """The loop has turned once; called by the loop alone.

        Parameters
        ----------
        market_live : bool
            Whether klines come in.
        """
        if not self._manager.present:
            return
        now = time.monotonic()
        if daemon.stopping:
            self._stop(now)
        elif not self._ready and trades(daemon, market_live):
            self._ready, self._looked = self._manager.ready(), 0.0
        if self._ready and self._healthy(daemon) and self._hungry(now) and self._manager.alive():
            self._fed = now
        if now - self._looked >= STATUS_S:
            self._looked = now
            self._tell(line(daemon))

    def reloading(self) -> None:
        """The configuration is being read again."""
        if self._ready:
            self._manager.reloading()

    def reloaded(self) -> None:
        """A configuration is in force, the new one or still the old."""
        if self._ready:
            self._manager.ready()

    def _healthy(self, daemon: Observed) -> bool:
        """A slow disk is told of and waited for; a write that never ends is nothing that waiting could mend."""
        return daemon.journal.taking_s < daemon.config.deadlines.journal_s + STUCK_S

    def _hungry(self, now: float) -> bool:
        return self._manager.watchdog_s is not None and now - self._fed >= self._manager.watchdog_s / FEEDS

    def _stop(self, now: float) -> None:
        if not self._stopping:
            self._stopping = self._manager.stopping()
        if now - self._asked >= STOP_S / FEEDS and self._manager.extend(STOP_S):
            self._asked = now

    def _tell(self, text: str) -> None:
        if text != self._line and self._manager.status(text):
            self._line = text


def trades(daemon: Observed, market_live: bool) -> bool:
    """Whether a start has succeeded: the account's truth is known, and klines come in or positions are looked after."""
    state = daemon.engine.state if daemon.engine else None
    return state is not None and state.reconciled and (market_live or bool(state.attended))


def line(daemon: Observed) -> str:
    """One line: what it does, its trading state, the last settled candle, the set, and what is open."""
    engine = daemon.engine
    if engine is None:
        return f"waiting for the exchange · set {daemon.predictor.id}"
    state = engine.state
    phase = "stopping" if daemon.stopping else "trading" if state.reconciled else "starting"
    settled = f"settled {utc_text(state.settled_bar)}" if state.settled_bar >= 0 else "no candle settled yet"
    lots = sum(book.lot is not None for book in state.books.values())
    opened = "flat" if not lots else f"{lots} position{'s' if lots > 1 else ''}"
    return f"{phase} · {state.memory.state} · {settled} · set {state.model_set or daemon.predictor.id} · {opened}"
