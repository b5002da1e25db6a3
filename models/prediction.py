"""What a model set says of a symbol at a candle's close, and of every candle of a history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints

Regimes = NDArray[np.int8]

Progress = Callable[[int, int], None]
"""Called with rows asked about, and rows in all."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outlook at the close of one candle. All probabilities are rounded to 1e-9.

    Attributes
    ----------
    symbol : str
        The instrument.
    open_time : int
        Open time (UTC ms) of the candle after whose close this was said.
    p_long, p_short : float
        Calibrated probability that a long, a short, pays beyond costs, averaged over the horizons by their weights.
        Neither is one minus the other.
    regime : int
        Likeliest volatility regime to come: 0 low, 1 mid, 2 high.
    regime_probabilities : tuple of float
        Of low, mid, high.
    horizons : dict
        Bars ahead -> calibrated (P(long profitable), P(short profitable)).
    members : dict
        Member head, e.g. ``lstm/5/long`` -> the probability it gave by itself, before stacking; NaN if it gave none.
    without : tuple of str
        Family of members that gave no answer, and was done without.
    """

    symbol: str
    open_time: int
    p_long: float
    p_short: float
    regime: int
    regime_probabilities: tuple[float, float, float]
    horizons: dict[int, tuple[float, float]]
    members: dict[str, float]
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictionHistory:
    """The outlook at the close of every candle of a history; a candle without one has NaN, and regime -1.

    Attributes
    ----------
    open_time : (N,) int64
        UTC ms.
    p_long, p_short : (N,) float64
        As in `Prediction`.
    regime : (N,) int8
        As in `Prediction`.
    horizons : dict
        Bars ahead -> (N, 2) float64, long and short.
    refusals : dict
        Why candles have no prediction -> how many.
    without : dict
        Family of members that gave no answer -> how many candles were predicted without it.
    """

    open_time: Ints
    p_long: Floats
    p_short: Floats
    regime: Regimes
    horizons: dict[int, Floats]
    refusals: dict[str, int]
    without: dict[str, int] = field(default_factory=dict)
