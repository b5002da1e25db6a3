"""A place for tests: jobs are real processes that outlive who started them, and their work is a line of shell.

It keeps the contract of `daemon.retraining.backend` and trains nothing, so that a run takes a second. Verbs named in
`down` fail as a line that is cut, those in `refusing` as a place that says no.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from daemon.retraining.backend import BackendError, JobStatus, Phase

SET_ID = "made-of-shell"
MAKE_A_SET = f"echo begun; mkdir -p sets/{SET_ID}; echo weights > sets/{SET_ID}/model.txt; echo ended"


class Place:
    """Runs ``sh -c work`` in ``folder/<run id>``; the last line of its exit code ends a job.

    Attributes
    ----------
    down, refusing : set of str
        Verbs that fail, for now or for good.
    busy : bool
        Whether what is submitted waits, until `free` is called.
    asked : Counter
        How often each verb was carried out or tried.
    """

    name = "place"

    def __init__(self, folder: Path, work: str = MAKE_A_SET) -> None:
        self.folder, self.work = folder, work
        self.down: set[str] = set()
        self.refusing: set[str] = set()
        self.busy = False
        self.asked: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)

    async def submit(self, job: Path) -> None:
        self._verb("submit")
        self._begin(job)
        self._verb("submit's answer")

    async def status(self, run_id: str) -> JobStatus:
        self._verb("status")
        there = self.folder / run_id
        if not there.is_dir():
            return JobStatus(Phase.UNKNOWN)
        if (there / "canceled").exists():
            return JobStatus(Phase.CANCELED, "canceled")
        if not (there / "pid").exists():
            return JobStatus(Phase.WAITING)
        if not (there / "code").exists():
            return JobStatus(Phase.RUNNING)
        code = int((there / "code").read_text())
        words = (there / "log").read_text().strip()
        return JobStatus(Phase.FAILED, words, lasting=code == 4) if code else JobStatus(Phase.DONE)

    async def logs(self, run_id: str, offset: int) -> AsyncIterator[bytes]:
        while True:
            self._verb("logs")
            over = (await self.status(run_id)).phase.over
            log = self.folder / run_id / "log"
            part = log.read_bytes()[offset:] if log.exists() else b""
            offset += len(part)
            if part:
                yield part
            elif over:
                return
            await asyncio.sleep(0.05)

    async def cancel(self, run_id: str) -> None:
        self._verb("cancel")
        there = self.folder / run_id
        if there.is_dir() and not (there / "code").exists():
            (there / "canceled").touch()
            if (there / "pid").exists():
                self.kill(run_id)

    async def fetch(self, run_id: str, store: Path) -> Path:
        self._verb("fetch")
        (made,) = (self.folder / run_id / "sets").iterdir()
        return Path(shutil.copytree(made, store / made.name, dirs_exist_ok=True))

    async def probe(self) -> str:
        return "here"

    async def close(self) -> None:
        """Nothing is held."""

    def kill(self, run_id: str) -> None:
        """End a job's processes, and say nothing."""
        os.killpg(int((self.folder / run_id / "pid").read_text()), signal.SIGKILL)

    def _begin(self, job: Path) -> None:
        there = self.folder / job.name
        if not there.is_dir():
            shutil.copytree(job, there)
            if not self.busy:
                self._run(there)

    def free(self) -> None:
        """Begin what waits."""
        self.busy = False
        for there in self.folder.iterdir():
            if not (there / "pid").exists():
                self._run(there)

    def _run(self, there: Path) -> None:
        script = f"({self.work}) >> log 2>&1; echo $? > .code; mv .code code"
        process = subprocess.Popen(["sh", "-c", script], cwd=there, start_new_session=True)
        (there / "pid").write_text(str(process.pid))

    def _verb(self, verb: str) -> None:
        self.asked[verb] += 1
        if verb in self.refusing:
            raise BackendError(f"{verb}: permission denied", lasting=True)
        if verb in self.down:
            raise BackendError(f"{verb}: the line was cut")
