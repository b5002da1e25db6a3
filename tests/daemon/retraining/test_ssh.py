"""Jobs over ssh, against a real sshd on loopback: sent, followed, found again, ended; every way it can fail is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import psutil
import pytest

from daemon.retraining.backend import BackendError, Phase
from daemon.retraining.chosen import backend
from daemon.retraining.config import Retraining
from daemon.retraining.places import Ssh
from daemon.retraining.ssh import SshJobs
from models import trials
from models.jobs.folder import process_of, result_of
from models.jobs.request import INPUTS, LOG, SETS
from models.modelset import ModelSet
from tests.small_disk import small_disk
from tests.small_jobs import DATA, ENDLESS, Jobs, made_set, until
from tests.ssh_server import PATIENCE, SshServer, why_not
from tests.tcp_proxy import TcpProxy

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set as a job leaves it."""
    return made_set(tmp_path_factory.mktemp("made"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A box; its jobs are ended after the test."""
    box = SshServer(tmp_path / "box", {"REGIMEN_CACHE": str(tmp_path / "cache")})
    box.start()
    yield box
    box.stop()
    for folder in box.jobs.iterdir() if box.jobs.is_dir() else ():
        process = process_of(folder) if result_of(folder) is None else None
        for pid in (process and process.pid, process and process.work):
            if pid and psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@pytest.fixture
async def place(server: SshServer) -> AsyncIterator[SshJobs]:
    """The backend that reaches the box."""
    here = SshJobs(server.ssh())
    yield here
    await here.close()


@pytest.fixture
async def proxy(server: SshServer) -> AsyncIterator[TcpProxy]:
    """A line to the box that can be cut."""
    async with TcpProxy(server.port) as line:
        server.known_hosts.write_text(server.known_hosts.read_text().replace(str(server.port), str(line.port)))
        yield line


async def over(place: SshJobs, run_id: str) -> Phase:
    """How it ended, once it has: its log ends with it."""
    async with asyncio.timeout(120 * PATIENCE):
        _ = [part async for part in place.logs(run_id, 0)]
    return (await place.status(run_id)).phase


async def refused(section: Ssh) -> BackendError:
    """The error of a first word to the box."""
    here = SshJobs(section)
    with pytest.raises(BackendError) as caught:
        await here.status("run-1")
    await here.close()
    return caught.value


async def test_a_training_goes_out_and_its_set_comes_home(place: SshJobs, jobs: Jobs, tmp_path: Path) -> None:
    assert "cores" in await place.probe()
    folder = jobs.training("run-1")
    assert (await place.status("run-1")).phase is Phase.UNKNOWN
    await place.submit(folder)
    await place.submit(folder)  # once is enough
    assert (await place.status("run-1")).phase is Phase.RUNNING
    log = b"".join([part async for part in place.logs("run-1", 0)])  # ends with the job
    assert (await place.status("run-1")).phase is Phase.DONE
    brought = await place.fetch("run-1", tmp_path / "store")
    assert ModelSet.load(brought).manifest.identity.name == "quick"
    assert brought.name.encode() in log
    assert await place.fetch("run-1", tmp_path / "store") == brought
    assert [trial.set_id for trial in trials.read(tmp_path / "store").trials] == [brought.name]


async def test_a_log_goes_on_after_cuts_and_a_restart_without_a_gap_or_a_repeat(
    server: SshServer, place: SshJobs, jobs: Jobs
) -> None:
    await place.submit(jobs.training("run-1", ENDLESS))
    log = server.jobs / "run-1" / LOG
    done = asyncio.Event()

    async def write() -> int:
        number = 0
        while not done.is_set():
            lines = b"".join(b"line %07d of a training that says much\n" % (number + k) for k in range(1_000))
            with log.open("ab") as opened:
                opened.write(lines)
            number += 1_000
            await asyncio.sleep(0.05)
        return number

    writing, heard, cuts = asyncio.create_task(write()), bytearray(), 0
    said: list[BackendError] = []
    while cuts < 5:
        try:
            async for part in place.logs("run-1", len(heard)):
                heard += part
                cuts += await asyncio.to_thread(server.cut) > 0  # while idle it is not even noticed
                if cuts == 5:
                    break
        except BackendError as error:
            said.append(error)
    assert all("the line was cut" in str(error) and not error.lasting for error in said)
    done.set()
    another = SshJobs(server.ssh())  # as after a restart of the daemon
    await another.cancel("run-1")
    async for part in another.logs("run-1", len(heard)):
        heard += part
    assert bytes(heard) == log.read_bytes()
    assert heard.count(b"of a training that says much\n") == await writing
    assert (await another.status("run-1")).phase is Phase.CANCELED
    await another.close()


async def test_a_black_hole_is_noticed_and_the_job_found_again(server: SshServer, proxy: TcpProxy, jobs: Jobs) -> None:
    place = SshJobs(server.ssh(port=proxy.port, keepalive_s=0.2))
    await place.submit(jobs.training("run-1", ENDLESS))
    proxy.freeze()
    with pytest.raises(BackendError, match="the line was cut") as caught:
        async for _ in place.logs("run-1", 0):
            pass
    assert not caught.value.lasting
    proxy.cut()
    proxy.thaw()
    await place.cancel("run-1")
    assert await over(place, "run-1") is Phase.CANCELED
    await place.close()


async def test_a_job_that_is_killed_there_has_failed_and_says_so(server: SshServer, place: SshJobs, jobs: Jobs) -> None:
    await place.submit(jobs.training("run-1", ENDLESS))
    process = process_of(server.jobs / "run-1")
    assert process is not None
    until(lambda: (server.jobs / "run-1" / LOG).exists())
    os.kill(process.pid, signal.SIGKILL)
    _ = [part async for part in place.logs("run-1", 0)]  # ends, though nobody is left to say so
    status = await place.status("run-1")
    assert status.phase is Phase.FAILED
    assert "was killed, or the machine was restarted" in status.text
    with pytest.raises(BackendError, match="made no set"):
        await place.fetch("run-1", jobs.folder / "store")


async def test_a_time_out_has_failed_and_would_again(place: SshJobs, jobs: Jobs) -> None:
    await place.submit(jobs.training("run-1", ENDLESS, timeout_s=1))
    assert await over(place, "run-1") is Phase.FAILED
    status = await place.status("run-1")
    assert status.lasting
    assert "not done after 1 s" in status.text


async def test_a_job_that_was_half_sent_is_sent_again_and_only_then_there(
    server: SshServer, proxy: TcpProxy, jobs: Jobs
) -> None:
    folder = jobs.training("run-1", ENDLESS)
    with (folder / INPUTS / "large").open("wb") as large:
        large.write(os.urandom(30 * 2**20))
    place = SshJobs(server.ssh(port=proxy.port))
    sending = asyncio.create_task(place.submit(folder))
    partial = server.jobs / "run-1.partial" / INPUTS / "large"
    await asyncio.to_thread(until, lambda: partial.exists() and partial.stat().st_size)
    proxy.cut()
    with pytest.raises(BackendError, match="the line was cut at sending") as caught:
        await sending
    assert not caught.value.lasting
    assert (await place.status("run-1")).phase is Phase.UNKNOWN
    await place.submit(folder)
    assert (server.jobs / "run-1" / INPUTS / DATA).read_bytes() == (folder / INPUTS / DATA).read_bytes()
    assert not partial.exists()
    await place.cancel("run-1")
    await place.close()


async def test_a_set_that_was_half_fetched_is_fetched_whole(
    server: SshServer, proxy: TcpProxy, jobs: Jobs, made: Path, tmp_path: Path
) -> None:
    jobs.over("run-1", made, server.jobs)
    store = tmp_path / "store"
    partial = store / "incoming" / f"{made.name}.partial"
    partial.mkdir(parents=True)
    (partial / "lstm.onnx").write_bytes(b"half")
    (partial / "left.pkl").write_bytes(b"over")
    place = SshJobs(server.ssh(port=proxy.port))
    assert (await place.status("run-1")).phase is Phase.DONE
    proxy.hold_answers()
    fetching = asyncio.create_task(place.fetch("run-1", store))
    await asyncio.sleep(0.2)
    proxy.cut()
    with pytest.raises(BackendError, match="cut"):
        await fetching
    assert not (store / made.name).exists()
    proxy.thaw()
    assert ModelSet.load(await place.fetch("run-1", store)).contents == ModelSet.load(made).contents
    assert not partial.exists()
    await place.close()


async def test_a_set_with_a_wrong_hash_is_refused(
    server: SshServer, place: SshJobs, jobs: Jobs, made: Path, tmp_path: Path
) -> None:
    there = jobs.over("run-1", made, server.jobs) / SETS / made.name / "regime.txt"
    there.write_bytes(there.read_bytes().replace(b"tree", b"trEe", 1))
    with pytest.raises(BackendError, match="SHA-256") as caught:
        await place.fetch("run-1", tmp_path / "store")
    assert caught.value.lasting
    assert not (tmp_path / "store" / made.name).exists()
    assert not any((tmp_path / "store" / "incoming").iterdir())


async def test_a_full_disk_there_is_told_as_lasting(server: SshServer, jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    with (folder / INPUTS / "large").open("wb") as large:
        large.write(os.urandom(3 * 2**20))
    place = SshJobs(server.ssh())
    with small_disk(server.jobs, 2):
        with pytest.raises(BackendError, match=r"the disk of .*jobs is full .*free some") as caught:
            await place.submit(folder)
        assert caught.value.lasting
        assert (await place.status("run-1")).phase is Phase.UNKNOWN
        await place.close()


async def test_a_full_disk_here_is_told_as_lasting(
    server: SshServer, place: SshJobs, jobs: Jobs, made: Path, tmp_path: Path
) -> None:
    jobs.over("run-1", made, server.jobs)
    with small_disk(tmp_path / "disk", 1) as disk:
        (disk / "fill").write_bytes(b"x" * 1_020_000)
        with pytest.raises(
            BackendError, match=r"half of what is free on the disk of .*disk/store/.*free some"
        ) as caught:
            await place.fetch("run-1", disk / "store")
        assert caught.value.lasting
        assert not any((disk / "store" / "incoming").iterdir())


async def test_what_is_larger_than_a_set_may_be_is_not_brought(
    server: SshServer, place: SshJobs, jobs: Jobs, made: Path, tmp_path: Path
) -> None:
    there = jobs.over("run-1", made, server.jobs) / SETS / made.name / "regime.txt"
    with there.open("r+b") as file:
        file.truncate(2**33)  # a hole: it takes no room there
    with small_disk(tmp_path / "disk", 8) as disk:
        with pytest.raises(BackendError, match="larger than a set may be") as caught:
            await place.fetch("run-1", disk / "store")
        assert caught.value.lasting
        assert not any((disk / "store" / "incoming").iterdir())


async def test_the_result_of_another_job_is_refused(
    server: SshServer, place: SshJobs, jobs: Jobs, made: Path, tmp_path: Path
) -> None:
    jobs.over("run-1", made, server.jobs).rename(server.jobs / "run-2")
    with pytest.raises(BackendError, match="another job's, run-1"):
        await place.fetch("run-2", tmp_path / "store")


async def test_another_host_key_than_the_pinned_one_is_not_spoken_to(server: SshServer) -> None:
    server.stop()
    key = server.new_host_key()
    server.start()
    error = await refused(server.ssh())
    assert error.lasting
    assert f"its host key is not in {server.known_hosts}" in str(error)
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in str(error)
    server.known_hosts.write_text("")  # and none known is no leave to go on
    assert "its host key is not in" in str(await refused(server.ssh()))
    server.known_hosts.unlink()
    assert "no keys of hosts can be read" in str(await refused(server.ssh()))
    server.pin(key)
    place = SshJobs(server.ssh())
    assert (await place.status("run-1")).phase is Phase.UNKNOWN
    await place.close()


async def test_a_key_the_box_does_not_know_is_told_as_lasting(server: SshServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    error = await refused(server.ssh(key=other))
    assert error.lasting
    assert "refuses the key" in str(error)
    other.chmod(0o644)
    assert "others may read this private key" in str(await refused(server.ssh(key=other)))
    other.chmod(0o600)
    other.write_bytes(b"no key")
    assert "no private key can be read" in str(await refused(server.ssh(key=other)))


async def test_a_key_may_come_as_a_credential(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "REGIMEN_SSH_KEY is not set" in str(await refused(server.ssh(key=None)))
    (tmp_path / "REGIMEN_SSH_KEY").write_bytes(server.key.read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    place = SshJobs(server.ssh(key=None))
    assert (await place.status("run-1")).phase is Phase.UNKNOWN
    await place.close()


async def test_a_box_that_is_off_may_come_back(server: SshServer) -> None:
    server.stop()
    error = await refused(server.ssh())
    assert not error.lasting
    assert "cannot be reached" in str(error)


async def test_a_box_without_the_program_is_told_which_setting_is_wrong(server: SshServer) -> None:
    for wrong in ({"checkout": "/nowhere at all"}, {"python": "no 'such python"}):
        place = SshJobs(server.ssh(**wrong))
        with pytest.raises(BackendError, match=r"see retraining\.ssh\.checkout .* and \.python") as caught:
            await place.probe()
        assert caught.value.lasting
        await place.close()


async def test_finished_jobs_make_room_there(server: SshServer, jobs: Jobs, made: Path) -> None:
    for number in range(3):
        folder = jobs.over(f"run-{number}", made, server.jobs)
        os.utime(folder / "result.json", (number, number))
    place = SshJobs(server.ssh(keep_jobs=1))
    await place.submit(jobs.training("run-9", ENDLESS))
    assert sorted(path.name for path in server.jobs.iterdir()) == ["run-2", "run-9"]
    await place.cancel("run-9")
    await place.close()


def test_the_place_is_chosen_by_the_configuration(server: SshServer, tmp_path: Path) -> None:
    chosen = Retraining(spec=Path("spec.yaml"), backend="ssh", ssh=server.ssh(known_hosts="hosts", key="~/key"))
    located = chosen.located(tmp_path)
    assert located.ssh is not None
    assert (located.ssh.known_hosts, located.ssh.key) == (tmp_path / "hosts", Path.home() / "key")
    assert backend(chosen, tmp_path).name == "ssh"
