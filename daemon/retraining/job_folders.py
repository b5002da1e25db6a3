"""Job folders: where the folders of training jobs are, how their logs grow here, and what stays of them.

What works on files blocks for a disk: it is called in a thread.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from models.jobs.folder import WAITING
from models.jobs.request import INPUTS, SETS


def jobs_folder(state_dir: Path) -> Path:
    """Where the folders of training jobs are, each with its log."""
    return state_dir / "jobs" / "training"


def inputs_folder(state_dir: Path, run_id: str) -> Path:
    """Where a job's inputs are brought together before its folder is made."""
    return state_dir / "jobs" / INPUTS / run_id


def tidy(jobs: Path, keep: int) -> None:
    """Remove inputs and results of all but the newest jobs; requests, results' notes and logs stay."""
    folders = sorted(path for path in jobs.iterdir() if path.is_dir() and path.name != WAITING) if jobs.is_dir() else []
    for folder in folders[:-keep]:
        for part in (INPUTS, SETS):
            shutil.rmtree(folder / part, ignore_errors=True)


def size(path: Path) -> int:
    """Bytes of a file, 0 for none."""
    return path.stat().st_size if path.is_file() else 0


def appended(path: Path, offset: int, part: bytes) -> int:
    """Append what lacks of a part that begins at `offset` (a job that runs here writes it itself); gives its end."""
    held = size(path)
    if held < offset + len(part):
        with path.open("ab") as file:
            file.write(part[max(0, held - offset) :])
    return offset + len(part)
