"""A verdict as it is told: a short table with the verdict first, one JSON object, and the file beside the sets."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.verdict import NOT_ENOUGH, PROMOTE, REFUSE, Gate, Says, Verdict
from models import verdicts
from models.manifest import utc
from models.modelset import STORE
from models.verdicts import StoredGate, StoredVerdict

WORDS: dict[int, verdicts.Word] = {PROMOTE: "promote", REFUSE: "refuse", NOT_ENOUGH: "not enough evidence"}
_STYLES = {Says.PASS: "green", Says.FAIL: "bold red", Says.UNCLEAR: "yellow", Says.WARNING: "yellow"}
_MARKS = {Says.PASS: "pass", Says.FAIL: "FAIL", Says.UNCLEAR: "unclear", Says.WARNING: "warning"}
WIDE = 120
"""Columns of a terminal that also shows what decided."""
ALWAYS_SHOWN = (
    "skill/auc/long",
    "skill/auc/short",
    "skill/champion/long",
    "skill/champion/short",
    "money/sharpe",
    "money/drawdown",
    "luck/deflated_sharpe",
    "judged/return",
)


def stored(verdict: Verdict, made_ms: int | None = None) -> StoredVerdict:
    """The verdict as it is kept, made now."""
    made_ms = time.time_ns() // 1_000_000 if made_ms is None else made_ms
    sha256, age = verdict.identity["gate_sha256"], verdict.identity["max_age_days"]
    return StoredVerdict.model_validate(
        {
            "made": utc(made_ms),
            "challenger": verdict.challenger,
            "champion": verdict.champion,
            "verdict": WORDS[verdict.code],
            "exit_code": verdict.code,
            "gate_sha256": sha256,
            "max_age_days": age,
            "identity": verdict.identity,
            "gates": [_gate(g) for g in verdict.gates],
        }
    )


def keep(verdict: Verdict, root: Path, made_ms: int | None = None) -> Path:
    """Write the verdict, made now unless told, beside the user's sets."""
    return verdicts.write(stored(verdict, made_ms), root / STORE)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Everything, as it is kept."""
    return stored(verdict).model_dump(mode="json")


def show(console: Console, verdict: Verdict, every: bool = False) -> None:
    """Print the verdict, then what decided it; `every` prints all gates."""
    word, code = WORDS[verdict.code], verdict.code
    style = {PROMOTE: "bold green", REFUSE: "bold red", NOT_ENOUGH: "bold yellow"}[code]
    against = verdict.champion or "being flat"
    console.print(Text.assemble((word.upper(), style), f"  {verdict.challenger} against {against}"))
    console.print(_consequence(verdict), highlight=False)
    counts = Counter(_MARKS[g.says] for g in verdict.gates)
    console.print(", ".join(f"{n} {mark}" for mark, n in counts.items()), style="dim", highlight=False)
    shown = [g for g in verdict.gates if every or g.says in (Says.FAIL, Says.UNCLEAR) or g.name in ALWAYS_SHOWN]
    decided = (Says.FAIL, Says.UNCLEAR)
    console.print(_table(sorted(shown, key=lambda g: g.says not in decided), console.width >= WIDE))
    remarks = [g.name for g in verdict.gates if g.says is Says.WARNING]
    if remarks and not every:
        console.print(f"warnings: {', '.join(remarks)}", style="dim", soft_wrap=True, highlight=False)


def _consequence(verdict: Verdict) -> str:
    if verdict.code == PROMOTE:
        return f"`python -m models promote {verdict.challenger}` lets it trade"
    stays = "the champion stays" if verdict.champion else "it does not trade by this verdict"
    if verdict.code == REFUSE:
        return f"{stays}: {sum(g.says is Says.FAIL for g in verdict.gates)} gates failed"
    return f"{stays}: nothing failed, and it is not proven either"


def _table(gates: list[Gate], wide: bool) -> Table:
    """Eighty columns hold the figures; a wider terminal also what decided."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("gate", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("champion", "challenger", *(("difference",) if wide else ()), "interval"):
        table.add_column(name[: None if wide else 8], justify="right", no_wrap=True)
    if wide:
        table.add_column("why", overflow="fold")
    for g in gates:
        mark = Text(_MARKS[g.says], style=_STYLES[g.says])
        measured = [_number(g.champion), _number(g.challenger)]
        bounds = "" if g.interval is None else f"{_number(g.interval[0])} to {_number(g.interval[1])}"
        rest = (_number(g.difference), bounds, g.why) if wide else (bounds,)
        table.add_row(g.name, mark, *measured, *rest)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.0f}"
        if abs(value) >= 1000
        else f"{value:.3f}"
        if abs(value) >= 0.0005 or not value
        else f"{value:.0e}"
    )


def _gate(gate: Gate) -> dict[str, Any]:
    return StoredGate(
        name=gate.name,
        question=gate.question,
        says=gate.says.value,
        threshold=gate.threshold,
        champion=gate.champion,
        challenger=gate.challenger,
        difference=gate.difference,
        interval=gate.interval,
        why=gate.why,
    ).model_dump(mode="json")
