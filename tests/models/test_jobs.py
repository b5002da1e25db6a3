"""Jobs: carried out beside whoever started them, once, and with an end that is told whatever ends them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon.retraining.backend import JobStatus, Phase, status_of
from market import history, synthetic
from models import trials, verdicts
from models.jobs import saying, supervision
from models.jobs.folder import (
    JobError,
    Process,
    locked,
    now,
    prepare,
    process_of,
    prune,
    request_of,
    result_of,
    running,
    write_process,
)
from models.jobs.machine import boot
from models.jobs.request import INPUTS, LOG, REQUEST, SETS, Judging, Result
from models.jobs.running import CHECKOUT, carry_out, command
from models.modelset import ModelSet, save
from tests.models.small_sets import HOUR, Market, make_set
from tests.small_disk import small_disk
from tests.small_jobs import DATA, ENDLESS, SPEC, Jobs, until

PARENT = "20250101T000000-0123456789ab"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A folder of jobs, whose processes are ended after the test."""
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "cache"))
    made = Jobs(tmp_path)
    yield made
    for folder in made.folder.iterdir() if made.folder.is_dir() else ():
        process = process_of(folder) if folder.is_dir() else None
        for pid in (process and process.pid, process and process.work):
            if pid and pid != os.getpid() and psutil.pid_exists(pid) and "job" in " ".join(_line(pid)):
                os.kill(pid, signal.SIGKILL)
        if process and process.work and psutil.pid_exists(process.work):
            os.killpg(process.work, signal.SIGKILL)


