"""`python -m backtest sweep`: try many variants of the rules, and say how much the best of them owes to luck."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from rich.console import Console

import configs
from backtest import compiled, sources
from backtest.judge import DEMO_RULES, LIVE_RULES
from backtest.options import Account, History, account_options, history_options, page_file
from backtest.predictions import Remembering
from backtest.seen import seen
from backtest.shown import Shown
from backtest.sweep import choice, counted, executors, report
from backtest.sweep.counted import span
from backtest.sweep.grid import Grid
from backtest.sweep.work import Played, Progress, Work
from market.cluster import ExecutorError
from market.screen import screen
from market.timeframes import Timeframe
from models import modelset, trials
from models.modelset import ModelSet
from models.trials import Trial
from strategy.live_config import LiveConfig, Rules

SERIAL, THREADS, RAY = "serial", "threads", "ray"


@click.command()
@click.option("--model-set", required=True, metavar="NAME", help="latest, champion, starter, or the id of a model set.")
@click.option(
    "--grid",
    "grids",
    required=True,
    multiple=True,
    metavar="SPEC",
    help="What is varied: a YAML file, or KEY=VALUES such as entry.long=0.50:0.60:0.01; again for each.",
)
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="Rules that are varied. Default: configs/live_config.yaml; for the starter set configs/demo_config.yaml.",
)
@history_options
@account_options
@click.option(
    "--executor",
    type=click.Choice([SERIAL, THREADS, RAY]),
    default=THREADS,
    show_default=True,
    help="Where variants are played.",
)
@click.option("--workers", type=click.IntRange(1, 4096), help="Threads, or Ray tasks at once. Default: all cores.")
@click.option("--ray-address", metavar="ADDRESS", help="A running Ray cluster. Default: one of its own, on loopback.")
@click.option("--top", default=10, type=click.IntRange(1), show_default=True, help="Show this many of the best.")
@click.option(
    "--csv",
    "csv_file",
    callback=page_file,
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Write every variant here.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with every variant.")
def sweep(
    model_set: str,
    grids: tuple[str, ...],
    rules: Path | None,
    history: History,
    account: Account,
    executor: str,
    workers: int | None,
    ray_address: str | None,
    top: int,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Try many variants of the rules on one history: which was best, and how likely that was luck.

    \b
    Examples
      python -m backtest sweep --model-set latest --grid configs/sweep.yaml
      python -m backtest sweep --model-set latest --data BTCUSDT-1h.parquet --grid entry.long=0.50:0.60:0.01
      python -m backtest sweep --model-set latest --grid 'regimes.{low,mid,high}.leverage=10/5/2,5' --csv tried.csv

    \b
    The best of many is good by selection alone. The probability of overfitting says how often the best of one half of
    the days is below the middle in the other half; the deflated Sharpe ratio, how likely its true value is above what
    the best of as many worthless trials would show, every variant and every earlier trial counted.

    Exit codes: 0 done, 1 executor failed or file not written, 2 usage, 4 rules or grid, 7 data or model set missing or
    broken, 130 interrupted.
    """
    if ray_address and executor != RAY:
        raise click.UsageError(f"--ray-address goes with --executor {RAY}")
    errors = Console(stderr=True)
    path = modelset.resolve(model_set)
    judged = ModelSet.load(path)
    starter = path.is_relative_to(modelset.ROOT / modelset.STARTER)
    base = configs.load(rules or (DEMO_RULES if starter else LIVE_RULES), LiveConfig)
    grid = Grid.of(grids, base)
    foreteller = Remembering(judged)
    decision = Timeframe.parse(judged.manifest.data.timeframe)
    own = base.rules()
    with Shown(errors) as shown:
        shown("reading history", 0, 1)
        series = history.series(judged.manifest)
        frames, refusals = sources.frames(series, foreteller, decision, history.start, history.end, shown)
        hold = judged.manifest.decision.max_hold_bars
        work = Work(compiled.simulate, compiled.prepare(frames), account.costs, hold, account.cash)
        began = time.perf_counter()
        progress = partial(shown, "trading variants")
        played = _play(executor, work, [own, *(v.rules for v in grid.variants)], progress, workers, ray_address)
        took = time.perf_counter() - began
    start, end = span(frames)
    daily = choice.daily_returns(played, account.cash)
    tried, earlier = len(grid.variants) + all(v.rules != own for v in grid.variants), 0
    if starter:
        errors.print("sweeps of the starter set are not added to the ledger of trials", highlight=False)
    else:
        this = counted.trial(judged.id, base, grid, frames, account.costs, account.cash, tried)
        earlier = _earlier(path.parent, this)
        errors.print(
            f"{tried:,} trials stand in the ledger: they count against this set's luck at the gate too", highlight=False
        )
    chosen = choice.choose(daily[1:], tried, earlier)
    if history.files and (warning := seen(judged.manifest, frames, start, end)):
        chosen = replace(chosen, warnings=(*chosen.warnings, warning))
    said = report.Sweep(
        model_set=judged.id,
        rules=base.name,
        data=str(history),
        symbols=tuple(s.instrument.symbol for s in series),
        start_ms=start,
        end_ms=end,
        bars=sum(len(f.base) for f in frames),
        costs=account.costs,
        cash=account.cash,
        grid=grid,
        played=played.rows(slice(1, None)),
        base=played.rows(slice(0, 1)),
        base_sharpe=float(choice.sharpes(daily[:1])[0]),
        choice=chosen,
        executor=executor,
        seconds=round(took, 3),
        refusals=refusals,
    )
    errors.print(
        f"{len(played.equity):,} runs in {took:.2f} s, {len(played.equity) / took:,.0f} a second", highlight=False
    )
    if csv_file:
        report.write_csv(said, csv_file)
    if as_json:
        click.echo(json.dumps(report.as_json(said), indent=2))
    else:
        report.show(screen(), said, top)


def _earlier(store: Path, this: Trial) -> int:
    try:
        return counted.count(store, this)
    except OSError as error:
        raise click.ClickException(
            f"{store / trials.FILE}: {error.strerror}; a sweep whose trials are not counted proves nothing"
        ) from error


def _play(
    executor: str, work: Work, rules: Sequence[Rules], progress: Progress, workers: int | None, address: str | None
) -> Played:
    if executor == SERIAL:
        return executors.serial(work, rules, progress)
    if executor == THREADS:
        return executors.threads(work, rules, progress, workers)
    try:
        return executors.on_ray(work, rules, progress, workers, address)
    except ExecutorError as error:
        raise click.ClickException(str(error)) from error
