"""Running the engines: each in a process of its own, several times, the order rotated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.peers.comparison import Row
from benchmarks.peers.engines import Engine
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.measured import Lap, Measured

PATIENCE_S = 1_800


@dataclass(frozen=True)
class Bench:
    """Where engines run: the peers' environment, the saved frames by their bars, and a scratch folder."""

    peers: Environment
    frames: dict[int, Path]
    scratch: Path

    def measure(self, rows: list[Row], reps: int) -> dict[str, list[Lap]]:
        """Run every row `reps` times; returns the first calls of each engine that compiles, process by process.

        Runs, or the reason for none, are written into the rows. An engine that compiles gets at least two processes.
        """
        compiling: dict[str, list[Lap]] = {}
        for rep in range(reps):
            turn = rep % len(rows)
            for row in rows[turn:] + rows[:turn]:
                if not row.reason:
                    said = self._tell(row, f"run {rep + 1} of {reps}", self._once(row.engine, row.bars))
                    _take(row, said, compiling)
        for name in [name for name, laps in compiling.items() if len(laps) == 1]:
            row = next(row for row in rows if row.engine.name == name and row.runs)
            again = self._tell(row, "once more, for its compiled code", self._once(row.engine, row.bars))
            if isinstance(again, Measured) and again.jit is not None:
                compiling[name].append(again.jit)
        return compiling

    def _once(self, engine: Engine, bars: int) -> Measured | str:
        """One engine's run in a process of its own, or why there is none."""
        python = self._interpreter(engine)
        if isinstance(python, str):
            return python
        answer = self.scratch / "answer.json"
        answer.unlink(missing_ok=True)
        command = [str(python), "-m", "benchmarks.peers.one", engine.name, str(self.frames[bars]), str(answer)]
        # compiled code is kept for this comparison alone, so that an engine's first process is a first one
        kept = str(self.scratch / "compiled")
        around = os.environ | {"REGIMEN_CACHE": kept, "NUMBA_CACHE_DIR": kept, "PYTHONWARNINGS": "ignore"}
        try:
            run = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            return f"no answer within {PATIENCE_S} s"
        if run.returncode or not answer.exists():
            return _complaint(run.stderr) or f"its process ended with {run.returncode}"
        return Measured.read(json.loads(answer.read_text()))

    def _interpreter(self, engine: Engine) -> Path | str:
        """Where an engine runs, or why it cannot."""
        if not engine.requirement:
            return Path(sys.executable)
        if engine.requirement in self.peers.refused:
            return f"not installed: {self.peers.refused[engine.requirement]}"
        if not self.peers.usable:
            return f"no environment for the peers at {self.peers.home}; `make peers` makes it"
        return self.peers.python

    def _tell(self, row: Row, which: str, said: Measured | str) -> Measured | str:
        told = f"cannot run: {said}" if isinstance(said, str) else f"{said.run.cpu:.4f} CPU s"
        click.echo(f"{row.bars:,} bars, {which}: {row.engine.name} {told}", err=True)
        return said


def _complaint(told: str) -> str:
    """The error that a process died of: where its message has several lines, the one that names it."""
    lines = [line for line in told.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (named or lines or [""])[-1]


def _take(row: Row, said: Measured | str, compiling: dict[str, list[Lap]]) -> None:
    if isinstance(said, str):
        row.reason, row.runs = said, []
        return
    row.runs.append(said)
    if said.jit is not None:
        compiling.setdefault(row.engine.name, []).append(said.jit)
