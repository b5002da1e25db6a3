"""The daemon's commands: ``python -m daemon run|status|why|gaps|books|pause|resume|flatten|doctor|…``."""

from __future__ import annotations

import signal

from daemon.interruption import INTERRUPTED, leave, quiet

if __name__ == "__main__":  # before the imports that take a moment
    signal.signal(signal.SIGINT, leave)

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from configs.schema import schema_is_current, write_schema
from daemon.backup.command import COMMANDS as BACKING_UP
from daemon.config import DaemonConfig, Mode
from daemon.drift.command import COMMANDS as DRIFT
from daemon.journal import FILE, Journal, JournalError
from daemon.lifecycle.telling import LINES
from daemon.migrations.command import COMMANDS as MIGRATING
from daemon.options import (
    CONFIGS,
    CONFIGURATION,
    DATA,
    FAILURE,
    TIMEOUT,
    Told,
    ask,
    config_of,
    config_option,
    json_option,
    rehearsal_option,
    rehearsed,
    state_dir,
)
from daemon.retraining.command import COMMANDS as RETRAINING
from daemon.swapping.command import COMMANDS as SWAPPING
from daemon.unit_command import COMMANDS as UNIT
from market import arguments
from market.instruments import cash_text
from market.timeframes import utc_text
from strategy.live_config import LiveConfig

if TYPE_CHECKING:
    from daemon.runner import Connect
    from daemon.selftest import Finding

T = TypeVar("T")
INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
REHEARSAL_SPEED = "3600"
SCHEMAS = ((DaemonConfig, CONFIGS / "daemon.schema.json"), (LiveConfig, CONFIGS / "live_config.schema.json"))

candles_option = click.option("--candles", type=click.IntRange(1), help="End after so many decided candles.")


def _pace(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """A speed as the local exchange reads it; nobody is there to move a rehearsal by hand."""
    if arguments.speed(context, parameter, text) is None:
        raise click.BadParameter("manual needs somebody who moves it; write real, or so many times real pace")
    return text


class Commands(click.Group):
    """The commands; Ctrl-C ends any of them without a word."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Trades a model set, candle by candle."""


@main.command()
@config_option
@candles_option
@json_option
@click.option("--live", is_flag=True, help="Yes, on a real account; the configuration must say mode: live as well.")
@click.pass_obj
def run(connect: Connect | None, path: Path, candles: int | None, as_json: bool, live: bool) -> None:
    """Trade until told to stop (Ctrl-C, SIGTERM) or the candles are decided."""
    config = config_of(path)
    if live != (config.mode is Mode.LIVE):
        told = "mode: live trades on a real account; say so with --live as well"
        raise Told(told if not live else f"--live, but {path} says mode: {config.mode}", CONFIGURATION)
    with quiet():
        from daemon.runner import run_daemon

    _end(lambda: run_daemon(config, candles, as_json, connect))


@main.command()
@config_option
@candles_option
@json_option
@click.option("--data", type=click.Path(path_type=Path, exists=True), multiple=True, help="Parquet klines to replay.")
@click.option("--funding", type=click.Path(path_type=Path, exists=True), multiple=True, help="Their funding rates.")
@click.option(
    "--speed", callback=_pace, default=REHEARSAL_SPEED, show_default=True, help="real, or so many times real pace."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the synthetic market.")
def rehearse(
    path: Path, candles: int | None, as_json: bool, data: tuple[Path, ...], funding: tuple[Path, ...], speed: str,
    seed: int,
) -> None:  # fmt: skip
    """Start the local exchange, on the synthetic market or DATA, and trade on it.

    Its journal is kept in a directory of its own, named like state_dir with -rehearsal after it, until the next
    rehearsal starts; what `run` recorded in state_dir stays. status, why, gaps, books and the rest find it by
    --rehearsal.
    """
    config = config_of(path)
    if config.mode is not Mode.SANDBOX:
        raise Told(f"{path} says mode: {config.mode}; a rehearsal is for mode: sandbox", CONFIGURATION)
    with quiet():
        from daemon.runner import run_rehearsal

    pace = ["--speed", speed, "--seed", str(seed)]

    def rehearsed() -> int:
        code = run_rehearsal(config, candles, as_json, list(data), list(funding), pace)
        if not as_json:
            found = "" if path.resolve() == CONFIGS / "sandbox.yaml" else f" --config {path}"
            click.echo(
                f"its journal is in {config.rehearsal_dir}; look at it with `python -m daemon why{found} --rehearsal`"
            )
        return code

    _end(rehearsed)


@main.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=CONFIGS / "paper.yaml",
    show_default=True,
    help="Configuration file.",
)
@candles_option
@json_option
@click.option(
    "--mirror",
    "where",
    callback=arguments.mirrored,
    default=arguments.MIRRORED,
    show_default=True,
    help="The exchange whose prices are followed, or the address of a local one.",
)
def paper(path: Path, candles: int | None, as_json: bool, where: str) -> None:
    """Trade on a real exchange's prices with an account of our own: start the mirror, and a daemon on it.

    Needs the network. Account and journal are in the state directory, and go on from there at the next start.
    """
    config = config_of(path)
    if config.mode is not Mode.PAPER:
        raise Told(f"{path} says mode: {config.mode}; paper trading is mode: paper", CONFIGURATION)
    with quiet():
        from daemon.runner import run_paper

    _end(lambda: run_paper(config, where, candles, as_json))


@main.command()
@config_option
@rehearsal_option
@json_option
def status(path: Path, as_json: bool) -> None:
    """What a running daemon is doing."""
    reply = ask(path, "status")
    if as_json:
        click.echo(json.dumps(reply))
        return
    table = Table.grid(padding=(0, 2))
    for key, value in reply.items():
        told = LINES[key](value) if key in LINES else value
        for number, line in enumerate(told if isinstance(told, list) else [told]):
            table.add_row(key if number == 0 else "", _plain(line))
    Console().print(table)


@main.command()
@config_option
@rehearsal_option
@json_option
@click.option("--symbol", help="Only this one.")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="How many, newest first.")
def why(path: Path, as_json: bool, symbol: str | None, count: int) -> None:
    """The last decisions and their reasons, from the journal; works without a running daemon."""
    rows = _from_journal(path, lambda journal: journal.decisions(count, symbol))
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        numbers = f" ({row['detail']})" if row["detail"] else ""
        if row["refusal"] and row["refusal"] != row["detail"]:
            numbers += f" (no prediction: {row['refusal']})"
        known = f"equity {cash_text(row['equity'])} · {row['model_set']}"
        click.echo(f"{utc_text(row['bar'])} {row['symbol']} {row['action']}: {row['reason']}{numbers} · {known}")


