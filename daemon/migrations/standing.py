"""Standing: of which versions the files of a state directory are, looked at without changing them; and all upgraded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from daemon.journal import schema as journal
from daemon.lifecycle import schema as lifecycle
from daemon.migrations.database import Database, MigrationError, plain

DATABASES: tuple[Database, ...] = (journal.DATABASE, lifecycle.DATABASE)
NEEDED: tuple[Database, ...] = (journal.DATABASE,)
"""Those without which no daemon runs; without the others it looks after what is open."""
PATIENCE_S = 30.0


class State(StrEnum):
    """How a file stands to what this program reads."""

    MISSING = "missing"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Standing:
    """One file: `text` says how it stands, and what to do where something is to be done."""

    database: Database
    path: Path
    state: State
    version: str
    text: str

    def told(self) -> dict[str, str]:
        """For JSON."""
        return {"file": str(self.path), "state": self.state, "version": self.version, "text": self.text}


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A file that was brought up to date, and the copy of what it was."""

    path: Path
    old: str
    new: str
    copy: Path


def look(folder: Path, databases: tuple[Database, ...] = DATABASES) -> list[Standing]:
    """How each file of a state directory stands; nothing is made or changed."""
    return [stands(database, folder / database.file) for database in databases]


def stands(database: Database, path: Path) -> Standing:
    """How one file stands, wherever it lies."""
    if not path.is_file():
        return Standing(database, path, State.MISSING, "", "is not there yet; a start makes it")
    engine = sa.create_engine(f"sqlite:///file:{_quoted(path)}?mode=ro&uri=true")
    try:
        with engine.connect() as db:
            version = database.version(db)
        database.refuse_newer(version, path)
    except MigrationError as error:
        return Standing(database, path, State.NEWER, plain(version.newest or "0"), str(error))
    except sa.exc.DatabaseError as error:
        text = f"{path} cannot be read: {error.orig}; restore a backup (`python -m daemon restore`)"
        return Standing(database, path, State.UNREADABLE, "", text)
    finally:
        engine.dispose()
    if version.newest is None:
        return Standing(database, path, State.MISSING, "", "holds nothing yet; a start makes its tables")
    found, head = plain(version.newest), plain(database.head)
    if version.stamped == database.head:
        return Standing(database, path, State.CURRENT, found, f"version {found}, current")
    text = f"version {found}, and this program writes {head}: `python -m daemon migrate`, or the next start, does it"
    return Standing(database, path, State.OLDER, found, text)


def upgrade_all(
    folder: Path, patience_s: float = PATIENCE_S, databases: tuple[Database, ...] = DATABASES
) -> list[Upgraded]:
    """Bring every older file of a state directory up to date; those that are not there are left to be made.

    Raises
    ------
    MigrationError
        If one is of a newer version or cannot be read, in which case none is touched; or if an upgrade fails.
    """
    found = [stands(database, folder / database.file) for database in databases]
    for standing in found:
        if standing.state in (State.NEWER, State.UNREADABLE):
            raise MigrationError(standing.text)
    done = []
    for standing in found:
        if standing.state is State.OLDER:
            from daemon.migrations.upgrading import upgrade

            copy = upgrade(standing.database, standing.path, patience_s)
            done.append(Upgraded(standing.path, standing.version, plain(standing.database.head), copy))
    return done


def upgrade_before_start(folder: Path, patience_s: float = PATIENCE_S) -> tuple[list[Upgraded], list[str]]:
    """Bring every older file up to date; of those a daemon can do without, trouble is given, and the file left.

    Raises
    ------
    MigrationError
        If a file that no daemon runs without is of a newer version, cannot be read, or its upgrade fails.
    """
    done, trouble = upgrade_all(folder, patience_s, NEEDED), []
    for database in DATABASES:
        if database in NEEDED:
            continue
        try:
            done += upgrade_all(folder, patience_s, (database,))
        except MigrationError as error:
            trouble.append(str(error))
        except Exception as error:  # whatever it is, the daemon that starts now may have a position to look after
            trouble.append(f"{folder / database.file} cannot be brought up to date: {error!r}")
    return done, trouble


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.resolve()))
