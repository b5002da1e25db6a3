"""The schedule: when runs are asked for, by cron and by a set's expiry, in UTC.

APScheduler keeps its jobs in memory alone: what was asked for is a row of ours, and what it does in this process is to
say that the hour has come. A run that came due while no daemon ran, or while its host was suspended, is asked for once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from apscheduler.events import EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from daemon.alerts import Alerts
from daemon.retraining.config import Retraining
from daemon.retraining.cron import trigger
from daemon.retraining.runs import Runs, now_ms
from market.backoff import Backoff

log = logging.getLogger("daemon.retraining.schedule")

MISFIRE_GRACE_S = 3_600
LOOK_S = 60.0
"""How often a set's expiry is looked at. It also wakes the scheduler, whose own timer stands still with its host."""
DAY_MS = 86_400_000
CRON, EXPIRY = "schedule", "expiry"

Ask = Callable[[str, str], Awaitable[str]]
Expires = Callable[[], int | None]
"""When the set in service expires, UTC ms; None for never, or for no set."""


class Schedule:
    """Asks for runs.

    Parameters
    ----------
    ask : callable
        Takes the cause and who asks, gives the run's id.
    expires : callable
        Gives when the set in service expires.
    """

    def __init__(self, config: Retraining, runs: Runs, ask: Ask, expires: Expires, alerts: Alerts) -> None:
        self._config, self._runs, self._ask, self._expires, self._alerts = config, runs, ask, expires, alerts
        self.cron: CronTrigger | None = trigger(config.schedule) if config.schedule else None
        """When it fires, None for never."""
        self._missed: datetime | None = None
        self._due: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self.scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"misfire_grace_time": MISFIRE_GRACE_S, "coalesce": True, "max_instances": 1},
        )

    def take_up(self, config: Retraining) -> None:
        """Go by another section from now on."""
        self._config = config
        self.cron = trigger(config.schedule) if config.schedule else None
        if self.scheduler.running:
            if self.scheduler.get_job(CRON) is not None:
                self.scheduler.remove_job(CRON)
            if self.cron is not None:
                self.scheduler.add_job(self._fire, self.cron, (CRON,), id=CRON)

    @property
    def next(self) -> datetime | None:
        """When it fires next by cron, None for never."""
        return self.cron.get_next_fire_time(None, datetime.now(UTC)) if self.cron else None

    async def run(self) -> None:
        """Ask when the hour has come, until cancelled; runs that were asked for go on."""
        await self._insist(self._begin)
        self.scheduler.add_listener(self._dropped, EVENT_JOB_MISSED)
        if self.cron is not None:
            job = {"next_run_time": self._missed} if self._missed else {}
            self.scheduler.add_job(self._fire, self.cron, (CRON,), id=CRON, **job)
        self.scheduler.add_job(self._look, "interval", seconds=LOOK_S, id=EXPIRY, next_run_time=datetime.now(UTC))
        self.scheduler.start()
        try:
            while True:
                work = await self._due.get()
                await self._insist(work)
        finally:
            self.scheduler.shutdown(wait=False)

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """A row is all that has to be; until the disk takes it, it is tried again."""
        pause = Backoff(1.0, 300.0)
        while True:
            try:
                await work()
                return
            except Exception as error:  # a disk that is full must not end the daemon
                self._alerts.tell("warning", f"the schedule cannot be followed: {error}; trying again")
                await asyncio.sleep(pause.next())

    async def _asked(self, cause: str) -> None:
        await self._ask(cause, cause)

    async def _begin(self) -> None:
        """Find out whether it should have fired, within the grace, while nobody was there."""
        since = datetime.now(UTC) - timedelta(seconds=MISFIRE_GRACE_S)
        due = self.cron.get_next_fire_time(None, since) if self.cron else None
        if due is not None and due <= datetime.now(UTC) and await self._runs.missed(round(due.timestamp() * 1_000)):
            self._missed = due
        told = f"; that of {self._missed:%H:%M} was missed, and is made up for" if self._missed else ""
        await self._runs.note("schedule", f"{self._config.schedule or 'none'} (UTC){told}")

    async def _fire(self, cause: str) -> None:
        # nothing is awaited here: what APScheduler cancels at its end must be nothing
        self._due.put_nowait(partial(self._asked, cause))

    async def _look(self) -> None:
        expires = self._expires()
        if expires is None or self._config.expiry_days is None or not self._due.empty():
            return
        if now_ms() > expires - self._config.expiry_days * DAY_MS:
            await self._fire(EXPIRY)

    def _dropped(self, event: Any) -> None:
        if event.job_id == CRON:
            text = (
                f"the retraining of {event.scheduled_run_time:%Y-%m-%dT%H:%MZ} was missed by more than "
                f"{MISFIRE_GRACE_S // 60} min and is left out; ask for one with `python -m daemon retrain`"
            )
            self._alerts.tell("warning", text)
            self._due.put_nowait(partial(self._runs.note, "schedule missed", text))
