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
_TITLES = {"direction": "price rises", "profitable_long": "long pays", "profitable_short": "short pays"}
_SHORT = {"minus_24h_return": "-24h return", "volatility_and_clock": "vol+clock", "base_rate": "base rate"}


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
        f"{data['rows']:,} bars judged, {data['from']} to {data['to']}; overlap: {told['overlap']}; "
        f"intervals {told['interval']['confidence']:.0%}, {told['interval']['draws']} draws of a week's blocks",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for reason, count in data["refused"].items():
        console.print(f"  not judged, {count:,}: {reason}", highlight=False, soft_wrap=True)
    _show_auc(console, told)
    _show_probabilities(console, told)
    _show_regime(console, told["regime"])
    _show_gap(console, told["oof_test_gap"])
    if told["baselines"]["reason"]:
        console.print(f"[yellow]baselines missing[/yellow]: {told['baselines']['reason']}", soft_wrap=True)


def _show_auc(console: Console, told: Json) -> None:
    first = next(iter(told["direction"].values()))
    members = [name for name in first if name not in (STACK, AVERAGE, "baselines")]
    table = _table("AUC", "bars", "stack", "90 %", AVERAGE, *members, *(_SHORT.get(n, n) for n in RIVALS[:-1]), "lead")
    for section in SECTIONS:
        for h, entry in told[section].items():
            stack = entry[STACK]
            rivals = [entry["baselines"][name]["auc"] for name in RIVALS[:-1]]
            others = [entry.get(name, {}).get("auc") for name in (AVERAGE, *members)]
            table.add_row(
                _TITLES[section], h, f"[bold]{_number(stack['auc'])}[/bold]", _range(stack["ci"]),
                *map(_number, others), *map(_number, rivals), _lead(stack["lead"]),
            )  # fmt: skip
    console.print(table)


def _lead(leads: Json) -> str:
    """Over the best of the baselines: the least lead, with its interval."""
    known = {name: lead for name, lead in leads.items() if name in RIVALS[:-1] and lead["value"] is not None}
    if not known:
        return "-"
    name = min(known, key=lambda n: known[n]["value"])
    lead = known[name]
    return f"{lead['value']:+.3f} {_range(lead['ci'], '+.3f')} on {_SHORT.get(name, name)}"


def _show_probabilities(console: Console, told: Json) -> None:
    table = _table("probability", "bars", "Brier", "base rate's", "log-loss", "gain on base rate", "slope", "ECE")
    for section in tuple(SECTIONS)[1:]:
        for h, entry in told[section].items():
            stack, base = entry[STACK], entry["baselines"]["base_rate"]
            gain = stack["log_loss_lead"].get("base_rate")
            line = stack["calibration"]
            table.add_row(
                _TITLES[section], h, _number(stack["brier"], ".4f"), _number(base.get("brier"), ".4f"),
                _number(stack["log_loss"], ".4f"),
                "-" if gain is None else f"{_number(gain['value'], '+.4f')} {_range(gain['ci'], '+.4f')}",
                f"{_number(line['slope'], '.2f')} {_range(line['slope_ci'], '.2f')}",
                _number(line["expected_error"], ".3f"),
            )  # fmt: skip
    console.print(table)


def _show_regime(console: Console, regime: Json) -> None:
    table = _table("regime", "accuracy", "90 %", "kappa", "90 %", "log-loss", "90 %", "log-loss lead")
    for name, entry in ({"regime": regime} | regime["baselines"]).items():
        cells = []
        for what, form in (("accuracy", ".3f"), ("kappa", ".3f"), ("log_loss", ".4f")):
            cells += [_number(entry.get(what), form), _range(entry.get(f"{what}_ci"), form)]
        lead = regime["lead"].get(name, {}).get("log_loss")
        cells.append("-" if lead is None else f"{_number(lead['value'], '+.4f')} {_range(lead['ci'], '+.4f')}")
        table.add_row("the set" if name == "regime" else name, *cells)
    console.print(table)


def _show_gap(console: Console, gaps: Json) -> None:
    table = _table("recorded less here", "bars", "out of fold", "here", "gap", "90 %", "")
    for section in SECTIONS:
        for h, gap in gaps.get(section, {}).items():
            table.add_row(
                _TITLES[section], h, _number(gap["oof"]), _number(gap["test"]), _number(gap["gap"], "+.3f"),
                _range(gap["ci"], "+.3f"), gap["says"],
            )  # fmt: skip
    if table.row_count:
        console.print(table)
    if gaps["reason"]:
        console.print(f"[yellow]gap[/yellow]: {gaps['reason']}", soft_wrap=True)


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else f"{value:{form}}"


def _range(bounds: list[float | None] | None, form: str = ".3f") -> str:
    if bounds is None or None in bounds:
        return "-"
    return f"[dim]{bounds[0]:{form}} to {bounds[1]:{form}}[/dim]"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table
