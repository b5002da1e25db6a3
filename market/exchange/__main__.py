"""The exchange as a process: ``python -m market.exchange``; prints one JSON line with its port once it serves."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
import orjson
from aiohttp import web
from click.core import ParameterSource

from market import fills, history, instruments, synthetic
from market.aggregate import AggregationError, aggregate
from market.candles import Candles
from market.catalogue import instrument
from market.exchange.account import Costs
from market.exchange.binance.signing import Gate
from market.exchange.replay import ReplayError
from market.exchange.server import Server
from market.exchange.venue import History, Venue
from market.timeframes import Timeframe, TimeframeError

log = logging.getLogger("market.exchange")

WARMUP_BARS = 2_000
SYNTHETIC_BARS = 20_000
EXIT_FAILURE, EXIT_DATA = 1, 7
EXCHANGE = "binanceusdm"
MIRRORED = Timeframe.parse("1m")
PLAYED = ("data", "funding", "speed", "start_at", "warmup", "bars", "seed", "signal", "exit_at_end", "slippage")


class DataProblem(click.ClickException):
    """The history asked for is missing, broken or does not fit."""

    exit_code = EXIT_DATA


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
@click.option("--mirror", help="Follow a live exchange instead: binanceusdm, or the address of another local exchange.")
@click.option(
    "--quiet-after",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="With --mirror: seconds of silence after which prices are no longer trusted.",
)
@click.option("--timeframe", callback=_timeframe, help="Base timeframe [that of the data; synthetic: 1h; mirror: 1m].")
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
@click.option("--exit-at-end", is_flag=True, help="End once the data is played; otherwise go on serving.")
@click.pass_context
def main(
    context: click.Context,
    data: list[str],
    symbols: list[str],
    funding: list[str],
    mirror: str | None,
    quiet_after: float,
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
    exit_at_end: bool,
) -> None:
    """A local exchange that speaks Binance USDT-M futures: replaying history, or a synthetic market, or mirroring a
    live exchange in real time, with an account of its own.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if mirror is not None:
        _check_mirror(context, mirror)
        costs = Costs(taker_fee, maker_fee, slippage)
        gate = Gate({key: secret})
        follow = _follow(mirror, symbols, timeframe or MIRRORED, quiet_after, cash, costs, gate, host, port)
        sys.exit(asyncio.run(follow))
    if start_at is not None and warmup is not None:
        raise click.UsageError("--start-at and --warmup both say where to start; give one")
    for what, given in (("--data", data), ("--funding", funding)):
        if given and len(given) != len(symbols):
            raise click.UsageError(f"{what} names {len(given)} files for {len(symbols)} symbols ({', '.join(symbols)})")
    try:
        if data:
            histories = _recorded(data, symbols, funding, timeframe)
        else:
            count = (warmup or WARMUP_BARS) + (bars or SYNTHETIC_BARS)
            histories = _synthetic(symbols, count, timeframe or Timeframe.parse("1h"), seed, signal)
        venue = Venue.replaying(
            histories,
            start=start_at if start_at is not None else _after_warmup(histories, warmup),
            bars=bars,
            cash=cash,
            costs=Costs(taker_fee, maker_fee, slippage),
            wall_ms=lambda: time.time_ns() // 1_000_000,
        )
    except instruments.InstrumentError as error:
        raise click.UsageError(str(error)) from error
    except (history.HistoryError, AggregationError, TimeframeError, ReplayError, synthetic.SyntheticError) as error:
        raise DataProblem(str(error)) from error
    server = Server(venue, Gate({key: secret}), manual=speed is None)
    sys.exit(asyncio.run(_play(server, venue, speed, host, port, exit_at_end)))


def _check_mirror(context: click.Context, mirror: str) -> None:
    """A mirror runs with the live market: nothing that says how history is played goes with it."""
    if mirror != EXCHANGE and not re.fullmatch(r"https?://[^/\s]+/?", mirror):
        raise click.BadParameter(f"{mirror!r}: write {EXCHANGE}, or an address such as http://127.0.0.1:18080")
    for name in PLAYED:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--mirror runs with the live market; --{name.replace('_', '-')} does not go with it"
            )


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


async def _play(server: Server, venue: Venue, speed: float | None, host: str, port: int, exit_at_end: bool) -> int:
    clock = server.clock
    assert clock is not None
    run = None if speed is None else lambda: clock.run(speed)
    return await _serve(server, venue, host, port, run, clock.ended if exit_at_end else None)


async def _follow(
    where: str,
    symbols: list[str],
    finest: Timeframe,
    quiet_s: float,
    cash: int,
    costs: Costs,
    gate: Gate,
    host: str,
    port: int,
) -> int:
    from market.exchange.mirror.mirror import Mirror  # ccxt: two seconds and 100 MB, which a replay need not pay
    from market.exchange.mirror.upstream import UpstreamError
    from market.exchange.mirror.wire import Unreadable

    mirror = Mirror(where, symbols, finest, quiet_s)
    try:
        engine = await mirror.open(cash, costs)
    except (UpstreamError, Unreadable) as error:
        await mirror.close()
        log.error("cannot mirror %s", error)
        return EXIT_FAILURE
    venue = Venue(engine, mirror, lambda: time.time_ns() // 1_000_000)
    server = Server(venue, gate, manual=False)
    return await _serve(server, venue, host, port, lambda: mirror.run(server.hub), None)


async def _serve(
    server: Server,
    venue: Venue,
    host: str,
    port: int,
    run: Callable[[], Coroutine[None, None, None]] | None,
    ended: asyncio.Event | None,
) -> int:
    """Serve until a signal, or until `ended`; `run` moves the market by itself."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            log.error("cannot listen on %s port %s: %s; choose another --port, or 0", host, port, error.strerror)
            return EXIT_FAILURE
        stop = _listen_to_signals()
        port = runner.addresses[0][1]
        ready = {"port": port, "url": f"http://{host}:{port}", "ws_url": f"ws://{host}:{port}/ws"}
        click.echo(orjson.dumps(ready | {"market_time": venue.replay.time}).decode())
        await _until_ended(stop, run, ended)
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


async def _until_ended(
    stop: asyncio.Event, run: Callable[[], Coroutine[None, None, None]] | None, ended: asyncio.Event | None
) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, ended) if event is not None]
    runs = [] if run is None else [asyncio.create_task(run())]
    await asyncio.wait([*waits, *runs], return_when=asyncio.FIRST_COMPLETED)
    for over in runs:
        if over.done():
            over.result()
            log.info("all bars are played")
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for over in runs:
        over.cancel()
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


if __name__ == "__main__":
    main()
