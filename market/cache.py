"""The folder of what can always be made again: compiled code, predictions, what training kept.

`var/cache` beside the program, or what the environment's REGIMEN_CACHE names. Nothing breaks when it is removed.
"""

from __future__ import annotations

import os
from pathlib import Path

_DEFAULT = Path(__file__).resolve().parent.parent / "var" / "cache"


def folder(kind: str) -> Path | None:
    """The folder for one kind of thing, made if it was not there; None where nothing can be written."""
    place = Path(os.environ.get("REGIMEN_CACHE") or _DEFAULT) / kind
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return place if os.access(place, os.W_OK) else None
