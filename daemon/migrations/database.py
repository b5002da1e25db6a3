"""A database of the daemon's: its tables, its version, and how a file of it is made or found to be of another version.

A new file is made from the tables as they are, and stamped; a current one is only read. Alembic is imported where an
older one has to be brought up to date, since it takes longer than all the rest of opening a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_stamps = sa.Table(  # Alembic's own, where it looks for it
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), primary_key=True),
)


class MigrationError(Exception):
    """A file cannot be used as it is, or brought up to date; it is as it was, and the message says what to do."""


class NewerFileError(MigrationError):
    """A newer program wrote the file."""


class DamagedFileError(MigrationError):
    """A part of the file is not what was written."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a file says of itself.

    Attributes
    ----------
    stamped : str or None
        The revision that Alembic knows it by.
    told : str or None
        The revision that it tells in its own way: files from before Alembic, and for programs from before it.
    """

    stamped: str | None
    told: str | None

    @property
    def newest(self) -> str | None:
        """The highest of both; None for a file without our tables."""
        return max((r for r in (self.stamped, self.told) if r is not None), default=None)


@dataclass(frozen=True, slots=True)
class Database:
    """One kind of file.

    Attributes
    ----------
    name : str
        What it is called, and the folder of its revisions.
    file : str
        Its name in a state directory.
    metadata : sqlalchemy.MetaData
        Its tables, as the newest revision leaves them.
    head : str
        The newest revision: four digits, counted from 0001.
    told : callable
        The revision that a connection's file tells in its own way, None if it has no such tables.
    mark : callable
        Called with connection and path in the transaction that made the file or brought it to `head`.
    """

    name: str
    file: str
    metadata: sa.MetaData
    head: str
    told: Callable[[sa.Connection], str | None]
    mark: Callable[[sa.Connection, Path], None]

    def version(self, db: sa.Connection) -> Version:
        """What the file of a connection says of itself."""
        stamped = None
        if sa.inspect(db).has_table(_stamps.name):
            stamped = db.execute(sa.select(sa.func.max(_stamps.c.version_num))).scalar()
        return Version(stamped, self.told(db))

    def prepare(self, engine: sa.Engine, path: Path, patience_s: float) -> None:
        """Make the tables of a new file, or bring an older one up to date; a current one is only read.

        Raises
        ------
        MigrationError
            If it is of a newer version, or cannot be brought up to date; it is left as it was.
        """
        with engine.connect() as db:
            version = self.version(db)
            self.refuse_newer(version, path)
            if version.stamped == self.head:
                return
            if version.newest is None:
                self._make(db, path)
                return
        from daemon.migrations.upgrading import upgrade

        upgrade(self, path, patience_s)

    def refuse_newer(self, version: Version, path: Path) -> None:
        """Raise NewerFileError for a file that a newer version has written."""
        if version.newest is not None and version.newest > self.head:
            raise NewerFileError(
                f"{path} was written by a newer version ({plain(version.newest)}, this one reads {plain(self.head)}); "
                f"upgrade the program or give another state_dir"
            )

    def _make(self, db: sa.Connection, path: Path) -> None:
        db.rollback()
        db.exec_driver_sql("BEGIN IMMEDIATE")  # as the driver's default has it, each CREATE TABLE would stand alone
        if self.version(db).newest is None:  # nobody else has made it meanwhile
            self.metadata.create_all(db)
            _stamps.create(db, checkfirst=True)
            db.execute(_stamps.insert().values(version_num=self.head))
            self.mark(db, path)
        db.commit()


def plain(revision: str) -> str:
    """A revision as people say it: 2 for 0002."""
    return revision.lstrip("0") or "0"


def connect(path: Path, patience_s: float) -> sa.Engine:
    """The database in a file; what was committed survives a power cut, and a locked file is waited for so long."""
    engine = sa.create_engine(f"sqlite:///{path}")

    def durable(connection: Any, record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={round(patience_s * 1000)}"):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", durable)
    return engine
