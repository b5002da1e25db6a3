"""Job folders: where the folders of jobs are, how logs of training grow here, and what stays of them.

What works on files blocks for a disk: it is called in a thread.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from models.jobs.folder import prune
from models.jobs.request import INPUTS, REQUEST

LOGS = 100
"""Of so many jobs more than are kept whole the request and the log stay."""


def jobs_folder(state_dir: Path) -> Path:
    """Where the folders of training jobs are, each with its log."""
    return state_dir / "jobs" / "training"


def judging_folder(state_dir: Path) -> Path:
    """Where the folders of judgements are."""
    return state_dir / "jobs" / "judging"


def inputs_folder(state_dir: Path, run_id: str) -> Path:
    """Where a job's inputs are brought together before its folder is made."""
    return state_dir / "jobs" / INPUTS / run_id


def tidy(jobs: Path, keep: int, under_way: Collection[str]) -> None:
    """Make room among training jobs, of which the newest `keep` stay whole, and of some more what was asked and said.

    A job that runs elsewhere has no result here: which runs are `under_way` is for the book to say.
    """

    def made(folder: Path) -> float | None:
        request = folder / REQUEST
        return None if folder.name in under_way or not request.is_file() else request.stat().st_mtime

    prune(jobs, keep, LOGS, made)


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
