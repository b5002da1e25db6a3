"""The fingerprint of a history: a hash of its times and values, whatever file they came from."""

from __future__ import annotations

import hashlib

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
