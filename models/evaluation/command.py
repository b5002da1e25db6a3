"""`python -m models evaluate`: what a set is worth on any klines file, printed or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from market.arguments import instant
from market.progress import Steps
from models import evaluation, options
from models.evaluation import data as histories
from models.evaluation import report
from models.inference import Predictor


@click.command()
@options.history
@click.option(
    "--from",
    "start",
    callback=instant,
    metavar="TIME",
    help="First bar judged, UTC. Default: the first, or the first that the set was not made of.",
)
@click.option("--to", "end", callback=instant, metavar="TIME", help="First bar no longer judged, UTC.")
@click.option("--allow-overlap", is_flag=True, help="Judge bars the set was made of; the figures then flatter.")
@click.option("--draws", default=500, type=click.IntRange(20, 20_000), show_default=True, help="Bootstrap samples.")
@click.option("--seed", default=0, type=int, show_default=True, help="Of the bootstrap.")
@options.root
@options.as_json
def evaluate(
    name: str, data: str, symbol: str | None, funding: Path | None, companion: Path | None, start: int | None,
    end: int | None, allow_overlap: bool, draws: int, seed: int, root: Path, as_json: bool,
) -> None:  # fmt: skip
    """Evaluate a set on a klines file: AUC, calibration and regime, beside baselines on the same bars.

    The file is any parquet of klines in our columns: later data, or a symbol nobody trained on. Bars before --from warm
    the features up. Every interval is a block bootstrap over weeks, every lead a paired one.

    \b
    Examples
      python -m models evaluate --model-set latest --data BTCUSDT-1h.parquet
      python -m models evaluate --model-set champion --data ETHUSDT-15m.parquet --symbol ETHUSDT --json
      python -m models evaluate --model-set latest --data BTCUSDT-1h.parquet --funding BTCUSDT-funding.parquet \\
          --from 2025-01-01 --to 2025-07-01
      python -m models evaluate --model-set latest --data ETHUSDT-1h.parquet,ETHUSDT-15m.parquet \\
          --companion BTCUSDT-1h.parquet

    Bars the set was made of are not judged: without --from it begins after them, and a range that holds some is
    refused unless --allow-overlap.

    Exit codes: 0 done, 2 usage, 7 model set or data missing, broken, too short or overlapping, 130 interrupted.
    """
    model_set = options.load(name, root)
    steps = Steps(Console(stderr=True, highlight=False))
    with steps.running(5):
        with steps.step("read the set and the history") as step:
            predictor = Predictor.load(model_set)
            history = histories.read(model_set.manifest, data, symbol, funding, companion)
            step.note("; ".join((f"{len(history.candles):,} candles of {history.candles.timeframe}", *history.notes)))
        found = evaluation.evaluate(predictor, history, start, end, allow_overlap, draws, seed, steps)
    for warning in found["warnings"]:
        click.echo(f"models: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        report.show(Console(width=max(Console().width, report.WIDTH)), found)
