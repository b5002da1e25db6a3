"""Supervision: jobs beside their starter and not below it, so that neither its end nor its limits are theirs.

Three ways: ``process``, one of its own session that init adopts; ``systemd``, a transient unit of the user's systemd,
which ends it with all its children and keeps its limits; ``unit``, nothing but a note that a path unit waits for. All
end in ``python -m training|backtest job run DIR``. Whether a job runs is asked of its lock, which the kernel lets go of
with its holder; who finds it free, and no result, says that the job has failed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from models.jobs import user_unit
from models.jobs.folder import (
    CANCEL,
    PARTIAL,
    WAITING,
    JobError,
    Process,
    await_unit,
    last_words,
    locked,
    now,
    process_of,
    request_of,
    result_of,
    running,
    write_result,
)
from models.jobs.request import LOG, REQUEST, RESULT, Result
from models.jobs.running import CHECKOUT, GRACE_S, carry_out, found_dead

How = Literal["process", "systemd", "unit"]
WAYS: tuple[How, ...] = get_args(How)
MODULES = {"training": "training", "judging": "backtest"}
"""Whose command does which kind of work."""
PLAIN = ("REGIMEN_CACHE",)
"""Of this program's environment variables, what a job gets."""
CLAIM_S = 60.0
"""A started process has said so by then, or was not started."""
NICE = 19
_BESIDE = (
    f"import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\nos.nice({NICE})\nos.execv(sys.argv[1], sys.argv[1:])\n"
)
"""Forked twice (once by who runs this): init's child, leader of a session of its own, low in the order."""


@dataclass(frozen=True)
class State:
    """How far a job is: ``unknown there``, ``waiting``, ``running``, ``done``, ``failed`` or ``canceled``."""

    phase: str
    text: str = ""
    result: Result | None = None

    @property
    def over(self) -> bool:
        return self.result is not None


def start(folder: Path, how: How, *, beside: bool = False) -> None:
    """Have the job carried out, unless that was begun before; returns when its process has taken it.

    `beside` a daemon that trades it gets what others leave of the machine (`market.priority`); the service that a path
    unit starts says so itself.

    Raises
    ------
    JobError
        If it cannot be started; the message says what to do.
    """
    folder = folder.resolve()
    request = request_of(folder)
    if result_of(folder) is not None or process_of(folder) is not None:
        return
    line = [sys.executable, "-m", MODULES[request.work.kind], "job", "run", str(folder)]
    line += ["--beside"] if beside else []
    try:
        if how == "unit":
            await_unit(folder)
        elif how == "systemd":
            user_unit.begin(folder, request, line, NICE)
            _until_claimed(folder, lambda: not user_unit.there(user_unit.unit_of(request)))
        else:
            _as_process(folder, line)
    except OSError as error:
        raise JobError(f"{folder}: the job cannot be started: {error}; free some space or correct the path") from error


def state(folder: Path) -> State:
    """How far the job is; one whose process is gone without a result is said to have failed.

    Raises
    ------
    JobError
        If what lies in the folder cannot be read.
    """
    folder = folder.resolve()
    if not (folder / REQUEST).exists():
        return State("unknown there", f"{folder}: no such job")
    if (result := result_of(folder)) is not None:
        return _over(result)
    if running(folder):
        return State("running")
    if process_of(folder) is None:
        return State("waiting")
    with locked(folder) as held:
        if not held:
            return State("running")
        # it may have ended by itself since
        return _over(result_of(folder) or found_dead(folder))


def cancel(folder: Path) -> None:
    """Tell the job to end, if it is not over; one that nobody has begun is over at once.

    Raises
    ------
    JobError
        If it is no job, or its process cannot be told.
    """
    folder = folder.resolve()
    request = request_of(folder)
    if result_of(folder) is not None:
        return
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        with locked(folder, patience_s=0.2) as held:
            if held:
                if result_of(folder) is not None:
                    return
                if process_of(folder) is not None:
                    found_dead(folder)
                    return
                end = now()
                text = "it was told to end before it was begun"
                write_result(folder, Result(id=request.id, outcome="canceled", started=end, ended=end, text=text))
                return
        (folder / CANCEL).touch()
        process = process_of(folder)
        if process is not None and _terminate(folder, process):
            return
    raise JobError(f"{folder}: the process that carries the job out does not say who it is; end it by hand")


