"""`python -m training run`: a model set from a history, in one command."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click
from rich.console import Console

from configs import load
from models.modelset import ROOT, STORE
from training import options
from training.executors import Executor, executor_options
from training.failures import failures
from training.modes import ALL, MODES, STACKING
from training.spec import TrainingSpec


@click.command()
@click.option("--spec", "spec_file", required=True, type=click.Path(path_type=Path), help="What to train (YAML).")
@click.option(
    "--mode",
    type=click.Choice(list(MODES)),
    default=ALL,
    show_default=True,
    help="Members of the set: one kind of them, or all; `stacking` fuses what earlier runs of the spec trained.",
)
@options.history
@options.device
@click.option("--fresh", is_flag=True, help="Train everything again, whatever earlier runs kept.")
@executor_options
@click.option("--out", default=ROOT / STORE, type=click.Path(path_type=Path), help="Where sets go  [models/sets]")
@click.option("--seed", type=int, help="Instead of the spec's seed.")
@click.option("--parent", metavar="ID", help="Set it is made to replace, kept in the manifest.")
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    help="CPU threads of a fit  [default: cores, at most 4; 1 beside other workers]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def run(
    spec_file: Path,
    mode: str,
    history: options.History,
    device: str,
    fresh: bool,
    executor: Executor,
    out: Path,
    seed: int | None,
    parent: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a model set and point `latest` at it.

    Give either --data or --synthetic. Progress goes to stderr; the set's id and its test figures go to stdout. Every
    fit is kept, so that a run that was ended goes on where it was, and one mode uses what another has trained.

    \b
    Examples
      python -m training run --spec configs/training/small.yaml --synthetic
      python -m training run --spec configs/training/cpu.yaml --data BTCUSDT-1h.parquet,BTCUSDT-15m.parquet
      python -m training run --spec configs/training/cpu.yaml --mode lgb --data BTCUSDT-1h.parquet

    Exit codes: 0 made, 1 failed, 2 usage, 4 the spec is wrong, 7 the data is missing or broken, 130 interrupted.
    """
    if fresh and mode == STACKING:
        raise click.UsageError("--fresh trains everything again, and --mode stacking trains nothing; leave one out")
    with failures():
        spec = load(spec_file, TrainingSpec)
        spec = spec if seed is None else spec.model_copy(update={"seed": seed})
        # torch takes seconds to import, and a host that only trades has none: wrong options and files are said before.
        spec, bars = history.read(spec)
        from market.progress import Steps
        from training import report
        from training.kept import Kept
        from training.loop import device_of
        from training.plan import Workshop
        from training.run import make_set

        workshop = Workshop(executor, None if fresh else Kept(), train=mode != STACKING)
        outcome = make_set(
            bars,
            spec,
            out,
            Steps(quiet=quiet),
            threads or options.threads_for(executor),
            shlex.join(["python", "-m", "training", *sys.argv[1:]]),
            mode=mode,
            device=device_of(device).type,
            workshop=workshop,
            parent=parent,
        )
    if as_json:
        click.echo(json.dumps(report.as_json(outcome), indent=2))
    else:
        report.show(outcome, Console(highlight=False))
