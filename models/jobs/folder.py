"""A job's folder: how it is made, read, locked, and ended with a result that is whole or not there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from models.jobs.request import INPUTS, LOG, REQUEST, RESULT, Judging, Request, Result, Training
from models.modelset import replace_file
from models.parts import Part, UtcText

PROCESS, LOCK, RESERVE, CANCEL = "process.json", "lock", "reserve", "cancel"
PARTIAL = ".partial"
"""Ends the name of a folder that is still being filled."""
_ABANDONED_S = 86_400.0
WAITING = "waiting"
"""Folder beside the jobs: a file for each that waits for a unit, which a path unit starts while one is there."""
RESERVED_BYTES = 64 * 2**10
"""Set aside while a job runs, so that how it ended can be written on a disk that it filled."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk that takes no more."""
FULL_BYTES = 2**20
"""A disk with less left is called full."""
WORDS_BYTES = 2_000


class JobError(Exception):
    """A job that cannot be made, started or read; the message says why, where, and what to do."""

    exit_code = 1


class Process(Part):
    """Who carries a job out: written by that process, read by who ends it or finds it dead.

    A pid alone names nobody: it is used again. With the instant its process began it names one process of one boot.
    """

    pid: int = Field(gt=0)
    boot: str = Field(description="The boot of the machine that it is of.")
    started: UtcText
    work: int | None = Field(None, gt=0, description="The work's process, leader of its own group.")
    work_began: int | None = Field(None, description="When that began, in clock ticks after the boot.")


def now() -> str:
    """This second, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256(file: Path) -> str:
    """Hash of a file's content, read piece by piece."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def prepare(
    jobs: Path,
    run_id: str,
    who: str,
    work: Training | Judging,
    files: Mapping[str, Path],
    timeout_s: int,
) -> Path:
    """Make the folder of a job, its inputs copied and hashed, under ``jobs/<run_id>``.

    Parameters
    ----------
    jobs : Path
        Folder of jobs; made if it is not there.
    run_id : str
        The job's name.
    who : str
        Who asked for it.
    work : Training or Judging
        What shall be done.
    files : mapping
        Name among the inputs -> file to be copied.
    timeout_s : int
        After so many seconds the job is ended.

    Raises
    ------
    JobError
        If there is a job of this name, or a file cannot be copied.
    """
    folder, partial = jobs / run_id, jobs / f"{run_id}{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / INPUTS).mkdir(parents=True)
        for name, file in files.items():
            shutil.copyfile(file, partial / INPUTS / name)
        hashes = {name: sha256(partial / INPUTS / name) for name in files}
        request = Request(id=run_id, made=now(), who=who, work=work, inputs=hashes, timeout_s=timeout_s)
        replace_file(partial / REQUEST, _text(request))
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if folder.exists():
            raise JobError(f"{folder}: there is a job of this name; start that one, or take another id") from error
        raise JobError(f"{folder}: the job cannot be prepared: {error}; free some space or correct the path") from error
    return folder


def request_of(folder: Path) -> Request:
    """What shall be done in the folder.

    Raises
    ------
    JobError
        If there is no request, or none of ours.
    """
    try:
        request = Request.model_validate_json((folder / REQUEST).read_bytes())
    except OSError as error:
        raise JobError(f"{folder / REQUEST}: {error.strerror}; name the folder of a job") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise JobError(f"{folder / REQUEST}: {where}: {first['msg']}; make the job with this version") from error
    if request.id != folder.resolve().name:
        raise JobError(f"{folder}: the request in it is of the job {request.id}; name that folder so")
    return request


def result_of(folder: Path) -> Result | None:
    """How the job ended, None while it has not.

    Raises
    ------
    JobError
        If the result cannot be read.
    """
    try:
        return Result.model_validate_json((folder / RESULT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise JobError(f"{folder / RESULT}: it cannot be read: {error}; ask for the work again") from error


def process_of(folder: Path) -> Process | None:
    """Who carries the job out, or did; None if nobody has begun."""
    try:
        return Process.model_validate_json((folder / PROCESS).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise JobError(f"{folder / PROCESS}: it cannot be read: {error}; ask for the work again") from error


def write_process(folder: Path, process: Process) -> None:
    """Say who carries the job out."""
    replace_file(folder / PROCESS, _text(process))


def write_result(folder: Path, result: Result) -> None:
    """Say how it ended: whole or not at all, and also on a disk that the work has filled."""
    with suppress(FileNotFoundError):
        (folder / RESERVE).unlink()
    replace_file(folder / RESULT, _text(result))
    settle(folder)


def reserve(folder: Path) -> None:
    """Set aside what `write_result` needs."""
    with (folder / RESERVE).open("wb") as file:
        file.write(b"\0" * RESERVED_BYTES)
        file.flush()
        os.fsync(file.fileno())


def await_unit(folder: Path) -> None:
    """Let a path unit see that the job waits."""
    waiting = folder.parent / WAITING
    waiting.mkdir(exist_ok=True)
    replace_file(waiting / folder.name, f"{now()}\n".encode())


def settle(folder: Path) -> None:
    """The job waits no longer."""
    with suppress(OSError):
        (folder.parent / WAITING / folder.name).unlink()


@contextmanager
def locked(folder: Path, patience_s: float = 5.0) -> Iterator[bool]:
    """Hold the job's lock, which the kernel lets go of with its holder; gives whether it is held.

    Who only looks holds it for an instant, so it is tried for a while.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    held = False
                    break
                time.sleep(0.02)
        yield held
    finally:
        os.close(handle)


def running(folder: Path) -> bool:
    """Whether a process holds the job's lock."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def last_words(folder: Path, lines: int = 12) -> str:
    """The end of the job's log, some lines of it."""
    try:
        with (folder / LOG).open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(max(0, size - WORDS_BYTES))
            end = log.read()
    except OSError:
        return ""
    return "\n".join(end.decode(errors="replace").strip().splitlines()[-lines:])


def prune(jobs: Path, keep: int) -> list[str]:
    """Remove all but the newest `keep` jobs that are over, and what was half copied a day ago; gives their names."""
    over, old = [], []
    for folder in jobs.iterdir() if jobs.is_dir() else ():
        with suppress(FileNotFoundError):
            if (folder / RESULT).exists():
                over.append(((folder / RESULT).stat().st_mtime, folder))
            elif folder.suffix == PARTIAL and folder.stat().st_mtime < time.time() - _ABANDONED_S:
                old.append(folder)
    old += [folder for _, folder in sorted(over)[: max(0, len(over) - keep)]]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in old]


Outcome = Literal["done", "failed", "timeout", "canceled", "interrupted"]


def _text(part: Part) -> bytes:
    return (json.dumps(part.model_dump(mode="json"), indent=1) + "\n").encode()
