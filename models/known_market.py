"""The market a set was made on, and whether another one is shown to it."""

from __future__ import annotations

import re

import numpy as np

from market import synthetic
from market.candles import Candles
from market.funding import Funding
from market.instruments import InstrumentError
from market.timeframes import Timeframe
from models.manifest import Manifest

_SYNTHETIC = re.compile(r"synthetic seed (\d+) signal ([0-9.e+-]+)")


def regrown(manifest: Manifest, symbol: str, bars: int) -> tuple[Candles, Funding] | None:
    """The synthetic market of the set made again, so many bars of it; None if the manifest does not say how."""
    said = _SYNTHETIC.fullmatch(manifest.data.source)
    if said is None:
        return None
    timeframe, seed, signal = Timeframe.parse(manifest.data.timeframe), int(said[1]), float(said[2])
    return synthetic.generate(symbol, bars=bars, timeframe=timeframe, seed=seed, signal=signal)


def another_market(manifest: Manifest, symbol: str, candles: Candles) -> bool:
    """Whether a set of the synthetic market is shown another one of the same time, such as the real one.

    Its market is made again and compared; where the manifest does not say how, it counts as the same.
    """
    if manifest.data.venue != "synthetic":
        return False
    try:
        made = regrown(manifest, symbol, manifest.data.rows)
    except (InstrumentError, synthetic.SyntheticError):  # it lists no such symbol
        return True
    if made is None:
        return False
    own, _ = made
    _, ours, theirs = np.intersect1d(own.open_time, candles.open_time, assume_unique=True, return_indices=True)
    return bool(len(ours)) and not bool((own.close[ours] == candles.close[theirs]).any())
