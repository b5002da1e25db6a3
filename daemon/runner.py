"""The runner: gathers what a daemon needs, runs it under signals with somebody looking on, and says how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console

from configs import ConfigError
from daemon import logs
from daemon.alerts import Alerts, AlertsError
from daemon.app import Daemon, ShutdownTimeout
from daemon.backup.archive import BackupError
from daemon.backup.restoring import finish
from daemon.boot import BootError, unsubscribed
from daemon.config import DaemonConfig, Mode, alert_urls
from daemon.gateway import GatewayError
from daemon.inference import MARGIN_CANDLES
from daemon.journal import FILE, Journal, JournalError
from daemon.journal.schema import DATABASE as JOURNAL
from daemon.lock import Lock, LockError
from daemon.migrations.database import MigrationError
from daemon.migrations.standing import upgrade_all
from daemon.recorder import FILE as CANDLES
from daemon.rehearsal import RehearsalError, exchange_options, local_exchange, mirror_options
from daemon.swapping.naming import named
from daemon.view import Lines, LiveView
from market.catalogue import symbol_of
from market.history import HistoryError
from market.timeframes import TimeframeError
from models.inference import Predictor
from models.modelset import STARTER, ModelSetError
from strategy.live_config import load_rules

log = logging.getLogger("daemon.runner")

FAILURE, CONFIGURATION, TIMEOUT, DATA, INTERRUPTED = 1, 4, 5, 7, 130
LOG_FILE = "daemon.log"
EXCHANGE_LOG = "exchange.log"
CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConfigError, CONFIGURATION),
    (AlertsError, CONFIGURATION),
    (BootError, CONFIGURATION),
    (GatewayError, CONFIGURATION),
    (ModelSetError, DATA),
    (HistoryError, DATA),
    (TimeframeError, DATA),
    (RehearsalError, FAILURE),
    (ShutdownTimeout, TIMEOUT),
    (LockError, FAILURE),
    (JournalError, FAILURE),
    (MigrationError, FAILURE),
    (BackupError, FAILURE),
    (OSError, FAILURE),
)


Connect = Callable[[], aiohttp.ClientSession]
"""Makes the session through which the exchange is reached."""


class Ended(Exception):
    """The daemon did not start or did not end well; with the exit code that says which."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_daemon(config: DaemonConfig, candles: int | None, as_json: bool, connect: Connect | None = None) -> int:
    """Run a daemon on the exchange of its configuration, reached through `connect`'s session where there is one.

    Gives the exit code, or raises Ended.
    """

    async def work() -> int:
        session = connect() if connect else None
        try:
            return await _attended(config, _predictor(config), candles, as_json, session)
        finally:
            if session is not None:
                await session.close()

    return _told(config, as_json, work)


def run_rehearsal(
    config: DaemonConfig, candles: int | None, as_json: bool, data: list[Path], funding: list[Path], pace: list[str]
) -> int:
    """Run a daemon and a local exchange for it, in a directory of their own: the last rehearsal's journal gives way."""
    symbols = [symbol_of(path) or config.symbols[0] for path in data] or list(config.symbols)
    config = config.replaced(state_dir=config.rehearsal_dir, symbols=tuple(symbols))

    async def work() -> int:
        predictor = _predictor(config)
        lookback = predictor.manifest.warmup + MARGIN_CANDLES + 1
        options = exchange_options(data, symbols, funding, config.decision, lookback, config.finest)
        async with local_exchange([*options, *pace], config.state_dir / EXCHANGE_LOG) as url:
            for name in (FILE, CANDLES):
                for file in config.state_dir.glob(f"{name}*"):
                    file.unlink()
            exchange = config.exchange.model_copy(update={"url": url})
            return await _attended(config.replaced(exchange=exchange), predictor, candles, as_json)

    return _told(config, as_json, work)


def run_paper(config: DaemonConfig, where: str, candles: int | None, as_json: bool) -> int:
    """Run a daemon and a local exchange that mirrors the one at `where`; the account in the state directory goes on."""

    async def work() -> int:
        predictor = _predictor(config)
        async with local_exchange(mirror_options(config, where), config.state_dir / EXCHANGE_LOG) as url:
            exchange = config.exchange.model_copy(update={"url": url})
            return await _attended(config.replaced(exchange=exchange), predictor, candles, as_json)

    return _told(config, as_json, work)


