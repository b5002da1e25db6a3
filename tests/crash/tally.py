"""The tally: kills by point, with the violations and the seconds from restart to protected and to trading again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.table import Table

from tests.crash.campaign import ANY, Kill
from tests.crash.points import STAGES

HEADS = ("kills", "violations", "protected", "worst", "trading", "worst", "naked", "worst")


def table(kills: Sequence[Kill]) -> Table:
    """A row for each kill point, in the order a candle passes them, and one for all."""
    drawn = Table(title=f"{len(kills)} kills; seconds from the restart, median and worst", title_justify="left")
    drawn.add_column("killed at")
    for head in HEADS:
        drawn.add_column(head, justify="right")
    for point, rows in by_point(kills).items():
        drawn.add_row(point, *_cells(figures(rows)))
    drawn.add_section()
    drawn.add_row("all", *_cells(figures(kills)))
    return drawn


def by_point(kills: Sequence[Kill]) -> dict[str, list[Kill]]:
    """Kills grouped by where they struck; lives killed while they start come before those killed in trade."""
    groups: dict[str, list[Kill]] = defaultdict(list)
    for kill in kills:
        groups[kill.point].append(kill)
    return dict(sorted(groups.items(), key=lambda item: _rank(item[0])))


def figures(kills: Sequence[Kill]) -> dict[str, Any]:
    """Counts, and (median, worst) seconds of those kills that a restart followed without another kill."""
    return {
        "kills": len(kills),
        "violations": sum(len(k.violations) for k in kills),
        "seconds_to_protected": _spread([k.protected_s for k in kills]),
        "seconds_to_trading": _spread([k.trading_s for k in kills]),
        "naked_when_restarted": sum(k.naked for k in kills),
        "seconds_naked_from_restart": _spread([k.naked_s for k in kills]),
    }


def summary(kills: Sequence[Kill], seed: int, seconds: float) -> dict[str, Any]:
    """Everything as one JSON object."""
    return {
        **figures(kills),
        "seed": seed,
        "seconds": round(seconds, 1),
        "points": {point: figures(rows) for point, rows in by_point(kills).items()},
        "violated": [
            {"kill": k.number, "point": k.point, "mischief": k.mischief, "what": k.violations}
            for k in kills
            if k.violations
        ],
    }


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [v for v in values if v is not None]
    return {"median": round(median(known), 3), "worst": round(max(known), 3)} if known else None


def _cells(told: dict[str, Any]) -> list[str]:
    cells = [str(told["kills"]), str(told["violations"])]
    for name in ("seconds_to_protected", "seconds_to_trading", "seconds_naked_from_restart"):
        spread = told[name]
        cells += [f"{spread[which]:.2f}" if spread else "–" for which in ("median", "worst")]
    return cells


def _rank(point: str) -> tuple[bool, str, int, str]:
    if point == ANY:
        return True, "", 0, ""
    phase, stage, what = point.split(": ", 2)
    return False, phase, STAGES.index(stage), what
