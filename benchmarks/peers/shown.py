"""The comparison as a table for people, and as one JSON object."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.comparison import CENT, Comparison, Row

Machine = dict[str, str | int | float | None]

_HEAD = (
    f"{'engine':<16}{'bars/cpu-s':>14}{'cpu s':>10}{'wall s':>10}{'set-up s':>10}"
    f"{'trades':>8}{'stops':>7}{'equity':>16}{'to the rule':>15}"
)
_VERDICTS = {True: "met", False: "missed", None: "not measured"}


def machine() -> Machine:
    """What figures are taken on; `load` is the load average now: above none, somebody else is at work."""
    file = Path("/proc/cpuinfo")
    told = file.read_text().splitlines() if file.exists() else []
    models = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def as_json(said: Comparison, about: Machine) -> dict[str, object]:
    """One object. `bars_per_cpu_second` is by engine, on the largest frame it ran (`bars`); `runs` has all of them."""
    largest = {row.engine.name: row for row in sorted(said.rows, key=lambda row: row.bars) if row.runs}
    return {
        "bars_per_cpu_second": {name: round(row.rate or 0) for name, row in largest.items()},
        "bars": {name: row.bars for name, row in largest.items()},
        "ratios": {str(bars): said.ratios(bars) for bars in said.rule},
        "targets": [asdict(target) for target in said.targets()],
        "jit_seconds": {name: asdict(said.wait(name)) for name in said.compiling},
        "agree": said.agree,
        "equity_tolerance": CENT,
        "rule": {
            str(bars): {str(rounding): asdict(outcome) for rounding, outcome in by.items()}
            for bars, by in said.rule.items()
        },
        "runs": [_run(said, row) for row in said.rows],
        "machine": about,
    }


def _run(said: Comparison, row: Row) -> dict[str, object]:
    told: dict[str, object] = {"engine": row.engine.name, "bars": row.bars}
    if not row.runs:
        return told | {"not_run": row.reason}
    last = row.runs[-1]
    return told | {
        "version": last.version,
        "bars_per_cpu_second": round(row.rate or 0),
        "cpu_seconds": row.cpu,
        "wall_seconds": row.wall,
        "setup_cpu_seconds": row.setup_cpu,
        "processes": len(row.runs),
        "trades": last.trades,
        "stops": last.stops,
        "equity": round(last.equity, 8),
        "stops_rounded": str(row.engine.rounding),
        "differs_by_intention": row.engine.note,
        "agreement": asdict(said.agreement(row)),
    }


def as_text(said: Comparison, about: Machine) -> str:
    """A table a frame, the engines fastest first, and below them ratios, waits, targets and the machine."""
    lines: list[str] = []
    for bars in said.rule:
        rows = said.on(bars)
        ran = sorted((row for row in rows if row.runs), key=lambda row: -(row.rate or 0))
        lines += [f"{bars:,} bars, medians", _HEAD, *(_line(said, row) for row in ran)]
        lines += [f"{row.engine.name:<16}not run: {row.reason}" for row in rows if not row.runs]
        lines += [f"{name}: {value:.2f}" for name, value in said.ratios(bars).items() if value is not None]
        lines.append("")
    for name in said.compiling:
        wait = said.wait(name)
        later = f", in a later one {wait.second_run:.2f} s ({wait.second_run_cpu:.2f} CPU s)" if wait.second_run else ""
        lines.append(f"{name}: first call in a first process {wait.first_run:.2f} s{later}")
    for target in said.targets():
        value = "" if target.value is None else f"{target.value:.2f}, "
        lines.append(f"target, {said.largest:,} bars: {target.name} {target.wanted}: {value}{_VERDICTS[target.met]}")
    return "\n".join([*lines, ", ".join(f"{what} {value}" for what, value in about.items())])


def _line(said: Comparison, row: Row) -> str:
    agreed, last = said.agreement(row), row.runs[-1]
    verdict = "agrees" if row.engine.exact_equity else "counts agree"
    if not agreed.agrees:
        verdict = f"DIFFERS: trades {agreed.trades:+d}, stops {agreed.stops:+d}, equity {agreed.equity:+.2f}"
    elif row.engine.note:
        verdict += f" ({row.engine.note})"
    return (
        f"{row.engine.name:<16}{row.rate:>14,.0f}{row.cpu:>10.4f}{row.wall:>10.4f}"
        f"{row.setup_cpu:>10.4f}{last.trades:>8}{last.stops:>7}{last.equity:>16,.2f}"
        f"{agreed.equity_to_rule:>+15,.2f}  {verdict}"
    )