@main.command()
@config_option
@rehearsal_option
@json_option
@click.option("--symbol", help="Only this one.")
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
def gaps(path: Path, as_json: bool, symbol: str | None, count: int) -> None:
    """Candles that the stream did not bring, and what became of each gap; works without a running daemon."""
    rows = _from_journal(path, lambda journal: journal.gaps(count, symbol))
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("no gaps" + (f" in {symbol}" if symbol else ""))
    for row in rows:
        became = f"{row['how']}, {utc_text(row['closed_ms'])}" if row["how"] else "being filled"
        span = f"{utc_text(row['start'])} to {utc_text(row['end'])}"
        click.echo(f"{row['symbol']} {row['timeframe']} {span} · found {utc_text(row['found_ms'])} · {became}")


@main.command()
@config_option
@rehearsal_option
@json_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--from", "start", type=INSTANT, help="First instant, UTC.")
@click.option("--to", "end", type=INSTANT, help="First instant that is left out, UTC.")
def books(path: Path, as_json: bool, out: Path, form: str, start: datetime | None, end: datetime | None) -> None:
    """Write trades, executions, funding and transfers for accounting; works without a running daemon.

    Prices, quantities and amounts are exact decimals, times are UTC. A trade belongs to the instant it was closed at.
    What moved the wallet is balanced against what it holds, over the whole journal, and the difference is told: a
    position that was taken over is known by its rounded average price only, and a transfer that fell into a time in
    which no daemon ran was told by nobody.
    """
    from daemon.books import BooksError, read, write

    first, last = (
        None if when is None else round(when.replace(tzinfo=UTC).timestamp() * 1000) for when in (start, end)
    )
    if first is not None and last is not None and first >= last:
        raise click.UsageError(f"--from {utc_text(first)} is not before --to {utc_text(last)}")
    try:
        found = _from_journal(path, lambda journal: read(journal, first, last))
        files = write(found, out, form)
    except BooksError as error:
        raise Told(str(error), FAILURE) from error
    rows, balance = {name: len(kept) for name, kept in found.rows.items()}, found.balance
    if as_json:
        told = balance and {name: f"{amount:f}" for name, amount in balance.amounts().items()}
        click.echo(json.dumps({"files": [str(f) for f in files], "rows": rows, "balance": told}))
        return
    for file, count in zip(files, rows.values(), strict=True):
        click.echo(f"{file}: {count} rows")
    for name, amount in (balance.amounts() if balance else {}).items():
        click.echo(f"{name.replace('_', ' '):16} {amount:>24f}")


