"""Carrying a job out: the work as a child, its words in the log, and how it ended as the last thing written.

The work is a command of this program. It leads a process group of its own, so that ending it ends its workers too.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from models import trials, verdicts
from models.jobs.folder import (
    CANCEL,
    FULL,
    FULL_BYTES,
    JobError,
    Outcome,
    Process,
    last_words,
    locked,
    now,
    process_of,
    request_of,
    reserve,
    result_of,
    settle,
    sha256,
    write_process,
    write_result,
)
from models.jobs.machine import began, boot, end_group
from models.jobs.request import INPUTS, LOG, SETS, Judging, Request, Result, Training
from models.jobs.saying import Saying
from models.modelset import LATEST, STORE, ModelSet, ModelSetError, digest, pointed

CHECKOUT = Path(__file__).resolve().parents[2]
GRACE_S = 15.0
"""Between asking work to end and ending it."""
TICK_S = 0.2
VERDICTS = (0, 6, 7)
"""Exit codes of a judgement that came to a verdict: promote, refuse, not enough evidence."""


def command(request: Request, folder: Path) -> list[str]:
    """The command line that does the work."""
    work, inputs = request.work, folder / INPUTS
    data = [str(inputs / name) for name in work.data]
    line = [sys.executable, "-m"]
    if isinstance(work, Training):
        line += ["training", "run", "--spec", str(inputs / work.spec), "--data", ",".join(data)]
        line += ["--executor", work.executor, "--device", work.device, "--out", str(folder / SETS), "--json"]
        if work.workers is not None and work.executor != "serial":
            line += ["--workers", str(work.workers)]
        if work.parent is not None:
            line += ["--parent", work.parent]
    else:
        # without a champion the set is judged against being flat
        sets = ["--model-set", work.challenger, "--gate"]
        if work.champion is not None:
            sets = ["--model-set", work.champion, "--challenger", work.challenger]
        line += ["backtest", *sets, "--data", data[0], "--root", work.root, "--rules", work.rules, "--json"]
        line += ["--finer", data[1]] if len(data) > 1 else []
        line += ["--gate-file", work.gate] if work.gate is not None else []
    for option, name in (("--funding", work.funding), ("--companion", work.companion)):
        line += [option, str(inputs / name)] if name is not None else []
    return line


def carry_out(folder: Path) -> Result:
    """Do what the folder's request says, unless that was done before; how it ended is in the folder when this returns.

    A job is carried out once: where an earlier process died over it, it has failed, and who wants it asks anew.

    Raises
    ------
    JobError
        If the folder holds no request, or another process carries it out.
    """
    folder = folder.resolve()
    request = request_of(folder)
    with _told() as told, locked(folder) as held:
        if not held:
            raise JobError(f"{folder}: another process carries this job out; wait for its {folder / 'result.json'}")
        if (result := result_of(folder)) is not None:
            settle(folder)
            return result
        if process_of(folder) is not None:
            return found_dead(folder)
        started = now()
        write_process(folder, Process(pid=os.getpid(), boot=boot(), started=started))
        settle(folder)
        try:
            reserve(folder)
            result = _Work(folder, request, started, told).done()
        except OSError as error:
            result = _ended(request, started, "failed", _why(error, folder))
        write_result(folder, result)
    return result


def found_dead(folder: Path) -> Result:
    """Say of a job whose process is gone without a result that it was interrupted, and end what it left.

    The lock is held.

    Raises
    ------
    JobError
        If the folder holds no request.
    """
    request, process = request_of(folder), process_of(folder)
    if process is not None and process.work is not None and process.boot == boot():
        end_group(process.work, process.work_began)
    what = "the process that carried it out was killed, or the machine was restarted"
    full = f"; {_left(folder)}" if _is_full(folder) else ""
    started = request.made if process is None else process.started
    result = _ended(request, started, "interrupted", _with_words(what + full, folder))
    write_result(folder, result)
    return result


class _Work:
    """One job being done; `told` gets the signals that ask for its end."""

    def __init__(self, folder: Path, request: Request, started: str, told: list[int]) -> None:
        self._folder, self._request, self._started, self._told = folder, request, started, told
        self._least_free = shutil.disk_usage(folder).free
        self._verdict_before = _written(request.work) if isinstance(request.work, Judging) else None

    def done(self) -> Result:
        """Verify the inputs, do the work, and look at what it made."""
        if (fault := self._broken_input()) is not None:
            return self._ended("failed", fault)
        if isinstance(self._request.work, Training) and self._request.work.trials is not None:
            (self._folder / SETS).mkdir(exist_ok=True)
            shutil.copyfile(self._folder / INPUTS / self._request.work.trials, self._folder / SETS / trials.FILE)
        with (self._folder / LOG).open("ab", buffering=0) as log, Saying(log) as saying:
            asked = self._request
            log.write(f"{now()} job {asked.id}: {asked.work.kind}, asked for by {asked.who}\n".encode())
            # its own group: what ends the work ends its workers too
            child = subprocess.Popen(
                command(self._request, self._folder),
                cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=saying.mouth, stderr=saying.mouth, process_group=0,
            )  # fmt: skip
            mine = Process(pid=os.getpid(), boot=boot(), started=self._started)
            write_process(self._folder, mine.model_copy(update={"work": child.pid, "work_began": began(child.pid)}))
            why = self._wait(child)
        code = child.returncode
        if why == "told":
            return self._told_to_end(code)
        if why == "timeout":
            return self._ended(
                "timeout", f"not done after {self._request.timeout_s} s; allow more, or ask for less", code
            )
        if isinstance(self._request.work, Judging):
            return self._judged(self._request.work, code)
        return self._trained(code)

    def _wait(self, child: subprocess.Popen[bytes]) -> str | None:
        """Wait for its end; why it was ended, None if it ended by itself."""
        deadline = time.monotonic() + self._request.timeout_s
        while True:
            with suppress(subprocess.TimeoutExpired):
                child.wait(TICK_S)
                end_group(child.pid, None)  # workers that outlive their parent
                # who asks for the end may tell the work as well, as Ray does, and the work may be first
                return "told" if self._told and child.returncode != 0 else None
            self._least_free = min(self._least_free, shutil.disk_usage(self._folder).free)
            if self._told or time.monotonic() >= deadline:
                break
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        end_group(child.pid, None)
        child.wait()
        return "told" if self._told else "timeout"

    def _told_to_end(self, code: int) -> Result:
        """Canceled, if that was asked for: `cancel` leaves a note before it tells; a shutdown does not."""
        if (self._folder / CANCEL).exists() or signal.SIGINT in self._told:
            return self._ended("canceled", "it was told to end", code)
        what = "SIGTERM ended it, and nobody had canceled it: its machine shut down, or its unit was stopped"
        return self._ended("interrupted", what, code)

    def _broken_input(self) -> str | None:
        """Why the inputs are not what was sent; None if they are."""
        work = self._request.work
        named = [
            *work.data,
            work.funding,
            work.companion,
            *([work.spec, work.trials] if isinstance(work, Training) else []),
        ]
        for name in filter(None, named):
            if name not in self._request.inputs:
                return f"the request names {name}, which is not among its inputs; make it again"
        for name, wanted in self._request.inputs.items():
            file = self._folder / INPUTS / name
            if not file.is_file():
                return f"{file} is missing; send the job again"
            if (found := sha256(file)) != wanted:
                return f"{file}: its SHA-256 is {found[:12]}…, the request says {wanted[:12]}…; send the job again"
        return None

    def _trained(self, code: int) -> Result:
        if code != 0:
            return self._failed(code)
        store = self._folder / SETS
        try:
            set_id = pointed(LATEST, store)
            if set_id is None:
                return self._failed(code, "the training said it was done and left no set; its log says more")
            made = ModelSet.load(store / set_id)
        except ModelSetError as error:
            return self._failed(code, f"the set it made does not verify: {error}")
        files = {file.name: digest(file.read_bytes()) for file in sorted(made.path.iterdir())}
        tried = tuple(trial for trial in trials.read(store).trials if trial.set_id == made.id)
        return self._ended("done", "", code).model_copy(update={"set_id": made.id, "files": files, "trials": tried})

    def _judged(self, work: Judging, code: int) -> Result:
        """Done if there is a verdict of now: broken data and too little evidence have the same exit code."""
        if code not in VERDICTS:
            return self._failed(code)
        try:
            verdict = verdicts.read(work.challenger, Path(work.root) / STORE)
        except ModelSetError as error:
            return self._failed(code, str(error))
        if verdict is None or _written(work) == self._verdict_before:
            return self._failed(code)
        return self._ended("done", verdict.verdict, code).model_copy(update={"set_id": work.challenger})

    def _failed(self, code: int, what: str | None = None) -> Result:
        if what is None:
            what = f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
            what += " (out of memory, or by hand)" if code == -signal.SIGKILL else ""
        full = f"; {_left(self._folder)}" if self._least_free < FULL_BYTES or _is_full(self._folder) else ""
        return self._ended("failed", _with_words(what + full, self._folder), code)

    def _ended(self, outcome: Outcome, text: str, code: int | None = None) -> Result:
        return _ended(self._request, self._started, outcome, text, code)


@contextmanager
def _told() -> Iterator[list[int]]:
    """Signals that ask for the end, as they come; the handlers of before are back afterwards."""
    told: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        told.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _written(work: Judging) -> int | None:
    """When the verdict on the challenger that stands was written, ns: its own time is of a second alone."""
    try:
        return verdicts.file_of(work.challenger, Path(work.root) / STORE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _ended(request: Request, started: str, outcome: Outcome, text: str, code: int | None = None) -> Result:
    return Result(id=request.id, outcome=outcome, code=code, started=started, ended=now(), text=text)


def _with_words(what: str, folder: Path) -> str:
    words = last_words(folder)
    return f"{what}; its last words:\n{words}" if words else f"{what}; it left no words"


def _why(error: OSError, folder: Path) -> str:
    return _left(folder) if error.errno in FULL else f"{error}"


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < FULL_BYTES or os.strerror(errno.ENOSPC) in last_words(folder)


def _left(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    return f"the disk of {folder.parent} is full ({free / 2**20:.1f} MiB left); free some, remove old jobs there"
