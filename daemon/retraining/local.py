"""Jobs on this machine: beside the daemon and not below it, each in the folder where its request was written."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from daemon.retraining.arrival import arrive, arrived, place
from daemon.retraining.backend import BackendError, JobStatus, Phase, status_of
from daemon.retraining.following import PIECE, follow
from daemon.retraining.places import Local
from models.jobs import supervision
from models.jobs.folder import FULL, JobError, result_of
from models.jobs.probe import probe
from models.jobs.request import LOG, RESULT, SETS

POLL_S = 0.2
T = TypeVar("T")


class LocalJobs:
    """The backend; see `daemon.retraining.backend.Backend`. `jobs` holds the folders that are submitted."""

    name = "local"

    def __init__(self, config: Local, jobs: Path) -> None:
        self._how, self._jobs = config.supervise, jobs

    async def submit(self, job: Path) -> None:
        """As `Backend.submit`; the job runs where its folder is."""
        if job.parent.resolve() != self._jobs.resolve():
            raise BackendError(f"{job}: jobs of this machine lie in {self._jobs}; make it there", lasting=True)
        await _doing(lambda: supervision.start(job, self._how, beside=True))

    async def status(self, run_id: str) -> JobStatus:
        """As `Backend.status`."""
        return await _doing(lambda: _status(self._jobs / run_id))

    def logs(self, run_id: str, offset: int) -> AsyncIterator[bytes]:
        """As `Backend.logs`."""
        return follow(_LogHere(self._jobs / run_id), offset, POLL_S)

    async def cancel(self, run_id: str) -> None:
        """As `Backend.cancel`."""
        folder = self._jobs / run_id
        if folder.is_dir():
            await _doing(lambda: supervision.cancel(folder))

    async def fetch(self, run_id: str, store: Path) -> Path:
        """As `Backend.fetch`: a copy, so that the job's folder stays what it is."""
        return await _doing(lambda: self._bring(run_id, store))

    async def probe(self) -> str:
        """As `Backend.probe`."""
        return f"this machine: {await _doing(lambda: probe(self._jobs, self._how))}"

    async def close(self) -> None:
        """As `Backend.close`: nothing is held."""

    def _bring(self, run_id: str, store: Path) -> Path:
        result = result_of(self._jobs / run_id)
        if result is None:
            raise BackendError(f"{self._jobs / run_id}: the job has no result yet; ask again when it is over")
        partial = place(result, store)
        if (there := arrived(result, store)) is not None:
            return there
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in result.files:
            shutil.copyfile(self._jobs / run_id / SETS / partial.stem / name, partial / name)
        return arrive(partial, result, store)


class _LogHere:
    """A job's log on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def over(self) -> bool:
        return await _doing((self._folder / RESULT).exists)

    async def ask(self) -> bool:
        status = await _doing(lambda: _status(self._folder))
        if status.phase is Phase.UNKNOWN:
            raise BackendError(f"{self._folder}: no such job, so there is no log", lasting=True)
        return status.phase.over

    async def read(self, offset: int) -> bytes:
        return await _doing(lambda: _piece(self._folder / LOG, offset))


def _piece(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return os.pread(opened.fileno(), PIECE, offset)
    except FileNotFoundError:
        return b""


def _status(folder: Path) -> JobStatus:
    state = supervision.state(folder)
    return JobStatus(Phase(state.phase), state.text) if state.result is None else status_of(state.result)


async def _doing(work: Callable[[], T]) -> T:
    """Do it in a thread, so that no disk holds up the loop; what goes wrong is a BackendError."""
    try:
        return await asyncio.to_thread(work)
    except JobError as error:
        raise BackendError(str(error)) from error
    except OSError as error:
        raise BackendError(
            f"{error.filename or 'this machine'}: {error.strerror or error}; free some space or give the daemon's user "
            "the right to it",
            lasting=error.errno in (*FULL, errno.EACCES, errno.EPERM, errno.EROFS),
        ) from error
    except subprocess.SubprocessError as error:
        raise BackendError(f"the job's supervisor did not answer: {error}") from error
