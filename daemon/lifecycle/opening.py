"""Opening: the loop at a daemon's start. Where its book cannot be used it rests, and the daemon trades on without it.

Positions come first: no fault of the lifecycle's file keeps a daemon from looking after them. Only a newer file, with
nothing open, is refused, as it is for every other purpose.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.boot import BootError
from daemon.events import DriftLevel
from daemon.lifecycle.book import Book
from daemon.lifecycle.remedy import remedy
from daemon.lifecycle.schema import DATABASE, FILE
from daemon.lifecycle.wiring import Lifecycle
from daemon.migrations.standing import State, stands

if TYPE_CHECKING:
    from daemon.app import Daemon
    from daemon.engine import Engine
    from daemon.inference import Inference

log = logging.getLogger("daemon.lifecycle")

VERBS = ("swap", "rollback", "swaps", "retrain", "cancel-run", "drift", "drift-reset")
"""What the loop would answer over the control socket."""


async def check_newer(state_dir: Path, attended: set[str]) -> None:
    """Refuse a lifecycle of a newer version, unless there is something to look after.

    Raises
    ------
    BootError
        If nothing is open, and a newer program wrote the file.
    """
    standing = await asyncio.to_thread(stands, DATABASE, state_dir / FILE)
    if standing.state is State.NEWER and not attended:
        raise BootError(standing.text)


async def opened(daemon: Daemon, engine: Engine, inference: Inference) -> Lifecycle | None:
    """The parts of the loop; None where its book cannot be used, which is told, with what to do."""
    folder = daemon.config.state_dir
    try:
        book = await asyncio.to_thread(_book, folder)
    except Exception as error:  # whatever it is, what is open at the exchange comes first
        log.exception("the lifecycle's book cannot be used")
        _rest(daemon, engine, f"{_why(folder, error)}; {remedy(folder / FILE, error)}")
        return None
    return await Lifecycle.of(daemon, engine, inference, book)


def _book(folder: Path) -> Book:
    book = Book(folder)
    try:
        book.check()
    except BaseException:
        book.close()
        raise
    return book


def _why(folder: Path, error: Exception) -> str:
    because = str(getattr(error, "orig", None) or error)
    return because if str(folder) in because else f"{folder / FILE} cannot be used: {because}"


def _rest(daemon: Daemon, engine: Engine, why: str) -> None:
    """Say that the loop is off, to whoever asks and to those who do not."""
    drift = engine.state.drift
    stays = "" if drift.level is DriftLevel.NONE else f"; for drift, {drift.level} stays in force, since nobody looks"
    told = f"the loop is off (no retraining, no swap, nobody looks for drift): {why}"
    daemon.loop_off = told
    daemon.alerts.tell("critical", f"{told}{stays}; trading goes on with {daemon.predictor.id}")

    async def answer(verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        return {"error": f"{verb}: {told}"}

    daemon.verbs |= dict.fromkeys(VERBS, answer)
