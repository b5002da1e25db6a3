"""Ray Jobs: a training on a Ray cluster elsewhere, spoken to over HTTP with a token; no Ray is needed here.

The job's folder goes up as a package. A job of the cluster copies it into the folder of artefacts, which both sides
see, and carries it out there; its result and the set are read from there, since Ray itself brings no files back. The
run's id is Ray's submission id, so that one run is one job however often it is submitted.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shlex
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from daemon.credentials import secret
from daemon.retraining.backend import BackendError, JobStatus, Phase, status_of
from daemon.retraining.places import Ray
from daemon.retraining.ray_artifacts import Shared
from daemon.retraining.ray_http import LARGEST_PACKAGE, Dashboard, TooLong
from models.jobs.request import INPUTS, LOG, REQUEST, RESULT

_PHASES = {
    "PENDING": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "SUCCEEDED": Phase.DONE,
    "FAILED": Phase.FAILED,
    "STOPPED": Phase.CANCELED,
}
_ENVIRONMENT = {
    "RAY_JOB_STOP_WAIT_TIME_S": "30",  # between SIGTERM and SIGKILL of a job that is canceled; Ray's own 3 s are short
    "OMP_WAIT_POLICY": "passive",
    "ORT_DISABLE_TELEMETRY": "1",
}
_PROBED = "probed"
"""File that a probe writes into the folder of artefacts."""
_PACK_S, _STOP_S, _PROBE_S = 600.0, 20.0, 90.0


class RayJobs:
    """The backend; see `daemon.retraining.backend.Backend`.

    Raises
    ------
    ConfigError
        If there is no token.
    """

    name = "ray"

    def __init__(self, config: Ray) -> None:
        self._config = config
        token = secret(config.token_name)
        self._ray = Dashboard(config.address, token, config.token_name, config.answer_s, config.authority)
        self._shared = Shared(config.artifacts, config.answer_s)
        self._guarded = False
        self._missing_since: dict[str, float] = {}

    async def submit(self, job: Path) -> None:
        """As `Backend.submit`: the folder goes up as a package, and a job of the run's id is started of it."""
        run_id = job.name
        await self._guard()
        if await self._shared.result(run_id) is not None or await self._info(run_id) is not None:
            return
        package, name, size = await self._shared.on_disk(lambda: _packed(job), _PACK_S)
        with package:
            await self._ray.upload(name, package, size)
        told = await self._ray.ask("POST", "/api/jobs/", self._wish(run_id, name))
        # What was started before is refused as an error of the server's own: only asking tells.
        if not told.good and await self._info(run_id) is None:
            raise BackendError(
                f"Ray at {self._ray.address} does not start the job {run_id}: {told.words}", told.code < 500
            )

    async def status(self, run_id: str) -> JobStatus:
        """As `Backend.status`: what the job wrote of its end holds, and until there is that, what Ray says."""
        result = await self._shared.result(run_id)
        if result is not None:
            self._missing_since.pop(run_id, None)
            if result.outcome == "interrupted" and (told := await self._last_told(run_id)) is not None:
                # Ray tells a job of its end by SIGTERM alone; whether somebody asked for it, it says once all is gone
                phase = _phase(told)
                if phase is Phase.CANCELED or not phase.over:
                    return JobStatus(phase, result.text if phase.over else "")
            return status_of(result)
        told = await self._info(run_id)
        if told is None:
            return JobStatus(Phase.UNKNOWN)
        phase, text = _phase(told), str(told.get("message") or "")
        if phase is Phase.DONE:
            return self._unseen(run_id)
        return JobStatus(phase, text if phase is Phase.FAILED else "")

    async def logs(self, run_id: str, offset: int) -> AsyncIterator[bytes]:
        """As `Backend.logs`. Ray gives a log whole: what lies before `offset` is dropped here."""
        while True:
            told = await self._info(run_id)
            if told is None:
                if await self._shared.result(run_id) is not None:
                    return  # over, and the cluster has forgotten it
                raise BackendError(f"Ray at {self._ray.address} knows no job {run_id}, so it has no log")
            over = _phase(told).over  # asked before the log, which is whole then
            log = await self._log(run_id, over)
            if len(log) > offset:
                yield log[offset:]
                offset = len(log)
            if over:
                return
            await asyncio.sleep(self._config.poll_s)

    async def cancel(self, run_id: str) -> None:
        """As `Backend.cancel`: SIGTERM to the job and all below it, SIGKILL to what is left half a minute later."""
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            told = await self._ray.ask("POST", f"/api/jobs/{run_id}/stop")
            if told.code == 404:
                return
            if told.good and self._ray.read(told).get("stopped"):
                return
            if (await self.status(run_id)).phase.over:
                return
            await asyncio.sleep(0.5)  # between submit and start there is nothing that could be told
        raise BackendError(f"Ray at {self._ray.address} does not stop the job {run_id}; `ray job stop {run_id}` there")

    async def fetch(self, run_id: str, store: Path) -> Path:
        """As `Backend.fetch`, from the folder of artefacts."""
        result = await self._shared.result(run_id)
        if result is None:
            raise BackendError(f"the job {run_id} has no result in {self._config.artifacts.here} (yet)")
        return await self._shared.bring(result, store)

    async def probe(self) -> str:
        """As `Backend.probe`: a job of the cluster says what its head has, and leaves a word that must be seen here."""
        await self._guard()
        await self._shared.look()
        version = (await self._ray.told("/api/version"))["ray_version"]
        machines = (await self._ray.told("/api/v0/nodes"))["data"]["result"]["result"]
        alive = [machine["resources_total"] for machine in machines if machine["state"] == "ALIVE"]
        cores, cards = (sum(machine.get(kind, 0) for machine in alive) for kind in ("CPU", "GPU"))
        return (
            f"Ray {version} at {self._ray.address} asks for a token; {len(alive)} machines, {cores:g} cores, "
            f"{cards:g} graphics cards; its head: {await self._head()}"
        )

    async def close(self) -> None:
        """As `Backend.close`."""
        await self._ray.close()
        self._shared.close()

    def _wish(self, run_id: str, package: str) -> dict[str, Any]:
        """The job as Ray is asked for it.

        The package is gone with the job, so the folder is copied out of it. What the training writes to the job's log
        becomes Ray's log too; `tail` ends when the job's process has, which then gives the exit code.
        """
        there, python, checkout = (
            shlex.quote(path)
            for path in (f"{self._config.artifacts.there}/{run_id}", self._config.python, self._config.checkout)
        )
        keep = self._config.keep_jobs
        return {
            "submission_id": run_id,
            "entrypoint": f"mkdir -p {there} && cp -R . {there} && : >> {there}/{LOG} && cd {checkout} && "
            f"{{ {python} -m training job run {there} --keep {keep} & job=$!; "
            f"tail -c +1 -f -s 0.2 --pid=$job {there}/{LOG}; wait $job; }}",
            "runtime_env": {"working_dir": f"gcs://{package}", "env_vars": _ENVIRONMENT},
            "metadata": {"run": run_id},
        }

    async def _head(self) -> str:
        """What the head says of itself, in a job that is removed afterwards."""
        word, there = secrets.token_hex(8), self._config.artifacts.there
        name, folder, checkout = f"probe-{word}", shlex.quote(there), shlex.quote(self._config.checkout)
        entry = (
            f"mkdir -p {folder} && echo {word} > {folder}/{_PROBED} && cd {checkout} && "
            f"exec {shlex.quote(self._config.python)} -m training job probe {folder}"
        )
        started = await self._ray.ask("POST", "/api/jobs/", {"submission_id": name, "entrypoint": entry})
        if not started.good:
            raise BackendError(f"Ray at {self._ray.address} starts no job: {started.words}")
        deadline = time.monotonic() + _PROBE_S
        while not (phase := _phase(told := await self._info(name) or {"status": "FAILED"})).over:
            if time.monotonic() > deadline:
                await self.cancel(name)
                raise BackendError(f"Ray at {self._ray.address} does not get a small job done in {_PROBE_S:.0f} s")
            await asyncio.sleep(0.3)
        said = (await self._log(name, over=True)).decode().strip().rpartition("\n")[2]
        await self._ray.ask("DELETE", f"/api/jobs/{name}")
        if phase is not Phase.DONE:
            raise BackendError(f"the head of Ray at {self._ray.address} cannot train: {said or told.get('message')}")
        deadline = time.monotonic() + self._config.artifacts.late_s
        while await self._shared.text(_PROBED) != f"{word}\n":
            if time.monotonic() > deadline:
                raise BackendError(
                    f"what the cluster writes into {there} is not seen in {self._config.artifacts.here}: are "
                    "retraining.ray.artifacts.here and .there the same folder?"
                )
            await asyncio.sleep(0.3)
        return said

    async def _guard(self) -> None:
        """Refuse a cluster that asks nobody for a token: whoever reaches it could plant what is brought here."""
        if not self._guarded and not await self._ray.asks_for_token():
            raise BackendError(
                f"Ray at {self._ray.address} runs what anybody sends, for it asks for no token; start its head and "
                "workers with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN", lasting=True,
            )  # fmt: skip
        self._guarded = True

    async def _info(self, run_id: str) -> dict[str, Any] | None:
        """What Ray knows of a job, None if it knows none."""
        told = await self._ray.ask("GET", f"/api/jobs/{run_id}")
        if told.code == 404:
            return None
        if not told.good:
            raise BackendError(f"Ray at {self._ray.address} cannot say how the job {run_id} is: {told.words}")
        return dict(self._ray.read(told))

    async def _last_told(self, run_id: str) -> dict[str, Any] | None:
        """What Ray knows of a job that was told to end; None also where the cluster has ended with the job."""
        try:
            return await self._info(run_id)
        except BackendError as error:
            if error.lasting:
                raise
            return None

    async def _log(self, run_id: str, over: bool) -> bytes:
        """The log so far; of one that cannot be read while it is written, nothing."""
        try:
            told = await self._ray.ask("GET", f"/api/jobs/{run_id}/logs")
        except TooLong:
            return b""  # the job goes on all the same, and the whole log is on the cluster
        if told.good:
            return str(self._ray.read(told)["logs"]).encode()
        if over:
            raise BackendError(f"Ray at {self._ray.address} has no log of the job {run_id}: {told.words}")
        return b""  # cut within a character, or not there yet

    def _unseen(self, run_id: str) -> JobStatus:
        """Done there, and nothing of it seen here: late at first, then a folder that is not the same on both sides."""
        artifacts, now = self._config.artifacts, time.monotonic()
        if now - self._missing_since.setdefault(run_id, now) < artifacts.late_s:
            return JobStatus(Phase.RUNNING)
        return JobStatus(
            Phase.FAILED,
            f"Ray says that the job is done, and after {artifacts.late_s:.0f} s there is no "
            f"{artifacts.here / run_id / RESULT}: is that the folder which is {artifacts.there} there?",
        )


