"""What a backtest amounts to: return, drawdown, Sharpe ratio, and the same by volatility regime.

Fractions are plain (0.02 is two per cent). A figure that cannot be computed is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest import significance
from backtest.broker import Closed
from backtest.engine import Result
from market.trades import LIQUIDATION, STOP

DAY_MS = 86_400_000

REGIMES = ("low", "mid", "high")


@dataclass(frozen=True, slots=True)
class Group:
    """Some trades taken together; money in cash units, `won` a fraction (None without trades)."""

    trades: int
    won: float | None
    profit: int
    fees: int
    funding: int
    stopped: int
    liquidated: int
    mean_hold_ms: int | None

    @classmethod
    def of(cls, closed: Sequence[Closed]) -> Group:
        """The group's figures."""
        trades = [c.trade for c in closed]
        count = len(trades)
        return cls(
            trades=count,
            won=sum(t.profit > 0 for t in trades) / count if count else None,
            profit=sum(t.profit for t in trades),
            fees=sum(t.fees for t in trades),
            funding=sum(t.funding for t in trades),
            stopped=sum(t.reason == STOP for t in trades),
            liquidated=sum(t.reason == LIQUIDATION for t in trades),
            mean_hold_ms=sum(t.exit_time - t.entry_time for t in trades) // count if count else None,
        )


@dataclass(frozen=True)
class Statistics:
    """Figures of a whole run.

    Attributes
    ----------
    total_return : float
        Final equity over the starting cash, less one.
    max_drawdown : float
        Largest fall from a peak of equity, as a fraction of the peak.
    sharpe : float or None
        Mean over standard deviation of daily returns, times the root of 365; None below three days or without change.
    exposure : float or None
        Time in the market of closed trades over the time tested (above 1 when several symbols are held at once).
    profit_factor : float or None
        Sum of gains over sum of losses; None without a loss.
    all, long, short : Group
        All trades, and by side.
    regimes : dict
        Trades by the regime at entry.
    regime_share : dict
        Share of decision candles by regime in force; `none` before the first settled.
    exits : dict
        Trades by reason of exit.
    """

    total_return: float
    max_drawdown: float
    sharpe: float | None
    exposure: float | None
    profit_factor: float | None
    all: Group
    long: Group
    short: Group
    regimes: dict[str, Group]
    regime_share: dict[str, float]
    exits: dict[str, int]


def statistics(result: Result) -> Statistics:
    """The figures of a run."""
    equity = result.curve_equity.astype(np.float64)
    closed, span = result.closed, result.end_ms - result.start_ms
    gains = sum(c.trade.profit for c in closed if c.trade.profit > 0)
    losses = -sum(c.trade.profit for c in closed if c.trade.profit < 0)
    exits: dict[str, int] = {}
    for c in closed:
        exits[c.trade.reason] = exits.get(c.trade.reason, 0) + 1
    decided = result.curve_regime[:-1]
    return Statistics(
        total_return=result.equity / result.start_cash - 1,
        max_drawdown=max_drawdown(np.concatenate([[float(result.start_cash)], equity])),
        sharpe=sharpe(result.curve_time, equity, float(result.start_cash)),
        exposure=sum(c.trade.exit_time - c.trade.entry_time for c in closed) / span if span else None,
        profit_factor=gains / losses if losses else None,
        all=Group.of(closed),
        long=Group.of([c for c in closed if c.trade.side > 0]),
        short=Group.of([c for c in closed if c.trade.side < 0]),
        regimes={name: Group.of([c for c in closed if c.regime == i]) for i, name in enumerate(REGIMES)},
        regime_share={
            name: float(np.mean(decided == i)) if len(decided) else 0.0
            for i, name in zip((-1, 0, 1, 2), ("none", *REGIMES), strict=True)
        },
        exits=dict(sorted(exits.items(), key=lambda pair: -pair[1])),
    )


def max_drawdown(equity: NDArray[np.float64]) -> float:
    """Largest fall from a running peak, as a fraction of it, of equity (N,); 0 if it never falls."""
    peak = np.maximum.accumulate(equity)
    return float(np.max((peak - equity) / peak))


def sharpe(time_ms: NDArray[np.int64], equity: NDArray[np.float64], start: float) -> float | None:
    """Sharpe ratio of daily returns on 365 days a year; see `daily_returns` for the parameters.

    None below three days, when the account was lost, or when nothing changed.
    """
    return significance.sharpe(daily_returns(time_ms, equity, start))


def daily_returns(time_ms: NDArray[np.int64], equity: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """Simple returns (D,) by UTC day, each day with its last equity; NaN from the day on that the account was lost.

    Parameters
    ----------
    time_ms : (N,) int64
        When the equity was taken, rising.
    equity : (N,) float64
        Equity then.
    start : float
        Equity before the first day.
    """
    day = (time_ms - 1) // DAY_MS  # the close at midnight belongs to the day it ends
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    daily = np.concatenate([[start], equity[last]])
    lost = np.maximum.accumulate(daily <= 0)
    daily[lost] = np.nan
    returns: NDArray[np.float64] = daily[1:] / daily[:-1] - 1
    return returns
