"""Wiring: builds the parts of the lifecycle onto a running daemon, and starts and ends them with it.

None of them holds up trading: what blocks runs in threads, and what fails is told while the daemon trades on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.drift.attaching import attached
from daemon.drift.monitor import Monitor
from daemon.lifecycle.book import Book

if TYPE_CHECKING:
    from daemon.app import Daemon
    from daemon.engine import Engine
    from daemon.inference import Inference

Spawn = Callable[[Coroutine[Any, Any, Any], str], None]


@dataclass
class Lifecycle:
    """The parts that belong to one life of a daemon.

    Each is an object whose `run` is spawned by `start`; it hears of what happens by `daemon.watchers`, and is asked by
    the verbs it puts into `daemon.verbs`.
    """

    book: Book
    monitor: Monitor | None = None

    @classmethod
    async def of(cls, daemon: Daemon, engine: Engine, inference: Inference) -> Lifecycle:
        """The parts of a daemon, its engine and its inference; nothing runs yet."""
        book = await asyncio.to_thread(Book, daemon.config.state_dir)
        return cls(book, attached(daemon, engine, inference, book))

    def start(self, spawn: Spawn) -> None:
        """Begin, now that the streams are open."""
        if self.monitor is not None:
            spawn(self.monitor.run(), "drift")

    async def close(self) -> None:
        """Let go of what is held; every row stands as it was last written, and the next life goes on from there."""
        await asyncio.to_thread(self.book.close)
