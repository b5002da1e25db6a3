"""Remedy: what to do about a lifecycle's file that cannot be used, by what is wrong with it.

A file that is locked, or whose disk is full, is whole: moving it away would lose the record for nothing.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from daemon.lock import LockError
from daemon.migrations.database import DamagedFileError, NewerFileError


class Fault(StrEnum):
    """What is wrong with a file."""

    LOCKED = "another process holds {0} and it is whole: end that process (`fuser {0}` names it) and restart"
    FULL = "{0} is whole as far as it goes, its disk is full: free some of it and restart"
    FORBIDDEN = "{0} may not be read and written by this user: mend owner and permissions of it and its folder, restart"
    NEWER = (
        "use the program that wrote it, or restore a backup (`python -m daemon restore`) once nothing is open, or move "
        "{0}* away and restart, which begins an empty one (the champion and a level for drift stay)"
    )
    DAMAGED = (
        "restore a backup (`python -m daemon restore`) once nothing is open, or move {0}* away and restart, which "
        "begins an empty one (the champion and a level for drift stay; the record of runs and swaps is lost)"
    )
    UNKNOWN = (
        "mend that and restart; leave {0} where it is unless it turns out to be damaged (`python -m daemon doctor`), "
        "for with it the record of runs and swaps is lost"
    )


SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: Fault.FORBIDDEN,
    sqlite3.SQLITE_PERM: Fault.FORBIDDEN,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
}
"""By SQLite's primary result codes (https://www.sqlite.org/rescode.html)."""
SYSTEM = {
    errno.ENOSPC: Fault.FULL,
    errno.EDQUOT: Fault.FULL,
    errno.EACCES: Fault.FORBIDDEN,
    errno.EPERM: Fault.FORBIDDEN,
    errno.EROFS: Fault.FORBIDDEN,
}


ROOM = 2**20
"""Bytes on its disk with less of which a file that cannot be read or written lacks room."""


def fault(path: Path, error: BaseException) -> Fault:
    """What an error, or what it came of, says of the file at `path`."""
    for each in _whole(error):
        found: Fault | None = None
        match each:
            case NewerFileError():
                found = Fault.NEWER
            case DamagedFileError():
                found = Fault.DAMAGED
            case LockError():
                found = Fault.LOCKED
            case sqlite3.Error():
                code = getattr(each, "sqlite_errorcode", 0) & 0xFF
                # with no room for the index of its write-ahead log, SQLite speaks of the disk and not of its space
                found = Fault.FULL if code == sqlite3.SQLITE_IOERR and _full(path) else SQLITE.get(code)
            case OSError():
                found = SYSTEM.get(each.errno or 0)
        if found is not None:
            return found
    return Fault.UNKNOWN


def remedy(path: Path, error: BaseException) -> str:
    """What to do about a file, in words."""
    return fault(path, error).format(path)


def _full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM
    except OSError:
        return False


def _whole(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(original := getattr(error, "orig", None), BaseException):
            yield original
        error = error.__cause__
