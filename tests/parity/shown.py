"""What a parity run shows: how far it is while it lasts, and at its end what was covered, as a table or as JSON."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.parity.coverage import Coverage

LINE_EVERY_S = 10.0


class Shown:
    """Progress on stderr, a bar on a terminal and a line every ten seconds elsewhere; lines go to a log as well."""

    def __init__(self, console: Console, log: Path) -> None:
        self._console, self._log = console, log
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Shown:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """One line, on stderr and in the log."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        with self._log.open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")

    def played(self, done: int, bars: int, trades: int) -> None:
        """So many bars are settled, with so many trades looked at."""
        now = time.monotonic()
        if done == 1:
            self._began = self._said = now
        if self._bar is None and now - self._said < LINE_EVERY_S and done < bars:
            return
        self._said = now
        pace = (done - 1) / (now - self._began) if done > 1 else 0.0
        left = f"{_duration((bars - done) / pace)} left" if pace else "starting"
        line = f"{done:,} of {bars:,} bars, {pace:.0f} a second, {left}; {trades:,} trades, identical so far"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=bars, description=line)
        else:
            self.say(line)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def table(coverage: Coverage) -> Table:
    """What happened, by kind and symbol."""
    shown = Table(box=box.SIMPLE_HEAD, title=None)
    shown.add_column("covered")
    for name in (*coverage.symbols, "all"):
        shown.add_column(name, justify="right")
    for kind, counts in coverage.rows():
        shown.add_row(kind, *(f"{n:,}" for n in counts), f"{sum(counts):,}")
    shown.add_section()
    for kind, count in coverage.account.items():
        shown.add_row(kind, *("" for _ in coverage.symbols), f"{count:,}")
    return shown


def counts(coverage: Coverage) -> dict[str, Any]:
    """The same for JSON: each kind by symbol, and what is counted over the account."""
    kinds = {kind: dict(zip(coverage.symbols, numbers, strict=True)) for kind, numbers in coverage.rows()}
    return {"kinds": kinds, "account": coverage.account}


def described(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What the daemon's summary says, line by line: what, and how much."""
    naked, order, decision = (summary[key] for key in ("seconds_naked", "latency_ms", "decision_latency_ms"))

    def spread(low: float | None, high: float | None, unit: str, samples: int, name: str) -> str:
        return "none" if low is None else f"median {low:g} {unit}, {name} {high:g} {unit}, {samples:,} times"

    return [
        ("candles decided", f"{summary['candles']:,}, {summary['missed_candles']} missed"),
        ("decisions", f"{summary['decisions']:,}, {summary['orders']:,} orders, {summary['trades']:,} trades"),
        ("equity, wallet", f"{summary['equity']} and {summary['cash']} USDT"),
        ("model set", str(summary["model_set"])),
        ("without a stop", spread(naked["median"], naked["worst"], "s", naked["samples"], "worst")),
        ("candle to decision", spread(decision["p50"], decision["p99"], "ms", decision["samples"], "p99")),
        ("candle to order", spread(order["p50"], order["p99"], "ms", order["samples"], "p99")),
        ("memory", f"{summary['memory_mb']} MB at most"),
    ]
