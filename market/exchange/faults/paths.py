"""Paths into JSON: ``k.x`` or ``data.0.confirm``, to look at a value, set it, or take it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

ABSENT = None
"""What a path that leads nowhere gives; JSON's own null is as good as absent."""


def look(tree: Any, path: str) -> Any:
    """The value at a path, or `ABSENT`."""
    for step in path.split("."):
        try:
            tree = tree[_key(tree, step)]
        except (LookupError, TypeError, ValueError):
            return ABSENT
    return tree


def edited(tree: Any, changes: Mapping[str, Any], gone: Iterable[str] = ()) -> Any:
    """A copy with values set and paths taken out; a path that leads nowhere changes nothing."""
    tree = deepcopy(tree)
    for path, value in changes.items():
        _change(tree, path, lambda parent, key, value=value: parent.__setitem__(key, value))
    for path in gone:
        _change(tree, path, lambda parent, key: parent.__delitem__(key))
    return tree


def _change(tree: Any, path: str, change: Any) -> None:
    *above, last = path.split(".")
    parent = look(tree, ".".join(above)) if above else tree
    try:
        change(parent, _key(parent, last))
    except (LookupError, TypeError, ValueError, AttributeError):
        return


def _key(tree: Any, step: str) -> str | int:
    return int(step) if isinstance(tree, list) else step
