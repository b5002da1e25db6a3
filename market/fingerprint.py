"""Fingerprints: of a history, whatever file it came from, and of the code that makes something of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from market.candles import VALUES, Candles
from market.funding import Funding


def fingerprint(candles: Candles, funding: Funding | None = None) -> str:
    """SHA-256 (hex) of open times and all values, and of the funding's times and rates where there is any."""
    digest = hashlib.sha256(candles.open_time.astype("<i8").tobytes())
    for name in VALUES:
        digest.update(np.ascontiguousarray(getattr(candles, name), dtype="<f8").tobytes())
    if funding is not None:
        digest.update(funding.time.astype("<i8").tobytes() + funding.rate.astype("<i8").tobytes())
    return digest.hexdigest()


def of_code(root: Path, parts: Iterable[str] = ("",)) -> str:
    """SHA-256 (hex) of Python files of `root`, or those straight in folders of it: their names and what is in them."""
    digest = hashlib.sha256()
    places = [root / part for part in parts]
    found = {file for place in places for file in ([place] if place.suffix == ".py" else place.glob("*.py"))}
    for source in sorted(found):
        content = source.read_bytes()
        digest.update(f"{source.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()
