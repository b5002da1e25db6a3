"""The page's tables: months, groups of trades, the worst trades, and what identifies the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backtest.bars import SymbolFrame
from backtest.broker import Closed
from backtest.engine import Result
from backtest.page.inputs import Inputs
from backtest.statistics import REGIMES, Group, max_drawdown

WORST = 10


@dataclass(frozen=True)
class Month:
    """One calendar month, UTC: equity's change and drawdown within it, and the trades closed in it.

    `whole` is False for a first or last month that the range cuts.
    """

    year: int
    month: int
    whole: bool
    change: float
    drawdown: float
    all: Group
    long: Group
    short: Group


@dataclass(frozen=True)
class Row:
    """A line of the scorecard: some trades, how often their regime was in force, and the terms they traded under."""

    name: str
    share: float | None
    terms: str
    group: Group
    champion: Group | None


@dataclass(frozen=True)
class Worst:
    """A losing trade, and what the price did: the worst it stood at before it closed, a fraction of the entry."""

    closed: Closed
    frame: SymbolFrame
    worst: float


def months(result: Result) -> list[Month]:
    """Every month of the run, in order."""
    closes = result.curve_time - 1  # what closes at midnight belongs to the month it ends
    number = closes.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    before, made = float(result.start_cash), []
    by_month: dict[int, list[Closed]] = {}
    for c in result.closed:
        by_month.setdefault(_month(c.trade.exit_time - 1), []).append(c)
    for which in range(_month(result.start_ms), int(number[-1]) + 1):
        equity = result.curve_equity[number == which].astype(np.float64)
        after = float(equity[-1]) if len(equity) else before
        closed = by_month.get(which, [])
        first, next_first = (_first_ms(m) for m in (which, which + 1))
        made.append(
            Month(
                year=1970 + which // 12,
                month=which % 12 + 1,
                whole=result.start_ms <= first and next_first <= result.end_ms,
                change=after / before - 1 if before > 0 else 0.0,
                drawdown=max_drawdown(np.concatenate([[before], equity])) if before > 0 else 0.0,
                all=Group.of(closed),
                long=Group.of([c for c in closed if c.trade.side > 0]),
                short=Group.of([c for c in closed if c.trade.side < 0]),
            )
        )
        before = after
    return made


def _month(time_ms: int) -> int:
    return int(np.datetime64(time_ms, "ms").astype("datetime64[M]").astype(np.int64))


def _first_ms(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[ms]").astype(np.int64))


def scorecard(inputs: Inputs) -> list[Row]:
    """Trades by regime at entry, by side, and all."""
    figures, rules = inputs.figures, inputs.setting.rules
    champion = inputs.champion.figures if inputs.champion else None
    rows = [
        Row(
            f"{name} volatility",
            figures.regime_share[name],
            f"{rules.leverage[i]}×, stop {rules.stop_bps[i] / 100:g} %",
            figures.regimes[name],
            champion.regimes[name] if champion else None,
        )
        for i, name in enumerate(REGIMES)
    ]
    rows += [
        Row("long", None, "", figures.long, champion.long if champion else None),
        Row("short", None, "", figures.short, champion.short if champion else None),
        Row("all", None, "", figures.all, champion.all if champion else None),
    ]
    return rows


def worst_trades(inputs: Inputs) -> list[Worst]:
    """The trades that lost most, the worst first."""
    frames = {f.instrument.symbol: f for f in inputs.frames}
    lost = sorted((c for c in inputs.result.closed if c.trade.profit < 0), key=lambda c: c.trade.profit)
    return [_worst(c, frames[c.trade.symbol]) for c in lost[:WORST]]


def _worst(closed: Closed, frame: SymbolFrame) -> Worst:
    trade = closed.trade
    held = frame.base.between(frame.base.timeframe.floor(trade.entry_time), max(trade.exit_time, trade.entry_time + 1))
    entry, leave = (price * float(frame.instrument.tick) for price in (trade.entry_price, trade.exit_price))
    seen = [leave, *(held.low if trade.side > 0 else held.high).tolist()]  # a gap is seen at the exit alone
    return Worst(closed, frame, min(trade.side * (price / entry - 1) for price in seen))


def ranked(counts: dict[str, int], key: Callable[[str], str] = str) -> list[tuple[str, int, float]]:
    """Names with their counts and shares of all, the most first."""
    whole = sum(counts.values()) or 1
    return [(key(name), n, n / whole) for name, n in sorted(counts.items(), key=lambda pair: -pair[1])]
