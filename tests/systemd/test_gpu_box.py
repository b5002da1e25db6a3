"""Jobs over ssh on a box whose systemd supervises them: a real sshd, a real login, and the user's own systemd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from daemon.retraining.backend import BackendError, JobStatus, Phase
from daemon.retraining.ssh import SshJobs
from models.jobs.request import LOG, Result
from models.modelset import ModelSet
from tests.small_jobs import ENDLESS, Jobs
from tests.ssh_server import PATIENCE
from tests.systemd.gpu_box import LOGINS, USER, GpuBox, lacking
from tests.systemd.machine import CannotBoot, Machine


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuBox]:
    """The box, on which nobody has been yet."""
    try:
        machine = Machine(tmp_path_factory.mktemp("machine"))
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        if told := lacking(machine):
            pytest.skip(told)
        made = GpuBox(machine, tmp_path_factory.mktemp("keys"))
        with machine.network():
            yield made
    finally:
        machine.close()


@pytest.fixture(params=LOGINS)
async def reached(box: GpuBox, request: pytest.FixtureRequest) -> AsyncIterator[SshJobs]:
    """The box, over each kind of login."""
    place = SshJobs(box.ssh(request.param))
    yield place
    await place.close()


@pytest.fixture
async def place(box: GpuBox) -> AsyncIterator[SshJobs]:
    """The box, on which jobs outlive the login."""
    box.machine.run("loginctl", "enable-linger", USER)
    box.machine.until(lambda: box.machine.show(f"user@{box.uid}", "ActiveState") == "active", "the user's systemd")
    place = SshJobs(box.ssh())
    yield place
    await place.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


async def begun(place: SshJobs, box: GpuBox, folder: Path) -> None:
    """Submit a job, and wait until it does its work."""
    await place.submit(folder)
    async for part in place.logs(folder.name, 0):
        if b"asked for by test" in part:
            break
    box.machine.until(lambda: len(box.processes(folder.name)) > 1, "its work")


async def over(place: SshJobs, run_id: str) -> JobStatus:
    """How it ended, once it has."""
    async with asyncio.timeout(120 * PATIENCE):
        while not (status := await place.status(run_id)).phase.over:  # noqa: ASYNC110 (it is on another machine)
            await asyncio.sleep(0.1)
    return status


async def the_rest(place: SshJobs, run_id: str, offset: int) -> bytes:
    """The log from there on, however often the line is cut."""
    log = b""
    async with asyncio.timeout(120 * PATIENCE):
        while True:
            try:
                async for part in place.logs(run_id, offset + len(log)):
                    log += part
                return log
            except BackendError:
                continue


def result(box: GpuBox, run_id: str) -> Result:
    return Result.model_validate_json(box.machine.read(f"{box.jobs}/{run_id}/result.json"))


async def test_a_box_whose_jobs_would_end_with_the_login_is_refused(reached: SshJobs) -> None:
    with pytest.raises(BackendError, match="loginctl enable-linger trainer"):
        await reached.probe()


async def test_a_box_that_lingers_is_fit(place: SshJobs, reached: SshJobs) -> None:
    assert "jobs by systemd" in await reached.probe()
    assert "jobs by systemd" in await place.probe()


async def test_a_training_outlives_a_cut_and_its_set_comes_home(
    place: SshJobs, box: GpuBox, jobs: Jobs, tmp_path: Path
) -> None:
    folder = jobs.training("run-1")
    await place.submit(folder)
    await place.submit(folder)  # once is enough
    log, cuts = b"", 0
    async for part in place.logs("run-1", 0):
        log += part
        cuts = box.cut()
        break
    log += await the_rest(place, "run-1", len(log))
    assert cuts
    assert await over(place, "run-1") == JobStatus(Phase.DONE)
    assert log.decode() == box.machine.read(f"{box.jobs}/run-1/{LOG}")
    brought = await place.fetch("run-1", tmp_path / "store")
    assert ModelSet.load(brought).manifest.identity.name == "quick"
    assert set(result(box, "run-1").files) == {file.name for file in brought.iterdir()}
    box.machine.until(lambda: box.unit("run-1", "LoadState") == "not-found", "the unit gone")


async def test_a_job_is_a_unit_of_the_users_own_with_its_limits(place: SshJobs, box: GpuBox, jobs: Jobs) -> None:
    await begun(place, box, jobs.training("run-2", ENDLESS, timeout_s=600))
    assert box.unit("run-2", "ControlGroup") == (
        f"/user.slice/user-{box.uid}.slice/user@{box.uid}.service/app.slice/regimen-run-2.service"
    )
    told = {"Nice": "19", "KillMode": "mixed", "RuntimeMaxUSec": "11min", "TimeoutStopUSec": "30s"}
    assert {name: box.unit("run-2", name) for name in told} == told
    procs = box.machine.read(f"/sys/fs/cgroup{box.unit('run-2', 'ControlGroup')}/cgroup.procs").split()
    assert {line.split()[0] for line in box.processes("run-2")} <= set(procs)
    box.cut()
    box.cut()  # nobody is logged in, and it goes on
    later = SshJobs(box.ssh("without pam"))
    assert (await later.status("run-2")).phase is Phase.RUNNING
    await later.cancel("run-2")
    assert (await over(later, "run-2")).phase is Phase.CANCELED
    box.machine.until(lambda: not box.processes("run-2"), "all of it gone")
    await later.close()


async def test_its_workers_die_with_the_jobs_process(place: SshJobs, box: GpuBox, jobs: Jobs) -> None:
    await begun(place, box, jobs.training("run-3", ENDLESS))
    box.machine.run("kill", "-KILL", box.unit("run-3", "MainPID"))
    box.machine.until(lambda: not box.processes("run-3"), "all of it gone")
    status = await over(place, "run-3")
    assert status.phase is Phase.FAILED
    assert "was killed, or the machine was restarted" in status.text
    assert not status.lasting


async def test_a_unit_that_is_killed_has_failed(place: SshJobs, box: GpuBox, jobs: Jobs) -> None:
    await begun(place, box, jobs.training("run-4", ENDLESS))
    box.own("kill", "--signal=KILL", "regimen-run-4")
    assert (await over(place, "run-4")).phase is Phase.FAILED
    assert not box.processes("run-4")


async def test_a_job_on_a_box_that_shuts_down_is_interrupted_and_not_canceled(
    place: SshJobs, box: GpuBox, jobs: Jobs
) -> None:
    await begun(place, box, jobs.training("run-5", ENDLESS))
    box.machine.run("systemctl", "stop", f"user@{box.uid}.service")  # as it is stopped then
    assert not box.processes("run-5")
    box.machine.run("systemctl", "start", f"user@{box.uid}.service")
    status = await over(place, "run-5")
    assert (status.phase, status.lasting) == (Phase.FAILED, False)
    assert result(box, "run-5").outcome == "interrupted"


async def test_a_job_that_cannot_begin_says_why(place: SshJobs, box: GpuBox, jobs: Jobs) -> None:
    over_it = f"/home/{USER}/.config/systemd/user/regimen-.service.d/broken.conf"
    box.machine.write(over_it, "[Service]\nEnvironment=PYTHONHOME=/nowhere\n")
    box.own("daemon-reload")
    try:
        with pytest.raises(BackendError, match=r"ended before it began; its last words:\n.*/nowhere"):
            await place.submit(jobs.training("run-6"))
    finally:
        box.machine.run("rm", "-r", f"/home/{USER}/.config/systemd")
        box.own("daemon-reload")
