"""Wiring: builds the parts of the lifecycle onto a running daemon, and starts and ends them with it.

None of them holds up trading: what blocks runs in threads, and what fails is told while the daemon trades on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.config import Mode
from daemon.drift.attaching import attached
from daemon.drift.monitor import Monitor
from daemon.lifecycle.book import Book
from daemon.retraining.freshness import Freshness
from daemon.retraining.retrainer import Retrainer
from daemon.swapping.judging import Judge
from daemon.swapping.naming import after_a_restart, follows
from daemon.swapping.service import Service
from daemon.swapping.swapper import Swapper
from daemon.swapping.verbs import verbs

if TYPE_CHECKING:
    from daemon.app import Daemon
    from daemon.engine import Engine
    from daemon.inference import Inference

log = logging.getLogger("daemon.lifecycle")

Spawn = Callable[[Coroutine[Any, Any, Any], str], None]


@dataclass
class Lifecycle:
    """The parts that belong to one life of a daemon.

    Each is an object whose `run` is spawned by `start`; it hears of what happens by `daemon.watchers`, and is asked by
    the verbs it puts into `daemon.verbs`.
    """

    book: Book
    swapper: Swapper
    retrainer: Retrainer | None = None
    monitor: Monitor | None = None

    @classmethod
    async def of(cls, daemon: Daemon, engine: Engine, inference: Inference, book: Book) -> Lifecycle:
        """The parts of a daemon, its engine, its inference and an open book; nothing runs yet."""
        config = daemon.config
        history = None if config.retraining is None else Freshness(config, config.retraining.history)
        service = Service(engine, inference, daemon.store, daemon.backfill, daemon.inbox, daemon.serve)
        judge = Judge(config, None if history is None else history.prepare)
        swapper = Swapper(config, daemon.venue.profile, book, service, judge, daemon.alerts)
        daemon.watchers.append(swapper)
        daemon.verbs |= verbs(swapper)
        daemon.parts["swapping"], daemon.offer = swapper, swapper.offer
        if not follows(config):
            log.info("a set that is swapped in stays until the daemon ends: %s", after_a_restart(config))
        retrainer = None
        if history is not None:
            aging = config.mode is not Mode.SANDBOX  # a replay's market time says nothing about a set's age
            retrainer = Retrainer(
                config, book, history, daemon.alerts, swapper.offer, lambda: daemon.predictor.id,
                lambda: daemon.predictor.expires_ms if aging else None,
            )  # fmt: skip
            daemon.verbs |= retrainer.verbs
            daemon.parts["retraining"] = retrainer
        monitor = attached(daemon, engine, inference, book, service.quiet)
        if monitor is not None and retrainer is not None:
            monitor.ask = retrainer.coordinator.ask
        return cls(book, swapper, retrainer, monitor)

    def start(self, spawn: Spawn, rests: Callable[[str], None]) -> None:
        """Begin, now that the streams are open; `rests` is told which part has ended in an error, and why."""
        for name, part in (("swapper", self.swapper), ("retraining", self.retrainer), ("drift", self.monitor)):
            if part is not None:
                spawn(_alone(part.run(), name, rests), name)

    def status(self) -> dict[str, Any]:
        """What is under way, for the daemon's status."""
        told: dict[str, Any] = {"swap": self.swapper.standing()}
        return told | ({"retraining": self.retrainer.status()} if self.retrainer is not None else {})

    async def close(self) -> None:
        """Let go of what is held; every row stands as it was last written, and the next life goes on from there."""
        if self.retrainer is not None:
            await self.retrainer.close()
        await asyncio.to_thread(self.book.close)


async def _alone(work: Coroutine[Any, Any, Any], name: str, rests: Callable[[str], None]) -> None:
    """Do the work of a part; an error that nobody foresaw ends the part, and not the daemon with what is open."""
    try:
        await work
    except Exception as error:
        log.exception("%s ended in an error", name)
        rests(f"{name} ended in an error: {error!r}; the log says more, and a restart begins it again")
