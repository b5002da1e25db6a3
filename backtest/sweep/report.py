"""What a sweep says: a table of the best, one JSON object with every variant, or a CSV file of them."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.broker import Costs
from backtest.sweep.choice import LEAST_DEFLATED, MOST_PBO, Choice
from backtest.sweep.grid import Grid
from backtest.sweep.work import Played
from market.instruments import cash_text

FIGURES = ("return", "sharpe", "max_drawdown", "trades", "stops", "liquidations", "fees", "funding")


@dataclass(frozen=True)
class Sweep:
    """All there is to tell of a sweep; `base` and `base_sharpe` are of the rules file itself."""

    model_set: str
    rules: str
    data: str
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    bars: int
    costs: Costs
    cash: int
    grid: Grid
    played: Played
    base: Played
    base_sharpe: float
    choice: Choice
    executor: str
    seconds: float
    refusals: dict[str, int]


def figures(played: Played, at: int, sharpe: float, cash: int) -> dict[str, Any]:
    """What one variant did, by the names of `FIGURES`; money in decimal text."""
    return {
        "return": int(played.equity[at]) / cash - 1,
        "sharpe": _or_none(sharpe),
        "max_drawdown": float(played.max_drawdown[at]),
        "trades": int(played.trades[at]),
        "stops": int(played.stops[at]),
        "liquidations": int(played.liquidations[at]),
        "fees": cash_text(int(played.fees[at])),
        "funding": cash_text(int(played.funding[at])),
    }


def as_json(sweep: Sweep) -> dict[str, Any]:
    """One object: where it was tried, every variant in the grid's order, and what the choice is worth."""
    choice, grid = sweep.choice, sweep.grid
    return {
        "model_set": sweep.model_set,
        "rules": sweep.rules,
        "data": sweep.data,
        "symbols": list(sweep.symbols),
        "from": _iso(sweep.start_ms),
        "to": _iso(sweep.end_ms),
        "bars": sweep.bars,
        "costs": asdict(sweep.costs),
        "cash": cash_text(sweep.cash),
        "grid": grid.as_json(),
        "dropped": grid.dropped,
        "base": figures(sweep.base, 0, sweep.base_sharpe, sweep.cash),
        "best": choice.best,
        "variants": [
            {"parameters": v.parameters, **figures(sweep.played, at, float(choice.sharpe[at]), sweep.cash)}
            for at, v in enumerate(grid.variants)
        ],
        "pbo": None if choice.pbo is None else asdict(choice.pbo),
        "pbo_missing": choice.no_pbo,
        "deflated_sharpe": None if choice.deflated is None else asdict(choice.deflated),
        "trials": {"this_sweep": choice.variants, "earlier": choice.earlier},
        "warnings": list(choice.warnings),
        "predictions_refused": sweep.refusals,
        "executor": sweep.executor,
        "seconds": sweep.seconds,
    }


def write_csv(sweep: Sweep, file: Path) -> None:
    """One row a variant, in the grid's order: its values by key, then its figures; empty where there is none."""
    keys = [axis.key for axis in sweep.grid.axes]
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*keys, *FIGURES])
        for at, variant in enumerate(sweep.grid.variants):
            said = figures(sweep.played, at, float(sweep.choice.sharpe[at]), sweep.cash)
            writer.writerow([*(_value(variant.parameters[k]) for k in keys), *(said[f] for f in FIGURES)])


def show(console: Console, sweep: Sweep, top: int) -> None:
    """Print the best variants, the rules file's own row, and what the choice is worth."""
    console.print(_head(sweep), soft_wrap=True)
    console.print(_table(sweep, top))
    console.print(_worth(sweep), soft_wrap=True)
    for warning in sweep.choice.warnings:
        console.print(Text(f"warning: {warning}", "yellow"), soft_wrap=True)


def _head(sweep: Sweep) -> Text:
    dropped = sum(sweep.grid.dropped.values())
    left_out = f", {dropped:,} combinations dropped: {'; '.join(sweep.grid.dropped)}" if dropped else ""
    days = (sweep.end_ms - sweep.start_ms) / 86_400_000
    return Text.assemble(
        ("model set ", "dim"), sweep.model_set, ("  rules ", "dim"), sweep.rules, ("  data ", "dim"), sweep.data, "\n",
        ("from ", "dim"), f"{_iso(sweep.start_ms)[:16]} to {_iso(sweep.end_ms)[:16]} UTC, {days:.0f} days, "
        f"{sweep.bars:,} bars\n",
        f"{len(sweep.grid.variants):,} variants{left_out}",
    )  # fmt: skip


def _table(sweep: Sweep, top: int) -> Table:
    """The best variants, and the rules' own row below them."""
    choice, played = sweep.choice, sweep.played
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title="Best by Sharpe ratio",
                  title_justify="left", min_width=30)  # fmt: skip
    table.add_column("", justify="right", no_wrap=True)
    for name in ("Sharpe", "return", "drawdown", "trades", "stops", "liquid."):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("variant", overflow="fold")
    for rank, at in enumerate(choice.order[:top].tolist(), 1):
        parameters = sweep.grid.variants[at].parameters
        named = ", ".join(f"{_short(key)} {_value(value)}" for key, value in parameters.items())
        table.add_row(str(rank), *_cells(figures(played, at, float(choice.sharpe[at]), sweep.cash)), named)
    table.add_section()
    table.add_row("", *_cells(figures(sweep.base, 0, sweep.base_sharpe, sweep.cash)), f"the rules of {sweep.rules}")
    return table


def _cells(said: dict[str, Any]) -> tuple[str, ...]:
    sharpe = "-" if said["sharpe"] is None else f"{said['sharpe']:.2f}"
    counts = (str(said[name]) for name in ("trades", "stops", "liquidations"))
    return sharpe, f"{said['return']:+.2%}", f"{said['max_drawdown']:.2%}", *counts


def _worth(sweep: Sweep) -> str:
    choice, lines = sweep.choice, []
    if choice.pbo is not None:
        lines.append(
            f"probability of overfitting {choice.pbo.probability:.2f} (at most {MOST_PBO}), over "
            f"{choice.pbo.combinations:,} ways to halve the days; the choice lost out of sample in "
            f"{choice.pbo.loss:.0%} of them"
        )
    if choice.deflated is not None:
        chance = "-" if choice.deflated.probability is None else f"{choice.deflated.probability:.3f}"
        earlier = f" ({choice.earlier:,} of them earlier)" if choice.earlier else ""
        lines.append(
            f"deflated Sharpe ratio {chance} (at least {LEAST_DEFLATED}), counting {choice.deflated.trials:,} "
            f"trials{earlier}"
        )
    return "\n".join(lines)


def _short(key: str) -> str:
    """A key without its words in braces: ``regimes.leverage``."""
    return ".".join(part for part in re.sub(r"\{[^}]*\}", "", key).split(".") if part)


def _value(value: Any) -> str:
    """A value as it is written in the grid: ``0.5``, ``10/5/2``."""
    if isinstance(value, list) and all(isinstance(v, int | float) for v in value):
        return "/".join(map(str, value))
    return str(value) if isinstance(value, int | float | str) else json.dumps(value)


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
