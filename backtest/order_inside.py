"""The order of prices inside a bar: what playing finer candles changes against the path that is assumed.

Without detail a bar is taken to visit its extremes in the order of `market.fills.path`; minutes say how it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from backtest.bars import SymbolFrame, detailed_opens
from backtest.engine import Result
from backtest.statistics import statistics
from market.trades import LIQUIDATION, STOP


@dataclass(frozen=True)
class Figures:
    """What one of the two plays came to; fractions, and counts."""

    trades: int
    stops: int
    liquidations: int
    total_return: float
    max_drawdown: float
    sharpe: float | None


@dataclass(frozen=True)
class Change:
    """What the detail changed.

    Attributes
    ----------
    bars, detailed : int
        Instants with a base bar, and those played in detail.
    same : int
        Trades that both plays made, entry, exit and price alike; of the exit's moment its bar, since the detail alone
        knows more.
    with_detail, without : Figures
    """

    bars: int
    detailed: int
    same: int
    with_detail: Figures
    without: Figures

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def without_detail(frames: Sequence[SymbolFrame]) -> list[SymbolFrame]:
    """The same frames, their bars played by the assumed path."""
    return [replace(f, detail=None) for f in frames]


def change(frames: Sequence[SymbolFrame], detailed: Result, coarse: Result) -> Change:
    """Compare the play in detail with the one without."""
    bar_ms = frames[0].base.timeframe.ms
    keys = [{(t.symbol, t.side, t.entry_time, t.entry_price, t.exit_time // bar_ms, t.exit_price) for t in r.trades}
            for r in (detailed, coarse)]  # fmt: skip
    every = {int(t) for f in frames for t in f.base.open_time}
    return Change(len(every), len(detailed_opens(frames)), len(keys[0] & keys[1]), _of(detailed), _of(coarse))


def _of(result: Result) -> Figures:
    told, reasons = statistics(result), [t.reason for t in result.trades]
    return Figures(
        trades=len(reasons),
        stops=reasons.count(STOP),
        liquidations=reasons.count(LIQUIDATION),
        total_return=told.total_return,
        max_drawdown=told.max_drawdown,
        sharpe=told.sharpe,
    )
