"""Our backtest beside its peers: one rule, one synthetic frame, bars a CPU second; who agrees on trades and equity.

Each engine runs in a process of its own, several times in rotated order, and medians of CPU seconds count. The peers
live in an environment of their own, which the first use makes under var/peers (`make peers`). What is compared, and
what differs by intention, is told in docs/benchmarks.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

# run as a file, this folder comes first, and this file would hide the package `backtest`
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import environment, shown
from benchmarks.peers.comparison import AccountSpent, Comparison, Outcome, Row, outcomes
from benchmarks.peers.engines import ENGINES, Engine, Rounding
from benchmarks.peers.environment import Environment
from benchmarks.peers.frame import Frame
from benchmarks.peers.runs import Bench


def _engines(_: click.Context, __: click.Parameter, told: str) -> list[Engine]:
    names = [name.strip() for name in told.split(",") if name.strip()]
    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        raise click.BadParameter(f"no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    return [engine for engine in ENGINES.values() if engine.name in (names or ENGINES)]


def _rows(engines: list[Engine], bars: set[int], slow_bars: int) -> list[Row]:
    """Every engine on every frame, the slow ones on none larger than theirs."""
    within = {min(size, slow_bars) for size in bars}
    return [
        Row(engine, size)
        for size in sorted(bars | within)
        for engine in engines
        if size in (within if engine.slow else bars)
    ]


def compare(rows: list[Row], reps: int, seed: int, peers: Environment) -> Comparison:
    """Make the frames, run the rows on them, and say what the rule itself gives."""
    rule: dict[int, dict[Rounding, Outcome]] = {}
    frames: dict[int, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for bars in sorted({row.bars for row in rows}):
            frame = Frame.made(bars, seed)
            rule[bars] = outcomes(frame)
            frames[bars] = Path(folder) / f"{bars}.npz"
            frame.save(frames[bars])
        compiling = Bench(peers, frames, Path(folder)).measure(rows, reps)
    return Comparison(rows, rule, compiling)


@click.command()
@click.option(
    "--bars",
    type=click.IntRange(1_000),
    multiple=True,
    default=(50_000, 500_000),
    show_default=True,
    help="Bars of a frame; may be given more than once.",
)
@click.option(
    "--slow-bars",
    type=click.IntRange(1_000),
    default=50_000,
    show_default=True,
    help="Most bars for the engines that are slow.",
)
@click.option("--reps", type=click.IntRange(1), default=3, show_default=True, help="Processes per engine and frame.")
@click.option("--only", "engines", default="", callback=_engines, help=f"Of {', '.join(ENGINES)}; commas between.")
@click.option("--seed", default=7, show_default=True, help="Seed of the frames.")
@click.option(
    "--peers",
    "home",
    type=click.Path(path_type=Path),
    default=environment.HOME,
    show_default="var/peers",
    help="The peers' virtual environment.",
)
@click.option("--install/--no-install", default=True, show_default=True, help="Make that environment where it lacks.")
@click.option("--json", "json_wanted", is_flag=True, help="One JSON object.")
def main(
    bars: tuple[int, ...],
    slow_bars: int,
    reps: int,
    engines: list[Engine],
    seed: int,
    home: Path,
    install: bool,
    json_wanted: bool,
) -> None:
    """Run one rule through our backtest and its peers: speed, trades, equity."""
    about = shown.machine()
    needed = install and any(engine.requirement for engine in engines)
    peers = environment.made(home) if needed else environment.found(home)
    try:
        said = compare(_rows(engines, set(bars), slow_bars), reps, seed, peers)
    except AccountSpent as spent:
        raise click.UsageError(str(spent)) from None
    click.echo(json.dumps(shown.as_json(said, about), indent=1) if json_wanted else shown.as_text(said, about))
    if not any(row.runs for row in said.rows):
        raise click.ClickException("no engine ran")
    if not said.agree:
        raise click.ClickException("an engine does not agree with the rule")


if __name__ == "__main__":
    main()
