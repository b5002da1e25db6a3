"""The real scheduler by the real clock: what comes due is asked for once, and what was asked for outlives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger

from daemon.alerts import Alerts
from daemon.lifecycle import schema
from daemon.lifecycle.book import Book
from daemon.retraining.config import Retraining
from daemon.retraining.runs import Runs, asked, now_ms
from daemon.retraining.schedule import DAY_MS, Schedule
from tests.daemon.conftest import until

Make = Callable[..., Schedule]


class Asked:
    """Keeps who asked, and when."""

    def __init__(self, book: Book) -> None:
        self.runs = Runs(book)
        self.causes: list[str] = []
        self.failing = 0

    async def __call__(self, cause: str, who: str) -> str:
        if self.failing:
            self.failing -= 1
            raise OSError("the disk is full")
        run = asked(cause, who, "place")
        await self.runs.add(run, "run asked", "")
        self.causes.append(cause)
        return run.id


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


@pytest.fixture
def ask(book: Book) -> Asked:
    return Asked(book)


@pytest.fixture
async def schedule(book: Book, ask: Asked) -> AsyncIterator[Make]:
    """Starts schedules; ``every_second`` gives one the finest cron there is."""
    tasks: list[asyncio.Task[None]] = []

    def start(every_second: bool = False, expires: int | None = None, **section: object) -> Schedule:
        config = Retraining.model_validate({"spec": "spec.yaml", **section})
        made = Schedule(config, ask.runs, ask, lambda: expires, Alerts((), "info"))
        if every_second:
            made.cron = CronTrigger(second="*", timezone=UTC)
        tasks.append(asyncio.create_task(made.run()))
        return made

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_fires_at_its_hour(schedule: Make, ask: Asked) -> None:
    schedule(every_second=True)
    await until(lambda: len(ask.causes) >= 2, "it fires twice")
    assert set(ask.causes) == {"schedule"}


async def test_40_after_a_standstill_it_fires_once_for_all_that_came_due(schedule: Make, ask: Asked) -> None:
    schedule(every_second=True)
    await until(lambda: ask.causes, "it fires")
    before = len(ask.causes)
    time.sleep(4)  # noqa: ASYNC251 (a host that stands still takes the loop with it)
    await until(lambda: len(ask.causes) > before, "it fires again")
    assert len(ask.causes) <= before + 2, "once for what was missed, and perhaps for the second that began"


async def test_40_what_came_due_while_no_daemon_ran_is_made_up_for_once(schedule: Make, ask: Asked, book: Book) -> None:
    due = datetime.now(UTC) - timedelta(minutes=10)
    book.note("schedule", "an earlier life", who="retraining", at_ms=now_ms() - 3_600_000)
    cron = f"{due:%M %H} * * *"
    schedule(schedule=cron)
    await until(lambda: ask.causes, "it is made up for")
    schedule(schedule=cron)
    await asyncio.sleep(1)
    assert ask.causes == ["schedule"]
    assert "was missed, and is made up for" in book.rows(schema.audit.select())[1]["text"]


async def test_nothing_is_made_up_for_where_no_daemon_ran_before(schedule: Make, ask: Asked) -> None:
    due = datetime.now(UTC) - timedelta(minutes=10)
    schedule(schedule=f"{due:%M %H} * * *")
    await asyncio.sleep(1)
    assert not ask.causes


async def test_40_what_is_missed_by_more_than_the_grace_is_left_out_and_told(
    schedule: Make, ask: Asked, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.retraining.schedule.MISFIRE_GRACE_S", 1)
    made = schedule()
    made.cron = CronTrigger(second=(datetime.now(UTC) + timedelta(seconds=2)).second, timezone=UTC)
    await until(lambda: made.scheduler.running, "it runs")
    time.sleep(5)  # noqa: ASYNC251
    await until(lambda: any(r["step"] == "schedule missed" for r in book.rows(schema.audit.select())), "it is told")
    assert not ask.causes


async def test_a_set_that_expires_soon_is_replaced(schedule: Make, ask: Asked) -> None:
    schedule(expires=now_ms() + 2 * DAY_MS, expiry_days=3)
    await until(lambda: ask.causes == ["expiry"], "its end is seen")


async def test_a_set_that_lasts_is_left_alone(schedule: Make, ask: Asked) -> None:
    schedule(expires=now_ms() + 10 * DAY_MS, expiry_days=3)
    schedule(expires=now_ms(), expiry_days=None)
    schedule(expires=None)
    await asyncio.sleep(1)
    assert not ask.causes


async def test_a_disk_that_is_full_delays_the_asking_and_ends_nothing(schedule: Make, ask: Asked) -> None:
    ask.failing = 1
    schedule(expires=now_ms(), expiry_days=3)
    await until(lambda: ask.causes == ["expiry"], "it is asked again")


async def test_another_schedule_is_taken_up_while_it_runs(schedule: Make, ask: Asked) -> None:
    made = schedule(schedule="0 0 1 1 *")
    await until(lambda: made.scheduler.running, "it runs")
    made.take_up(Retraining.model_validate({"spec": "spec.yaml", "schedule": "* * * * *"}))
    assert made.next is not None
    assert made.next - datetime.now(UTC) < timedelta(seconds=61)
    (job,) = [job for job in made.scheduler.get_jobs() if job.id == "schedule"]
    assert job.next_run_time == made.next
    made.take_up(Retraining.model_validate({"spec": "spec.yaml"}))
    assert (made.next, made.scheduler.get_job("schedule")) == (None, None)