def _line(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def program(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as a user, or another machine, runs it."""
    line = [sys.executable, "-m", module, "job", *words]
    return subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def begun(folder: Path, how: supervision.How = "process") -> Process:
    """Start the job and wait for its work."""
    supervision.start(folder, how)
    until(lambda: (told := process_of(folder)) is not None and told.work is not None)
    process = process_of(folder)
    assert process is not None
    assert process.work is not None
    return process


def over(folder: Path) -> Result:
    """How it ended, once it has."""
    until(lambda: supervision.state(folder).over, 120)
    result = result_of(folder)
    assert result is not None
    return result


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_training_is_done_beside_its_starter_and_leaves_a_set_with_every_hash(jobs: Jobs) -> None:
    ledger = jobs.folder.parent / "files" / trials.FILE
    folder = jobs.training("run-1", parent=PARENT)
    process = begun(folder)
    assert os.getsid(process.pid) == process.pid  # a session of its own: it outlives this one
    assert psutil.Process(process.pid).ppid() != os.getpid()
    assert supervision.state(folder).phase == "running"
    result = over(folder)
    assert (result.outcome, result.code, result.text) == ("done", 0, "")
    assert result.set_id is not None
    made = ModelSet.load(folder / SETS / result.set_id)
    assert made.manifest.identity.parent == PARENT
    assert set(result.files) == {file.name for file in made.path.iterdir()}
    assert [trial.set_id for trial in result.trials] == [made.id]
    assert not ledger.exists()
    log = (folder / LOG).read_text()
    assert "run-1: training, asked for by test" in log
    assert made.id in log
    assert supervision.state(folder) == supervision.State("done", "", result)
    # and once is enough
    supervision.start(folder, "process")
    assert carry_out(folder) == result


def test_a_job_that_is_started_twice_runs_once(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    supervision.start(folder, "process")
    assert process_of(folder) == process
    with pytest.raises(JobError, match="another process carries this job out"):
        carry_out(folder)
    supervision.cancel(folder)
    assert over(folder).outcome == "canceled"


def test_a_job_does_not_get_the_keys_of_who_starts_it(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGIMEN_API_SECRET", "REGIMEN_SSH_KEY", "CREDENTIALS_DIRECTORY", "MY_KEY", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "secret-4711")
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    for pid in (process.pid, process.work):
        told = psutil.Process(pid).environ()
        assert "secret-4711" not in told.values()
        assert told["REGIMEN_CACHE"] == os.environ["REGIMEN_CACHE"]
    supervision.cancel(folder)
    over(folder)


def test_a_canceled_job_ends_with_all_its_processes(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    assert process.work is not None
    told = program("training", "cancel", str(folder))
    assert told.returncode == 0, told.stderr
    assert over(folder).text == "it was told to end"
    until(lambda: gone(process.pid) and gone(process.work or 0))
    assert supervision.state(folder).phase == "canceled"
    supervision.cancel(folder)  # once more does nothing


def test_a_job_that_its_machine_ends_was_interrupted_and_not_canceled(jobs: Jobs) -> None:
    """SIGTERM, as at a shutdown: nobody has left a note that it is not wanted any more."""
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    os.kill(process.pid, signal.SIGTERM)
    result = over(folder)
    assert result.outcome == "interrupted"
    assert "nobody had canceled it" in result.text
    assert supervision.state(folder).phase == "failed"
    assert status_of(result) == JobStatus(Phase.FAILED, result.text, lasting=False)
    until(lambda: gone(process.work or 0))


def test_a_shutdown_ends_the_unit_that_carries_jobs_out_and_leaves_the_rest_waiting(jobs: Jobs) -> None:
    first, second = jobs.training("run-1", ENDLESS), jobs.training("run-2")
    for folder in (first, second):
        supervision.start(folder, "unit")
    line = [sys.executable, "-m", "training", "job", "pending", str(jobs.folder)]
    with subprocess.Popen(line, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as unit:
        until(lambda: (told := process_of(first)) is not None and told.work is not None)
        unit.terminate()
        told, _ = unit.communicate()
    assert unit.returncode == 0
    assert told.startswith("job run-1: interrupted")
    assert [supervision.state(folder).phase for folder in (first, second)] == ["failed", "waiting"]
    assert {file.name for file in (jobs.folder / "waiting").iterdir()} == {"run-2"}


def test_a_job_that_takes_too_long_is_ended_and_has_failed(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS, timeout_s=2)
    process = begun(folder)
    result = over(folder)
    assert result.outcome == "timeout"
    assert "not done after 2 s" in result.text
    assert supervision.state(folder).phase == "failed"
    until(lambda: gone(process.work or 0))


def test_a_job_whose_process_is_killed_has_failed_and_leaves_nothing_running(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not running(folder))
    told = json.loads(program("training", "status", str(folder), "--json").stdout)
    assert told["phase"] == "failed"
    assert "was killed, or the machine was restarted" in told["text"]
    assert told["result"]["started"] == process.started
    until(lambda: gone(process.work or 0))
    assert carry_out(folder).outcome == "interrupted"  # a job is carried out once


def test_work_that_is_killed_says_so(jobs: Jobs) -> None:
    folder = jobs.training("run-1", ENDLESS)
    process = begun(folder)
    os.killpg(process.work or 0, signal.SIGKILL)
    result = over(folder)
    assert (result.outcome, result.code) == ("failed", -signal.SIGKILL)
    assert "killed by SIGKILL (out of memory, or by hand)" in result.text


def test_a_number_that_another_process_has_by_now_is_left_alone(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    other = subprocess.Popen(["sleep", "600"], process_group=0)
    try:
        write_process(folder, Process(pid=1, boot=boot(), started=now(), work=other.pid, work_began=1))
        assert supervision.state(folder).phase == "failed"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_inputs_that_are_not_what_was_sent_are_not_trained_on(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    with (folder / INPUTS / DATA).open("ab") as file:
        file.write(b"x")
    result = carry_out(folder)
    assert result.outcome == "failed"
    assert f"{DATA}: its SHA-256 is" in result.text
    assert not (folder / SETS).exists()
    (missing := jobs.training("run-2")).joinpath(INPUTS, SPEC).unlink()
    assert "is missing" in carry_out(missing).text
    other = jobs.training("run-3", trials="trials.jsonl")
    assert "trials.jsonl, which is not among its inputs" in carry_out(other).text


def test_a_wrong_spec_fails_with_its_last_words_and_its_code(jobs: Jobs) -> None:
    result = carry_out(jobs.training("run-1", "name: quick\nsede: 2\n"))
    assert (result.outcome, result.code) == ("failed", 4)
    assert "sede" in result.text


def test_a_full_disk_is_told_and_the_result_is_written_all_the_same(jobs: Jobs, tmp_path: Path) -> None:
    source = jobs.training("run-1")
    with small_disk(tmp_path / "disk", 4) as disk:
        folder = Path(shutil.copytree(source, disk / "run-1"))
        begun(folder)
        with (disk / "fill").open("wb", buffering=0) as fill:
            try:
                while True:
                    fill.write(b"x" * 4096)
            except OSError:
                pass
        result = over(folder)
        assert result.outcome == "failed"
        assert f"the disk of {disk} is full" in result.text


def test_a_job_that_never_stops_talking_leaves_the_first_and_the_last_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saying, "FIRST_BYTES", 10_000)
    monkeypatch.setattr(saying, "LAST_BYTES", 1_000)
    path, seen = tmp_path / "log", [b""]
    talk = "for i in range(200_000): print('word', i, flush=i % 50_000 == 0)"
    with path.open("ab", buffering=0) as log, saying.Saying(log) as words:
        log.write(b"begun\n")
        with subprocess.Popen([sys.executable, "-c", talk], stdout=words.mouth, stderr=words.mouth) as child:
            while child.poll() is None:
                seen.append(path.read_bytes())
    said = "".join(f"word {i}\n" for i in range(200_000)).encode()
    first, _, last = path.read_bytes().partition(b"\n[")
    assert first == (b"begun\n" + said)[: len(first)]
    assert 10_000 <= len(first) <= 10_006
    left_out = len(said) - 11_000
    assert last.startswith(f"{left_out} bytes are left out here: a log keeps its first 10000".encode())
    assert last.endswith(b"]\n" + said[-1_000:])
    assert all(path.read_bytes().startswith(part) for part in seen), "who reads on from a byte finds what follows it"


def test_who_outlives_the_job_and_goes_on_talking_holds_up_nothing(tmp_path: Path) -> None:
    talk = "import time\nwhile True: print('still here', flush=True); time.sleep(0.05)"
    with (tmp_path / "log").open("ab", buffering=0) as log:
        with saying.Saying(log) as words:
            straggler = subprocess.Popen([sys.executable, "-c", talk], stdout=words.mouth, stderr=subprocess.DEVNULL)
            until(lambda: (tmp_path / "log").stat().st_size > 0)
        try:
            assert straggler.poll() is None, "it goes on, and the job is over all the same"
        finally:
            straggler.kill()
            straggler.wait()


def test_a_training_whose_log_is_cut_ends_with_its_last_words(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saying, "FIRST_BYTES", 150)
    monkeypatch.setattr(saying, "LAST_BYTES", 100)
    folder = jobs.training("run-1", "nonsense: true\n" * 30 + "name: odd\n")
    result = carry_out(folder)
    log = (folder / LOG).read_bytes()
    assert len(log) < 600
    assert b"asked for by test" in log
    assert log.decode(errors="replace").strip().splitlines()[-1] in result.text


def test_a_job_that_nobody_has_begun_is_canceled_at_once(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    assert supervision.state(folder).phase == "waiting"
    supervision.cancel(folder)
    assert supervision.state(folder).phase == "canceled"
    supervision.start(folder, "process")
    assert process_of(folder) is None


def test_a_job_left_to_a_unit_waits_where_a_path_unit_looks_and_is_done_by_pending(jobs: Jobs) -> None:
    first, second = jobs.training("run-1", "name: wrong!\n"), jobs.training("run-2")
    waiting = jobs.folder / "waiting"
    for folder in (second, first):
        supervision.start(folder, "unit")
        assert supervision.state(folder).phase == "waiting"
    assert {file.name for file in waiting.iterdir()} == {"run-1", "run-2"}
    told = program("training", "pending", str(jobs.folder))
    assert told.returncode == 0, told.stderr
    assert [supervision.state(folder).phase for folder in (first, second)] == ["failed", "done"]
    assert not any(waiting.iterdir())
    assert "job run-2: done" in told.stdout


def test_what_waits_and_cannot_be_done_does_not_start_the_unit_for_ever(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    supervision.start(folder, "unit")
    (folder / "request.json").write_text("{}")
    program("training", "pending", str(jobs.folder))
    assert not any((jobs.folder / "waiting").iterdir())


def test_a_judgement_is_done_by_its_verdict_and_without_one_has_failed(tmp_path: Path) -> None:
    market = Market(*synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=7))
    made = make_set(market)
    challenger = save(made.manifest, made.files, tmp_path / "models" / "sets").name
    history.write(market.candles, tmp_path / DATA)
    history.write(market.funding, tmp_path / "funding.parquet")
    work = Judging(
        challenger=challenger, champion=None, root=str(tmp_path / "models"), data=(DATA,), funding="funding.parquet",
        rules=str(CHECKOUT / "configs" / "live_config.yaml"),
    )  # fmt: skip
    files = {name: tmp_path / name for name in (DATA, "funding.parquet")}
    folder = prepare(tmp_path / "jobs", "judge-1", "test", work, files, 300)
    told = program("backtest", "run", str(folder), "--json")
    result = result_of(folder)
    assert result is not None
    assert told.returncode == 0, told.stderr + result.text
    verdict = verdicts.read(challenger, tmp_path / "models" / "sets")
    assert verdict is not None
    assert (result.outcome, result.code, result.text) == ("done", verdict.exit_code, verdict.verdict)
    # the same exit code, and no verdict: the data are broken
    (tmp_path / DATA).write_bytes(b"no parquet")
    broken = prepare(tmp_path / "jobs", "judge-2", "test", work, files, 300)
    result = carry_out(broken)
    assert (result.outcome, result.code) == ("failed", 7)


def test_a_champion_is_challenged_by_its_name(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    work = Judging(
        challenger="a", champion="b", root="/r", data=("x", "y"), rules="/rules", gate="/gate", companion="c"
    )
    line = command(request_of(folder).model_copy(update={"work": work}), folder)
    told = " ".join(line[2:]).replace(f"{folder}/{INPUTS}/", "")
    assert told == (
        "backtest --model-set b --challenger a --data x --root /r --rules /rules --json "
        "--finer y --gate-file /gate --companion c"
    )


def test_each_program_leaves_the_others_work_alone(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    told = program("backtest", "start", str(folder))
    assert told.returncode == 2
    assert "python -m training job" in told.stderr
    assert supervision.state(folder).phase == "waiting"


def test_what_is_no_job_is_said(jobs: Jobs, tmp_path: Path) -> None:
    told = program("training", "start", str(tmp_path / "nothing"))
    assert (told.returncode, told.stdout) == (1, "")
    assert "name the folder of a job" in told.stderr
    assert supervision.state(tmp_path / "nothing").phase == "unknown there"
    folder = jobs.training("run-1")
    folder.rename(folder.with_name("run-2"))
    with pytest.raises(JobError, match="of the job run-1"):
        supervision.start(folder.with_name("run-2"), "process")
    with pytest.raises(JobError, match="there is a job of this name"):
        jobs.training("run-3"), jobs.training("run-3")


def test_a_process_that_cannot_begin_is_told_with_its_words(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(JobError, match="no process could be started"):
        supervision.start(jobs.training("run-1"), "process")


def test_old_jobs_make_room_and_running_ones_stay(jobs: Jobs) -> None:
    for number in range(4):
        supervision.cancel(jobs.training(f"run-{number}"))
        os.utime(jobs.folder / f"run-{number}" / "result.json", (number, number))
    jobs.training("run-9")
    assert sorted(prune(jobs.folder, 2)) == ["run-0", "run-1"]
    assert sorted(path.name for path in jobs.folder.iterdir()) == ["run-2", "run-3", "run-9"]
    assert prune(jobs.folder, 1, notes=1) == []
    there = {path.name: sorted(part.name for part in path.iterdir()) for path in jobs.folder.iterdir()}
    assert (INPUTS in there["run-2"], INPUTS in there["run-3"], INPUTS in there["run-9"]) == (False, True, True)
    assert {REQUEST, "result.json"} <= set(there["run-2"])


def test_a_lock_is_free_again_when_its_holder_is_gone(jobs: Jobs) -> None:
    folder = jobs.training("run-1")
    with locked(folder) as held:
        assert held
        assert running(folder)
        with locked(folder, 0.1) as again:
            assert not again
    assert not running(folder)
