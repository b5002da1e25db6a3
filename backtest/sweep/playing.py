"""Stands in for `backtest.compiled` until that is here: the plain loop, behind the same three functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtest.broker import Costs
from backtest.engine import run
from backtest.statistics import DAY_MS, max_drawdown
from backtest.tape import SymbolFrame
from market.candles import Ints
from market.trades import LIQUIDATION, STOP
from strategy.live_config import Rules


@dataclass(frozen=True)
class Outcome:
    trades: int
    stops: int
    liquidations: int
    fees: int
    funding: int
    cash: int
    equity: int
    max_drawdown: float
    daily_equity: Ints


def prepare(frames: Sequence[SymbolFrame]) -> tuple[SymbolFrame, ...]:
    return tuple(frames)


def simulate(prepared: Sequence[SymbolFrame], rules: Rules, costs: Costs, max_hold_bars: int, cash: int) -> Outcome:
    result = run(prepared, rules, costs, max_hold_bars, cash)
    day = (result.curve_time - 1) // DAY_MS
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    reasons = [t.reason for t in result.trades]
    return Outcome(
        len(reasons),
        reasons.count(STOP),
        reasons.count(LIQUIDATION),
        result.fees,
        result.funding,
        result.cash,
        result.equity,
        max_drawdown(np.concatenate([[float(cash)], result.curve_equity.astype(np.float64)])),
        result.curve_equity[last],
    )
