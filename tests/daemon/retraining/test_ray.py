"""The Ray backend against a real head and worker: a run is one job, its words are whole, what it made comes back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from pydantic import ValidationError

from configs import ConfigError
from daemon.retraining.backend import BackendError, JobStatus, Phase
from daemon.retraining.places import Artifacts, Ray
from daemon.retraining.ray import RayJobs
from market import history, synthetic
from market.timeframes import Timeframe
from models import trials
from models.jobs.folder import prepare
from models.jobs.request import Training
from models.modelset import ModelSet
from tests import ray_cluster
from tests.ray_cluster import RayCluster, free_ports, until

pytestmark = [
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.WHY_NOT),
    pytest.mark.slow,
]
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 400.0
SPEC = """\
name: tiny
data: {bars: 1600, venue: synthetic, symbol: BTCUSDT}
features: {max_lookback: 26}
labels: {horizons: [5]}
lightgbm: {rounds: 20, patience: 5}
lstm: {window: 8, hidden: 6, epochs: 2, stride: 4}
splits: {folds: 2}
evidence: {draws: 100}
"""


@dataclass(frozen=True)
class Place:
    """A cluster, the folder that it and the daemon both see, and jobs made for it."""

    cluster: RayCluster
    folder: Path

    def config(self, **changed: object) -> Ray:
        # the same folder by two names, as a mount has
        artifacts = Artifacts(here=self.folder / "here", there=str(self.folder / "there"), late_s=1)
        told = {
            "address": self.cluster.url, "token_name": "RAY_AUTH_TOKEN", "python": sys.executable,
            "checkout": str(ROOT), "artifacts": artifacts, "poll_s": 0.3,
        }  # fmt: skip
        return Ray.model_validate({**told, **changed})

    def job(self, run_id: str, spec: str = SPEC) -> Path:
        """A training of that name, ready to be sent out."""
        files = {name: self.folder / name for name in ("klines.parquet", "funding.parquet")}
        (self.folder / "spec.yaml").write_text(spec)
        work = Training(
            spec="spec.yaml", data=("klines.parquet",), funding="funding.parquet", executor="ray", device="cpu"
        )
        return prepare(
            self.folder / "jobs", run_id, "test", work, files | {"spec.yaml": self.folder / "spec.yaml"}, 600
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("ray")
    (folder / "there").mkdir()
    (folder / "here").symlink_to(folder / "there")
    candles, funding = synthetic.generate("BTCUSDT", bars=1600, timeframe=Timeframe.parse("1h"), seed=3)
    history.write(candles, folder / "klines.parquet")
    history.write(funding, folder / "funding.parquet")
    with ray_cluster.cluster() as cluster:
        yield Place(cluster, folder)


@asynccontextmanager
async def backend(config: Ray) -> AsyncIterator[RayJobs]:
    opened = RayJobs(config)
    try:
        yield opened
    finally:
        await opened.close()


async def ended(ray: RayJobs, run_id: str) -> JobStatus:
    """The job's status once it is over."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not (status := await ray.status(run_id)).phase.over:
        assert asyncio.get_running_loop().time() < deadline, status
        await asyncio.sleep(0.3)
    return status


@dataclass(frozen=True)
class Trained:
    """A training on the cluster, one of whose machines was killed at work, followed by two daemons in turn."""

    run_id: str
    first: bytes
    rest: bytes
    status: JobStatus
    submissions: int


@pytest.fixture(scope="module")
def trained(place: Place) -> Trained:
    run_id = "20261124t155000-3f9a"
    job = place.job(run_id)

    async def told() -> Trained:
        async with backend(place.config()) as before:
            await asyncio.gather(before.submit(job), before.submit(job))
            await before.submit(job)
            async for first in before.logs(run_id, 0):
                if b"job " + run_id.encode() in first:
                    break
        async with backend(place.config()) as after:
            await after.submit(job)
            following = asyncio.create_task(_rest(after, run_id, len(first)))
            await asyncio.to_thread(_kill_the_worker_at_work, place.cluster)
            status = await ended(after, run_id)
            rest = await following
            jobs = await after._ray.told("/api/jobs/")
        return Trained(run_id, first, rest, status, [each["submission_id"] for each in jobs].count(run_id))

    return asyncio.run(told())


async def _rest(ray: RayJobs, run_id: str, offset: int) -> bytes:
    return b"".join([piece async for piece in ray.logs(run_id, offset)])


def _kill_the_worker_at_work(cluster: RayCluster) -> None:
    worker = cluster.worker
    assert worker is not None

    def at_work() -> bool:
        return any("ray::_task" in " ".join(each.cmdline()) for each in psutil.Process(worker.pid).children(True))

    until(at_work, "the worker has no task")
    cluster.kill_worker()


