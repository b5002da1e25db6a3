"""Jobs on this machine: started beside the daemon, followed, found again, ended, and their set brought home."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.retraining.backend import BackendError, Phase
from daemon.retraining.chosen import backend
from daemon.retraining.config import Retraining
from daemon.retraining.local import LocalJobs
from daemon.retraining.places import Local
from models import trials
from models.jobs.request import LOG
from models.modelset import ModelSet
from tests.small_disk import small_disk
from tests.small_jobs import ENDLESS, Jobs, made_set


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "cache"))
    return Jobs(tmp_path)


async def text_of(place: LocalJobs, run_id: str, offset: int = 0) -> bytes:
    return b"".join([part async for part in place.logs(run_id, offset)])


async def test_a_job_is_found_again_by_another_daemon_and_ended(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS)
    first = LocalJobs(Local(), jobs.folder)
    assert (await first.status("run-2")).phase is Phase.UNKNOWN
    assert (await first.status("run-1")).phase is Phase.WAITING
    await first.submit(folder)
    second = LocalJobs(Local(), jobs.folder)
    await second.submit(folder)  # once is enough
    assert (await second.status("run-1")).phase is Phase.RUNNING
    with pytest.raises(BackendError, match="no result yet"):
        await second.fetch("run-1", jobs.folder / "store")
    await second.cancel("run-1")
    said = await text_of(second, "run-1")  # ends with the job
    assert said == (folder / LOG).read_bytes()
    assert (await second.status("run-1")).phase is Phase.CANCELED
    assert await text_of(second, "run-1", 10) == said[10:]
    await second.cancel("run-1")
    await second.cancel("run-2")


async def test_the_set_is_brought_home_whole_and_what_was_tried_is_counted(jobs: Jobs, tmp_path: Path) -> None:
    made = made_set(tmp_path)
    jobs.over("run-1", made, tmp_path / "state" / "jobs" / "training")
    place = backend(Retraining(spec=Path("spec.yaml")), tmp_path / "state")
    for _ in range(2):
        brought = await place.fetch("run-1", tmp_path / "store")
        assert ModelSet.load(brought).contents == ModelSet.load(made).contents
    assert trials.read(tmp_path / "store").count == 1
    assert not (tmp_path / "store" / "latest").exists()


async def test_a_full_disk_here_is_told_as_lasting(jobs: Jobs, tmp_path: Path) -> None:
    jobs.over("run-1", made_set(tmp_path), tmp_path / "done")
    place = LocalJobs(Local(), tmp_path / "done")
    with small_disk(tmp_path / "disk", 1) as disk:
        (disk / "fill").write_bytes(b"x" * 1_020_000)
        with pytest.raises(BackendError, match=r"No space left on device.*free some space") as caught:
            await place.fetch("run-1", disk / "store")
        assert caught.value.lasting


async def test_a_folder_from_elsewhere_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="make it there"):
        await LocalJobs(Local(), tmp_path / "others").submit(jobs.training("run-1"))


async def test_the_doctor_is_told_what_this_machine_has(jobs: Jobs) -> None:
    told = await LocalJobs(Local(), jobs.folder).probe()
    assert told.startswith("this machine: python 3.")
    assert "jobs by process" in told
