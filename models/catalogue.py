"""The catalogue: which model sets there are, which pointers name them, and whether they verify."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.manifest import Manifest
from models.modelset import CHAMPION, LATEST, ROOT, STARTER, STORE, ModelSet, ModelSetError, pointed, stored


@dataclass(frozen=True)
class Entry:
    """One set of a store; `manifest` is None and `fault` says why if it does not verify.

    Attributes
    ----------
    store : str
        ``sets`` or ``starter``.
    names : tuple of str
        Pointers that name it.
    bytes : int
        Size of its model files.
    """

    id: str
    path: Path
    store: str
    names: tuple[str, ...]
    manifest: Manifest | None
    bytes: int
    fault: str | None


def entries(root: Path | str = ROOT) -> list[Entry]:
    """Every set under `root`, the user's first and the newest last; damaged ones too, with their fault."""
    found = []
    for store in (STORE, STARTER):
        folder = Path(root) / store
        names = _names(folder)
        for path in stored(folder):
            manifest, size, fault = None, 0, None
            try:
                loaded = ModelSet.load(path)
                manifest, size = loaded.manifest, loaded.bytes
            except ModelSetError as error:
                fault = str(error)
            found.append(Entry(path.name, path, store, names.get(path.name, ()), manifest, size, fault))
    return found


def broken_pointers(root: Path | str = ROOT) -> list[str]:
    """Pointers that cannot be read, or name a set that is not there, in words."""
    faults = []
    for store in (STORE, STARTER):
        folder = Path(root) / store
        for pointer in (LATEST, CHAMPION):
            try:
                set_id = pointed(pointer, folder)
            except ModelSetError as error:
                faults.append(str(error))
                continue
            if set_id is not None and not (folder / set_id).is_dir():
                faults.append(f"{folder / pointer}: names {set_id}, which is not there; restore it or train again")
    return faults


def _names(folder: Path) -> dict[str, tuple[str, ...]]:
    """Set id -> names its pointers give it; the built-in store's latest is called starter."""
    names: dict[str, tuple[str, ...]] = {}
    for pointer in (LATEST, CHAMPION):
        try:
            set_id = pointed(pointer, folder)
        except ModelSetError:
            continue  # told by broken_pointers
        if set_id is not None:
            name = STARTER if folder.name == STARTER and pointer == LATEST else pointer
            names[set_id] = (*names.get(set_id, ()), name)
    return names
