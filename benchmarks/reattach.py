"""From a cut line, or a daemon's restart, to the job's log going on: a real sshd on loopback, a real training there.

    python benchmarks/reattach.py [--times 20] [--json]

`cut`: every connection is killed at the machine's end while the log is followed; until the first byte that was written
afterwards is here. `restart`: a backend that has never met the machine; until it says that the job runs, and until the
log goes on at the byte where the last one ended. The line itself takes no time here: a far machine adds its round
trips, some eight to connect and three for a piece of the log.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daemon.retraining.backend import BackendError, Phase
from daemon.retraining.ssh import SshJobs
from models.jobs.folder import process_of
from models.jobs.request import LOG
from tests.small_jobs import ENDLESS, Jobs
from tests.ssh_server import SshServer, why_not

RUN = "reattach"
WRITE_S = 0.005
"""Between two lines that are written to the log."""


class Ear:
    """Follows a job's log, asking again at once whenever it was cut off."""

    def __init__(self, place: SshJobs, offset: int) -> None:
        self._place, self.offset = place, offset
        self.heard = asyncio.Event()

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(BackendError):
                async for part in self._place.logs(RUN, self.offset):
                    self.offset += len(part)
                    self.heard.set()

    async def until(self, offset: int) -> None:
        """Wait until a byte from there on was heard."""
        while self.offset <= offset:
            self.heard.clear()
            await self.heard.wait()


@asynccontextmanager
async def listening(place: SshJobs, offset: int) -> AsyncIterator[Ear]:
    """An ear that listens meanwhile."""
    ear = Ear(place, offset)
    task = asyncio.create_task(ear.listen())
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _talk(log: Path) -> None:
    """Let the job's log grow all the time."""
    while True:
        with log.open("ab") as opened:
            opened.write(b"a training that always has something to say\n")
        await asyncio.sleep(WRITE_S)


def _size(log: Path) -> int:
    return log.stat().st_size


async def cuts(server: SshServer, log: Path, times: int) -> list[float]:
    """Seconds from each cut to the log going on."""
    place, found = SshJobs(server.ssh(poll_s=0.5)), []
    async with listening(place, 0) as ear:
        await ear.until(0)
        for _ in range(times):
            await asyncio.to_thread(server.cut)
            began, size = time.perf_counter(), await asyncio.to_thread(_size, log)
            await ear.until(size)
            found.append(time.perf_counter() - began)
    await place.close()
    return found


async def restarts(server: SshServer, log: Path, times: int) -> tuple[list[float], list[float]]:
    """Seconds from a new backend to what it says of the job, and to the log going on."""
    stated, heard = [], []
    for _ in range(times):
        place, size = SshJobs(server.ssh(poll_s=0.5)), await asyncio.to_thread(_size, log)
        began = time.perf_counter()
        async with listening(place, size) as ear:
            await ear.until(size)
            heard.append(time.perf_counter() - began)
        await place.close()
        place = SshJobs(server.ssh())
        began = time.perf_counter()
        if (status := await place.status(RUN)).phase is not Phase.RUNNING:
            raise click.ClickException(f"the job does not run: {status.phase} {status.text}")
        stated.append(time.perf_counter() - began)
        await place.close()
    return stated, heard


async def measured(folder: Path, times: int) -> dict[str, list[float]]:
    """Every figure's samples, seconds."""
    server = SshServer(folder / "box", {"REGIMEN_CACHE": str(folder / "cache")})
    server.start()
    log = server.jobs / RUN / LOG
    try:
        place = SshJobs(server.ssh())
        began = time.perf_counter()
        await place.submit(Jobs(folder).training(RUN, ENDLESS))
        submitted = time.perf_counter() - began
        talking = asyncio.create_task(_talk(log))
        try:
            after_cut = await cuts(server, log, times)
            stated, heard = await restarts(server, log, times)
        finally:
            talking.cancel()
            await place.cancel(RUN)
            await place.close()
    finally:
        server.stop()
        process = process_of(server.jobs / RUN) if log.exists() else None
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    return {
        "submit": [submitted],
        "cut_to_log_goes_on": after_cut,
        "restart_to_log_goes_on": heard,
        "restart_to_state_known": stated,
    }


@click.command()
@click.option("--times", default=20, type=click.IntRange(1), show_default=True, help="Cuts, and restarts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(times: int, as_json: bool) -> None:
    """Measure how long a job that goes on is out of sight, ms."""
    if (reason := why_not()) is not None:
        click.echo(f"not measured: {reason}", err=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), times))
    figures = {name: _spread(seconds) for name, seconds in found.items()}
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, spread in figures.items():
        told = f"median {spread['median_ms']:7.0f} ms, worst {spread['worst_ms']:7.0f} ms"
        click.echo(f"{name:24} {told}, {spread['samples']} samples")


def _spread(seconds: list[float]) -> dict[str, float]:
    """Median and worst of the samples, ms."""
    return {
        "median_ms": round(median(seconds) * 1_000, 1), "worst_ms": round(max(seconds) * 1_000, 1),
        "samples": len(seconds),
    }  # fmt: skip


if __name__ == "__main__":
    main()
