"""Migrates copies of an old file in children that are killed (SIGKILL) after each statement in turn.

``python tests/daemon/killed_migration.py OLD FOLDER`` prints one JSON array: for each child what its file says it is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from daemon.journal import FILE
from daemon.migrations.standing import upgrade_all
from daemon.migrations.upgrading import script  # noqa: F401  (so that the children need not import Alembic)


def main(old: Path, folder: Path) -> None:
    found = []
    for number in range(1, 1_000):
        home = folder / str(number)
        home.mkdir()
        shutil.copy(old, home / FILE)
        if (child := os.fork()) == 0:
            _migrate(home, number)
        _, status = os.waitpid(child, 0)
        found.append(_told(home) | {"killed": os.WIFSIGNALED(status)})
        if not os.WIFSIGNALED(status):
            break
    json.dump(found, sys.stdout)


def _migrate(home: Path, last: int) -> None:
    count = 0

    def struck(*_: object) -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "after_cursor_execute", struck)
    sa.event.listen(sa.Engine, "commit", struck)
    try:
        upgrade_all(home)
    finally:
        os._exit(0)


def _told(home: Path) -> dict[str, object]:
    with closing(sqlite3.connect(home / FILE)) as db:
        tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        (version,) = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        columns = sorted(row[1] for row in db.execute("PRAGMA table_info(decisions)"))
        (whole,) = db.execute("PRAGMA integrity_check").fetchone()
    return {"tables": tables, "version": version, "columns": columns, "whole": whole}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
