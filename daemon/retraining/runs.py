"""Runs: one row for each retraining asked for, the transitions that are legal, and what stands in another's way.

A row says what is being done. Each step may be done twice, so whoever finds the row after a kill does its step again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock
from typing import Any

import sqlalchemy as sa

from daemon.lifecycle import schema
from daemon.lifecycle.book import Book


class State(StrEnum):
    """How far a run is."""

    ASKED = "asked"
    """It waits for its turn, or for the pause before another attempt."""
    PREPARING = "preparing"
    """Fresh data is brought together in the job's folder, and the job handed over."""
    SUBMITTED = "submitted"
    """The backend has the job."""
    RUNNING = "running"
    FETCHING = "fetching"
    """The job is done, and its set is on the way."""
    OFFERED = "offered"
    """The set is in the store, verified; the swapper is about to be told of it."""
    CANCELING = "canceling"
    """Somebody wants it ended; the backend is being told."""
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def over(self) -> bool:
        return not TRANSITIONS[self]


_ENDS = frozenset({State.FAILED, State.CANCELING, State.CANCELED})
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.ASKED: frozenset({State.PREPARING}) | _ENDS,
    State.PREPARING: frozenset({State.SUBMITTED}) | _ENDS,
    # a short job is over before it is seen to run; a place that lost the job is given it again
    State.SUBMITTED: frozenset({State.RUNNING, State.FETCHING, State.PREPARING}) | _ENDS,
    State.RUNNING: frozenset({State.FETCHING, State.PREPARING}) | _ENDS,
    State.FETCHING: frozenset({State.OFFERED}) | _ENDS,
    # what is offered belongs to the swapper: it is too late to cancel
    State.OFFERED: frozenset({State.DONE, State.FAILED}),
    # the job may have ended by itself, but nobody wants its set any more
    State.CANCELING: frozenset({State.CANCELED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
}


class TransitionError(Exception):
    """A run was to go where it cannot; the row was left as it is."""


@dataclass(frozen=True, slots=True)
class Run:
    """One row; times are UTC ms."""

    id: str
    cause: str
    who: str
    backend: str
    state: State
    attempt: int
    """Of all that were spent on it, those of the failed runs that it repeats included; from 1."""
    asked_ms: int
    submitted_ms: int | None
    began_ms: int | None
    """When its job was first seen to run: from then on its time-out counts."""
    ended_ms: int | None
    next_try_ms: int | None
    """Nothing is tried before."""
    log_offset: int
    inputs: str | None
    set_id: str | None
    error: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Run:
        """The run of a row."""
        kept: dict[str, Any] = {name: row[name] for name in cls.__slots__}
        return cls(**kept | {"state": State(row["state"])})

    @property
    def refused(self) -> bool:
        """Whether it was turned away when it was asked for."""
        return self.state is State.CANCELED and self.ended_ms == self.asked_ms

    def as_json(self) -> dict[str, Any]:
        """Plain values, the hashes of the inputs as an object."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return told | {"state": str(self.state), "inputs": json.loads(self.inputs or "{}")}


class Runs:
    """The rows of a book, for a coroutine: each call is a thread's work for as long as the disk takes."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._turn = Lock()

    async def add(self, run: Run, step: str, text: str) -> None:
        """Keep a new run, with its line in the audit."""
        values = {name: getattr(run, name) for name in run.__slots__} | {"state": str(run.state)}
        await asyncio.to_thread(self._add, values, step, text)

    async def move(self, run_id: str, state: State, text: str = "", who: str = "retraining", **values: Any) -> Run:
        """Bring a run into another state, with its line in the audit; gives the row as it is now.

        Raises
        ------
        TransitionError
            If that is no legal transition from the state in the book.
        """
        return await asyncio.to_thread(self._move, run_id, state, text, who, values)

    async def set(self, run_id: str, **values: Any) -> Run:
        """Change columns of a run that stays in its state; gives the row as it is now."""
        return await asyncio.to_thread(self._set, run_id, values)

    async def note(self, step: str, text: str, run_id: str | None = None, who: str = "retraining") -> None:
        """Write a line of the audit."""
        await asyncio.to_thread(self.book.note, step, text, who=who, run_id=run_id)

    async def get(self, run_id: str) -> Run | None:
        """One run."""
        return await asyncio.to_thread(find, self.book, run_id)

    async def open(self) -> list[Run]:
        """Runs that are not over, the one that was asked for first at the front."""
        wanted = [str(state) for state in State if not state.over]
        table = schema.runs.c
        query = sa.select(schema.runs).where(table.state.in_(wanted)).order_by(table.asked_ms, table.id)
        return [Run.of(row) for row in await asyncio.to_thread(self.book.rows, query)]

    async def newest(self, count: int) -> list[Run]:
        """The last ones, newest first."""
        return await asyncio.to_thread(newest, self.book, count)

    async def missed(self, due_ms: int) -> bool:
        """Whether what the schedule wanted then was missed: the book was kept before, and no such run since."""
        return await asyncio.to_thread(self._missed, due_ms)

    def _add(self, values: dict[str, Any], step: str, text: str) -> None:
        line = _line(step, text, values["who"], run_id=values["id"])
        self.book.together(sa.insert(schema.runs).values(**values), line)

    def _move(self, run_id: str, state: State, text: str, who: str, values: dict[str, Any]) -> Run:
        with self._turn:  # who cancels and who drives may move a run at the same instant
            run = self._found(run_id)
            if state not in TRANSITIONS[run.state]:
                raise TransitionError(f"run {run_id} is {run.state} and cannot become {state}")
            ended = {"ended_ms": now_ms()} if state.over else {}
            set_id = values.get("set_id", run.set_id)
            row = sa.update(schema.runs).where(schema.runs.c.id == run_id)
            line = _line(f"run {state}", text, who, run_id=run_id, set_id=set_id)
            self.book.together(row.values(state=str(state), **ended, **values), line)
            return self._found(run_id)

    def _set(self, run_id: str, values: dict[str, Any]) -> Run:
        self.book.update(schema.runs, run_id, **values)
        return self._found(run_id)

    def _found(self, run_id: str) -> Run:
        run = find(self.book, run_id)
        if run is None:
            raise TransitionError(f"no run {run_id} in {self.book.path}")
        return run

    def _missed(self, due_ms: int) -> bool:
        audit, runs = schema.audit.c, schema.runs.c
        earlier = sa.select(audit.id).where(audit.at_ms < due_ms).limit(1)
        later = sa.select(runs.id).where(runs.cause == "schedule", runs.asked_ms >= due_ms).limit(1)
        return bool(self.book.rows(earlier)) and not self.book.rows(later)


def _line(step: str, text: str, who: str, **about: Any) -> sa.Insert:
    """A line of the audit that is written with what it tells of."""
    return sa.insert(schema.audit).values(at_ms=now_ms(), who=who, step=step, text=text, **about)


def find(book: Book, run_id: str) -> Run | None:
    """One run; blocks."""
    rows = book.rows(sa.select(schema.runs).where(schema.runs.c.id == run_id))
    return Run.of(rows[0]) if rows else None


def newest(book: Book, count: int) -> list[Run]:
    """The last runs, newest first; blocks."""
    order = schema.runs.c.asked_ms.desc(), schema.runs.c.id.desc()
    return [Run.of(row) for row in book.rows(sa.select(schema.runs).order_by(*order).limit(count))]


def asked(cause: str, who: str, backend: str, attempt: int = 1, next_try_ms: int | None = None) -> Run:
    """A new run with a name of its own."""
    now = now_ms()
    return Run(
        new_id(now), cause, who, backend, State.ASKED, attempt, now, None, None, None, next_try_ms, 0, None, None, None
    )


def new_id(at_ms: int) -> str:
    """A run's name: when it was asked for, and four hexadecimal digits, such as ``20261124t155000-3f9a``."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"


def now_ms() -> int:
    """Now, UTC ms."""
    return time.time_ns() // 1_000_000