def _told(config: DaemonConfig, as_json: bool, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Under the lock and with logs set up, every known failure becomes one message and one exit code."""
    try:
        with _held(config):
            logs.set_up(config.log_level, config.state_dir / LOG_FILE if _pictured(as_json) else None)
            return asyncio.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except tuple(kind for kind, _ in CODES) as error:
        raise Ended(str(error), next(code for kind, code in CODES if isinstance(error, kind))) from error


@contextmanager
def _held(config: DaemonConfig) -> Iterator[None]:
    """The state directory, made where it is not there, under its lock.

    Raises
    ------
    ConfigError
        If there can be no such directory.
    LockError
        If another daemon holds it.
    """
    lock = Lock(config.state_dir)
    try:
        lock.take()
    except OSError as error:
        in_the_way = next((p for p in (config.state_dir, *config.state_dir.parents) if p.is_file()), None)
        because = f"{in_the_way} is a file" if in_the_way else f"{error.filename}: {error.strerror}"
        told = f"{config.file}: state_dir: {config.state_dir} cannot be used: {because}"
        raise ConfigError([f"{told}; name a folder that can be made and written to"]) from error
    try:
        yield
    finally:
        lock.release()


def _pictured(as_json: bool) -> bool:
    return not as_json and sys.stdout.isatty()


def _predictor(config: DaemonConfig) -> Predictor:
    """The model set asked for, opened and verified.

    Raises
    ------
    ModelSetError
        If there is none of that name, or it cannot be used.
    ConfigError
        If it does not fit the configuration.
    """
    try:
        folder = named(config)
    except ModelSetError as error:
        raise ModelSetError(error.what, error.where, f"{error.remedy}\n{_how_to_get_one(config)}") from error
    predictor = Predictor.load(folder, config.provider)
    if predictor.timeframe != config.decision:
        told = f"model set {predictor.id} reads {predictor.timeframe} candles"
        raise ConfigError([f"{told}, decision_timeframe is {config.decision}; make them agree"])
    needed, missed = unsubscribed(predictor.manifest, config)
    if needed:
        raise ConfigError([f"{config.file}: {told}" for told in needed])
    if missed and config.mode is Mode.LIVE:
        # what was judged is what trades: the fallback is for a hole in the candles, not for ever
        raise ConfigError([f"{config.file}: {told}" for told in missed])
    for told in missed:
        log.warning("%s: %s; until then predictions are made without it", config.file, told)
    if config.mode is Mode.LIVE and predictor.model_set.path.parent.name == STARTER:
        told = f"model set {predictor.id} is the starter set, which knows the synthetic market alone"
        raise ConfigError([f"{told}; train one, and name it as model_set, before trading on a real account"])
    return predictor


def _how_to_get_one(config: DaemonConfig) -> str:
    """Which key asked for the model set, where it was looked for, and how to train one for a real market."""
    told = f"{config.file} says model_set: {config.model_set}"
    told += f"; it is looked for in {config.model_sets} (model_sets, relative to that file)"
    if config.mode is Mode.SANDBOX:
        return told
    symbol, timeframe = config.symbols[0], config.decision_timeframe
    return (
        f"{told}\nThe starter set knows the synthetic market alone. Train a set on this one, and name its id, or "
        f"latest, as model_set:\n"
        f"  python -m market history --symbol {symbol} --timeframe {timeframe} --from 2021-01-01\n"
        f"  make train DATA={symbol}-um-{timeframe}.parquet"
    )


async def _attended(
    config: DaemonConfig,
    predictor: Predictor,
    candles: int | None,
    as_json: bool,
    session: aiohttp.ClientSession | None = None,
) -> int:
    """Run the daemon with somebody looking on, and print what it did."""
    alerts = Alerts(alert_urls(config.alerts), config.alerts.level)
    finish(config.state_dir)
    # the lifecycle's file is brought up to date where it is opened: it keeps nobody from looking after positions
    upgrade_all(config.state_dir, config.deadlines.journal_s, (JOURNAL,))
    journal = Journal(config.state_dir, config.deadlines.journal_s)
    daemon = Daemon(config, load_rules(config.rules), predictor, journal, alerts, candles, session)
    _listen_to_signals(daemon)
    picture: asyncio.Task[None] | None = None
    lines: Lines | None = None
    if _pictured(as_json):
        view = LiveView(daemon, Console())
        daemon.watchers.append(view)
        picture = asyncio.create_task(view.run())
    elif not as_json:
        lines = Lines(daemon, Console(width=10_000))
        daemon.watchers.append(lines)
    try:
        summary = await daemon.run()
    finally:
        if picture is not None:
            picture.cancel()
            await asyncio.gather(picture, return_exceptions=True)
        if lines is not None:
            lines.close()
        logs.flush()
    click.echo(json.dumps(summary) if as_json else _last_line(summary))
    if daemon.failure:
        raise Ended(daemon.failure, FAILURE)
    return 0


def _last_line(summary: dict[str, Any]) -> str:
    done = ", ".join(f"{summary[name]} {name}" for name in ("candles", "decisions", "orders", "trades"))
    return f"stopped after {done}; equity {summary['equity']} USDT"


def _listen_to_signals(daemon: Daemon) -> None:
    """The first signal stops the daemon in good order, the second at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def stop(number: signal.Signals) -> None:
        if daemon.stopping and task is not None:
            task.cancel()
        daemon.stop(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    if sys.stdin is not None and sys.stdin.isatty():  # a terminal that is closed is no wish to reload
        loop.add_signal_handler(signal.SIGHUP, stop, signal.SIGHUP)
    else:
        loop.add_signal_handler(signal.SIGHUP, daemon.hang_up)
