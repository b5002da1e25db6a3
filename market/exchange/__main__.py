"""The exchange as a process: ``python -m market.exchange``; prints one JSON line with its port once it serves."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
from aiohttp import web

import configs
from configs import ConfigError
from market import fills, history, instruments, synthetic
from market.aggregate import AggregationError, aggregate
from market.candles import Candles
from market.catalogue import instrument
from market.exchange.account import Costs
from market.exchange.binance.signing import Gate
from market.exchange.faults.scenario import Rule, Scenario
from market.exchange.fidelity import Fidelity, fidelity_options
from market.exchange.replay import ReplayError
from market.exchange.server import Server
from market.exchange.store import Store, StoreError
from market.exchange.venue import History, Venue
from market.timeframes import Timeframe, TimeframeError

log = logging.getLogger("market.exchange")

WARMUP_BARS = 2_000
SYNTHETIC_BARS = 20_000
EXIT_FAILURE, EXIT_CONFIGURATION, EXIT_DATA = 1, 4, 7


class DataProblem(click.ClickException):
    """The history asked for is missing, broken or does not fit."""

    exit_code = EXIT_DATA


class BrokenScenario(click.ClickException):
    """The scenario file cannot be used; every mistake with its line."""

    exit_code = EXIT_CONFIGURATION


def _list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()] if value else []


def _timeframe(context: click.Context, parameter: click.Parameter, value: str | None) -> Timeframe | None:
    try:
        return None if value is None else Timeframe.parse(value)
    except TimeframeError as error:
        raise click.BadParameter(str(error)) from error


def _ppm(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        exact = Decimal(value) * fills.PPM
    except InvalidOperation as error:
        raise click.BadParameter(f"{value!r} is not a number; write a fraction such as 0.0005") from error
    if exact != int(exact) or not 0 <= exact < fills.PPM:
        raise click.BadParameter(f"{value} must be a fraction in [0, 1) of at most six digits, such as 0.0005")
    return int(exact)


def _cash(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        return instruments.cash(value)
    except (InvalidOperation, instruments.InstrumentError) as error:
        raise click.BadParameter(f"{value!r} is not an amount of at most eight digits") from error


def _instant(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None or value.isdecimal():
        return None if value is None else int(value)
    try:
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: write a date, a date and time (UTC), or milliseconds") from error
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _speed(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    if value in ("manual", "real"):
        return None if value == "manual" else 1.0
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"{value!r}: write manual, real, or a positive number for so many times real pace")
    return speed


@click.command()
@click.option("--data", callback=_list, help="Parquet histories, comma-separated, one a symbol; synthetic without.")
@click.option("--symbols", callback=_list, default="BTCUSDT", show_default=True, help="Symbols, comma-separated.")
@click.option("--funding", callback=_list, help="Parquet funding histories, one a symbol; none is charged without.")
@click.option("--timeframe", callback=_timeframe, help="Base timeframe [that of the data; synthetic: 1h].")
@click.option("--speed", callback=_speed, default="manual", show_default=True, help="manual, real, or times real pace.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port.")
@click.option("--start-at", callback=_instant, help="Open time of the first bar traded in: UTC date, time, or ms.")
@click.option("--warmup", type=click.IntRange(1), help=f"Bars served as history before the start [{WARMUP_BARS}].")
@click.option("--bars", type=click.IntRange(1), help=f"Bars to play [all; synthetic: {SYNTHETIC_BARS}].")
@click.option("--cash", callback=_cash, default="10000", show_default=True, help="First deposit, USDT.")
@click.option("--taker-fee", callback=_ppm, default="0.0005", show_default=True)
@click.option("--maker-fee", callback=_ppm, default="0.0002", show_default=True)
@click.option("--slippage", callback=_ppm, default="0.0001", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the synthetic market.")
@click.option("--signal", type=click.FloatRange(0, 1), default=synthetic.SIGNAL, show_default=True)
@click.option("--key", default="local", show_default=True, help="API key.")
@click.option("--secret", default="local", show_default=True, help="API secret.")
@click.option("--faults", type=click.Path(path_type=Path), help="Scenario file: which messages are struck, and how.")
@click.option("--fault-seed", type=click.IntRange(0), default=1, show_default=True, help="Of faults by probability.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM): serve https and wss.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@fidelity_options
@click.option(
    "--state", type=click.Path(path_type=Path, dir_okay=False), help="SQLite file that keeps the account; continued."
)
@click.option("--exit-at-end", is_flag=True, help="End once the data is played; otherwise go on serving.")
def main(
    data: list[str],
    symbols: list[str],
    funding: list[str],
    timeframe: Timeframe | None,
    speed: float | None,
    host: str,
    port: int,
    start_at: int | None,
    warmup: int | None,
    bars: int | None,
    cash: int,
    taker_fee: int,
    maker_fee: int,
    slippage: int,
    seed: int,
    signal: float,
    key: str,
    secret: str,
    faults: Path | None,
    fault_seed: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    state: Path | None,
    exit_at_end: bool,
    **fidelity: Any,
) -> None:
    """A local exchange that speaks Binance USDT-M futures, replaying history or a synthetic market."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if start_at is not None and warmup is not None:
        raise click.UsageError("--start-at and --warmup both say where to start; give one")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    rules = () if faults is None else _scenario(faults)
    for what, given in (("--data", data), ("--funding", funding)):
        if given and len(given) != len(symbols):
            raise click.UsageError(f"{what} names {len(given)} files for {len(symbols)} symbols ({', '.join(symbols)})")
    try:
        if data:
            histories = _recorded(data, symbols, funding, timeframe)
        else:
            count = (warmup or WARMUP_BARS) + (bars or SYNTHETIC_BARS)
            histories = _synthetic(symbols, count, timeframe or Timeframe.parse("1h"), seed, signal)
        venue = Venue(
            histories,
            start=start_at if start_at is not None else _after_warmup(histories, warmup),
            bars=bars,
            cash=cash,
            costs=Costs(taker_fee, maker_fee, slippage),
            wall_ms=lambda: time.time_ns() // 1_000_000,
        )
        Fidelity(**fidelity).apply(venue, seed)
        if state is not None:
            store = Store(state)
            log.info("continuing %s" if store.restore(venue) else "keeping the account in %s", state)
            venue.keep = partial(store.save, venue)
            venue.drain()
    except instruments.InstrumentError as error:
        raise click.UsageError(str(error)) from error
    except StoreError as error:
        raise DataProblem(f"--state {error}") from error
    except (history.HistoryError, AggregationError, TimeframeError, ReplayError, synthetic.SyntheticError) as error:
        raise DataProblem(str(error)) from error
    server = Server(venue, Gate({key: secret}), manual=speed is None, fault_seed=fault_seed)
    server.faults.arm(rules)
    sys.exit(asyncio.run(_serve(server, venue, speed, host, port, _tls(tls_cert, tls_key), exit_at_end)))


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        told = (
            f"--tls-cert {certificate} and --tls-key {key} are no certificate with its key: {error.strerror or error}"
        )
        raise click.UsageError(told) from error
    return context


