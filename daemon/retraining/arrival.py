"""A set that comes back: verified to the last byte where it lies, and only then given its place in the store.

Every backend brings the files of a finished job into `place(result, store)` and calls `arrive`. Nothing is believed
that the place of training says: the id must be one, each file must have the hash that the job wrote down, and the set
must verify as one that is about to be used. `latest` is not moved: a set that nobody judged is nobody's default.

All of it blocks for the disk: backends call it in a thread.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from daemon.retraining.backend import BackendError
from models import trials
from models.jobs.request import Result
from models.modelset import MANIFEST, ModelSet, ModelSetError, admit, arriving, digest, is_id, verified

LARGEST_SET = 2 * 2**30
"""Bytes of a set; a place that gives more is not believed."""


def place(result: Result, store: Path) -> Path:
    """The folder that the files of the made set are to be brought into, ``<store>/incoming/<id>.partial``.

    Raises
    ------
    BackendError
        If the job made no set, or names one as no set is named.
    """
    return arriving(_id(result), store)


def room(folder: Path) -> int:
    """Bytes that a set brought into `folder` may have; the journal still finds room on the same disk."""
    return min(LARGEST_SET, shutil.disk_usage(folder).free // 2)


def arrived(result: Result, store: Path) -> Path | None:
    """The set's folder, if it is in the store already: a fetch that was cut off after its end has nothing to do.

    Raises
    ------
    BackendError
        If the set there does not verify.
    """
    folder = store / _id(result)
    if not folder.exists():
        return None
    try:
        _agree(ModelSet.load(folder), result)
    except ModelSetError as error:
        raise BackendError(
            f"job {result.id}: the set it made is there already, and is broken: {error}", True
        ) from error
    return folder


def arrive(partial: Path, result: Result, store: Path) -> Path:
    """Verify the set whose files lie in `partial`, and move it into `store` under its id.

    Parameters
    ----------
    partial : Path
        What `place` gives, filled; it is gone afterwards, whether the set was taken or refused.
    result : Result
        Of the job that made it: its id, and each file with its hash.
    store : Path
        The store of sets.

    Returns
    -------
    Path
        The set's folder, ``<store>/<id>``.

    Raises
    ------
    BackendError
        Lasting, with the reason, if a file is missing, too much or changed, if the set is not the one the job names,
        or is none that this version can use.
    """
    try:
        _count(result, store)
        there = arrived(result, store)
        if there is not None:
            return there
        found = verified(partial)
        _agree(found, result)
        return admit(found, store)
    except ModelSetError as error:
        raise BackendError(f"job {result.id}: the set that came back is refused: {error}", lasting=True) from error
    except OSError as error:
        raise BackendError(
            f"job {result.id}: the set that came back cannot be stored in {store}: {error}", lasting=True
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _id(result: Result) -> str:
    if result.outcome != "done" or result.set_id is None:
        raise BackendError(f"job {result.id} made no set: it ended as {result.outcome}; {result.text}", lasting=True)
    if not is_id(result.set_id):
        raise BackendError(f"job {result.id} names {result.set_id[:40]!r} as its set, which is no id", lasting=True)
    return result.set_id


def _count(result: Result, store: Path) -> None:
    """Note what was tried for the set before it can be chosen: the ledger where it was trained ends with the job."""
    known = trials.read(store).trials
    for trial in result.trials:
        if trial not in known:
            trials.add(store, trial)


def _agree(found: ModelSet, result: Result) -> None:
    """Refuse another set than the one that the job says it made."""
    if found.id != result.set_id:
        raise BackendError(f"job {result.id} made the set {result.set_id}, and {found.id} came back", lasting=True)
    names = {member.file: member.sha256 for member in found.manifest.models}
    names |= {record.file: record.sha256 for record in found.manifest.records}
    manifest = digest((found.path / MANIFEST).read_bytes())
    odd = sorted(name for name, sha in {**names, MANIFEST: manifest}.items() if result.files.get(name) != sha)
    odd += sorted(result.files.keys() - names.keys() - {MANIFEST})
    if odd:
        raise BackendError(
            f"job {result.id}: {odd[0]} of the set {found.id} is not the file the job wrote ({len(odd)} in all); "
            "it was changed on its way or there; train again",
            lasting=True,
        )