def test_a_training_is_done_though_a_machine_is_killed_at_work(trained: Trained, place: Place) -> None:
    assert trained.status == JobStatus(Phase.DONE), trained.rest.decode()
    assert b"the node it was running on is dead" in trained.rest  # and it had work, which was done elsewhere


async def test_a_set_comes_back_from_the_cluster_verified(trained: Trained, place: Place, tmp_path: Path) -> None:
    async with backend(place.config()) as ray:
        folder = await ray.fetch(trained.run_id, tmp_path)
        assert await ray.fetch(trained.run_id, tmp_path) == folder
    assert ModelSet.load(folder).manifest.data.symbols == ("BTCUSDT",)
    assert sorted(os.listdir(tmp_path)) == sorted(["incoming", folder.name, trials.FILE])
    assert [trial.set_id for trial in trials.read(tmp_path).trials] == [folder.name]  # what was tried counts here too
    assert not os.listdir(tmp_path / "incoming")


def test_a_run_that_is_submitted_again_is_one_job(trained: Trained) -> None:
    assert trained.submissions == 1


async def test_the_log_goes_on_without_a_gap_after_a_restart(trained: Trained, place: Place) -> None:
    async with backend(place.config()) as ray:
        whole = await _rest(ray, trained.run_id, 0)
        assert trained.first + trained.rest == whole
        assert await _rest(ray, trained.run_id, len(whole)) == b""
    there = (place.folder / "there" / trained.run_id / "log").read_bytes()
    assert there in whole


async def test_a_set_that_was_changed_on_the_way_is_refused(trained: Trained, place: Place, tmp_path: Path) -> None:
    here = Path(shutil.copytree(place.folder / "there", tmp_path / "here"))
    victim = next((here / trained.run_id / "sets").glob("*/*.onnx"))
    secret = tmp_path / "secret"
    secret.write_bytes(victim.read_bytes())
    harmed = bytearray(victim.read_bytes())
    harmed[len(harmed) // 2] ^= 1
    config = place.config(artifacts=Artifacts(here=here, there="/there"))
    async with backend(config) as ray:
        victim.write_bytes(harmed)
        with pytest.raises(BackendError, match="SHA-256") as caught:
            await ray.fetch(trained.run_id, tmp_path / "store")
        assert caught.value.lasting
        victim.unlink()
        victim.symlink_to(secret)  # a link could lead to any file of this machine
        with pytest.raises(BackendError, match="symbolic link"):
            await ray.fetch(trained.run_id, tmp_path / "store")
    assert not [name for name in os.listdir(tmp_path / "store") if name not in ("incoming", trials.FILE)]
    assert not os.listdir(tmp_path / "store" / "incoming")


async def test_a_done_job_whose_result_is_not_seen_here_has_failed_and_says_where_it_was_looked_for(
    trained: Trained, place: Place, tmp_path: Path
) -> None:
    config = place.config(artifacts=Artifacts(here=tmp_path, there="/there", late_s=0.5))
    async with backend(config) as ray:
        assert (await ray.status(trained.run_id)).phase is Phase.RUNNING
        status = await ended(ray, trained.run_id)
    assert status.phase is Phase.FAILED
    assert str(tmp_path / trained.run_id) in status.text


async def test_a_canceled_job_ends_with_all_it_started(place: Place) -> None:
    run_id = "20261124t160000-0001"
    async with backend(place.config()) as ray:
        await ray.submit(place.job(run_id))
        async for piece in ray.logs(run_id, 0):
            if b": training, asked for by test" in piece:
                break
        await ray.cancel(run_id)
        assert (await ended(ray, run_id)).phase is Phase.CANCELED
        await ray.cancel(run_id)  # over: nothing to do
        await ray.cancel("20261124t160000-0002")  # never heard of
        assert (await ray.status("20261124t160000-0002")).phase is Phase.UNKNOWN
        with pytest.raises(BackendError, match="no result"):
            await ray.fetch("20261124t160000-0002", place.folder / "store")
        with pytest.raises(BackendError, match="made no set: it ended as interrupted"):
            await ray.fetch(run_id, place.folder / "store")
    folder = str(place.folder / "there" / run_id)
    until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])],
          "the canceled job lives on")  # fmt: skip


async def test_a_job_whose_files_were_changed_on_the_way_fails_and_says_which(place: Place) -> None:
    run_id = "20261124t160000-0003"
    job = place.job(run_id)
    with (job / "inputs" / "funding.parquet").open("ab") as file:
        file.write(b"more")
    async with backend(place.config()) as ray:
        await ray.submit(job)
        status = await ended(ray, run_id)
        with pytest.raises(BackendError, match="made no set: it ended as failed"):
            await ray.fetch(run_id, place.folder / "store")
    assert status.phase is Phase.FAILED
    assert "funding.parquet: its SHA-256 is" in status.text


