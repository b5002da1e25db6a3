"""The market a set was made on, and whether another one is shown to it."""

from __future__ import annotations

import re

import numpy as np

from market import synthetic
from market.aggregate import aggregate
from market.candles import Candles
from market.instruments import InstrumentError
from market.timeframes import Timeframe
from models.inputs import Inputs
from models.manifest import Manifest

_SYNTHETIC = re.compile(r"synthetic seed (\d+) signal ([0-9.e+-]+)(?: of ([0-9]+[mhd]))?")


def regrown(manifest: Manifest, symbol: str, bars: int) -> Inputs | None:
    """The synthetic market of the set made again, so many bars of it; None if the manifest does not say how.

    Where it was made of shorter candles, the decision's are made of those; the companion is of the same market.
    """
    said = _SYNTHETIC.fullmatch(manifest.data.source)
    if said is None:
        return None
    decision, seed, signal = Timeframe.parse(manifest.data.timeframe), int(said[1]), float(said[2])
    base = Timeframe.parse(said[3]) if said[3] else manifest.finer_timeframe or decision
    many = bars * decision.ratio(base)
    candles, funding = synthetic.generate(symbol, bars=many, timeframe=base, seed=seed, signal=signal)
    wanted, other = manifest.companion_of(symbol), None
    if wanted is not None:
        theirs, _ = synthetic.generate(wanted, bars=many, timeframe=base, seed=seed, signal=signal)
        other = aggregate(theirs, decision)
    return Inputs(aggregate(candles, decision), funding, None if base == decision else candles, other)


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
    own = made.candles
    _, ours, theirs = np.intersect1d(own.open_time, candles.open_time, assume_unique=True, return_indices=True)
    return bool(len(ours)) and not bool((own.close[ours] == candles.close[theirs]).any())
