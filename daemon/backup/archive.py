"""The archive: one tar file of a state directory, its manifest first, with the hash and version of all that follows.

Members are whole SQLite files and the deployment's id, nothing else; what is not in the manifest is not unpacked.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon import recorder
from daemon.journal import deployment, schema
from daemon.migrations.database import plain
from daemon.migrations.standing import DATABASES

JOURNAL, DEPLOYMENT, CANDLES = schema.FILE, deployment.FILE, recorder.FILE
FORMAT = 1
MANIFEST = "manifest.json"
ACCOUNT = "account.sqlite"
"""The local exchange's account, where paper trading has one."""
LARGEST_MANIFEST = 1024 * 1024
CHUNK = 1024 * 1024
KNOWN = (JOURNAL, *(d.file for d in DATABASES if d.file != JOURNAL), DEPLOYMENT, ACCOUNT, CANDLES)
"""Every file that a backup may hold."""


class BackupError(Exception):
    """A backup cannot be taken, read or put back; the message says what to do. Nothing was changed."""


class DamagedError(BackupError):
    """An archive is not what was written, or is none."""


class Member(BaseModel):
    """One file of an archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What an archive holds.

    Attributes
    ----------
    format : int
        Of the archive; a newer one is refused.
    made : str
        When its copies were begun, UTC.
    deployment : str
        Whose state it is.
    databases : mapping
        Database -> its revision.
    files : mapping
        File -> size and hash, in the archive's order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    made: str = Field(pattern=r"^\d{8}t\d{6}$")
    deployment: str = Field(pattern=r"^[0-9a-zA-Z]{1,64}$")
    databases: dict[str, str]
    files: dict[str, Member]


def member_of(path: Path) -> Member:
    """Size and hash of a file."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            hashed.update(part)
    return Member(bytes=path.stat().st_size, sha256=hashed.hexdigest())


@contextmanager
def opened(path: Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """An archive, its manifest read and of a version that can be put back.

    Raises
    ------
    BackupError
        If it is of a newer version.
    DamagedError
        If it is no archive of ours, or cut off.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            yield _manifest(path, tar), tar
    except (tarfile.TarError, EOFError) as error:
        raise DamagedError(f"{path} is no backup, or was cut off: {error}; take another one") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from error


def unpack(path: Path, to: Path) -> Manifest:
    """Unpack an archive into an empty folder, each file compared with its hash and each database looked through.

    Raises
    ------
    BackupError
        If it is of a newer version.
    DamagedError
        If anything in it is not what was written.
    """
    with opened(path) as (manifest, tar):
        left = dict(manifest.files)
        for entry in tar:
            if entry.name == MANIFEST:
                continue
            wanted = left.pop(entry.name, None)
            source = tar.extractfile(entry) if entry.isreg() and wanted is not None else None
            if source is None or wanted is None:
                raise DamagedError(f"{path} holds {entry.name!r}, of which its manifest says nothing; take another one")
            _unpack(path, entry.name, source, wanted, to / entry.name)
        if left:
            raise DamagedError(f"{path} lacks {', '.join(left)}: it was cut off; take another one")
    for file in manifest.files:
        if file.endswith(".sqlite"):
            check(to / file, f"{file} in {path}")
    return manifest


def check(path: Path, name: str) -> None:
    """Look a database through.

    Raises
    ------
    DamagedError
        If it is damaged.
    """
    try:
        with closing(sqlite3.connect(path)) as db:
            (told,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        told = str(error)
    if told != "ok":
        raise DamagedError(f"{name} is damaged: {told}; take another backup")


def _manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    source = tar.extractfile(first) if first is not None and first.isreg() and first.name == MANIFEST else None
    if source is None:
        raise DamagedError(f"{path} is no backup: it does not begin with {MANIFEST}")
    text = source.read(LARGEST_MANIFEST)
    try:
        version = _Numbered.model_validate_json(text).format
        if version > FORMAT:
            raise BackupError(
                f"{path} was made by a newer version (archive format {version}, this one reads {FORMAT}); upgrade first"
            )
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise DamagedError(f"{path}: its manifest cannot be read: {what}") from error
    if strange := [name for name in manifest.files if name not in KNOWN]:
        raise DamagedError(f"{path} holds {strange[0]!r}, which is no file of a state directory")
    if JOURNAL not in manifest.files:
        raise DamagedError(f"{path} holds no journal")
    for database in DATABASES:
        revision = manifest.databases.get(database.name)
        if revision is not None and revision > database.head:
            raise BackupError(
                f"{path} holds a {database.name} of a newer version ({plain(revision)}, this one reads "
                f"{plain(database.head)}); upgrade the program first"
            )
    return manifest


def _unpack(archive: Path, name: str, source: IO[bytes], wanted: Member, to: Path) -> None:
    hashed, size = hashlib.sha256(), 0
    with to.open("xb") as file:
        to.chmod(0o600)
        while part := source.read(CHUNK):
            hashed.update(part)
            size += len(part)
            file.write(part)
    if (size, hashed.hexdigest()) != (wanted.bytes, wanted.sha256):
        raise DamagedError(f"{archive}: {name} is not what was written (its hash differs); take another one")


class _Numbered(BaseModel):
    """What every format of the manifest has."""

    format: int
