"""`python -m training ablate`: what each recipe is worth, as a table and as JSON for the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from configs import load
from models import trials
from models.modelset import ROOT, STORE
from models.trials import Trial, now
from training import options
from training.executors import Executor, executor_options
from training.failures import failures
from training.spec import TrainingSpec

NETWORKS = ("lstm", "tft", "transformer")


@click.command()
@click.option("--spec", "spec_file", required=True, type=click.Path(path_type=Path), help="What to train (YAML).")
@click.option("--model", type=click.Choice(NETWORKS), default="lstm", show_default=True, help="The network tried on.")
@options.history
@options.device
@executor_options
@click.option("--threads", type=click.IntRange(1, 64), help="CPU threads of a fit.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures as JSON, for `training quality`.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.option(
    "--store",
    default=ROOT / STORE,
    type=click.Path(path_type=Path),
    help="Sets whose ledger of trials counts the variants  [models/sets]",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
def ablate(
    spec_file: Path,
    model: str,
    history: options.History,
    device: str,
    executor: Executor,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    store: Path,
    quiet: bool,
) -> None:
    """Try losses, augmentation and optional features, each alone, out of fold.

    Each variant is one change to a plain base, fitted in every fold of the train slice and compared with the base on
    the same rows. The early-stop, calibrate and test slices are never looked at. Fits are kept: a second run is quick.
    Every variant that was fitted counts as a trial, since specs are settled by what is seen here.

    \b
    Example
      python -m training ablate --spec configs/training/cpu.yaml --data BTCUSDT-1h.parquet,BTCUSDT-15m.parquet \\
          --funding BTCUSDT-funding.parquet --companion ETHUSDT-1h.parquet --out ablation.json

    Exit codes: 0 done, 1 failed, 2 usage, 4 the spec is wrong, 7 the data is missing or broken, 130 interrupted.
    """
    with failures():
        spec = load(spec_file, TrainingSpec)
        if getattr(spec, model) is None:
            raise click.UsageError(f"{spec_file} has no section {model}; name a network it has by --model")
        if history.finer is None:  # no variant reads shorter candles
            spec = spec.model_copy(update={"lstm15m": None})
        spec, bars = history.read(spec)
        from market.progress import Steps
        from training.ablation import comparison, variants
        from training.kept import Kept
        from training.loop import device_of
        from training.plan import Workshop, units_of

        tried = [*variants.of_network(spec, bars, model), *variants.of_boosting(spec, bars)]
        steps = Steps(quiet=quiet)
        fits = sum(len(units_of(each.spec, [each.family], range(spec.splits.folds))) for each in tried)
        with steps.running(fits):
            found = comparison.ablate(
                tried,
                steps,
                Workshop(executor, Kept()),
                threads or options.threads_for(executor),
                device_of(device).type,
            )
    fitted = sum(not row["kept"] for row in found)
    if fitted:
        symbols = (spec.data.symbol,)
        trials.add(store, Trial(time=now(), what="ablation", name=spec.name, trials=fitted, symbols=symbols))
    told: dict[str, Any] = {
        "spec": spec.name,
        "model": model,
        "question": f"{spec.labels.horizons[0]} h, both sides",
        "data": bars.source,
        "rows": found,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        Console(highlight=False).print(_table(told))


def _table(told: dict[str, Any]) -> Table:
    """Each variant's AUC out of fold, and its difference from its base."""
    table = Table(
        title=f"out of fold, AUC within folds [90 %], {told['question']}",
        title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False,
    )  # fmt: skip
    for name in ("variant", "AUC", "difference from base", "log-loss"):
        table.add_column(name, no_wrap=True)
    for row in told["rows"]:
        table.add_row(row["name"], _text(row["auc"]), _text(row.get("difference")), f"{row['log_loss']:.4f}")
    return table


def _text(figure: Any) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" if figure else "-"
