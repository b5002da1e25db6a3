"""Results of training that are kept: a run that was killed goes on where it was, and another fuses what it trained.

Each result lies in one file, named by the hash of all that it depends on and by the hash of what is in it. A file that
is not what its name says counts as missing, and the log says so. Nothing is pickled: a file is a zip of ``.npy``
arrays (`numpy.load` opens it), plain bytes, and one JSON text.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import time
import uuid
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from market import cache

log = logging.getLogger(__name__)

Content = Mapping[str, Any]
"""What is kept of a unit, by name: arrays, bytes, or what JSON can say (a tuple comes back as a list)."""

LIMIT = 4 * 2**30
"""Bytes kept at most; what was not asked for the longest makes room."""
_JSON = "content.json"
_ABANDONED_S = 3600.0
_NAME = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{64}\.npz")


class Kept:
    """A folder of results, each under the hash of what it depends on; several runs may share it.

    Parameters
    ----------
    folder : Path, optional
        By default `market.cache.folder("training")`; where that cannot be written, nothing is kept.
    limit : int
        Bytes.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder, self._limit = folder or cache.folder("training"), limit

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key, or None where there is nothing sound."""
        for file in self._files(key):
            try:
                content = file.read_bytes()
            except OSError:  # pruned, or replaced, by another run meanwhile
                continue
            if hashlib.sha256(content).hexdigest() != _digest_of(file):
                log.warning("%s is damaged; it counts as missing, and is made again", file)
                continue
            with suppress(OSError):
                os.utime(file)
            return _unpacked(content)
        return None

    def put(self, key: str, content: Content) -> None:
        """Keep `content` under the key, instead of what was there.

        Raises
        ------
        TypeError
            If something in it is neither an array without objects, nor bytes, nor JSON.
        """
        packed = _packed(content)
        if self.folder is None:
            return
        file = self.folder / f"{key}.{hashlib.sha256(packed).hexdigest()}.npz"
        partial = self.folder / f"{uuid.uuid4().hex}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(packed)
            partial.replace(file)
        except OSError as error:
            log.warning("%s cannot be kept: %s; another run would train it again", file, error)
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return
        for other in self._files(key):
            if other != file:
                _remove(other)
        self._prune(file)

    def _files(self, key: str) -> list[Path]:
        """Files under the key, the newest first: there are several only while two runs keep the same."""
        if not re.fullmatch("[0-9a-f]{64}", key):
            raise ValueError(f"{key!r} is no key; make one by training.kept.key()")
        return [] if self.folder is None else [file for _, _, file in _newest_first(self.folder.glob(f"{key}.*.npz"))]

    def _prune(self, newest: Path) -> None:
        assert self.folder is not None
        total = 0
        for _, size, file in _newest_first(f for f in self.folder.glob("*.npz") if _NAME.fullmatch(f.name)):
            total += size
            if total > self._limit and file != newest:
                _remove(file)
        for modified, _, partial in _newest_first(self.folder.glob("*.partial")):
            if time.time() - modified > _ABANDONED_S:
                _remove(partial)


def key(parts: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all that a result depends on, by name: JSON values, bytes, and arrays.

    Raises
    ------
    TypeError
        If a part is none of these, or a mapping has keys other than text.
    """
    told = json.dumps({name: _part(value) for name, value in parts.items()}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()


def _part(value: Any) -> JsonValue:
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of objects has no lasting bytes; use numbers or text")
        whole = np.ascontiguousarray(value)
        return {"array": [whole.dtype.str, list(whole.shape), hashlib.sha256(whole.tobytes()).hexdigest()]}
    return {"json": _plain(value)}


def _plain(value: Any) -> JsonValue:
    """The value, if JSON says it without loss: `json` itself would turn the key 1 into "1" in silence."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"keys must be text, not {sorted(map(repr, value))}")
        return {name: _plain(each) for name, each in value.items()}
    raise TypeError(f"{type(value).__name__} is neither JSON nor bytes nor an array: {value!r}")


def _packed(content: Content) -> bytes:
    """A zip whose bytes depend on the content alone."""
    into, plain = io.BytesIO(), dict[str, JsonValue]()
    with zipfile.ZipFile(into, "w") as packing:
        for name, value in content.items():
            if isinstance(value, np.ndarray):
                if value.dtype.hasobject:
                    raise TypeError(f"{name} is an array of objects; only a pickle could hold it")
                array = io.BytesIO()
                np.lib.format.write_array(array, value, allow_pickle=False)
                packing.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getbuffer())
            elif isinstance(value, bytes):
                packing.writestr(zipfile.ZipInfo(f"{name}.bin"), value)
            else:
                plain[name] = _plain(value)
        packing.writestr(zipfile.ZipInfo(_JSON), json.dumps(plain))
    return into.getvalue()


def _unpacked(packed: bytes) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with zipfile.ZipFile(io.BytesIO(packed)) as packing:
        for member in packing.namelist():
            inside = packing.read(member)
            if member == _JSON:
                content |= json.loads(inside)
            elif member.endswith(".npy"):
                content[member[:-4]] = np.lib.format.read_array(io.BytesIO(inside), allow_pickle=False)
            else:
                content[member[:-4]] = inside
    return content


def _digest_of(file: Path) -> str:
    return file.name.split(".")[1]


def _newest_first(files: Any) -> list[tuple[float, int, Path]]:
    """When each was last written or asked for, its bytes, and where it is; one that has just gone is left out."""
    found = []
    for file in files:
        with suppress(OSError):
            told = file.stat()
            found.append((told.st_mtime, told.st_size, file))
    return sorted(found, key=lambda each: -each[0])


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
