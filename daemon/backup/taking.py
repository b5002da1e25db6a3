"""Taking a backup, with a daemon running or not: each database is copied as of one instant, without holding it up.

SQLite's own copying reads within one transaction: what is written meanwhile is not in the copy, and waits for nothing.
The journal is copied first, so that whatever else says is at least as new.
"""

from __future__ import annotations

import io
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from daemon.backup.archive import (
    ACCOUNT,
    CANDLES,
    DEPLOYMENT,
    JOURNAL,
    KNOWN,
    MANIFEST,
    BackupError,
    DamagedError,
    Manifest,
    check,
    member_of,
)
from daemon.journal.deployment import recalled
from daemon.migrations.settled import settle
from daemon.migrations.standing import DATABASES, stands

PATIENCE_S = 30.0
NAME = "regimen"
SCRATCH = ".taking-"


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup: where it is, what it holds, and for each file that is damaged and not in it, what was found."""

    path: Path
    manifest: Manifest
    left_out: tuple[str, ...] = ()


def folder_of(state_dir: Path) -> Path:
    """Where backups go unless somewhere else is named."""
    return state_dir / "backups"


def take(state_dir: Path, out: Path | None = None, candles: bool = False) -> Taken:
    """Back a state directory up. Without its journal there is no backup; what else is damaged is left out, and told.

    Parameters
    ----------
    out : Path, optional
        The file, which must not be there yet, or a folder in which it is named after deployment and instant.
    candles : bool
        Whether the recorded candles go along.

    Raises
    ------
    BackupError
        If there is no journal, the file is there already, or the journal is damaged or cannot be read.
    """
    if not (state_dir / JOURNAL).is_file():
        raise BackupError(f"{state_dir} holds no journal; there is nothing to back up")
    made = datetime.now(UTC).strftime("%Y%m%dt%H%M%S")
    out = folder_of(state_dir) if out is None else out
    as_file = out.suffix == ".tar" and not out.is_dir()
    folder = out.parent if as_file else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if as_file and out.exists():
            raise BackupError(f"{out} is there already; nothing is overwritten: name another file, or a folder")
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            manifest, left_out = _copied(state_dir, Path(scratch), made, candles)
            path = out if as_file else _free(folder, f"{NAME}-{manifest.deployment}-{made}")
            partial = Path(scratch) / "archive.partial"
            _write(partial, manifest, Path(scratch))
            settle(partial, path)
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{state_dir} cannot be copied: {error}; look at the disk and its files") from error
    except OSError as error:
        told = f"{error.filename or folder}: {error.strerror}"
        raise BackupError(f"no backup was made, {told}; free the disk, or give another --out") from error
    return Taken(path, manifest, left_out)


def _copied(state_dir: Path, to: Path, made: str, candles: bool) -> tuple[Manifest, tuple[str, ...]]:
    """Copy what there is, checked, and describe it; what was left out, and why."""
    names = [JOURNAL, *(d.file for d in DATABASES if d.file != JOURNAL), ACCOUNT, *((CANDLES,) if candles else ())]
    left_out = []
    for name in filter(lambda name: (state_dir / name).is_file(), names):
        try:
            _copy(state_dir / name, to / name)
            check(to / name, str(state_dir / name))
        except (sqlite3.DatabaseError, DamagedError) as error:
            if name == JOURNAL:
                raise
            (to / name).unlink()
            left_out.append(str(error) if name in str(error) else f"{state_dir / name} cannot be copied: {error}")
    databases = {}
    for database in DATABASES:
        if (to / database.file).is_file() and (version := stands(database, to / database.file).version):
            databases[database.name] = f"{int(version):04}"
    with closing(sqlite3.connect(to / JOURNAL)) as db:
        told = db.execute("SELECT value FROM meta WHERE key = 'deployment'").fetchone()
    deployment = told[0] if told else recalled(state_dir)
    (to / DEPLOYMENT).write_text(f"{deployment}\n")
    files = {name: member_of(to / name) for name in KNOWN if (to / name).is_file()}
    return Manifest(made=made, deployment=deployment, databases=databases, files=files), tuple(left_out)


def _copy(source: Path, target: Path) -> None:
    address = f"file:{quote(str(source.resolve()))}?mode=ro"
    target.touch(0o600)
    with (
        closing(sqlite3.connect(address, uri=True, timeout=PATIENCE_S)) as db,
        closing(sqlite3.connect(target)) as copy,
    ):
        db.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _write(path: Path, manifest: Manifest, folder: Path) -> None:
    told = manifest.model_dump_json(indent=1).encode()
    path.touch(0o600)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_entry(MANIFEST, len(told)), io.BytesIO(told))
        for name, member in manifest.files.items():
            with (folder / name).open("rb") as content:
                tar.addfile(_entry(name, member.bytes), content)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _free(folder: Path, stem: str) -> Path:
    """A name that is free: two may be taken within one second."""
    path, number = folder / f"{stem}.tar", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.tar"
    return path
