"""`python -m backtest --model-set NAME`: what a set would have done over a history, printed or as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from rich.console import Console

from backtest import order_inside, report, sources
from backtest.options import Account, History, account_options, again, history_options, page_file
from backtest.playing import play
from backtest.predictions import Remembering
from backtest.seen import seen
from backtest.shown import Shown
from backtest.statistics import statistics
from market.screen import screen
from market.timeframes import Timeframe
from models import modelset
from models.modelset import ModelSet
from strategy.live_config import Rules, load_rules
from strategy.phases import Phase, tighten

ROOT = Path(__file__).resolve().parent.parent
LIVE_RULES, DEMO_RULES = ROOT / "configs" / "live_config.yaml", ROOT / "configs" / "demo_config.yaml"


@click.command()
@click.option("--model-set", metavar="NAME", help="latest, champion, starter, or the id of a model set.")
@click.option("--challenger", metavar="NAME", help="Let the gate judge this set against --model-set (the champion).")
@click.option("--gate", is_flag=True, help="Let the gate judge --model-set alone: against being flat.")
@click.option("--gate-file", type=click.Path(path_type=Path), help="Thresholds of the gate  [configs/gate.yaml]")
@click.option(
    "--root", default=modelset.ROOT, type=click.Path(path_type=Path), help="Folder with the stores sets and starter."
)
@click.option("--all-gates", is_flag=True, help="Print every gate, passed ones too.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="Trading rules. Default: configs/live_config.yaml; for the starter set configs/demo_config.yaml.",
)
@click.option(
    "--phase",
    type=click.Choice([str(p) for p in Phase]),
    help="Test under the caps of a phase, as a daemon configured for it trades.",
)
@history_options
@account_options
@click.option("--trades", default=10, type=click.IntRange(0), show_default=True, help="Show this many last trades.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with every trade.")
@click.option(
    "--report",
    "page_path",
    callback=page_file,
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write one self-contained page: verdict, charts, tables.",
)
def judge(
    model_set: str | None,
    challenger: str | None,
    gate: bool,
    gate_file: Path | None,
    root: Path,
    all_gates: bool,
    rules: Path | None,
    phase: str | None,
    history: History,
    account: Account,
    trades: int,
    as_json: bool,
    page_path: Path | None,
) -> None:
    """Judge a model set: what the daemon would have done with it, by the local exchange's own fill rules.

    \b
    Examples
      python -m backtest --model-set latest
      python -m backtest --model-set champion --data BTCUSDT-15m.parquet --funding BTCUSDT-funding.parquet
      python -m backtest --model-set latest --data BTCUSDT-1h.parquet --from 2024-01-01 --to 2025-01-01 --json
      python -m backtest --model-set champion --data BTCUSDT-1h.parquet --report judged.html
      python -m backtest --model-set champion --data BTCUSDT-1h.parquet --detail BTCUSDT-1m.parquet

    \b
    Pessimistic throughout: a stop fills at the open that gapped through it, else at its trigger, always slipped; a
    liquidation costs the whole margin. A position open at the end is shown apart.

    \b
    Other commands, each with --help
      sweep    many variants of the rules, and how much of the best is luck
      rules    the terms by regime against fixed ones, on the same signals

    \b
    The gate
      python -m backtest --model-set champion --challenger ID --data BTCUSDT-1h.parquet
      python -m backtest --model-set ID --gate

    Exit codes: 0 done, or promote; 1 the page cannot be written, 2 usage, 4 rules or thresholds file, 6 the gate
    refuses, 7 data or model set missing or broken, or not enough evidence, 130 interrupted.
    """
    errors = Console(stderr=True)
    if challenger or gate:
        from backtest.gate.command import answer, decide  # much of its own, for nobody who asks for no verdict

        demo = (challenger or model_set) == modelset.STARTER
        chosen = _tightened(rules or (DEMO_RULES if demo else LIVE_RULES), phase, errors)
        verdict = decide(model_set, challenger, chosen, history, account, gate_file, errors, root, page_path)
        answer(verdict, as_json, all_gates)
    if model_set is None:
        raise click.UsageError("name a set by --model-set, or have one judged by --challenger")
    path = modelset.resolve(model_set, root)
    judged = ModelSet.load(path)
    foreteller = Remembering(judged)
    starter = path.is_relative_to(root / modelset.STARTER)
    if starter and model_set == modelset.LATEST:
        errors.print(f"no trained model set yet: testing the starter set {path.name}", highlight=False)
    chosen = _tightened(rules or (DEMO_RULES if starter else LIVE_RULES), phase, errors)
    decision = Timeframe.parse(judged.manifest.data.timeframe)
    with Shown(errors) as shown:
        shown("reading history", 0, 1)
        series = history.series(judged.manifest)
        frames, refusals = sources.frames(series, foreteller, decision, history.start, history.end, shown)
        began = time.perf_counter()
        hold = judged.manifest.decision.max_hold_bars
        result = play(frames, chosen, account.costs, hold, account.cash, lambda n, of: shown("trading", n, of))
        took = time.perf_counter() - began
    setting = sources.Setting(
        model_set=judged.id,
        data=str(history),
        instruments=tuple(s.instrument for s in series),
        rules=chosen,
        costs=account.costs,
        market_return=sources.market_return(frames[0]),
        refusals=refusals,
        without=sources.without(frames),
    )
    errors.print(f"{result.bars} bars in {took:.2f} s, {result.bars / took:,.0f} a second", highlight=False)
    known = seen(judged.manifest, frames, result.start_ms, result.end_ms) if history.files else None
    if known:
        errors.print(f"warning: {known}", style="yellow", highlight=False, soft_wrap=True)
    figures = statistics(result)
    inside = None
    if history.detail:
        coarse = play(order_inside.without_detail(frames), chosen, account.costs, hold, account.cash)
        inside = order_inside.change(frames, result, coarse)
    if page_path:
        from backtest import page  # templates and charts, for nobody who asks for neither

        inputs = page.Inputs(setting, result, figures, tuple(frames), judged, again(judged.id), commit=page.commit())
        page.write(page_path, inputs)
        errors.print(f"report: {page_path}", highlight=False)
    if as_json:
        click.echo(json.dumps(report.as_json(setting, result, figures, inside) | {"seen": known}, indent=2))
    else:
        report.show(screen(), setting, result, figures, trades, inside)


def _tightened(file: Path, phase: str | None, errors: Console) -> Rules:
    """The rules in a file, under the caps of a phase if one is named."""
    chosen, tightened = tighten(load_rules(file), Phase(phase) if phase else None)
    if phase:
        errors.print(f"phase {phase} tightens the rules: {'; '.join(tightened) or 'nothing'}", highlight=False)
    return chosen
