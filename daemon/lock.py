"""The lock: one daemon a state directory. The kernel lets it go when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar

FILE = "daemon.lock"


class LockError(Exception):
    """Another daemon holds the state directory."""


class Lock:
    """Held from `take` to `release`; the file says which process holds it.

    Raises
    ------
    LockError
        If another process holds it.
    """

    _here: ClassVar[set[Path]] = set()

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock at once or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 20).decode().strip() or "unknown"
            os.close(file)
            raise LockError(
                f"{self._path.parent} is in use by another daemon (process {holder}); "
                f"stop that one, or give this one a state_dir of its own"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file
        self._here.add(self._path.resolve())

    @classmethod
    def held_here(cls, folder: Path) -> bool:
        """Whether this process holds the lock of a state directory."""
        return (folder / FILE).resolve() in cls._here

    def release(self) -> None:
        """Let it go."""
        if self._file is not None:
            self._here.discard(self._path.resolve())
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, *failure: object) -> None:
        self.release()
