"""`python -m tests.parity`: the same candles through the real daemon and both backtests, trade by trade.

Prints `N trades, identical` and exits 0, or the first difference, or what the run lacks to be a proof, and exits 1;
2 usage, 4 a set or rules that cannot be used, 7 data missing or too little, 130 interrupted.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from backtest.bars import BacktestError
from configs import ConfigError
from market.arguments import instant
from market.history import HistoryError
from market.instruments import InstrumentError
from models.modelset import ModelSetError
from tests.parity.hours import HoursError
from tests.parity.portfolio import QuietError
from tests.parity.proof import Asked, Proof, prove
from tests.parity.replay import CCXT_IDS, ROOT, ParityError, ReplayError
from tests.parity.shown import Shown, counts, described, table

FAILURE, CONFIGURATION, DATA, INTERRUPTED = 1, 4, 7, 130
REFUSED: dict[type[Exception], int] = {
    ReplayError: FAILURE,
    ModelSetError: CONFIGURATION,
    ConfigError: CONFIGURATION,
    HoursError: DATA,
    QuietError: DATA,
    BacktestError: DATA,
    HistoryError: DATA,
}
"""What ends a run before there is anything to compare, and the exit code of each."""


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def _files(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Path, ...]:
    return tuple(map(Path, _names(context, parameter, value)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bars", default=2_000, show_default=True, type=click.IntRange(100), help="Hours to replay.")
@click.option(
    "--symbols", callback=_names, help="Comma-separated, on one account [BTCUSDT,ETHUSDT; as --data is named]."
)
@click.option("--data", callback=_files, help="Klines, comma-separated, one a symbol [real ones beside the checkout].")
@click.option("--funding", callback=_files, help="Funding rates, likewise; default as for --data.")
@click.option("--to", callback=instant, metavar="TIME", help="First instant no longer played, UTC [the data's end].")
@click.option("--synthetic", is_flag=True, help="The synthetic market, whatever there is beside the checkout.")
@click.option("--seed", default=1, show_default=True, help="Of the synthetic market.")
@click.option("--model-set", help="[starter; at bybit one made on the spot, since it tells no taker flow]")
@click.option("--venue", type=click.Choice(list(CCXT_IDS)), default="binance", show_default=True)
@click.option("--rules", type=click.Path(path_type=Path), default=ROOT / "configs" / "parity_rules.yaml")
@click.option("--halts", is_flag=True, help="With limits on losses so narrow that they strike.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep data, journal and logs in; logs go on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(keep: Path | None, as_json: bool, **asked: Any) -> None:
    """Replay hours through daemon and exchange over sockets, backtest the same, and compare the trades one by one.

    Gaps are cut into every symbol's history: through stops and to liquidation, against longs and shorts. What must have
    happened to prove anything is listed at the end; a run that lacks some of it fails.
    """
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that daemon and exchange end with it
    with tempfile.TemporaryDirectory() as scratch:
        work = keep or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        try:
            with Shown(console, work / "parity.log") as shown:
                proof = prove(Asked(**asked), work, shown)
        except ParityError as error:
            _fail(str(error), as_json)
        except InstrumentError as error:
            raise click.UsageError(str(error)) from error
        except tuple(REFUSED) as error:
            click.echo(f"parity: {error}", err=True)
            sys.exit(next(code for kind, code in REFUSED.items() if isinstance(error, kind)))
        except KeyboardInterrupt:
            click.echo("parity: interrupted", err=True)
            sys.exit(INTERRUPTED)
        told = as_told(proof)
        (work / "parity.json").write_text(json.dumps(told, indent=1))
    seconds, bars = proof.outcome.seconds, proof.outcome.summary["candles"]
    console.print(f"{bars:,} bars in {seconds:.0f} s, {bars / seconds:.0f} a second", highlight=False)
    for what, value in described(proof.outcome.summary):
        console.print(f"{what:20} {value}", highlight=False)
    console.print(table(proof.coverage))
    if proof.difference or proof.lacks:
        _fail(proof.difference or f"the run proves too little, it lacks: {'; '.join(proof.lacks)}", as_json, told)
    click.echo(json.dumps(told) if as_json else f"{len(proof.plain.trades)} trades, identical")


def as_told(proof: Proof) -> dict[str, Any]:
    """The result as JSON says it."""
    return {
        "identical": proof.difference is None,
        "trades": len(proof.plain.trades),
        "bars": proof.outcome.summary["candles"],
        "symbols": proof.hours.symbols,
        "hours": str(proof.hours),
        "engines": ["daemon", "plain", "compiled"],
        "difference": proof.difference,
        "lacks": proof.lacks,
        "covered": counts(proof.coverage),
        "decisions": proof.plain.reasons,
        "seconds": round(proof.outcome.seconds, 1),
        "daemon": proof.outcome.summary,
    }


def _fail(why: str, as_json: bool, told: dict[str, Any] | None = None) -> NoReturn:
    click.echo(json.dumps(told or {"identical": False, "difference": why}) if as_json else why)
    sys.exit(FAILURE)


if __name__ == "__main__":
    main()
