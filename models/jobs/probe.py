"""What a place that shall run jobs has: said in a line, for who asks whether training can be done there."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from models.jobs import user_unit
from models.jobs.folder import FULL_BYTES, JobError
from models.jobs.running import CHECKOUT
from models.jobs.supervision import How

NEEDED = ("torch", "onnx", "lightgbm")
"""What training imports and trading does without."""
PATH_UNIT = "regimen-retrain.path"
ASKED_S = 10.0


def probe(jobs: Path, how: How) -> str:
    """Python, commit, cores, memory, cards and free disk of this machine, if jobs can be run on it.

    Parameters
    ----------
    jobs : Path
        Folder of jobs; it need not be there yet.
    how : str
        How they are supervised.

    Raises
    ------
    JobError
        Naming what is missing and what to do.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and how != "unit":
        raise JobError(f"{platform.node()}: not installed there: {', '.join(missing)}; run `make setup` in {CHECKOUT}")
    there = next(folder for folder in (jobs.resolve(), *jobs.resolve().parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        raise JobError(f"{there} is not this user's to write; name another folder of jobs, or change its owner")
    free = shutil.disk_usage(there).free
    if free < FULL_BYTES:
        raise JobError(f"the disk of {there} is full; free some, remove old jobs there")
    _supervised(how)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"python {platform.python_version()}", f"{len(os.sched_getaffinity(0))} cores", f"{memory:.0f} GiB",
        _cards(), f"{free / 2**30:.0f} GiB of disk free", f"commit {_commit()}", f"jobs by {how}",
    ]  # fmt: skip
    return ", ".join(parts)


def _supervised(how: How) -> None:
    told = None
    if how == "systemd":
        told = user_unit.lacking()
    elif how == "unit" and _words(["systemctl", "is-active", PATH_UNIT]) is None:
        told = f"nobody is there who would start jobs; `systemctl enable --now {PATH_UNIT}`, or supervise by `process`"
    if told is not None:
        raise JobError(f"{platform.node()}: {told}")


def _cards() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no graphics card"
    return (_words(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or "no graphics card").replace(
        "\n", ", "
    )


def _commit() -> str:
    return (_words(["git", "-C", str(CHECKOUT), "rev-parse", "--short", "HEAD"])) or "unknown"


def _words(line: list[str]) -> str | None:
    """What a command says; None if it fails or is not there."""
    try:
        asked = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=ASKED_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
