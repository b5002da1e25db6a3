"""The kill points: every place between a frame and a durable record where a daemon's life can be ended.

Nothing in the daemon knows of this. In the process of one life the seams are wrapped from outside: what ccxt receives
and sends, what the engine is given, what SQLite commits, what execution begins. Each crossing of a seam is counted by
name; the one that a plan names ends the process by SIGKILL, which no handler sees and nothing outlives.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

START, TRADE = "start", "trade"
"""The phases of a life: until its market stream is live, and from then on."""
STAGES = (
    "frame arrives",
    "event taken",
    "decided, not written",
    "journal, before commit",
    "journal, after commit",
    "command begins",
    "request, not sent",
    "request, on its way",
    "reply, unread",
)
"""The kinds of points, in the order in which a candle passes them."""
WEIGHT = ("Submit", "PlaceStop", "CancelStop", "SetLeverage", "trades", "settled", "decisions", "fills", "events")
"""What a transaction is named after: the first of these that it holds."""
_INSERT = re.compile(r"\s*INSERT\s+(?:OR\s+\w+\s+)?INTO\s+\"?(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """Where a life ends: at the `nth` crossing of `point`; `delay_s` is how far a request may get on its way."""

    point: str
    nth: int
    delay_s: float


class Points:
    """Counts crossings in one life and ends it where planned.

    Parameters
    ----------
    tell : callable
        Takes what the harness wants to know: that the life trades now, and just before the end where it was struck.
    """

    def __init__(self, plan: Plan | None, tell: Callable[[dict[str, Any]], None]) -> None:
        self.plan, self.phase = plan, START
        self.crossed: Counter[str] = Counter()
        self._tell = tell
        self._one_at_a_time = threading.Lock()

    def cross(self, stage: str, what: str) -> None:
        """Count a crossing; does not return from the planned one."""
        if self.due(stage, what):
            self.strike(f"{self.phase}: {stage}: {what}")

    def due(self, stage: str, what: str) -> bool:
        """Count a crossing and say whether it is the planned one."""
        point = f"{self.phase}: {stage}: {what}"
        with self._one_at_a_time:
            self.crossed[point] += 1
            return self.plan is not None and (point, self.crossed[point]) == (self.plan.point, self.plan.nth)

    def now_trading(self) -> None:
        """The market stream is live: points are named for the second phase from here."""
        if self.phase is START:
            self.phase = TRADE
            self._tell({"trading": True})

    def strike(self, point: str) -> NoReturn:
        """End this process at once."""
        self._tell({"struck": point, "crossed": dict(self.crossed)})
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a killed process goes on")


def wrap_seams(points: Points) -> None:
    """Lay the points over the classes of this process; for a process that runs one life and nothing else."""
    _wrap_wire(points)
    _wrap_engine(points)
    _wrap_commits(points)


def _wrap_wire(points: Points) -> None:
    import ccxt.pro
    from ccxt.async_support.base.exchange import Exchange

    hear, fetch = ccxt.pro.binance.handle_message, Exchange.fetch

    def handle_message(self: Any, client: Any, message: Any) -> Any:
        if isinstance(message, dict) and (name := _frame_name(message.get("data", message))):
            points.cross("frame arrives", name)
        return hear(self, client, message)

    async def fetch_watched(self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        request = f"{method} {urlsplit(url).path.rpartition('/')[2]}"
        points.cross("request, not sent", request)
        if points.due("request, on its way", request):
            going = asyncio.ensure_future(fetch(self, url, method, headers, body))
            await asyncio.sleep(points.plan.delay_s if points.plan else 0)
            going.cancel()
            points.strike(f"{points.phase}: request, on its way: {request}")
        reply = await fetch(self, url, method, headers, body)
        points.cross("reply, unread", request)
        return reply

    ccxt.pro.binance.handle_message = handle_message
    Exchange.fetch = fetch_watched


def _wrap_engine(points: Points) -> None:
    from daemon.engine import Engine
    from daemon.execution import Execution

    step, start = Engine.step, Execution.start

    def step_watched(self: Any, event: Any, at: int) -> Any:
        kind = type(event).__name__
        if kind == "StreamLive" and "private" not in event.stream:
            points.now_trading()
        if kind == "Tick":
            return step(self, event, at)
        points.cross("event taken", kind)
        commands = step(self, event, at)
        for name in dict.fromkeys(type(command).__name__ for command in commands):
            points.cross("decided, not written", name)
        return commands

    def start_watched(self: Any, command: Any, *rest: Any) -> Any:
        points.cross("command begins", type(command).__name__)
        return start(self, command, *rest)

    Engine.step, Execution.start = step_watched, start_watched  # type: ignore[method-assign]


def _wrap_commits(points: Points) -> None:
    """Every transaction of the process, by whatever part of it and in whatever thread, through the dialect."""
    import sqlalchemy as sa
    from sqlalchemy.engine.default import DefaultDialect

    commit = DefaultDialect.do_commit
    written = threading.local()

    def inserting(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        if found := _INSERT.match(statement):
            held: set[str] = written.__dict__.setdefault("held", set())
            held.add(found[1])
            if found[1] == "intents":
                held |= {str(row.get("kind")) for row in context.compiled_parameters}

    def do_commit(self: Any, connection: Any) -> None:
        held: set[str] = written.__dict__.pop("held", set())
        if not held:
            commit(self, connection)
            return
        name = next((n for n in WEIGHT if n in held), min(held))
        points.cross("journal, before commit", name)
        commit(self, connection)
        points.cross("journal, after commit", name)

    sa.event.listen(sa.Engine, "before_cursor_execute", inserting)
    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _frame_name(frame: Any) -> str | None:
    """A frame's kind; None for klines that still form, of which there are many and which change nothing."""
    if not isinstance(frame, dict):
        return None
    kind = frame.get("e")
    if kind == "kline":
        return "closing kline" if frame.get("k", {}).get("x") else None
    if kind == "ORDER_TRADE_UPDATE":
        return f"order {frame.get('o', {}).get('X')}"
    if kind == "ALGO_UPDATE":
        return f"stop {frame.get('o', {}).get('X')}"
    return str(kind) if kind else None


def line(message: dict[str, Any]) -> bytes:
    """One JSON line, short enough to be written in one piece between processes that share a pipe."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
