"""The retrainer: all of retraining as one object that a daemon starts, asks and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.control import MISSING, Answer
from daemon.lifecycle.book import Book
from daemon.retraining.chosen import backend
from daemon.retraining.coordinator import COMMAND, Coordinator
from daemon.retraining.freshness import Freshness
from daemon.retraining.runs import TransitionError
from daemon.retraining.schedule import Expires, Schedule
from daemon.retraining.spec import NotChecked, SpecError, misfits, read
from daemon.retraining.steps import Offer

log = logging.getLogger("daemon.retraining")

PLACES = ("backend", "local", "ssh", "ray")
"""Keys that say where jobs run."""


class Retrainer:
    """Coordinator and schedule of a configuration that has a section `retraining`.

    Parameters
    ----------
    freshness : Freshness
        Of the section's history.
    offer : callable
        Takes each set that was made: its id, who asked, and the run.
    champion, expires : callable
        Give the id of the set in service, and when it expires (UTC ms); None where there is none, or it never does.

    Raises
    ------
    ConfigError
        If the place where jobs run cannot be set up: its section or a secret is missing.
    """

    def __init__(
        self, config: DaemonConfig, book: Book, freshness: Freshness, alerts: Alerts, offer: Offer,
        champion: Callable[[], str | None], expires: Expires,
    ) -> None:  # fmt: skip
        assert config.retraining is not None
        self._freshness, self._config, self._alerts = freshness, config, alerts
        place = backend(config.retraining, config.state_dir)
        self.coordinator = Coordinator(config, book, place, freshness, alerts, offer, champion)
        self.schedule = Schedule(config.retraining, self.coordinator.runs, self.coordinator.ask, expires, alerts)
        self._running: asyncio.Task[Any] | None = None
        self.verbs: dict[str, Answer] = {"retrain": self._retrain, "cancel-run": self._cancel}
        """What may be asked over the control socket."""

    async def run(self) -> None:
        """Ask in time and drive what is asked for, until cancelled or closed."""
        self._running = asyncio.current_task()
        async with asyncio.TaskGroup() as all_of_it:
            all_of_it.create_task(self._look(), name="training spec")
            all_of_it.create_task(self.coordinator.run(), name="coordinator")
            all_of_it.create_task(self.schedule.run(), name="schedule")

    async def close(self) -> None:
        """Stop driving, then let go of connections; jobs go on, and so do the rows in the next life.

        In this order, or a step under way would find its line cut, and take that for a failure of its run.
        """
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.coordinator.close()

    def refuses(self, config: DaemonConfig) -> list[str]:
        """What of another section cannot be taken up without a restart."""
        held = self.coordinator.config
        if config.retraining is None:
            return ["retraining: the section cannot go while the daemon runs; restart it, or leave out the schedule"]
        elsewhere = [key for key in PLACES if getattr(config.retraining, key) != getattr(held, key)]
        refused = [f"retraining.{key}: jobs may be under way there; restart the daemon" for key in elsewhere]
        return refused + _faults(config)

    def take_up(self, config: DaemonConfig) -> None:
        """Go by another section from the next step on; a job that is under way stays as it was asked for."""
        if config.retraining is not None:
            self.coordinator.config = config.retraining
            self.schedule.take_up(config.retraining)
            self._freshness.take_up(config, config.retraining.history)

    def status(self) -> dict[str, Any]:
        """What is being done, and when the schedule fires next."""
        run, due = self.coordinator.current, self.schedule.next
        told: dict[str, Any] = {"run": run and run.id, "state": run and str(run.state)}
        return told | {"next": due and f"{due:%Y-%m-%dT%H:%MZ}"}

    async def _look(self) -> None:
        """Say at once what would fail the first run, which may be due in a week."""
        if faults := await asyncio.to_thread(_faults, self._config):
            self._alerts.tell("warning", f"no set can be trained: {'; '.join(faults)}; trading goes on")

    async def _retrain(self, verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        asked_by = str(args.get("who") or who)
        run = await self.coordinator.runs.get(await self.coordinator.ask(COMMAND, asked_by))
        assert run is not None
        return {"error": run.error} if run.refused else {"run": run.as_json()}

    async def _cancel(self, verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        run_id = str(args.get("run"))
        if await self.coordinator.runs.get(run_id) is None:
            return {"error": f"there is no run {run_id}; `python -m daemon runs` names them", "code": MISSING}
        try:
            run = await self.coordinator.cancel(run_id, str(args.get("who") or who))
        except TransitionError as error:
            return {"error": str(error)}
        return {"run": run.as_json()}


def _faults(config: DaemonConfig) -> list[str]:
    """What is wrong with the spec, as far as that can be told. Blocks for a second."""
    assert config.retraining is not None
    file = config.retraining.spec
    try:
        return [f"{file}: {against}" for against in misfits(read(file), config)]
    except SpecError as error:
        return error.lines
    except NotChecked as error:
        log.warning("%s", error)
        return []
