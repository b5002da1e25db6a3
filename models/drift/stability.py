"""The population stability index (PSI): how much of a distribution has moved to other bins.

PSI = Σ (actual - expected) × ln(actual / expected) over the shares: Jeffreys' divergence of two histograms, which
is 0 where they are the same, and never negative. Missing values are a bin of their own; units do not matter.

References
----------
Jeffreys (1946), An invariant form for the prior probability in estimation problems. Siddiqi (2006), Credit Risk
Scorecards, ch. 9. Yurdakul and Naranjo (2020), Statistical properties of the population stability index: what is
large depends on how many were counted, so that fixed limits (.1, .25) mean nothing by themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats

LEVELS = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
"""Quantiles of training that part the bins: tenths, the outermost hundredths, and what training never saw. Without
the last, a value that is wholly new would count no more than one of the outermost tenth.
"""
PRIOR = 0.5
"""Counts added to each bin of the reference, so that no share is 0."""
DIGITS = 5
"""Significant digits that edges are kept with."""

Codes = NDArray[np.int16]


def edges(values: Floats) -> tuple[float, ...]:
    """Inner edges of the bins: quantiles of the known values (N,), each once; none where no two values differ."""
    known = values[np.isfinite(values)]
    if not len(known) or known.min() == known.max():
        return ()
    cuts = np.quantile(known, LEVELS)
    return tuple(sorted({float(f"{cut:.{DIGITS}g}") for cut in cuts}))


def bins_of(cuts: tuple[float, ...]) -> int:
    """How many bins these edges make, the one of missing values included."""
    return len(cuts) + 2


def binned(values: Floats, cuts: tuple[float, ...]) -> Codes:
    """The bin of each value (N,): from 0, a value on an edge in the bin above it; what is missing in the last one."""
    found = np.searchsorted(np.asarray(cuts, dtype=np.float64), values, side="right")
    return np.where(np.isfinite(values), found, len(cuts) + 1).astype(np.int16)


def counted(codes: Codes, bins: int) -> Floats:
    """How many values lie in each bin (bins,)."""
    return np.bincount(codes, minlength=bins).astype(np.float64)


def expected(counts: Floats) -> Floats:
    """Shares (bins,) of the reference's counts, none of them 0."""
    return np.asarray((counts + PRIOR) / (counts.sum() + PRIOR * len(counts)))


def actual(counts: Floats, shares: Floats) -> Floats:
    """Shares of a window's counts (..., bins), with one more value spread as the reference is, so that none is 0."""
    return np.asarray((counts + shares) / (counts.sum(axis=-1, keepdims=True) + 1.0))


def psi(counts: Floats, shares: Floats) -> Floats:
    """The index (...,) of a window's counts (..., bins) against the reference's shares (bins,)."""
    now = actual(counts, shares)
    return np.asarray(((now - shares) * np.log(now / shares)).sum(axis=-1))
