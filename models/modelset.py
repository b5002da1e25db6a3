"""Model sets on disk: written whole, verified to the last byte before use, found by name.

A store is a folder of sets named by their ids, with the pointers `latest` and `champion` beside them: `models/sets/` is
the user's, `models/starter/` the built-in one. A set is read once, and what was verified is what is used.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models import features
from models.manifest import FORMAT, Manifest, Member, Recorded, canonical, derive_id, identify, to_bytes

MANIFEST = "manifest.json"
LATEST, CHAMPION, STARTER = "latest", "champion", "starter"
STORE = "sets"
"""Folder, in a root, of the sets that were trained; the starter's is beside it."""
ROOT = Path(__file__).resolve().parent
"""Where the stores are, unless another place is named."""
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}")
_LONGEST_MANIFEST = 64 * 2**20
_UNSAFE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy", ".npz")
"""Endings of files that may run code when they are opened."""


class ModelSetError(Exception):
    """A model set that cannot be used; the message says what is wrong, where, and what to do."""

    exit_code = 7

    def __init__(self, what: str, where: Path | str, remedy: str) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(f"{where}: {what}; {remedy}")


@dataclass(frozen=True)
class ModelSet:
    """A verified set: its manifest, and the content of its files as they were when they were verified."""

    path: Path
    manifest: Manifest
    contents: Mapping[str, bytes]

    @property
    def id(self) -> str:
        """Its name everywhere: reports, orders, the dashboard."""
        return self.manifest.id

    @property
    def bytes(self) -> int:
        """Size of its files, the manifest aside."""
        return sum(map(len, self.contents.values()))

    @classmethod
    def load(cls, path: Path | str) -> ModelSet:
        """Read and verify the set in the folder `path`.

        Raises
        ------
        ModelSetError
            If anything is missing, too much, changed, of a newer format, or made for other features.
        """
        path = Path(path)
        manifest = _manifest(path)
        if path.name != manifest.id:
            raise ModelSetError(
                f"the folder is not named {manifest.id}, as the manifest's content demands", path,
                "the set was renamed or made up; use the original",
            )  # fmt: skip
        return cls(path, manifest, _contents(path, manifest))


def arriving(set_id: str, store: Path) -> Path:
    """Where a set's files are until they are all there and verified, ``<store>/incoming/<id>.partial``."""
    return store / "incoming" / f"{set_id}.partial"


def save(manifest: Manifest, files: Mapping[str, bytes], store: Path | str) -> Path:
    """Write a set into `store`, verify what was written, and point `latest` at it.

    Parameters
    ----------
    manifest : Manifest
        Its id is derived here; every model's `sha256` and `bytes` must be of the file given.
    files : mapping
        File name -> content, of every model and record.
    store : Path
        ``models/sets``, or another folder of sets.

    Returns
    -------
    Path
        The set's folder, ``<store>/<id>``.

    Raises
    ------
    ModelSetError
        If what was written does not verify; nothing is left behind then.
    """
    store = Path(store)
    manifest = identify(manifest)
    partial = arriving(manifest.id, store)
    final = store / manifest.id
    if final.exists():
        raise ModelSetError("there is a set of this id already", final, "it is the same set; use it")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, content in {**files, MANIFEST: to_bytes(manifest)}.items():
            _write(partial / name, content)
        admit(verified(partial), store)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    point(LATEST, manifest.id, store)
    return final


def verified(path: Path | str) -> ModelSet:
    """The set in the folder `path`, verified as `ModelSet.load` does, whatever the folder is called.

    Raises
    ------
    ModelSetError
        As `ModelSet.load`.
    """
    manifest = _manifest(Path(path))
    return ModelSet(Path(path), manifest, _contents(Path(path), manifest))


def admit(found: ModelSet, store: Path | str) -> Path:
    """Move a verified set from where it arrived into `store`, durably and as a whole; no pointer is moved.

    Raises
    ------
    OSError
        If there is another folder of this name, or the disk refuses.
    """
    store, came_from = Path(store), found.path.parent
    for file in (*found.path.iterdir(), found.path):
        _sync(file)
    final = found.path.rename(store / found.id)
    for folder in (store, came_from):
        _sync(folder)
    return final


def digest(content: bytes) -> str:
    """SHA-256 of a file's content, as the manifest writes it."""
    return hashlib.sha256(content).hexdigest()


def point(pointer: str, set_id: str, store: Path | str) -> None:
    """Let the pointer (`latest`, `champion`) name the set `set_id`, replaced as a whole."""
    replace_file(Path(store) / pointer, f"{set_id}\n".encode())


