"""The report: a row a fault, on the screen, in ``docs/faults.md`` and in ``docs/faults.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.verdict import Outcome

HEAD = """# Forty faults

Each numbered fault of the exchange, the network, the host or the models is a scenario: a real daemon process on a real
local exchange, over sockets, through unmodified ccxt. `make faults` plays them and writes this page; `make faults
ONLY=17,18` plays some. Afterwards daemon and exchange must agree on positions, cash and equity, each position must have
exactly one stop of its side and size, no entry may have been doubled, and every candle must have been decided on, with
the values that the exchange gave in the end.

*Seconds naked* is the longest time a position stood without its stop by the exchange's own books, less the time in
which the daemon's process was killed, stopped or starting; in brackets with that time. Where the exchange itself would
not take orders (*ban*, *outage*), or took a stop away and told nobody (*untold*: found at the next reconciliation,
every 30 s, here every 3), it is marked, and not held against the one second.

"""


@dataclass(frozen=True)
class Row:
    """One numbered fault over all its scenarios."""

    number: int
    outcomes: tuple[Outcome, ...]

    @property
    def fault(self) -> str:
        return f"{self.number} {self.outcomes[0].scenario.name}"

    @property
    def survived(self) -> bool:
        return all(outcome.survived for outcome in self.outcomes)

    @property
    def naked_s(self) -> float:
        return max(outcome.naked_s for outcome in self.outcomes)

    @property
    def naked_all_s(self) -> float:
        return max(outcome.naked_all_s for outcome in self.outcomes)

    @property
    def apart(self) -> str:
        return ", ".join(sorted({o.scenario.apart for o in self.outcomes if o.scenario.apart}))

    @property
    def response(self) -> str:
        return "; ".join(dict.fromkeys(outcome.scenario.response for outcome in self.outcomes))

    def as_json(self) -> dict[str, Any]:
        """As `docs/faults.json` holds it."""
        return {
            "fault": self.fault,
            "survived": self.survived,
            "seconds_naked": round(self.naked_s, 3),
            "duplicate_orders": sum(o.duplicates for o in self.outcomes),
            "candles_missed": sum(o.missed for o in self.outcomes),
            "response": self.response,
            "seconds_naked_in_all": round(self.naked_all_s, 3),
            "apart": self.apart,
            "scenarios": [
                {
                    "variant": o.scenario.variant,
                    "survived": o.survived,
                    "seconds_naked": round(o.naked_s, 3),
                    "seconds_naked_by_the_daemon": round(o.naked_own_s, 3),
                    "seconds_down": round(o.down_s, 3),
                    "problems": o.problems,
                }
                for o in self.outcomes
            ],
        }


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Outcomes gathered by number."""
    numbers = dict.fromkeys(outcome.scenario.number for outcome in outcomes)
    return [Row(n, tuple(o for o in outcomes if o.scenario.number == n)) for n in numbers]


def show(table: Sequence[Row], console: Console) -> None:
    """Print the table."""
    shown = Table(title="faults")
    for column in ("fault", "survived", "s naked", "doubled", "missed"):
        shown.add_column(column, justify="left" if column == "fault" else "right")
    for row in table:
        told = row.as_json()
        shown.add_row(
            row.fault, "yes" if row.survived else "[bold red]NO[/]", _seconds(row),
            str(told["duplicate_orders"]), str(told["candles_missed"]),
        )  # fmt: skip
    console.print(shown)


def write(table: Sequence[Row], folder: Path) -> None:
    """Write the page and its JSON."""
    told = [row.as_json() for row in table]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "faults.md").write_text(page(table), encoding="utf-8")


def page(table: Sequence[Row]) -> str:
    """The page."""
    lines = [
        "| fault | scenarios | survived | seconds naked | doubled | missed | what the daemon does |",
        "|---" * 7 + "|",
    ]
    for row in table:
        told, cells = row.as_json(), len(row.outcomes)
        survived = "yes" if row.survived else "**no**"
        lines.append(
            f"| {row.fault} | {cells} | {survived} | {_seconds(row)} | {told['duplicate_orders']} "
            f"| {told['candles_missed']} | {row.response} |"
        )
    spans = sorted(o.naked_s for row in table for o in row.outcomes if not o.scenario.apart)
    worst, median = (spans[-1], spans[len(spans) // 2]) if spans else (0.0, 0.0)
    lived = sum(row.survived for row in table)
    counted = f"{lived} of {len(table)} survived, in {sum(len(row.outcomes) for row in table)} scenarios; "
    counted += f"seconds naked at worst {worst:.2f}, median {median:.2f}.\n\n"
    return HEAD + counted + "\n".join(lines) + "\n"


def _seconds(row: Row) -> str:
    text = f"{row.naked_s:.2f}"
    if row.naked_all_s - row.naked_s > 0.005:
        text += f" ({row.naked_all_s:.2f})"
    return text + (f" {row.apart}" if row.apart else "")
