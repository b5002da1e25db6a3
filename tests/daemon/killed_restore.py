"""Restores a backup in children that are killed (SIGKILL) before each renaming in turn, then goes on as a start does.

``python tests/daemon/killed_restore.py ARCHIVE STATE FOLDER`` restores into copies of STATE made in FOLDER and prints
one JSON array: for each child what it found and left.
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

from daemon.backup.restoring import finish, restore
from daemon.journal import FILE


def main(archive: Path, state: Path, folder: Path) -> None:
    found = []
    for number in range(1, 100):
        home = folder / str(number)
        shutil.copytree(state, home)
        if (child := os.fork()) == 0:
            _restore(archive, home, number)
        _, status = os.waitpid(child, 0)
        finish(home)
        found.append(_told(home) | {"killed": os.WIFSIGNALED(status)})
        if not os.WIFSIGNALED(status):
            break
    json.dump(found, sys.stdout)


def _restore(archive: Path, home: Path, last: int) -> None:
    count = 0

    def struck(event: str, _: object) -> None:
        nonlocal count
        if event == "os.rename":
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(struck)
    try:
        restore(archive, home)
    finally:
        os._exit(0)


def _told(home: Path) -> dict[str, object]:
    kept = [file for folder in home.glob("replaced-*") for file in folder.glob(FILE)]
    left = [f.name for f in home.iterdir() if f.name.startswith(("restoring", "arriving"))]
    return {"events": _events(home / FILE), "kept": [_events(file) for file in kept], "left": left}


def _events(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as db:
        return int(db.execute("SELECT count(*) FROM events").fetchone()[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