def pending(jobs: Path, module: str) -> Iterator[str]:
    """Carry out, one after another, the jobs of `module`'s kind that wait in a folder; how each ended, in a line.

    What cannot be carried out waits no longer, so that the unit that runs this is not started for it again and again.
    Told to end by another than `cancel`, it begins no further job: the machine is shutting down.
    """
    tried: set[Path] = set()
    while True:
        # looked at first: a note that is left while the folders are looked at is of a job that has not been seen
        notes = _notes(jobs)
        waiting = _waiting(jobs)
        fresh = [folder for folder in waiting if _module(folder) == module and folder not in tried]
        if not fresh:
            break
        for folder in fresh:
            tried.add(folder)
            try:
                result = carry_out(folder)
            except (JobError, OSError) as error:
                yield f"job {folder.name}: {error}"
                continue
            yield f"job {folder.name}: {result.outcome} {result.text.partition(chr(10))[0]}".strip()
            process = process_of(folder)
            if result.outcome == "interrupted" and process is not None and process.pid == os.getpid():
                return
    left = {folder.name for folder in waiting if _module(folder) not in (module, None)}
    for note in notes:
        if note.name not in left:
            note.unlink(missing_ok=True)


def _notes(jobs: Path) -> list[Path]:
    """What a path unit sees."""
    return list((jobs / WAITING).iterdir()) if (jobs / WAITING).is_dir() else []


def _waiting(jobs: Path) -> list[Path]:
    """Jobs that nobody has begun."""
    folders = sorted(jobs.iterdir()) if jobs.is_dir() else []
    return [
        folder
        for folder in folders
        if folder.suffix != PARTIAL
        and (folder / REQUEST).is_file()
        and not (folder / RESULT).exists()
        and not running(folder)
    ]


def _module(folder: Path) -> str | None:
    """Whose work it is, None of a request that cannot be read."""
    try:
        return MODULES[request_of(folder).work.kind]
    except JobError:
        return None


def _over(result: Result) -> State:
    phase = result.outcome if result.outcome in ("done", "canceled") else "failed"
    return State(phase, result.text, result)


def _terminate(folder: Path, process: Process) -> bool:
    """Whether the process was told; it holds the job's lock, so its number is its own still."""
    try:
        told = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not running(folder):
            return False
        signal.pidfd_send_signal(told, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise JobError(f"{folder}: process {process.pid} is another user's; end it as that user") from error
    finally:
        os.close(told)
    return True


def _as_process(folder: Path, line: list[str]) -> None:
    alive, theirs = os.pipe()  # theirs is the process's own for as long as it lives
    try:
        with (folder / LOG).open("ab") as log:
            launcher = [sys.executable, "-S", "-E", "-c", _BESIDE, *line]
            subprocess.run(
                launcher, cwd=CHECKOUT, env=_without_secrets(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(theirs,), check=True,
            )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise JobError(f"{folder}: no process could be started for the job: {last_words(folder)}") from error
    finally:
        os.close(theirs)
    try:
        _until_claimed(folder, lambda: bool(select.select([alive], [], [], 0)[0]))
    finally:
        os.close(alive)


def _without_secrets() -> dict[str, str]:
    """The environment without what this program's own variables hold: keys of an exchange among them."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PLAIN or not (name.startswith("REGIMEN_") or name == "CREDENTIALS_DIRECTORY")
    }


def _until_claimed(folder: Path, gone: Callable[[], bool]) -> None:
    """Wait until the job's process has said who it is."""
    deadline = time.monotonic() + CLAIM_S
    while time.monotonic() < deadline:
        ended = gone()
        if process_of(folder) is not None or result_of(folder) is not None:
            return
        if ended:
            raise JobError(f"{folder}: the job's process ended before it began; its last words:\n{last_words(folder)}")
        time.sleep(0.02)
    raise JobError(f"{folder}: the job's process has not begun after {CLAIM_S:.0f} s; see {folder / LOG}")


def as_json(state: State) -> str:
    """What `job status --json` prints."""
    result = None if state.result is None else state.result.model_dump(mode="json")
    return json.dumps({"phase": state.phase, "text": state.text, "result": result}, indent=1)
