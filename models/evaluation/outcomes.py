"""Outcomes: what came of each bar, by the labels' names."""

from __future__ import annotations

import numpy as np

from market.candles import Candles, Floats
from models import labels
from models.manifest import Manifest

SIDES = ("long", "short")
UP = "up"
SECTIONS = {"direction": UP, "profitable_long": SIDES[0], "profitable_short": SIDES[1]}
"""Section of the report -> what is foretold in it."""


def outcomes(manifest: Manifest, candles: Candles) -> dict[str, Floats]:
    """Each side's label and whether the price rose: ``5/long``, ``5/short``, ``5/up`` -> (N,) 1, 0 or NaN."""
    return {
        key: value
        for h in manifest.horizons
        for key, value in of_returns(labels.forward_return(candles, h), h, manifest.data.labels.cost).items()
    }


def questions(manifest: Manifest) -> tuple[str, ...]:
    """All that is asked of a set: ``5/long``, ``5/short``, ``5/up``, …"""
    return tuple(f"{h}/{what}" for h in manifest.horizons for what in (*SIDES, UP))


def of_returns(moved: Floats, horizon: int, cost: float) -> dict[str, Floats]:
    """The same of forward returns (N,) over one horizon."""
    told = {SIDES[0]: moved > cost, SIDES[1]: -moved > cost, UP: moved > 0}
    return {f"{horizon}/{k}": np.where(np.isnan(moved), np.nan, came.astype(np.float64)) for k, came in told.items()}


def regimes(manifest: Manifest, candles: Candles) -> Floats:
    """The regime that came of each bar (N,): 0, 1, 2 or NaN."""
    volatility = labels.forward_volatility(candles, manifest.data.labels.regime_horizon)
    return labels.regimes(volatility, edges(manifest, candles))


def edges(manifest: Manifest, candles: Candles) -> Floats:
    """What parts a bar's volatility in thirds: the set's two edges (2,), or each bar's own (N, 2)."""
    if manifest.data.labels.regime_edges == "trailing":
        return labels.trailing_edges(candles, manifest.data.labels.regime_horizon)
    return np.array(manifest.ensemble.regime_edges)
