"""From single runs to a comparison: medians, agreement with the rule, ratios and targets."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from benchmarks.peers.engines import Engine, Rounding
from benchmarks.peers.frame import BPS, Floats, Frame
from benchmarks.peers.measured import Lap, Measured
from benchmarks.peers.rule import CASH, MARGIN, STOP_BPS, play

CENT = 0.01
"""What equity may differ by from the rule under the same rounding of stops: float64's own, and fees rounded to 1e-8."""


class AccountSpent(ValueError):
    """The rule loses so much on these bars that an engine would refuse its entries."""


@dataclass(frozen=True)
class Outcome:
    """What the rule gives on a frame: trades closed, stops among them, equity at the end."""

    trades: int
    stops: int
    equity: float


@dataclass(frozen=True)
class Agreement:
    """How an engine's outcome stands to the rule's.

    Attributes
    ----------
    trades, stops : int
        Difference to the rule played with the engine's own rounding of stops.
    equity : float
        The same of equity, whole units of the quote currency.
    equity_to_rule : float
        Difference to the rule with stops to the nearest tick, as it is written: what the rounding makes.
    agrees : bool
        Same trades and stops, and equity to the cent where the engine can give it.
    """

    trades: int
    stops: int
    equity: float
    equity_to_rule: float
    agrees: bool


@dataclass(frozen=True)
class Target:
    """A claim on the figures: `value` is None where it was not measured."""

    name: str
    wanted: str
    value: float | None
    met: bool | None


@dataclass(frozen=True)
class Wait:
    """Wall seconds for compiled code in a first process and in a later one, and the latter's CPU seconds."""

    first_run: float
    second_run: float | None
    second_run_cpu: float | None


@dataclass
class Row:
    """One engine on one frame: its runs, or the reason why there is none."""

    engine: Engine
    bars: int
    runs: list[Measured] = field(default_factory=list)
    reason: str = ""

    @property
    def cpu(self) -> float:
        """CPU seconds of the simulation, median over the runs."""
        return statistics.median(run.run.cpu for run in self.runs)

    @property
    def wall(self) -> float:
        """Wall seconds of the same."""
        return statistics.median(run.run.wall for run in self.runs)

    @property
    def setup_cpu(self) -> float:
        """CPU seconds of the set-up."""
        return statistics.median(run.setup.cpu for run in self.runs)

    @property
    def rate(self) -> float | None:
        """Bars a CPU second of the simulation; None where it did not run."""
        return self.bars / max(self.cpu, 1e-9) if self.runs else None


def outcomes(frame: Frame) -> dict[Rounding, Outcome]:
    """The rule's outcome by each way of rounding a stop.

    Raises
    ------
    AccountSpent
        If cash ever comes near one trade's margin: from there on engines refuse entries, each in its own way.
    """
    unrounded = frame.close * (1 - STOP_BPS / BPS)
    stops = {Rounding.NEAREST: frame.stop, Rounding.UP: frame.stop_up, Rounding.NONE: unrounded}
    return {rounding: _outcome(frame, column) for rounding, column in stops.items()}


def _outcome(frame: Frame, stops: Floats) -> Outcome:
    trades, fired, equity, lowest = play(*frame.lists(stops), CASH)
    if lowest < 2 * MARGIN:
        raise AccountSpent(
            f"the rule loses nearly all of its {CASH:,} within {len(frame):,} bars of this seed, so engines would "
            f"refuse entries; take fewer bars or another --seed"
        )
    return Outcome(trades, fired, equity)


def agreement(engine: Engine, run: Measured, rule: dict[Rounding, Outcome]) -> Agreement:
    """How one run stands to the rule."""
    own = rule[engine.rounding]
    trades, stops, equity = run.trades - own.trades, run.stops - own.stops, run.equity - own.equity
    same = trades == 0 and stops == 0 and (abs(equity) <= CENT or not engine.exact_equity)
    return Agreement(trades, stops, equity, run.equity - rule[Rounding.NEAREST].equity, same)


def ratio(rows: list[Row], name: str, to: str) -> float | None:
    """How many times as fast one engine is as another on the same frame."""
    rates = {row.engine.name: row.rate for row in rows}
    ours, theirs = rates.get(name), rates.get(to)
    return ours / theirs if ours and theirs else None


@dataclass(frozen=True)
class Comparison:
    """All rows, what the rule gives on each frame, and each compiling engine's first calls, process by process."""

    rows: list[Row]
    rule: dict[int, dict[Rounding, Outcome]]
    compiling: dict[str, list[Lap]]

    @property
    def largest(self) -> int:
        """Bars of the largest frame."""
        return max(self.rule)

    def on(self, bars: int) -> list[Row]:
        """The rows of one frame."""
        return [row for row in self.rows if row.bars == bars]

    def agreement(self, row: Row) -> Agreement:
        """How an engine that ran stands to the rule: the first run that does not agree, else the last."""
        told = [agreement(row.engine, run, self.rule[row.bars]) for run in row.runs]
        return next((agreed for agreed in told if not agreed.agrees), told[-1])

    @property
    def agree(self) -> bool:
        """Whether every engine that ran agrees with the rule."""
        return all(self.agreement(row).agrees for row in self.rows if row.runs)

    def ratios(self, bars: int) -> dict[str, float | None]:
        """Our engine's speed as a multiple of the two that it is held against."""
        return {f"regimen/{to}": ratio(self.on(bars), "regimen", to) for to in ("vectorbt", "numba")}

    def wait(self, name: str) -> Wait:
        """What an engine's first process waited for compiled code, and what the quickest of those after it did.

        Nothing makes a wait shorter than it is, and a busy machine makes it longer: so the least is the truest.
        """
        first, *later = self.compiling[name]
        if not later:
            return Wait(first.wall, None, None)
        return Wait(first.wall, min(lap.wall for lap in later), min(lap.cpu for lap in later))

    def targets(self) -> list[Target]:
        """What is claimed of our engine, on the largest frame."""
        ratios = self.ratios(self.largest)
        second = self.wait("regimen").second_run if "regimen" in self.compiling else None
        return [
            _target("regimen/vectorbt", ratios["regimen/vectorbt"], at_least=5.0),
            _target("regimen/numba", ratios["regimen/numba"], at_least=0.2),
            _target("regimen, seconds for compiled code in a second process", second, at_most=1.0),
        ]


def _target(name: str, value: float | None, at_least: float = -math.inf, at_most: float = math.inf) -> Target:
    wanted = f">= {at_least:g}" if at_least > -math.inf else f"<= {at_most:g}"
    return Target(name, wanted, value, None if value is None else at_least <= value <= at_most)
