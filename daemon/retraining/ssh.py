"""Jobs on another machine over ssh: a folder up, a supervised job there, its log by byte offset, a verified set down.

Nothing that matters lives in the connection. A cut leaves the job as it is, and whoever asks next, this daemon or
another after a restart, finds it by its name.
"""

from __future__ import annotations

import asyncio
import json
import math
import posixpath
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
from pydantic import ValidationError

from daemon.retraining.arrival import arrive, arrived, place, room
from daemon.retraining.backend import BackendError, JobStatus, Phase, status_of
from daemon.retraining.following import PIECE, follow
from daemon.retraining.places import Ssh
from daemon.retraining.ssh_host import Host
from models.jobs.folder import PARTIAL
from models.jobs.request import INPUTS, LOG, REQUEST, RESULT, SETS, Result

_LONGEST_RESULT = 2**20
_ASKED_S = 15.0
"""A job seen running is asked after no more often, since that starts a python there. Its end is seen at once."""


class SshJobs:
    """The backend; see `daemon.retraining.backend.Backend`."""

    name = "ssh"

    def __init__(self, config: Ssh) -> None:
        self._config = config
        self._host = Host(config)
        self._seen: dict[str, float] = {}

    async def submit(self, job: Path) -> None:
        """As `Backend.submit`: sent to ``<id>.partial``, named ``<id>`` when all of it is there, and started."""
        there = self._there(job.name)
        async with self._host.doing(f"sending the job {job.name}", self._host.jobs):
            files = await self._host.files()
            await files.makedirs(self._host.jobs, exist_ok=True)
            if not await files.isdir(there):
                await self._send(job, there)
        await self._ask("start", job.name, "--how", self._config.supervise, "--keep", str(self._config.keep_jobs))

    async def status(self, run_id: str) -> JobStatus:
        """As `Backend.status`: of its result, if that is there; else the machine is asked."""
        return await self._status(run_id, _ASKED_S)

    def logs(self, run_id: str, offset: int) -> AsyncIterator[bytes]:
        """As `Backend.logs`."""
        log = _LogThere(self._host, self._there(run_id), lambda: self._over(run_id))
        return follow(log, offset, self._config.poll_s)

    async def cancel(self, run_id: str) -> None:
        """As `Backend.cancel`; what was half sent is removed."""
        there = self._there(run_id)
        async with self._host.doing(f"ending the job {run_id}"):
            files = await self._host.files()
            if await files.isdir(there + PARTIAL):
                await files.rmtree(there + PARTIAL, ignore_errors=True)
            if not await files.isdir(there):
                return
        await self._ask("cancel", run_id)

    async def fetch(self, run_id: str, store: Path) -> Path:
        """As `Backend.fetch`: the files that the result names and no other."""
        async with self._host.doing(f"fetching the set of {run_id}"):
            result = await self._result(run_id)
            if result is None:
                raise BackendError(f"{self._host}: the job {run_id} has no result yet; ask again when it is over")
            partial = place(result, store)
            if (known := await asyncio.to_thread(arrived, result, store)) is not None:
                return known
            await asyncio.to_thread(_emptied, partial)
            source = posixpath.join(self._there(run_id), SETS, partial.name.removesuffix(PARTIAL))
            try:
                left = await asyncio.to_thread(room, partial)
                for name in result.files:
                    left -= await self._host.bring(posixpath.join(source, name), partial / name, left)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, partial, True)
                raise
        return await asyncio.to_thread(arrive, partial, result, store)

    async def probe(self) -> str:
        """As `Backend.probe`."""
        jobs = self._config.jobs
        return f"{self._host}: {(await self._host.command('probe', jobs, '--how', self._config.supervise)).strip()}"

    async def close(self) -> None:
        """As `Backend.close`."""
        await self._host.close()

    async def _status(self, run_id: str, seen_s: float) -> JobStatus:
        """How far it is; where it was seen running within so many seconds, it is taken to run unless it has ended."""
        async with self._host.doing(f"asking for {run_id}"):
            if (result := await self._result(run_id)) is not None:
                self._seen.pop(run_id, None)
                return status_of(result)
            if time.monotonic() - self._seen.get(run_id, -math.inf) < seen_s:
                return JobStatus(Phase.RUNNING)
            if not await (await self._host.files()).isdir(self._there(run_id)):
                return JobStatus(Phase.UNKNOWN)
        status = await self._ask("status", run_id)
        if status.phase is Phase.RUNNING:
            self._seen[run_id] = time.monotonic()
        return status

    async def _over(self, run_id: str) -> bool:
        """Whether the job whose log says nothing is over."""
        status = await self._status(run_id, 0)
        if status.phase is Phase.UNKNOWN:
            raise BackendError(f"{self._host}: no job {run_id} there, so there is no log", lasting=True)
        return status.phase.over

    async def _send(self, job: Path, there: str) -> None:
        """Bring the folder there; another who did so at the same time may have been first."""
        files, partial = await self._host.files(), there + PARTIAL
        await files.makedirs(posixpath.join(partial, INPUTS), exist_ok=True)
        for source in [*sorted((job / INPUTS).iterdir()), job / REQUEST]:
            await self._host.send(source, posixpath.join(partial, source.relative_to(job).as_posix()))
        try:
            # the claim: it fails where a folder of this name is
            await files.rename(partial, there)
        except asyncssh.SFTPFailure:
            if not await files.isdir(there):
                raise
            await files.rmtree(partial, ignore_errors=True)

    async def _ask(self, verb: str, run_id: str, *options: str) -> JobStatus:
        """Have a verb carried out there; how far the job is then."""
        told = await self._host.command(verb, posixpath.join(self._config.jobs, run_id), *options, "--json")
        try:
            said = json.loads(told)
            if said["result"] is not None:
                return status_of(Result.model_validate_json(json.dumps(said["result"])))
            return JobStatus(Phase(said["phase"]), said["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(
                f"{self._host}: `training job {verb}` says {told[:80]!r}; is it of this version there?", lasting=True
            ) from error

    async def _result(self, run_id: str) -> Result | None:
        written = await self._host.read(posixpath.join(self._there(run_id), RESULT), 0, _LONGEST_RESULT)
        if written is None:
            return None
        try:
            result = Result.model_validate_json(written)
        except ValidationError as error:
            what = error.errors(include_url=False)[0]["msg"]
            raise BackendError(
                f"{self._host}: the result of {run_id} cannot be read: {what}; is it of this version?", lasting=True
            ) from error
        if result.id != run_id:
            raise BackendError(f"{self._host}: the result of {run_id} is another job's, {result.id}", lasting=True)
        return result

    def _there(self, run_id: str) -> str:
        return posixpath.join(self._host.jobs, run_id)


class _LogThere:
    """A job's log on the other machine; `ask` says whether the job is over."""

    def __init__(self, host: Host, folder: str, ask: Callable[[], Awaitable[bool]]) -> None:
        self._host, self._folder, self.ask = host, folder, ask

    async def over(self) -> bool:
        async with self._host.doing(f"reading the log in {self._folder}"):
            return await (await self._host.files()).exists(posixpath.join(self._folder, RESULT))

    async def read(self, offset: int) -> bytes:
        async with self._host.doing(f"reading the log in {self._folder}"):
            return await self._host.read(posixpath.join(self._folder, LOG), offset, PIECE) or b""


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
