"""The daemon's commands: ``python -m daemon run|rehearse|status|why|pause|resume|flatten|doctor|schema``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from configs import ConfigError
from configs.schema import schema_is_current, write_schema
from daemon import control
from daemon.config import DaemonConfig, Mode, load_config
from daemon.journal import FILE, Journal, JournalError
from market.instruments import cash_text
from market.timeframes import utc_text
from strategy.live_config import LiveConfig

if TYPE_CHECKING:
    from daemon.runner import Connect

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FAILURE, NOT_RUNNING, CONFIGURATION, TIMEOUT, DATA = 1, 3, 4, 5, 7
REHEARSAL_SPEED = "3600"
SCHEMAS = ((DaemonConfig, CONFIGS / "daemon.schema.json"), (LiveConfig, CONFIGS / "live_config.schema.json"))

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=CONFIGS / "sandbox.yaml", show_default=True,
    help="Configuration file.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
candles_option = click.option("--candles", type=click.IntRange(1), help="End after so many decided candles.")


class Told(click.ClickException):
    """A failure that says what, where and what to do, with its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(line, err=True)


@click.group()
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
    config = _config(path)
    if live != (config.mode is Mode.LIVE):
        told = "mode: live trades on a real account; say so with --live as well"
        raise Told(told if not live else f"--live, but {path} says mode: {config.mode}", CONFIGURATION)
    from daemon.runner import run_daemon

    _end(lambda: run_daemon(config, candles, as_json, connect))


@main.command()
@config_option
@candles_option
@json_option
@click.option("--data", type=click.Path(path_type=Path, exists=True), multiple=True, help="Parquet klines to replay.")
@click.option("--funding", type=click.Path(path_type=Path, exists=True), multiple=True, help="Their funding rates.")
@click.option("--speed", default=REHEARSAL_SPEED, show_default=True, help="Times real pace.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the synthetic market.")
def rehearse(
    path: Path, candles: int | None, as_json: bool, data: tuple[Path, ...], funding: tuple[Path, ...], speed: str,
    seed: int,
) -> None:  # fmt: skip
    """Start the local exchange, on the synthetic market or DATA, and trade on it; the journal starts anew."""
    config = _config(path)
    if config.mode is not Mode.SANDBOX:
        raise Told(f"{path} says mode: {config.mode}; a rehearsal is for mode: sandbox", CONFIGURATION)
    from daemon.runner import run_rehearsal

    pace = ["--speed", speed, "--seed", str(seed)]
    _end(lambda: run_rehearsal(config, candles, as_json, list(data), list(funding), pace))


@main.command()
@config_option
@json_option
def status(path: Path, as_json: bool) -> None:
    """What a running daemon is doing."""
    reply = _ask(path, "status")
    if as_json:
        click.echo(json.dumps(reply))
        return
    table = Table.grid(padding=(0, 2))
    for key, value in reply.items():
        for number, line in enumerate(value if isinstance(value, list) else [value]):
            table.add_row(key if number == 0 else "", _plain(line))
    Console().print(table)


@main.command()
@config_option
@json_option
@click.option("--symbol", help="Only this one.")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="How many, newest first.")
def why(path: Path, as_json: bool, symbol: str | None, count: int) -> None:
    """The last decisions and their reasons, from the journal; works without a running daemon."""
    folder = _config(path).state_dir
    if not (folder / FILE).is_file():
        raise Told(f"{folder} holds no journal; nothing was ever decided there", DATA)
    try:
        rows = Journal(folder).decisions(count, symbol)
    except JournalError as error:
        raise Told(str(error), FAILURE) from error
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        numbers = f" ({row['detail']})" if row["detail"] else ""
        known = f"equity {cash_text(row['equity'])} · {row['model_set']}"
        click.echo(f"{utc_text(row['bar'])} {row['symbol']} {row['action']}: {row['reason']}{numbers} · {known}")


@main.command()
@config_option
@json_option
def pause(path: Path, as_json: bool) -> None:
    """No more entries; open positions go on being looked after."""
    _command(path, "pause", as_json)


@main.command()
@config_option
@json_option
def resume(path: Path, as_json: bool) -> None:
    """Entries again."""
    _command(path, "resume", as_json)


@main.command()
@config_option
@json_option
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds.")
def flatten(path: Path, as_json: bool, timeout_s: float) -> None:
    """Close every position at market now, and pause; returns once all is flat."""
    _command(path, "flatten", as_json)
    deadline = time.monotonic() + timeout_s
    while left := _ask(path, "status").get("positions"):
        if time.monotonic() > deadline:
            names = ", ".join(p["symbol"] for p in left)
            raise Told(f"not flat after {timeout_s:g} s: {names}; look at `python -m daemon status`", TIMEOUT)
        time.sleep(0.1)


@main.command()
@config_option
@json_option
def doctor(path: Path, as_json: bool) -> None:
    """Check what the daemon needs: configuration, model set, disk, exchange, clock, account."""
    import asyncio

    from daemon.doctor import Finding, examine

    async def findings() -> list[Finding]:
        return [finding async for finding in examine(path)]

    found = asyncio.run(findings())
    if as_json:
        click.echo(json.dumps([{"what": f.what, "good": f.good, "text": f.text} for f in found]))
    else:
        for finding in found:
            mark = click.style("good", fg="green") if finding.good else click.style("BAD ", fg="red")
            click.echo(f"{mark}  {finding.what}: {finding.text}")
    bad = [f for f in found if not f.good]
    if bad:
        sys.exit(CONFIGURATION if bad[0].what == "configuration" else FAILURE)


@main.command()
@click.option("--check", is_flag=True, help="Only say whether they are current.")
def schema(check: bool) -> None:
    """Write the JSON Schemas of the configuration files."""
    for model, file in SCHEMAS:
        if not check:
            write_schema(model, file)
        elif not schema_is_current(model, file):
            raise Told(f"{file} is not current; run `make schema`", FAILURE)


def _config(path: Path) -> DaemonConfig:
    try:
        return load_config(path)
    except ConfigError as error:
        raise Told("\n".join(error.lines), CONFIGURATION) from error


def _ask(path: Path, verb: str) -> dict[str, Any]:
    try:
        reply = control.request(_config(path).state_dir, verb)
    except control.NotRunning as error:
        raise Told(str(error), NOT_RUNNING) from error
    except control.NoAnswer as error:
        raise Told(str(error), TIMEOUT) from error
    if "error" in reply:
        raise Told(str(reply["error"]), FAILURE)
    return reply


def _command(path: Path, verb: str, as_json: bool) -> None:
    reply = _ask(path, verb)
    click.echo(json.dumps(reply) if as_json else f"{verb}: taken")


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


if __name__ == "__main__":
    main()
