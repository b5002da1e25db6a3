"""`python -m training diagnose`: the first broken stage of a model, and what to do about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from market.history import HistoryError
from models import options
from models.evaluation.data import DataError
from models.modelset import ModelSetError
from training import diagnosis
from training.diagnosis import report
from training.diagnosis.subject import subject

FOUND, DATA = 1, 7


@click.command("diagnose")
@click.option(
    "--model-set",
    "name",
    required=True,
    metavar="NAME",
    help="latest, champion, starter, an id, or the path of a set's folder.",
)
@click.option("--model", "family", required=True, metavar="NAME", help="What to diagnose: lstm, tft, lightgbm, ...")
@click.option("--data", metavar="FILE[,FILE15m]", help="Klines to ask it about. Default: the set's stage goldens.")
@click.option("--funding", type=click.Path(path_type=Path), help="Parquet file of funding, if the set reads it.")
@click.option("--companion", type=click.Path(path_type=Path), help="Parquet of the companion, if the set compares two.")
@options.root
@options.as_json
def command(
    name: str, family: str, data: str | None, funding: Path | None, companion: Path | None, root: Path, as_json: bool
) -> None:  # fmt: skip
    """Find the first broken stage of a model that answers 0.0, a constant, or nonsense.

    Each check says ok, suspect, broken or not known, with its figures; docs/diagnosis.md says what each one means.

    \b
    Examples
      python -m training diagnose --model-set latest --model lstm
      python -m training diagnose --model-set latest --model tft --data BTCUSDT-1h.parquet --json

    Exit codes: 0 nothing broken, 1 something is, 2 usage, 7 model set or data missing or broken, 130 interrupted.
    """
    if data is None and (funding is not None or companion is not None):
        raise click.UsageError("--funding and --companion go with --data")
    try:
        found = diagnosis.diagnose(subject(options.load(name, root), family, data, funding, companion))
    except (ModelSetError, HistoryError, DataError) as error:
        click.echo(f"training: {error}", err=True)
        sys.exit(DATA)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
    else:
        report.show(found, Console(highlight=False))
    if found.broken is not None:
        sys.exit(FOUND)
