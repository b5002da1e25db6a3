"""A backend: where a training job runs, behind five verbs.

Each is idempotent on the run's id, so that a restart re-attaches.

A job is a folder (`models.jobs`): request and inputs in it, log, result and model set come out of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from models.jobs.request import Result


class Phase(StrEnum):
    """How far a job is."""

    UNKNOWN = "unknown there"
    """The place answers, and knows no such job."""
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def over(self) -> bool:
        return self in (Phase.DONE, Phase.FAILED, Phase.CANCELED)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is; `text` says why it failed, with the last words of its log.

    `lasting`: another try would fail alike (a wrong spec, damaged data, a time-out).
    """

    phase: Phase
    text: str = ""
    lasting: bool = False


class BackendError(Exception):
    """A verb could not be carried out; `lasting` says that trying again cannot help (a wrong key, a full disk)."""

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Backend(Protocol):
    """Where jobs run. Every verb raises BackendError; none blocks the loop."""

    name: str

    async def submit(self, job: Path) -> None:
        """Start the job prepared in the folder `job` (its name is the run's id), unless it was started before."""

    async def status(self, run_id: str) -> JobStatus:
        """How far it is."""

    def logs(self, run_id: str, offset: int) -> AsyncIterator[bytes]:
        """Its log from byte `offset` on, as it grows, until the job is over; who was cut off asks again from there."""

    async def cancel(self, run_id: str) -> None:
        """End it, if it is not over; returns once it is told."""

    async def fetch(self, run_id: str, store: Path) -> Path:
        """Bring the set it made into `store`, by `store/incoming/<set id>.partial`, verified; gives its folder."""

    async def probe(self) -> str:
        """Whether the place can be reached and has what a job needs: one line for the doctor."""

    async def close(self) -> None:
        """Let go of connections; jobs go on."""


WRONG_SPEC, BAD_DATA = 4, 7
"""Exit codes of a training that would fail alike again."""


def status_of(result: Result) -> JobStatus:
    """What a job's result says of it."""
    if result.outcome in ("done", "canceled"):
        return JobStatus(Phase(result.outcome), result.text)
    wrong = result.outcome == "failed" and result.code in (WRONG_SPEC, BAD_DATA)
    return JobStatus(Phase.FAILED, result.text, wrong or result.outcome == "timeout")
