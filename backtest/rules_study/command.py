"""`python -m backtest rules`: the regime rules against fixed leverage and stop, on the same signals."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from backtest.judge import LIVE_RULES
from backtest.options import Account, History, account_options, history_options, page_file
from backtest.rules_study import gaps, neutral, report, signals, study
from backtest.rules_study.accounts import Player
from backtest.rules_study.variants import FIXED, MATCHED
from backtest.shown import Shown
from backtest.significance import BLOCK_DAYS, DRAWS
from strategy.live_config import load_rules


@click.command()
@click.option(
    "--model-set",
    "names",
    required=True,
    multiple=True,
    metavar="NAME",
    help="latest, champion, starter, an id, or the path of a set's folder; one per --data, or one for all.",
)
@click.option("--rules", "rules_file", type=click.Path(path_type=Path), help="Default: configs/live_config.yaml.")
@click.option("--unseen", is_flag=True, help="Play the set's predictions on candles after it was made, not its record.")
@history_options
@account_options
@click.option("--block-days", default=BLOCK_DAYS, type=click.IntRange(1, 365), show_default=True, help="Of a block.")
@click.option("--draws", default=DRAWS, type=click.IntRange(100, 100_000), show_default=True, help="Bootstrap samples.")
@click.option("--seeds", default=200, type=click.IntRange(0), show_default=True, help="Random entries; 0: none.")
@click.option("--gap-seeds", default=20, type=click.IntRange(0), show_default=True, help="Runs with gaps; 0: none.")
@click.option("--svg", callback=page_file, type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the equity.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with everything.")
def rules(
    names: tuple[str, ...],
    rules_file: Path | None,
    unseen: bool,
    history: History,
    account: Account,
    block_days: int,
    draws: int,
    seeds: int,
    gap_seeds: int,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Judge the rules by regime: the same signals under other leverage and stops, with intervals.

    \b
    Examples
      python -m backtest rules --model-set latest --data BTCUSDT-1h.parquet --funding BTCUSDT-funding.parquet
      python -m backtest rules --model-set ID --data BTCUSDT-1h.parquet --model-set ID --data ETHUSDT-1h.parquet --json
      python -m backtest rules --model-set latest --data BTCUSDT-1h.parquet --unseen --svg equity.svg

    \b
    Signals are what the set recorded walk-forward, so that every one was made without knowing what came. Variants: by
    regime, fixed, leverage alone by regime, stop alone by regime, and fixed with the mean exposure of the one by
    regime. Each symbol has an account; together they are the sum. A drawdown halt ends a backtest, since nobody
    resumes: every case is played without halts, without that one, and as the rules file is written. Random entries say
    what the sizing does without a signal, and gaps cut into the prices what it does to liquidations.

    Exit codes: 0 done, 2 usage, 4 rules file, 7 data or model set missing or broken, 130 interrupted.
    """
    if not history.files:
        raise click.UsageError("say which candles by --data; a record is of real ones")
    if len(names) not in (1, len(history.files)):
        raise click.UsageError(f"{len(history.files)} --data and {len(names)} --model-set: give one for each, or one")
    errors = Console(stderr=True)
    written = load_rules(rules_file or LIVE_RULES)
    sets = [signals.load(name) for name in names] * (len(history.files) // len(names))
    with Shown(errors) as shown:
        began = time.perf_counter()
        shown("reading history", 0, 1)
        series = history.series(sets[0].manifest)
        told = [
            signals.unseen(s, one, history.start, history.end, shown)
            if unseen
            else signals.recorded(s, one, history.start, history.end)
            for s, one in zip(sets, series, strict=True)
        ]
        players = [Player.of(t, account.costs, account.cash) for t in told]
        thresholds = {study.FILE: [written] * len(players), study.OWN: signals.own_thresholds(told, written)}
        found = study.cases(players, thresholds, block_days, draws, partial(shown, "playing variants"))
        main = found[0]
        terms = {name: own for name, own in main.rules.items() if name != MATCHED}
        like = [main.accounts[p.signals.symbol][FIXED] for p in players]
        random = neutral.play(players, like, terms, seeds, partial(shown, "random entries")) if seeds else {}
        cut = gaps.play(players, main.rules, gap_seeds, partial(shown, "gaps")) if gap_seeds else {}
        shown("drawing samples", 0, 1)
        said = report.as_json(
            report.Study(
                signals="unseen candles" if unseen else "walk-forward record",
                data=str(history),
                players=players,
                rules=written.name,
                costs=account.costs,
                cash=account.cash,
                block=block_days,
                draws=draws,
                cases=found,
                neutral=random,
                gaps=cut,
                seeds=seeds,
                gap_seeds=gap_seeds,
            )
        )
    errors.print(f"done in {time.perf_counter() - began:.0f} s", highlight=False)
    if svg:
        from backtest.rules_study import picture  # templates, for nobody who asks for none

        who = study.POOLED if len(players) > 1 else players[0].signals.symbol
        svg.write_text(picture.equity(main.accounts[who], f"Equity by variant, {who}, without halts"))
        errors.print(f"picture: {svg}", highlight=False)
    if as_json:
        click.echo(json.dumps(said, indent=2))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 150), said)
