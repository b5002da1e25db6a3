"""Playing a backtest by whichever loop is done sooner: the plain one or the compiled one, which give the same."""

from __future__ import annotations

from collections.abc import Sequence

from backtest import engine
from backtest.bars import SymbolFrame
from backtest.broker import Costs
from backtest.engine import Progress, Result
from strategy.live_config import Rules

SHORT = 20_000
"""Up to so many bars the plain loop is done before the compiled one is loaded."""


def play(
    frames: Sequence[SymbolFrame],
    rules: Rules,
    costs: Costs,
    max_hold_bars: int,
    cash: int,
    progress: Progress | None = None,
) -> Result:
    """As `backtest.engine.run`, sooner where there are many bars."""
    if sum(len(f.base) + (len(f.detail) if f.detail else 0) for f in frames) <= SHORT:
        return engine.run(frames, rules, costs, max_hold_bars, cash, progress)
    from backtest import compiled

    return compiled.run(frames, rules, costs, max_hold_bars, cash)
