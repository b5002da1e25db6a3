"""The report: the figures as one JSON object, and as short tables for a terminal."""

from __future__ import annotations

import math
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from models.evaluation.outcomes import SECTIONS
from models.evaluation.rivals import RIVALS
from models.evaluation.sample import AVERAGE, STACK

Json = dict[str, Any]
DIGITS = 8
WIDTH = 100
"""Characters the tables are given at least: a number that is cut off is worse than a line that wraps."""
_TITLES = {"direction": "price rises", "profitable_long": "long pays", "profitable_short": "short pays"}
_SHORT = {"minus_24h_return": "-24h", "volatility_and_clock": "vol+clock", "har_and_calendar": "HAR+clock"}
_RULES = RIVALS[:-1]
"""Baselines with a score; the base rate has one probability for all."""


def plain(value: Any) -> Any:
    """The same with numbers rounded, and null for what is no number: JSON knows no NaN."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return round(float(value), DIGITS) if math.isfinite(value) else None
    return value


def show(console: Console, told: Json) -> None:
    """Print the report of `models.evaluation.evaluate`."""
    data = told["data"]
    console.print(
        f"[bold]{told['model_set']}[/bold] on {told['symbol']}, {data['file']}", highlight=False, soft_wrap=True
    )
    console.print(
        f"{data['rows']:,} bars judged, {data['from']} to {data['to']}, overlap: {told['overlap']}; "
        f"intervals of {told['interval']['confidence']:.0%}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for reason, count in data["refused"].items():
        console.print(f"  not judged, {count:,}: {reason}", highlight=False, soft_wrap=True)
    for family, count in data["answered_without"].items():
        console.print(f"  answered without {family}: {count:,}", highlight=False, soft_wrap=True)
    _show_auc(console, told)
    _show_probabilities(console, told)
    _show_regime(console, told["regime"])
    _show_gap(console, told["oof_test_gap"])
    if told["baselines"]["reason"]:
        console.print(f"[yellow]baselines missing[/yellow]: {told['baselines']['reason']}", soft_wrap=True)


def _show_auc(console: Console, told: Json) -> None:
    first = next(iter(told["direction"].values()))
    members = [name for name in first if name not in (STACK, AVERAGE, "baselines")]
    table = _table("AUC", "bars", "stack", "avg", *members, *(_SHORT.get(name, name) for name in _RULES))
    leads = _table("stack's lead", "bars", *(f"on {_SHORT.get(name, name)}" for name in _RULES))
    for section in SECTIONS:
        for h, entry in told[section].items():
            stack = entry[STACK]
            others = [entry.get(name, {}).get("auc") for name in (AVERAGE, *members)]
            rivals = [entry["baselines"][name]["auc"] for name in _RULES]
            table.add_row(
                _TITLES[section], h, f"[bold]{_number(stack['auc'])}[/bold] {_range(stack['ci'])}",
                *map(_number, others), *map(_number, rivals),
            )  # fmt: skip
            leads.add_row(_TITLES[section], h, *(_lead(stack["lead"].get(name)) for name in _RULES))
    console.print(table)
    console.print()
    console.print(leads)


def _lead(lead: Json | None, form: str = "+.3f") -> str:
    """A lead, green or red where its interval does not hold 0."""
    if lead is None or lead["value"] is None:
        return "-"
    text = f"{_number(lead['value'], form)} {_range(lead['ci'], form)}"
    low, high = lead["ci"]
    if low is None or high is None or low <= 0 <= high:
        return text
    return f"[green]{text}[/green]" if low > 0 else f"[red]{text}[/red]"


def _show_probabilities(console: Console, told: Json) -> None:
    table = _table("probability", "bars", "Brier", "log-loss", "gain on base rate", "slope", "ECE")
    for section in tuple(SECTIONS)[1:]:
        for h, entry in told[section].items():
            stack = entry[STACK]
            line = stack["calibration"]
            table.add_row(
                _TITLES[section], h, _number(stack["brier"], ".4f"), _number(stack["log_loss"], ".4f"),
                _lead(stack["log_loss_lead"].get("base_rate"), "+.4f"),
                f"{_number(line['slope'], '.2f')} {_range(line['slope_ci'], '.2f')}",
                _number(line["expected_error"]),
            )  # fmt: skip
    console.print()
    console.print(table)


def _show_regime(console: Console, regime: Json) -> None:
    table = _table("regime", "accuracy", "kappa", "log-loss", "log-loss lead")
    for name, entry in ({"regime": regime} | regime["baselines"]).items():
        cells = [
            f"{_number(entry['accuracy'])} {_range(entry.get('accuracy_ci'))}", _number(entry["kappa"]),
            f"{_number(entry['log_loss'])} {_range(entry.get('log_loss_ci'))}",
        ]  # fmt: skip
        cells.append(_lead(regime["lead"].get(name, {}).get("log_loss")))
        table.add_row("the set" if name == "regime" else _SHORT.get(name, name), *cells)
    console.print()
    console.print(table)


def _show_gap(console: Console, gaps: Json) -> None:
    table = _table("AUC gap", "bars", "out of fold", "here", "gap", "")
    for section in SECTIONS:
        for h, gap in gaps.get(section, {}).items():
            table.add_row(
                _TITLES[section], h, _number(gap["oof"]), _number(gap["test"]),
                f"{_number(gap['gap'], '+.3f')} {_range(gap['ci'], '+.3f')}", gap["says"],
            )  # fmt: skip
    if table.row_count:
        console.print()
        console.print(table)
    if gaps["reason"]:
        console.print(f"[yellow]gap[/yellow]: {gaps['reason']}", soft_wrap=True)


def _number(value: float | None, form: str = ".3f") -> str:
    """As the field writes shares: without the zero before the point."""
    return "-" if value is None else f"{value:{form}}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{form}}"


def _range(bounds: list[float | None] | None, form: str = ".3f") -> str:
    if bounds is None or None in bounds:
        return ""
    return f"[dim]\\[{_number(bounds[0], form)},{_number(bounds[1], form)}][/dim]"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table