async def test_a_python_that_is_not_there_fails_the_job_with_the_reason(place: Place) -> None:
    run_id = "20261124t160000-0004"
    async with backend(place.config(python="/nowhere/bin/python")) as ray:
        await ray.submit(place.job(run_id))
        status = await ended(ray, run_id)
    assert status.phase is Phase.FAILED
    assert "/nowhere/bin/python" in status.text


async def test_the_doctor_is_told_what_the_cluster_has(place: Place, tmp_path: Path) -> None:
    async with backend(place.config()) as ray:
        line = await ray.probe()
        jobs = await ray._ray.told("/api/jobs/")
    assert line.startswith("Ray 2.")
    assert "asks for a token" in line
    assert "its head: " in line
    assert not [job for job in jobs if (job["submission_id"] or "").startswith("probe-")]


async def test_the_doctor_is_told_what_the_cluster_lacks(place: Place, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    wrong = (
        (
            place.config(artifacts=Artifacts(here=tmp_path / "other", there=str(tmp_path / "there"), late_s=1)),
            "the same",
        ),
        (place.config(checkout="/nowhere"), "cannot train: .*/nowhere"),
    )
    for config, words in wrong:
        async with backend(config) as ray:
            with pytest.raises(BackendError, match=words):
                await ray.probe()


async def test_a_wrong_token_is_refused_with_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIMEN_RAY_TOKEN", "0" * 64)
    async with backend(place.config(token_name="REGIMEN_RAY_TOKEN")) as ray:
        for verb in (ray.probe(), ray.submit(place.job("20261124t160000-0005")), ray.status("x"), ray.cancel("x")):
            with pytest.raises(
                BackendError, match=r"token of REGIMEN_RAY_TOKEN .403.; .* `ray get-auth-token`"
            ) as told:
                await verb
            assert told.value.lasting
    monkeypatch.delenv("REGIMEN_RAY_TOKEN")
    with pytest.raises(ConfigError, match="REGIMEN_RAY_TOKEN is not set"):
        RayJobs(place.config(token_name="REGIMEN_RAY_TOKEN"))


async def test_a_cluster_that_asks_nobody_for_a_token_gets_no_job(place: Place) -> None:
    """An open head would take ten seconds to start: a server stands for it that answers anybody, which is the point."""

    async def anybody(request: web.Request) -> web.Response:
        return web.json_response({"ray_version": "2.60.0"})

    app = web.Application()
    app.router.add_get("/api/version", anybody)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with backend(place.config(address=f"http://127.0.0.1:{port}")) as ray:
        for verb in (ray.probe(), ray.submit(place.job("20261124t160000-0006"))):
            with pytest.raises(BackendError, match="RAY_AUTH_MODE=token") as told:
                await verb
            assert told.value.lasting
    await runner.cleanup()


async def test_a_head_that_does_not_answer_may_answer_later(place: Place) -> None:
    async with backend(place.config(address=f"http://127.0.0.1:{free_ports(1)[0]}")) as ray:
        with pytest.raises(BackendError, match="no Ray dashboard answers") as told:
            await ray.status("20261124t160000-0007")
        assert not told.value.lasting


async def test_a_folder_of_artefacts_that_is_not_mounted_is_named(place: Place, tmp_path: Path) -> None:
    config = place.config(artifacts=Artifacts(here=tmp_path / "mount", there="/there"))
    async with backend(config) as ray:
        with pytest.raises(BackendError, match=f"no folder {tmp_path / 'mount'}"):
            await ray.probe()


async def test_a_result_that_is_none_or_another_jobs_is_refused(place: Place, tmp_path: Path) -> None:
    config = place.config(artifacts=Artifacts(here=tmp_path, there="/there"))
    file = tmp_path / "run-1" / "result.json"
    file.parent.mkdir()
    other = {"id": "run-2", "outcome": "done", "started": "2026-11-24T15:00:00Z", "ended": "2026-11-24T15:00:00Z"}
    async with backend(config) as ray:
        for text, words in (("{}", "is no job's result"), (json.dumps(other), "another job, run-2")):
            file.write_text(text)
            with pytest.raises(BackendError, match=words):
                await ray.status("run-1")


async def test_more_than_ray_takes_is_refused_before_it_is_sent(place: Place) -> None:
    job = place.job("20261124t160000-0008")
    with (job / "inputs" / "klines.parquet").open("r+b") as file:
        file.truncate(101 * 2**20)
    async with backend(place.config()) as ray:
        with pytest.raises(BackendError, match="101 MiB, and Ray takes 100") as told:
            await ray.submit(job)
        assert told.value.lasting


def test_the_token_does_not_go_through_a_public_network_in_the_clear(place: Place) -> None:
    for address in ("http://127.0.0.1:8265", "http://10.0.0.1:8265", "http://head:8265", "https://8.8.8.8"):
        assert place.config(address=address).address == address
    for address in ("http://8.8.8.8:8265", "ftp://head", "head:8265", "http://user:word@head"):
        with pytest.raises(ValidationError):
            place.config(address=address)
