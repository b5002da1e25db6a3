"""`python -m backtest`: judge a model set by the daemon's own decisions over history."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from backtest import report, sources
from backtest.broker import Costs
from backtest.engine import BacktestError, run
from backtest.statistics import statistics
from configs import ConfigError
from market.history import HistoryError
from market.instruments import InstrumentError, cash
from market.timeframes import Timeframe
from models import modelset
from models.inference import Predictor
from models.modelset import ModelSet, ModelSetError
from strategy.live_config import load_rules
from strategy.phases import Phase, tighten

ROOT = Path(__file__).resolve().parent.parent
LIVE_RULES, DEMO_RULES = ROOT / "configs" / "live_config.yaml", ROOT / "configs" / "demo_config.yaml"
BAD_DATA = 7
INTERRUPTED = 130


def _instant(text: str) -> int:
    """An instant in UTC, ``2024-06-01`` or ``2024-06-01T12:00``, in ms."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time; write 2024-06-01 or 2024-06-01T12:00 (UTC)") from error
    return int(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp() * 1000)


def _wallet(text: str) -> int:
    """A sum to begin with, in cash units."""
    try:
        units = cash(text)
    except InstrumentError as error:
        raise click.BadParameter(str(error)) from error
    if units <= 0:
        raise click.BadParameter(f"{text} leaves nothing to trade with; write an amount above 0")
    return units


def _ppm(text: str) -> int:
    """A small fraction, exact to 1e-6, in ppm: ``0.0005`` is 0.05 %."""
    try:
        ppm = Decimal(text) * 1_000_000
        fits = 0 <= ppm <= 100_000 and ppm % 1 == 0
    except InvalidOperation as error:
        raise click.BadParameter(f"{text!r} is no number; write a fraction such as 0.0005") from error
    if not fits:
        raise click.BadParameter(f"{text} is not between 0 and 0.1 in steps of 0.000001")
    return int(ppm)


class _Shown:
    """Progress on stderr: a bar on a terminal, one line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
        )

    def __enter__(self) -> _Shown:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: str, done: int, of: int) -> None:
        if step != self._step:
            self._step = step
            if self._console.is_terminal:
                self._task = self._bar.add_task(step, total=of)
            else:
                self._console.print(step, highlight=False)
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=of)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--model-set", required=True, metavar="NAME", help="latest, champion, starter, or the id of a model set.")
@click.option(
    "--data",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Parquet file of klines; again for each further symbol. Without it, the synthetic market.",
)
@click.option("--funding", multiple=True, type=click.Path(path_type=Path), help="Parquet file of funding, per --data.")
@click.option("--symbol", "symbols", multiple=True, help="Symbol, per --data. Default: as the file is named.")
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
@click.option(
    "--from", "start", type=_instant, metavar="TIME", help="First instant tested, UTC. Default: the first prediction."
)
@click.option(
    "--to", "end", type=_instant, metavar="TIME", help="First instant no longer tested, UTC. Default: the data's end."
)
@click.option(
    "--cash",
    "wallet",
    default="10000",
    type=_wallet,
    metavar="AMOUNT",
    show_default=True,
    help="Cash at the start, quote currency.",
)
@click.option(
    "--taker-fee",
    default="0.0005",
    type=_ppm,
    metavar="FRACTION",
    show_default=True,
    help="Fee, fraction of the notional.",
)
@click.option(
    "--slippage",
    default="0.0001",
    type=_ppm,
    metavar="FRACTION",
    show_default=True,
    help="Slippage, fraction of the price.",
)
@click.option("--days", default=90, type=click.IntRange(1, 3650), show_default=True, help="Synthetic market: days.")
@click.option("--seed", default=7, type=int, show_default=True, help="Synthetic market: seed.")
@click.option("--trades", default=10, type=click.IntRange(0), show_default=True, help="Show this many last trades.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, with every trade.")
def backtest(
    model_set: str,
    files: tuple[Path, ...],
    funding: tuple[Path, ...],
    symbols: tuple[str, ...],
    rules: Path | None,
    phase: str | None,
    start: int | None,
    end: int | None,
    wallet: int,
    taker_fee: int,
    slippage: int,
    days: int,
    seed: int,
    trades: int,
    as_json: bool,
) -> None:
    """Judge a model set: what the daemon would have done with it, by the local exchange's own fill rules.

    \b
    Examples
      python -m backtest --model-set latest
      python -m backtest --model-set champion --data BTCUSDT-15m.parquet --funding BTCUSDT-funding.parquet
      python -m backtest --model-set latest --data BTCUSDT-1h.parquet --from 2024-01-01 --to 2025-01-01 --json

    \b
    Pessimistic throughout: a stop fills at the open that gapped through it, else at its trigger, always slipped; a
    liquidation costs the whole margin. A position open at the end is shown apart.

    Exit codes: 0 done, 2 usage, 4 rules file, 7 data or model set missing or broken, 130 interrupted.
    """
    errors = Console(stderr=True)
    path = modelset.resolve(model_set)
    judged = ModelSet.load(path)
    predictor = Predictor.load(judged)
    starter = path.is_relative_to(modelset.ROOT / modelset.STARTER)
    if starter and model_set == modelset.LATEST:
        errors.print(f"no trained model set yet: testing the starter set {path.name}", highlight=False)
    written = load_rules(rules or (DEMO_RULES if starter else LIVE_RULES))
    chosen, tightened = tighten(written, Phase(phase) if phase else None)
    if phase:
        errors.print(f"phase {phase} tightens the rules: {'; '.join(tightened) or 'nothing'}", highlight=False)
    costs = Costs(taker_fee, slippage)
    decision = Timeframe.parse(judged.manifest.data.timeframe)
    with _Shown(errors) as shown:
        shown("reading history", 0, 1)
        if files:
            series = sources.from_files(files, funding, symbols)
            data = ", ".join(f.name for f in files)
        else:
            series = sources.from_synthetic(symbols, days, predictor.lookback, decision, seed)
            data = f"synthetic market, seed {seed}"
        frames, refusals = sources.frames(series, predictor, decision, start, end, shown)
        began = time.perf_counter()
        result = run(
            frames,
            chosen,
            costs,
            judged.manifest.decision.max_hold_bars,
            wallet,
            lambda n, of: shown("trading", n, of),
        )
        took = time.perf_counter() - began
    setting = sources.Setting(
        model_set=judged.id,
        data=data,
        instruments=tuple(s.instrument for s in series),
        rules=chosen,
        costs=costs,
        market_return=sources.market_return(frames[0]),
        refusals=refusals,
    )
    errors.print(f"{result.bars} bars in {took:.2f} s, {result.bars / took:,.0f} a second", highlight=False)
    figures = statistics(result)
    if as_json:
        click.echo(json.dumps(report.as_json(setting, result, figures), indent=2))
    else:
        report.show(Console(), setting, result, figures, trades)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, turning each kind of error into its exit code; without arguments, the process's own."""
    try:
        backtest.main(arguments, prog_name="python -m backtest", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigError as error:
        _complain(error, ConfigError.exit_code)
    except (HistoryError, BacktestError, InstrumentError, ModelSetError) as error:
        _complain(error, BAD_DATA)


def _complain(error: Exception, code: int) -> None:
    click.echo(f"backtest: {error}" if "\n" not in str(error) else str(error), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
