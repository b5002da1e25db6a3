"""A model set for venues that tell no taker flow: made in seconds, on features that can do without."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from market.candles import Candles
from market.funding import Funding
from models import features
from models.modelset import save
from tests.models.small_sets import Market, make_set

UNTOLD = {"trades", "taker_base", "taker_quote"}
"""Columns that a venue without taker flow leaves empty."""
MOST_LOOKBACK = 48
"""Hours; longer ones would only lengthen the warm-up."""


def save_without_taker_flow(candles: Candles, funding: Funding | None, folder: Path) -> None:
    """Fit a set on these candles and keep it in the store ``<folder>/sets``, as its latest."""
    untold = UNTOLD if funding is not None else UNTOLD | {"funding"}
    names = tuple(f.name for f in features.FEATURES if f.lookback <= MOST_LOOKBACK and not untold & set(f.needs))
    nothing = Funding(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    made = make_set(Market(candles, nothing if funding is None else funding), names)
    save(made.manifest, made.files, folder / "sets")
