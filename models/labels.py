"""Labels: what is to be foretold. A label at row t looks at prices after t; where it cannot be known, it is NaN.

Rows are compared by open time: a label that would reach across a hole in the history, or past its end, is NaN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.candles import Candles, Floats

LONG, SHORT = 1, -1
DAY_MS = 86_400_000
COST = 0.0015
"""Return a trade must exceed to have been worth it: fees and slippage both ways, as a fraction."""


def forward_return(candles: Candles, horizon: int) -> Floats:
    """Return (N,), as a fraction, from each close to the close `horizon` bars later."""
    future = np.full(len(candles), np.nan)
    if horizon < len(candles):
        reached = candles.open_time[horizon:] - candles.open_time[:-horizon] == horizon * candles.timeframe.ms
        future[:-horizon] = np.where(reached, candles.close[horizon:] / candles.close[:-horizon] - 1, np.nan)
    return future


def up(candles: Candles, horizon: int) -> Floats:
    """Whether the close `horizon` bars later is higher (N,): 1, 0, or NaN where unknown. Costs do not count here."""
    gain = forward_return(candles, horizon)
    return np.where(np.isnan(gain), np.nan, (gain > 0).astype(np.float64))


def profitable(candles: Candles, horizon: int, side: int, cost: float = COST) -> Floats:
    """Whether a trade from close to close would have paid: 1, 0, or NaN where unknown.

    Parameters
    ----------
    candles : Candles
        N candles.
    horizon : int
        Bars held.
    side : int
        +1 long, -1 short.
    cost : float
        Fraction of the notional that must be exceeded.

    Returns
    -------
    (N,) float64
    """
    gain = side * forward_return(candles, horizon)
    return np.where(np.isnan(gain), np.nan, (gain > cost).astype(np.float64))


def forward_volatility(candles: Candles, horizon: int) -> Floats:
    """Root mean square of the next `horizon` log returns (N,), per bar; NaN where unknown."""
    volatility = np.full(len(candles), np.nan)
    if horizon < len(candles):
        squares = np.diff(np.log(candles.close)) ** 2
        mean = np.correlate(squares, np.ones(horizon), "valid") / horizon
        reached = candles.open_time[horizon:] - candles.open_time[:-horizon] == horizon * candles.timeframe.ms
        volatility[:-horizon] = np.where(reached, np.sqrt(mean), np.nan)
    return volatility


def regime_edges(volatility: Floats) -> tuple[float, float]:
    """The two edges that part the known volatilities in thirds; pass those of the training split alone.

    Raises
    ------
    ValueError
        If fewer than three volatilities are known, or the thirds do not differ.
    """
    known = volatility[np.isfinite(volatility)]
    if len(known) < 3:
        raise ValueError(f"{len(known)} known volatilities cannot be parted in thirds; give a longer history")
    low, high = (float(e) for e in np.quantile(known, (1 / 3, 2 / 3)))
    if not 0 < low < high:
        raise ValueError(f"volatility edges {low:g} and {high:g} part nothing; the prices hardly move")
    return low, high


def trailing_edges(candles: Candles, horizon: int, days: int = 365) -> Floats:
    """Regime edges (N, 2) known at each close: those of the volatilities that had come about in the days before.

    A row that so many days do not lie before, or fewer than nine tenths of them known, has none (NaN): its edges would
    depend on where the history begins.
    """
    span = days * DAY_MS // candles.timeframe.ms
    past = np.full(len(candles), np.nan)
    past[horizon:] = forward_volatility(candles, horizon)[: max(0, len(candles) - horizon)]
    rolling = pd.Series(past).rolling(span, min_periods=max(3, span * 9 // 10))
    edges = np.column_stack([rolling.quantile(share).to_numpy() for share in (1 / 3, 2 / 3)])
    edges[: min(len(candles), span + horizon - 1)] = np.nan
    return edges


def regimes(volatility: Floats, edges: tuple[float, float] | Floats) -> Floats:
    """The regime of each volatility (N,): 0 below the first edge, 1 below the second, else 2; NaN where unknown.

    `edges` are two numbers, or (N, 2): each row's own.
    """
    own = np.broadcast_to(np.asarray(edges, dtype=np.float64), (len(volatility), 2))
    above = (volatility[:, None] >= own).sum(axis=1).astype(np.float64)
    return np.where(np.isnan(volatility) | np.isnan(own).any(axis=1), np.nan, above)