def _scenario(file: Path) -> tuple[Rule, ...]:
    try:
        return configs.load(file, Scenario).faults
    except ConfigError as error:
        raise BrokenScenario("\n".join(error.lines)) from error


def _recorded(data: list[str], symbols: list[str], funding: list[str], timeframe: Timeframe | None) -> list[History]:
    histories: list[History] = []
    for index, symbol in enumerate(symbols):
        candles = history.read(Path(data[index]))
        if timeframe is not None and timeframe != candles.timeframe:
            candles = aggregate(candles, timeframe)
        rates = history.read_funding(Path(funding[index])) if funding else None
        histories.append((instrument(symbol), candles, rates))
    return histories


def _synthetic(symbols: list[str], bars: int, timeframe: Timeframe, seed: int, signal: float) -> list[History]:
    made: list[History] = []
    for symbol in symbols:
        candles, rates = synthetic.generate(symbol, bars=bars, timeframe=timeframe, seed=seed, signal=signal)
        made.append((instrument(symbol), candles, rates))
    return made


def _after_warmup(histories: list[History], warmup: int | None) -> int:
    """Open time of the first bar after the warm-up, at which every symbol has one."""
    columns: list[Candles] = [candles for _, candles, _ in histories]
    latest = max(columns, key=lambda candles: int(candles.open_time[0]) if len(candles) else 0)
    skipped = min(WARMUP_BARS, len(latest) // 2) if warmup is None else warmup
    if skipped >= len(latest):
        raise ReplayError(f"{len(latest)} candles leave nothing to play after {skipped} of warm-up; lower --warmup")
    return int(latest.open_time[skipped])


async def _serve(
    server: Server,
    venue: Venue,
    speed: float | None,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    exit_at_end: bool,
) -> int:
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            log.error("cannot listen on %s port %s: %s; choose another --port, or 0", host, port, error.strerror)
            return EXIT_FAILURE
        stop = _listen_to_signals()
        port = runner.addresses[0][1]
        safe = "s" if tls else ""
        ready = {"port": port, "url": f"http{safe}://{host}:{port}", "ws_url": f"ws{safe}://{host}:{port}/ws"}
        click.echo(orjson.dumps(ready | {"market_time": venue.replay.time}).decode())
        await _until_ended(server, stop, speed, exit_at_end)
        return 0
    finally:
        await runner.cleanup()


def _listen_to_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; in place before anybody is told that the exchange serves."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _until_ended(server: Server, stop: asyncio.Event, speed: float | None, exit_at_end: bool) -> None:
    waits = [asyncio.create_task(stop.wait())]
    if exit_at_end:
        waits.append(asyncio.create_task(server.clock.ended.wait()))
    run = None if speed is None else asyncio.create_task(server.clock.run(speed))
    await asyncio.wait([*waits, *([] if run is None else [run])], return_when=asyncio.FIRST_COMPLETED)
    if run is not None and run.done():
        run.result()
        log.info("all bars are played")
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in waits if run is None else [*waits, run]:
        task.cancel()


if __name__ == "__main__":
    main()
