"""The gate behind `python -m backtest --challenger ID`: which sets, which market, which exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from backtest.bars import BacktestError
from backtest.gate import told
from backtest.gate.config import FILE, read
from backtest.gate.evidence import Market, Terms
from backtest.gate.judgement import consider, unreadable
from backtest.gate.paged import write_page
from backtest.options import Account, History
from backtest.shown import Shown
from backtest.sources import Series
from backtest.statistics import DAY_MS
from backtest.verdict import Verdict
from market import catalogue
from market.aggregate import aggregate
from market.screen import screen
from market.timeframes import Timeframe
from models import modelset
from models.known_market import regrown
from models.manifest import Manifest
from models.modelset import CHAMPION, ModelSet, ModelSetError
from strategy.live_config import Rules


def decide(
    model_set: str | None,
    challenger: str | None,
    rules: Rules,
    history: History,
    account: Account,
    gate_file: Path | None,
    errors: Console,
    root: Path,
    page_path: Path | None = None,
) -> Verdict:
    """Judge one set against another or against being flat, and keep the verdict beside the sets.

    Parameters
    ----------
    model_set : str, optional
        With a challenger the champion's name; alone the set to be judged against being flat.
    challenger : str, optional
        Name of the set that wants to trade.
    page_path : Path, optional
        Where to write the report page: the verdict, and the recipe traded by its record.
    """
    name = challenger or model_set
    if name is None:
        raise click.UsageError("name a set by --challenger or --model-set")
    ours = modelset.resolve(name, root)
    theirs = _champion(model_set if challenger else None, challenger, root, errors)
    if theirs is not None and theirs.name == ours.name:
        raise click.UsageError(f"{ours.name} would be judged against itself; name another --challenger")
    thresholds = read(gate_file or FILE)
    champion = None if theirs is None else ModelSet.load(theirs)
    try:
        verified = ModelSet.load(ours)
    except ModelSetError as error:
        verdict, evidence = unreadable(ours, champion, error, thresholds), None
    else:
        with Shown(errors) as shown:
            shown("reading history", 0, 1)
            market = market_of(verified.manifest, history, thresholds.config.sufficiency.judge_days)
            terms = Terms(rules, account.costs, account.cash, thresholds.config)
            verdict, evidence = consider(verified, champion, market, terms, thresholds, shown)
    kept = told.keep(verdict, root)
    errors.print(f"kept as {kept}", soft_wrap=True, highlight=False)
    if page_path is not None:
        written = evidence is not None and write_page(page_path, verdict, evidence, str(history))
        told_of = f"report: {page_path}" if written else "no report: nothing of the set's record could be traded"
        errors.print(told_of, soft_wrap=True, highlight=False)
    return verdict


def answer(verdict: Verdict, as_json: bool, every: bool = False) -> None:
    """Print the verdict, and leave with its exit code."""
    if as_json:
        click.echo(json.dumps(told.as_json(verdict), indent=2, ensure_ascii=False))
    else:
        told.show(screen(), verdict, every)
    sys.exit(verdict.code)


def market_of(manifest: Manifest, history: History, judge_days: int) -> Market:
    """The history both sets are judged on.

    Raises
    ------
    BacktestError
        If no file is given for a set of a real market, or more than its own symbol's.
    """
    decision = Timeframe.parse(manifest.data.timeframe)
    if history.start is not None:
        raise BacktestError("--from does not go with the gate: it judges what the sets recorded, and the last days")
    if history.files:
        series = history.series(manifest)
        fitting = [s for s in series if s.instrument.symbol in manifest.data.symbols]
        if len(series) != 1 or not fitting:
            given = ", ".join(s.instrument.symbol for s in series)
            raise BacktestError(
                f"the gate judges {manifest.data.symbols[0]}, which the set was trained on, and {given} was given; "
                f"give one --data file of that symbol"
            )
        one = series[0]
    else:
        one = _regrown(manifest, judge_days)
    base = one.base.between(None, history.end)
    if not len(base):
        raise BacktestError("no candles to judge on; widen --to")
    return Market(one.instrument, base, aggregate(base, decision), one.funding, one.detail, one.finer, one.others)


def _regrown(manifest: Manifest, judge_days: int) -> Series:
    """The synthetic market a set was trained on, and as many days more as are to be judged."""
    timeframe, symbol = Timeframe.parse(manifest.data.timeframe), manifest.data.symbols[0]
    made = regrown(manifest, symbol, manifest.data.rows + (judge_days + 2) * DAY_MS // timeframe.ms)
    if made is None:
        raise BacktestError(
            f"the set was trained on {manifest.data.source}, a real market: give its history by --data FILE"
        )
    other = manifest.companion_of(symbol)
    others = {} if other is None or made.companion is None else {other: made.companion}
    return Series(catalogue.instrument(symbol), made.candles, made.funding, finer=made.finer, others=others)


def _champion(name: str | None, challenger: str | None, root: Path, errors: Console) -> Path | None:
    """Who is challenged; nobody if there is no champion yet, or one set alone is judged."""
    if challenger is None:
        return None
    if name in (None, CHAMPION) and modelset.pointed(CHAMPION, root / modelset.STORE) is None:
        errors.print("there is no champion: judging against being flat", highlight=False)
        return None
    return modelset.resolve(name or CHAMPION, root)
