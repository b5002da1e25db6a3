"""Trials: how many variants were ever tried, in an append-only ledger that outlives the sets it speaks of.

The best of many tries looks good by luck alone; a verdict that allows for it needs the true number. Every training run,
sweep and judgement adds a line to ``<store>/trials.jsonl`` before anything is chosen by its outcome; no line is ever
removed. A line that a crash tore is reported, and stands for one trial.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from models.manifest import utc
from models.parts import Part, UtcText

FILE = "trials.jsonl"


class Trial(Part):
    """One line of the ledger.

    `test_start` and `test_end` are the bars [start, end) by open time whose outcome was looked at, if any were; two
    looks at the same bars of a symbol are two openings of that test range.
    """

    time: UtcText = Field(description="When it was added.")
    what: str = Field(description="training, sweep, gate.")
    name: str = Field(description="Name of the specification, or of the grid.")
    trials: int = Field(ge=0, description="Variants tried.")
    set_id: str | None = Field(None, description="The set that was made or judged.")
    symbols: tuple[str, ...] = ()
    test_start: UtcText | None = None
    test_end: UtcText | None = None

    @model_validator(mode="after")
    def _both_ends(self) -> Trial:
        if (self.test_start is None) != (self.test_end is None):
            raise ValueError("a test range has a start and an end")
        return self


@dataclass(frozen=True)
class Ledger:
    """What a store's ledger says: its trials in order, and the numbers (from 1) of the lines that cannot be read."""

    trials: tuple[Trial, ...]
    unreadable: tuple[int, ...]

    @property
    def count(self) -> int:
        """Variants tried in all; a line that cannot be read stands for one, since it was written for something."""
        return sum(trial.trials for trial in self.trials) + len(self.unreadable)

    def openings(self, symbols: tuple[str, ...], start: str, end: str) -> int:
        """How many trials looked at outcomes of one of these symbols within [start, end) (`UtcText`)."""
        return sum(
            bool(set(symbols) & set(trial.symbols)) and trial.test_start < end and start < trial.test_end
            for trial in self.trials
            if trial.test_start is not None and trial.test_end is not None
        )


def add(store: Path | str, trial: Trial) -> None:
    """Append a trial to the store's ledger; it is on the disk when this returns.

    Raises
    ------
    OSError
        If it cannot be written; then nothing may be concluded from the trial.
    """
    store = Path(store)
    store.mkdir(parents=True, exist_ok=True)
    file = store / FILE
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two runs may end at once
        size = os.fstat(handle).st_size
        # A torn line is left as it is, and ended: appended to, it would swallow this one.
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        line = json.dumps(trial.model_dump(mode="json", exclude_defaults=True), sort_keys=True).encode()
        rest = memoryview((b"\n" if torn else b"") + line + b"\n")
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if not size:
        _sync(store)


def read(store: Path | str) -> Ledger:
    """The store's ledger; an empty one if nothing was tried.

    Raises
    ------
    OSError
        If there is a ledger that cannot be read.
    """
    try:
        content = (Path(store) / FILE).read_bytes()
    except FileNotFoundError:
        return Ledger((), ())
    trials: list[Trial] = []
    unreadable: list[int] = []
    for number, line in _lines(content):
        try:
            trials.append(Trial.model_validate_json(line))
        except ValidationError:
            unreadable.append(number)
    return Ledger(tuple(trials), tuple(unreadable))


def count(store: Path | str) -> int:
    """Variants ever tried in this store."""
    return read(store).count


def now() -> str:
    """This instant, as the ledger writes it."""
    return utc(time.time_ns() // 1_000_000)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that hold something, numbered from 1."""
    yield from ((number, line) for number, line in enumerate(content.split(b"\n"), 1) if line)


def _sync(folder: Path) -> None:
    """Let the folder remember its new file after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