@main.command()
@config_option
@rehearsal_option
@json_option
def pause(path: Path, as_json: bool) -> None:
    """No more entries until `resume`; open positions go on being looked after."""
    _command(path, "pause", as_json, "no entries until `resume`; positions keep their stops and leave by the rules")


@main.command()
@config_option
@rehearsal_option
@json_option
def resume(path: Path, as_json: bool) -> None:
    """Entries again, whatever restricted them; the loss that the trading state names is accepted."""
    _command(path, "resume", as_json, "active: entries again, from the next decision on")


@main.command()
@config_option
@rehearsal_option
@json_option
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds.")
def flatten(path: Path, as_json: bool, timeout_s: float) -> None:
    """The kill switch: halt trading and close every position at market, until `resume`; returns once all is flat."""
    _command(path, "flatten", as_json, "halted: nothing is opened until `resume`, and all is being closed at market")
    deadline = time.monotonic() + timeout_s
    while left := ask(path, "status").get("positions"):
        if time.monotonic() > deadline:
            names = ", ".join(p["symbol"] for p in left)
            raise Told(f"not flat after {timeout_s:g} s: {names}; look at `python -m daemon status`", TIMEOUT)
        time.sleep(0.1)
    if not as_json:
        click.echo("everything is closed")


@main.command()
@config_option
@json_option
def doctor(path: Path, as_json: bool) -> None:
    """Look at the whole chain: configuration, set, state, exchange, account, retraining, units; and what to do."""
    import asyncio

    with quiet():
        from daemon.doctor import examine

    async def look() -> list[Finding]:
        found = []
        async for finding in examine(path):
            found.append(finding)
            if not as_json:
                _show(finding)
        return found

    found = asyncio.run(look())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in found]))
    bad = [f for f in found if f.good is False]
    if bad:
        sys.exit(CONFIGURATION if bad[0].what == "configuration" else FAILURE)


def _show(finding: Finding) -> None:
    colour, mark = {True: ("green", "good"), False: ("red", "BAD "), None: ("bright_black", "n/a ")}[finding.good]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.what}: {finding.text}")
    if finding.remedy:
        click.echo(f"      → {finding.remedy}")


@main.command()
@click.option("--check", is_flag=True, help="Only say whether they are current.")
def schema(check: bool) -> None:
    """Write what is generated from the code: the JSON Schemas of the configuration files, and docs/refusals.md."""
    from daemon import refusals

    for model, file in SCHEMAS:
        if not check:
            write_schema(model, file)
        elif not schema_is_current(model, file):
            raise Told(f"{file} is not current; run `make schema`", FAILURE)
    if not check:
        refusals.write()
    elif not refusals.current():
        raise Told(f"{refusals.FILE} is not current; run `make schema`", FAILURE)


def _from_journal(path: Path, read: Callable[[Journal], T]) -> T:
    """What `read` finds in the journal of a configuration's state directory."""
    folder = state_dir(path)
    if not (folder / FILE).is_file():
        raise Told(f"{folder} holds no journal; no daemon ever ran there{rehearsed(path)}", DATA)
    try:
        journal = Journal(folder)
        try:
            return read(journal)
        finally:
            journal.close()
    except JournalError as error:
        raise Told(str(error), FAILURE) from error


def _command(path: Path, verb: str, as_json: bool, consequence: str) -> None:
    reply = ask(path, verb)
    click.echo(json.dumps(reply) if as_json else consequence)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{k} {v}" for k, v in value.items())
    return "–" if value is None else str(value)


def _end(outcome: Callable[[], int]) -> None:
    from daemon.runner import Ended

    try:
        code = outcome()
    except Ended as error:
        raise Told(str(error), error.exit_code) from error
    sys.exit(code)


for added in (*MIGRATING, *BACKING_UP, *RETRAINING, *SWAPPING, *DRIFT, *UNIT):
    main.add_command(added)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
