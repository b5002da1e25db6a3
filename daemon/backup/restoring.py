"""Restoring a backup: unpacked and checked beside the old state, which is moved aside, never overwritten.

First everything is unpacked into ``restoring-….partial``; renamed to ``restoring-…`` it is complete. Then the old
files are moved aside, and renamed to ``arriving-…`` the new ones are moved in. Whoever is killed in the middle leaves a
folder from which the next start, or the next `restore`, goes on: no daemon starts between old and new.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.backup.archive import CANDLES, DEPLOYMENT, KNOWN, BackupError, Manifest, opened, unpack
from daemon.lock import Lock, LockError
from daemon.migrations.settled import flush
from daemon.migrations.standing import DATABASES, State, stands

RESTORING = "restoring-"
ARRIVING = "arriving-"
PARTIAL = ".partial"
REPLACED = "replaced-"
BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps of one database."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back; `aside` holds what was there before, None if nothing was, and `other` its deployment."""

    manifest: Manifest
    aside: Path | None
    other: str | None


def restore(archive: Path, state_dir: Path) -> Restored:
    """Put a backup in the place of a state directory's files, which are kept.

    Raises
    ------
    BackupError
        If a daemon runs there, the archive is of a newer version or damaged, or the disk refuses.
    """
    with opened(archive) as (manifest, _):  # refused before anything is made
        pass
    try:
        with Lock(state_dir):
            finish(state_dir)
            other = _deployment(state_dir)
            staged = _staged(archive, state_dir, manifest)
            aside = _change_places(state_dir, staged)
    except LockError as error:
        raise BackupError(f"nothing was restored: {error}") from error
    except OSError as error:
        told = f"{error.filename or state_dir}: {error.strerror}"
        raise BackupError(f"the restore did not end, {told}; mend that and give the command again") from error
    return Restored(manifest, aside, other if other != manifest.deployment else None)


def finish(state_dir: Path) -> None:
    """Go on with a restore that was cut off, if there is one.

    Raises
    ------
    BackupError
        If another process holds the state directory, or the disk refuses.
    """
    if not [*state_dir.glob(f"{RESTORING}*"), *state_dir.glob(f"{ARRIVING}*")]:
        return
    try:
        with nullcontext() if Lock.held_here(state_dir) else Lock(state_dir):
            for half in state_dir.glob(f"{RESTORING}*{PARTIAL}"):
                shutil.rmtree(half)
            for staged in sorted(state_dir.glob(f"{RESTORING}*")):
                _change_places(state_dir, staged)
            for arriving in sorted(state_dir.glob(f"{ARRIVING}*")):
                _move_in(state_dir, arriving)
    except LockError as error:
        raise BackupError(f"a restore was cut off, and cannot go on: {error}") from error
    except OSError as error:
        told = f"{error.filename or state_dir}: {error.strerror}"
        raise BackupError(f"a restore was cut off, and cannot go on, {told}; mend that and start again") from error


def _staged(archive: Path, state_dir: Path, manifest: Manifest) -> Path:
    """The archive's files, unpacked, checked and on the disk."""
    needed = sum(member.bytes for member in manifest.files.values())
    if (free := shutil.disk_usage(state_dir).free) < needed:
        raise BackupError(f"{archive} needs {needed // 2**20:,} MiB, and {free // 2**20:,} are free; free some")
    staged = state_dir / f"{RESTORING}{datetime.now(UTC).strftime('%Y%m%dt%H%M%S%f')}"
    partial = staged.with_name(f"{staged.name}{PARTIAL}")
    partial.mkdir(mode=0o700)
    try:
        unpack(archive, partial)
        for database in DATABASES:
            standing = stands(database, partial / database.file)
            if standing.state in (State.NEWER, State.UNREADABLE):
                raise BackupError(f"{archive}: {standing.text}")
        for file in partial.iterdir():
            flush(file)
        flush(partial)
    except BaseException:
        shutil.rmtree(partial)
        raise
    partial.rename(staged)
    flush(state_dir)
    return staged


def _change_places(state_dir: Path, staged: Path) -> Path | None:
    """Move the old aside, then the new in; gives where the old is, None if there was nothing."""
    stamp = staged.name.removeprefix(RESTORING)
    aside = state_dir / f"{REPLACED}{stamp}"
    for name in KNOWN:
        if name == CANDLES and not (staged / name).exists():
            continue  # the market's, whoever recorded them; the rest belongs to the old journal
        for file in [state_dir / f"{name}{ending}" for ending in BESIDE]:
            if file.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                file.rename(aside / file.name)
    flush(state_dir)
    _move_in(state_dir, staged.rename(state_dir / f"{ARRIVING}{stamp}"))
    return aside if aside.is_dir() else None


def _move_in(state_dir: Path, arriving: Path) -> None:
    """Nothing old is in the way any more."""
    flush(state_dir)
    for file in arriving.iterdir():
        file.rename(state_dir / file.name)
    flush(state_dir)
    arriving.rmdir()


def _deployment(state_dir: Path) -> str | None:
    file = state_dir / DEPLOYMENT
    return file.read_text(errors="replace").strip() if file.is_file() else None
