"""Upgrading: an older file is copied beside itself, then brought up to date in one transaction of Alembic's revisions.

SQLite takes back `CREATE` and `ALTER` with everything else: whoever is killed in the middle leaves the old file or the
new one. Only who holds the state directory's lock upgrades, so that no running daemon finds other tables.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from daemon.lock import Lock, LockError
from daemon.migrations.database import Database, MigrationError, connect, plain
from daemon.migrations.settled import settle

log = logging.getLogger("daemon.migrations")

HERE = Path(__file__).resolve().parent
COPIES = 3
"""How many copies of a file, as it was before an upgrade, stay."""


def upgrade(database: Database, path: Path, patience_s: float) -> Path:
    """Bring an older file up to date; gives the copy of what it was.

    Raises
    ------
    MigrationError
        If a running daemon has the file, the disk has no room for the copy, or a revision fails; the file is as it was.
    """
    with _alone(database, path):
        engine = _transactional(path, patience_s)
        copy: Path | None = None
        done = False
        try:
            with engine.connect() as db:
                version = database.version(db)
            database.refuse_newer(version, path)
            old = plain(version.newest or "0")
            copy = _copied(path, old)
            with engine.begin() as db:
                _run(database, db, version.stamped)
                database.mark(db, path)
            done = True
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            because = getattr(error, "orig", error)
            remedy = (
                "end the program that holds it locked"
                if "locked" in str(because)
                else "free the disk, check its permissions, or restore a backup (`python -m daemon restore`)"
            )
            told = f"cannot bring {path} up to version {plain(database.head)}: {because}; it is as it was"
            raise MigrationError(f"{told}: {remedy}") from error
        finally:
            engine.dispose()
            if copy is not None and not done:  # of a file that is as it was: starts that fail fill no disk
                copy.unlink(missing_ok=True)
    log.warning("%s was brought from version %s to %s; as it was: %s", path, old, plain(database.head), copy)
    for earlier in copies(path)[:-COPIES]:
        earlier.unlink(missing_ok=True)
    return copy


def copies(path: Path) -> list[Path]:
    """What a file was before each upgrade, as far as it is kept, oldest first."""
    found = path.parent.glob(f"{escape(path.name)}.version-*")
    return sorted(found, key=lambda copy: copy.name.rpartition("-")[2])


def script(database: Database, **attributes: Any) -> Config:
    """Alembic's configuration for a database's revisions; `attributes` go to the environment."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("version_locations", str(HERE / database.name).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a path may hold every other character that separates
    config.attributes.update(database=database, **attributes)
    return config


def _run(database: Database, db: sa.Connection, stamped: str | None) -> None:
    config = script(database, connection=db)
    if stamped is None:  # from before Alembic: it has the first tables, and later revisions add what it lacks
        (first,) = ScriptDirectory.from_config(config).get_bases()
        command.stamp(config, first)
    command.upgrade(config, "head")


@contextmanager
def _alone(database: Database, path: Path) -> Iterator[None]:
    if Lock.held_here(path.parent):
        yield
        return
    try:
        with Lock(path.parent):
            yield
    except LockError as error:
        raise MigrationError(
            f"{path} is of an older version, and a running daemon writes it: {error}; "
            f"the next start brings it to version {plain(database.head)}"
        ) from error


def _transactional(path: Path, patience_s: float) -> sa.Engine:
    """An engine whose transactions hold what is done to tables as well, and lock the file from their first moment."""
    engine = connect(path, patience_s)

    def plain_driver(connection: Any, record: object) -> None:
        connection.isolation_level = None

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", plain_driver)
    sa.event.listen(engine, "begin", begin)
    return engine


def _copied(path: Path, version: str) -> Path:
    """A copy beside the file, whole and on the disk when this returns."""
    free, size = shutil.disk_usage(path.parent).free, path.stat().st_size
    if free < 2 * size:  # the copy, and what the migration itself writes
        raise MigrationError(
            f"{path} is kept as it was before it is brought up to date, and for that {2 * size // 2**20:,} MiB must be "
            f"free on its disk, where {free // 2**20:,} are; free some, it is as it was"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    stamp = datetime.now(UTC).strftime("%Y%m%dt%H%M%S")
    copy = path.with_name(f"{path.name}.version-{version}-{stamp}")
    partial = path.with_name(f"{path.name}.copying")
    partial.unlink(missing_ok=True)  # of somebody who was killed
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    settle(partial, copy)
    return copy
