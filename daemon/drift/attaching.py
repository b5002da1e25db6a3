"""Attaching: puts a monitor onto a running daemon, or sees that nothing is left in force where nobody looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from daemon.drift.monitor import Monitor
from daemon.events import DriftJudged, DriftLevel
from daemon.lifecycle.book import Book
from strategy.plan import FULL_SIZE

if TYPE_CHECKING:
    from daemon.app import Daemon
    from daemon.engine import Engine
    from daemon.inference import Inference


def attached(
    daemon: Daemon, engine: Engine, inference: Inference, book: Book, quiet: Callable[[], Awaitable[None]]
) -> Monitor | None:
    """The monitor of a daemon whose configuration has the section `drift`; its `run` is the caller's to start.

    `quiet` returns when no candle is being decided.

    Without the section a level that a former life left in force ends here: nobody would ever lower it.
    """
    config = daemon.config.drift
    if config is None:
        if engine.state.drift.level is not DriftLevel.NONE:
            text = "the configuration has no section drift any more, so nobody looks"
            daemon.inbox.put(DriftJudged(DriftLevel.NONE, FULL_SIZE, text))
        return None
    monitor = Monitor(
        config,
        daemon.config.decision,
        daemon.config.symbols,
        book,
        daemon.alerts,
        daemon.inbox.put,
        lambda: engine.state.drift,
        lambda: inference.predictor.model_set,
        quiet=quiet,
    )
    inference.listener = monitor.seen
    daemon.watchers.append(monitor)
    daemon.parts["drift"] = monitor
    daemon.verbs |= {"drift": monitor.answer, "drift-reset": monitor.answer}
    monitor.swapped(inference.predictor.model_set)
    return monitor