def _phase(told: dict[str, Any]) -> Phase:
    """How far a job is by what Ray knows of it."""
    try:
        return _PHASES[str(told["status"])]
    except KeyError as error:
        raise BackendError(
            f"Ray gives a job the status {told.get('status')!r}, which this version does not know"
        ) from error


def _packed(job: Path) -> tuple[BinaryIO, str, int]:
    """The job's request and inputs as a package: the file, its name by its content, and its size."""
    inputs = sorted((job / INPUTS).iterdir()) if (job / INPUTS).is_dir() else []
    package: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as packed:
        for file in (job / REQUEST, *inputs):
            # without the file's own time, so that the same job has the same name
            entry = zipfile.ZipInfo(str(file.relative_to(job)))
            entry.external_attr = 0o644 << 16
            with file.open("rb") as read, packed.open(entry, "w", force_zip64=True) as written:
                shutil.copyfileobj(read, written, 2**20)
    size = package.tell()
    if size > LARGEST_PACKAGE:
        package.close()
        raise BackendError(
            f"the files of the job {job.name} are {size >> 20} MiB, and Ray takes {LARGEST_PACKAGE >> 20}; train on a "
            "shorter history", lasting=True,
        )  # fmt: skip
    package.seek(0)
    content = hashlib.sha256()
    while piece := package.read(2**20):
        content.update(piece)
    package.seek(0)
    return package, f"regimen_{content.hexdigest()[:32]}.zip", size
