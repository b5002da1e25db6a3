"""The training command: `python -m training run --spec configs/training/small.yaml`."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

# Read when OpenMP starts: threads that wait must not burn a core of a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import click
from rich.console import Console

from configs import ConfigError, load, schema_is_current, write_schema
from market import catalogue
from market.history import HistoryError
from market.synthetic import SyntheticError
from models.features import FeatureError
from models.modelset import ROOT, ModelSetError
from training.data import DataError, from_files, synthetic_market
from training.quality.command import quality
from training.spec import SYMBOL, TrainingSpec

FAILURE, CONFIGURATION, DATA, INTERRUPTED = 1, 4, 7, 130
SCHEMA = Path(__file__).resolve().parent.parent / "configs" / "training" / "training.schema.json"
MOST_THREADS = 4
"""More threads do not help models this small."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make model sets from kline history."""


@main.command()
@click.option("--spec", "spec_file", required=True, type=click.Path(path_type=Path), help="What to train (YAML).")
@click.option("--data", type=click.Path(path_type=Path), help="Kline history (parquet).")
@click.option("--funding", type=click.Path(path_type=Path), help="Funding history (parquet), where features read it.")
@click.option("--synthetic", is_flag=True, help="Train on the synthetic market the spec describes.")
@click.option("--out", default=ROOT / "sets", type=click.Path(path_type=Path), help="Where sets go  [models/sets]")
@click.option("--symbol", help="Instrument of the history, instead of the spec's.")
@click.option("--seed", type=int, help="Instead of the spec's seed.")
@click.option("--threads", type=click.IntRange(1, 64), help="CPU threads  [default: cores, at most 4]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def run(
    spec_file: Path,
    data: Path | None,
    funding: Path | None,
    synthetic: bool,
    out: Path,
    symbol: str | None,
    seed: int | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a model set and point `latest` at it.

    Give either --data or --synthetic. Progress goes to stderr; the set's id and its test figures go to stdout.

    Exit codes: 0 made, 1 failed, 2 usage, 4 the spec is wrong, 7 the data is missing or broken, 130 interrupted.
    """
    if synthetic == (data is not None):
        raise click.UsageError("give either --data FILE or --synthetic")
    if funding is not None and synthetic:
        raise click.UsageError("--funding goes with --data; the synthetic market brings its own")
    if symbol is not None and not re.fullmatch(SYMBOL, symbol):
        raise click.BadParameter(f"{symbol!r} is no symbol; write one like BTCUSDT", param_hint="--symbol")
    try:
        spec = load(spec_file, TrainingSpec)
        spec = spec if seed is None else spec.model_copy(update={"seed": seed})
        named = catalogue.symbol_of(data) if data is not None else None
        if symbol is None and named is not None and named != spec.data.symbol:
            click.echo(f"training: {data} is named after {named}; training on that (--symbol says otherwise)", err=True)
            symbol = named
        if symbol is not None:
            spec = spec.model_copy(update={"data": spec.data.model_copy(update={"symbol": symbol})})
        bars = from_files(spec.data, data, funding) if data is not None else synthetic_market(spec.data)
        # torch takes seconds to import, and a host that only trades has none: wrong options and files are said before.
        from market.progress import Steps
        from training import report
        from training.run import make_set

        steps = Steps(quiet=quiet)
        command = shlex.join(["python", "-m", "training", *sys.argv[1:]])
        outcome = make_set(bars, spec, out, steps, threads or min(MOST_THREADS, os.cpu_count() or 1), command)
    except (ConfigError, FeatureError) as error:
        _fail(str(error), CONFIGURATION)
    except (DataError, HistoryError, SyntheticError) as error:
        _fail(str(error), DATA)
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed; `make setup` installs what training needs", FAILURE)
    except (ModelSetError, OSError, RuntimeError) as error:
        _fail(str(error), FAILURE)
    if as_json:
        print(json.dumps(report.as_json(outcome), indent=2))
    else:
        report.show(outcome, Console(highlight=False))


@main.command()
@click.option("--check", is_flag=True, help="Only say whether the file is current (exit 1 if not).")
def schema(check: bool) -> None:
    """Write the JSON Schema of training specs beside them."""
    if not check:
        write_schema(TrainingSpec, SCHEMA)
    elif not schema_is_current(TrainingSpec, SCHEMA):
        _fail(f"{SCHEMA} is not current; run `python -m training schema`", FAILURE)


main.add_command(quality)


def _fail(message: str, code: int) -> None:
    click.echo(f"training: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("training: interrupted; nothing was written", err=True)
        sys.exit(INTERRUPTED)
