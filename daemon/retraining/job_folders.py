"""Job folders: where the folders of training jobs are, what is put into them, and what stays of them.

Everything here blocks for a disk: the coordinator calls it in a thread.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from daemon.retraining.setback import Setback
from models.jobs.request import INPUTS, SETS


def jobs_folder(state_dir: Path) -> Path:
    """Where the folders of training jobs are, each with its log."""
    return state_dir / "jobs" / "training"


def tidy(jobs: Path, keep: int) -> None:
    """Remove inputs and results of all but the newest jobs; requests, results' notes and logs stay. Blocks."""
    folders = sorted(path for path in jobs.iterdir() if path.is_dir()) if jobs.is_dir() else []
    for folder in folders[:-keep]:
        for part in (INPUTS, SETS):
            shutil.rmtree(folder / part, ignore_errors=True)


def emptied(job: Path) -> None:
    shutil.rmtree(job / INPUTS, ignore_errors=True)
    (job / INPUTS).mkdir(parents=True)


def copied(spec: Path, folder: Path) -> Path:
    try:
        return Path(shutil.copyfile(spec, folder / spec.name))
    except FileNotFoundError as error:
        raise Setback(f"{spec}: no such file; see retraining.spec", lasting=True) from error
    except OSError as error:
        raise Setback(f"{spec} cannot be copied to {folder}: {error.strerror or error}") from error


def written(path: Path, text: str) -> None:
    """Write a file whole: there or not there, whatever happens."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise Setback(f"{path} cannot be written: {error.strerror or error}") from error


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def appended(path: Path, offset: int, part: bytes) -> int:
    """Append what lacks of a part that begins at `offset` (a job that runs here writes it itself); gives its end."""
    held = size(path)
    if held < offset + len(part):
        with path.open("ab") as file:
            file.write(part[max(0, held - offset) :])
    return offset + len(part)