def replace_file(file: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new one, and a power cut leaves one of them."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        _write(fresh, content)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    _sync(file.parent)


def pointed(pointer: str, store: Path | str) -> str | None:
    """The id a pointer names, None if there is no such pointer.

    Raises
    ------
    ModelSetError
        If the pointer does not hold an id.
    """
    file = Path(store) / pointer
    try:
        text = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelSetError(
            f"the pointer cannot be read: {error}", file, "remove it, or write an id into it"
        ) from error
    if not _ID.fullmatch(text):
        raise ModelSetError(f"the pointer holds {text[:40]!r}, which is no id", file, "write a set's id into it")
    return text


def resolve(name: str, root: Path | str = ROOT) -> Path:
    """The folder of the set called `name`.

    Parameters
    ----------
    name : str
        ``latest`` (the starter set until one was trained), ``champion``, ``starter``, or an id.
    root : Path
        Folder that holds the stores ``sets`` and ``starter``.

    Raises
    ------
    ModelSetError
        If there is no such set.
    """
    root = Path(root)
    sets, starter = root / STORE, root / STARTER
    if name == STARTER:
        return _pointed_set(starter, LATEST, "train one with `make starter`")
    if name == CHAMPION:
        return _pointed_set(sets, CHAMPION, "name latest, starter or an id, until a set is promoted")
    if name == LATEST:
        return _pointed_set(sets if (sets / LATEST).exists() else starter, LATEST, "train one with `make train`")
    for store in (sets, starter):
        if _ID.fullmatch(name) and (store / name).is_dir():
            return store / name
    known = [p.name for p in (*stored(sets), *stored(starter))]
    near = difflib.get_close_matches(name, [*known, LATEST, CHAMPION, STARTER], 1)
    guess = f"did you mean {near[0]}?" if near else "`python -m models list` shows those there are"
    raise ModelSetError(f"no model set is called {name!r}", root, guess)


def is_id(text: str) -> bool:
    """Whether a set could be called so."""
    return _ID.fullmatch(text) is not None


def stored(store: Path | str) -> list[Path]:
    """Folders of the sets in a store, the oldest first; none if there is no store."""
    store = Path(store)
    return sorted(p for p in store.iterdir() if p.is_dir() and _ID.fullmatch(p.name)) if store.is_dir() else []


def _pointed_set(store: Path, pointer: str, remedy: str) -> Path:
    set_id = pointed(pointer, store)
    if set_id is None:
        raise ModelSetError(f"there is no {pointer} set", store, remedy)
    if not (store / set_id).is_dir():
        raise ModelSetError(f"it names {set_id}, which is not there", store / pointer, "restore that set or " + remedy)
    return store / set_id


def _manifest(path: Path) -> Manifest:
    """The manifest in the folder `path`, its form, format, id and features verified."""
    if not path.is_dir():
        raise ModelSetError("no model set is here", path, "`python -m models list` shows those there are")
    file = path / MANIFEST
    foreign = "this is no model set of this program; train one with `make train`"
    changed = "it was changed after it was made; use the original or train again"
    content = _read(file, _LONGEST_MANIFEST, foreign)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelSetError(f"not readable as JSON: {error}", file, "it is damaged; copy the set again") from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int) or "ensemble" not in data:
        raise ModelSetError("this JSON is no manifest of ours", file, foreign)
    if data["format"] > FORMAT:
        raise ModelSetError(
            f"format {data['format']} is newer than {FORMAT}, the newest this version reads", file,
            "update the program, or train a set with this version",
        )  # fmt: skip
    try:
        if canonical(data) != content:
            raise ModelSetError("not in canonical form", file, changed)
        wanted = derive_id(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelSetError(f"cannot be hashed: {error}", file, changed) from error
    if data.get("id") != wanted:
        raise ModelSetError(f"its id {data.get('id')} does not fit its content, whose id is {wanted}", file, changed)
    try:
        manifest = Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelSetError(
            f"{where}: {first['msg']} ({error.error_count()} faults)", file, "train the set again"
        ) from error
    _check_features(manifest, file)
    return manifest


def _check_features(manifest: Manifest, file: Path) -> None:
    remedy = "train a set with this version, or use the version that made it"
    for told in (manifest.features, *([manifest.finer.features] if manifest.finer else [])):
        try:
            chosen = features.REGISTRY.chosen(told.names)
        except features.FeatureError as error:
            raise ModelSetError(f"it reads features this version does not have: {error}", file, remedy) from error
        if features.schema_hash(told.names) != told.schema_hash:
            raise ModelSetError("it was made with other definitions of its features", file, remedy)
        lookback = features.required_lookback(told.names)
        if lookback != told.lookback:
            raise ModelSetError(f"its lookback is {told.lookback}, its features need {lookback}", file, remedy)
        compared = [f.name for f in chosen if features.COMPANION in f.needs]
        if compared and told.pair is None:
            raise ModelSetError(
                f"{compared[0]} compares two symbols, and no pair is named", file, "train the set again"
            )


def _contents(path: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files of the set, each verified; a file the manifest does not name is refused."""
    expected: dict[str, Member | Recorded] = {m.file: m for m in manifest.models}
    expected |= {record.file: record for record in manifest.records}
    for found in sorted(path.iterdir()):
        if found.name in expected or found.name == MANIFEST:
            continue
        risk = " and may run code when opened" if found.suffix.lower() in _UNSAFE else ""
        raise ModelSetError(f"this file is not in the manifest{risk}", found, "remove it, or use the original set")
    contents = {}
    for name, named in expected.items():
        content = _read(path / name, named.bytes, "copy the set again")
        if len(content) != named.bytes:
            raise ModelSetError(
                f"{len(content)} bytes where the manifest says {named.bytes}", path / name, "copy the set again"
            )
        if digest(content) != named.sha256:
            raise ModelSetError(
                f"its SHA-256 is {digest(content)[:12]}…, the manifest says {named.sha256[:12]}…", path / name,
                "it is damaged or was replaced; copy the set again",
            )  # fmt: skip
        contents[name] = content
    return contents


def _read(file: Path, longest: int, remedy: str) -> bytes:
    """A regular file's content; one byte beyond `longest` at most, so that a huge one is noticed and not read."""
    try:
        # a link could be turned to another file after the check; a pipe would be waited for without end
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise ModelSetError("not a regular file", file, "a set holds plain files; copy it again")
            return opened.read(longest + 1)
    except FileNotFoundError as error:
        raise ModelSetError("the file is missing", file, remedy) from error
    except OSError as error:
        what = "a link, not a file" if file.is_symlink() else f"cannot be read: {error.strerror}"
        raise ModelSetError(what, file, "copy the set again, as plain files you may read") from error


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
