"""The exchange as a process: ``python -m market.exchange``; prints one JSON line with its port once it serves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal as signals
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import configs
from configs import ConfigError
from market import arguments, fills, history, instruments, synthetic
from market.aggregate import AggregationError, aggregate
from market.candles import Candles
from market.catalogue import instrument
from market.exchange.account import Costs
from market.exchange.codec import Codec
from market.exchange.codecs import CODECS
from market.exchange.faults.scenario import Rule, Scenario
from market.exchange.fidelity import Fidelity, fidelity_options
from market.exchange.replay import ReplayError
from market.exchange.server import Server
from market.exchange.serving import EXIT_FAILURE, Door, play, serve
from market.exchange.store import StoreError
from market.exchange.venue import History, Venue
from market.timeframes import Timeframe, TimeframeError

log = logging.getLogger("market.exchange")

WARMUP_BARS = 2_000
SYNTHETIC_BARS = 20_000
EXIT_CONFIGURATION, EXIT_DATA = 4, 7
MIRRORED = Timeframe.parse("1m")
PLAYED = ("data", "funding", "speed", "start_at", "warmup", "bars", "signal", "exit_at_end", "slippage")


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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--venue",
    "dialect",
    type=click.Choice(sorted(CODECS)),
    default="binance",
    show_default=True,
    help="The dialect it speaks: Binance USDT-M, or Bybit v5 linear.",
)
@click.option("--data", callback=_list, help="Parquet histories, comma-separated, one a symbol; synthetic without.")
@click.option("--symbols", callback=_list, default="BTCUSDT", show_default=True, help="Symbols, comma-separated.")
@click.option("--funding", callback=_list, help="Parquet funding histories, one a symbol; none is charged without.")
@click.option(
    "--mirror",
    callback=arguments.mirrored,
    help="Follow a live exchange instead: binanceusdm, or the address of another local exchange.",
)
@click.option(
    "--quiet-after",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="With --mirror: seconds of silence after which prices are no longer trusted.",
)
@click.option(
    "--late-by",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="With --mirror: a missed close is passed on if it is at most so many seconds old; older ones are history.",
)
@click.option("--timeframe", callback=_timeframe, help="Base timeframe [that of the data; synthetic: 1h; mirror: 1m].")
@click.option(
    "--speed", callback=arguments.speed, default="manual", show_default=True, help="manual, real, or times real pace."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0: every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port.")
@click.option("--start-at", callback=_instant, help="Open time of the first bar traded in: UTC date, time, or ms.")
@click.option("--warmup", type=click.IntRange(1), help=f"Bars served as history before the start [{WARMUP_BARS}].")
@click.option("--bars", type=click.IntRange(1), help=f"Bars to play [all; synthetic: {SYNTHETIC_BARS}].")
@click.option("--cash", callback=_cash, default="10000", show_default=True, help="First deposit, USDT.")
@click.option("--taker-fee", callback=_ppm, default="0.0005", show_default=True, help="A fraction of the notional.")
@click.option("--maker-fee", callback=_ppm, default="0.0002", show_default=True, help="A fraction of the notional.")
@click.option(
    "--slippage",
    callback=_ppm,
    default="0.0001",
    show_default=True,
    help="How much worse a market order fills than the price, a fraction of it.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Of the synthetic market, and of partial fills.",
)
@click.option(
    "--signal",
    type=click.FloatRange(0, 1),
    default=synthetic.SIGNAL,
    show_default=True,
    help="Strength of the drift planted in the synthetic market; 0 leaves nothing to learn.",
)
@click.option("--key", default="local", show_default=True, help="API key.")
@click.option("--secret", default="local", show_default=True, help="API secret.")
@click.option("--faults", type=click.Path(path_type=Path), help="Scenario file: which messages are struck, and how.")
@click.option("--fault-seed", type=click.IntRange(0), default=1, show_default=True, help="Of faults by probability.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM): serve https and wss.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@fidelity_options
@click.option(
    "--until-stdin-ends",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda c, p, on: _tether(on),
    help="End when standard input ends: with the process that holds its other end, however that dies.",
)
@click.option("--exit-at-end", is_flag=True, help="End once the data is played; otherwise go on serving.")
def main(
    dialect: str,
    data: list[str],
    symbols: list[str],
    funding: list[str],
    mirror: str | None,
    quiet_after: float,
    late_by: float,
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
    exit_at_end: bool,
    **fidelity: Any,
) -> None:
    """A local exchange that speaks Binance USDT-M or Bybit v5 linear: replaying history or a synthetic market, or
    mirroring a live exchange in real time, with an account of its own.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if not symbols:
        raise click.UsageError("--symbols names none; write BTCUSDT, or a few, comma-separated")
    rules = () if faults is None else _scenario(faults)
    costs = Costs(taker_fee, maker_fee, slippage)
    opened = partial(
        _open,
        dialect=dialect,
        secrets={key: secret},
        rules=rules,
        fault_seed=fault_seed,
        fidelity=Fidelity(**fidelity, seed=seed),
    )
    door = Door(host, port, _tls(tls_cert, tls_key))
    if mirror is not None:
        _check_mirror()
        follow = _follow(mirror, symbols, timeframe or MIRRORED, quiet_after, late_by, cash, costs, opened, door)
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
            costs=costs,
            wall_ms=wall_ms,
        )
    except instruments.InstrumentError as error:
        raise click.UsageError(str(error)) from error
    except (history.HistoryError, AggregationError, TimeframeError, ReplayError, synthetic.SyntheticError) as error:
        raise DataProblem(str(error)) from error
    server, codec = opened(venue, manual=speed is None)
    sys.exit(asyncio.run(play(server, codec, door, speed, exit_at_end)))


def _tether(wanted: bool) -> None:
    """Have SIGTERM come once standard input ends, where that is wanted; a killed parent cannot send one."""

    def wait() -> None:
        while os.read(0, 65_536):  # unbuffered: a thread that holds the buffer's lock aborts the interpreter's end
            pass
        os.kill(os.getpid(), signals.SIGTERM)

    if wanted:
        threading.Thread(target=wait, name="tether", daemon=True).start()


def _open(
    venue: Venue,
    dialect: str,
    secrets: dict[str, str],
    rules: Sequence[Rule],
    fault_seed: int,
    fidelity: Fidelity,
    manual: bool,
) -> tuple[Server, Codec]:
    """A server of the venue in its dialect, as faithful as asked for, with the faults of a scenario armed."""
    try:
        fidelity.apply(venue)
    except StoreError as error:
        raise DataProblem(f"--state {error}") from error
    codec = CODECS[dialect](venue, secrets)
    server = Server(venue, codec, manual=manual, fault_seed=fault_seed)
    server.faults.arm(rules)
    return server, codec


def _check_mirror() -> None:
    """A mirror runs with the live market: nothing that says how history is played goes with it."""
    context = click.get_current_context()
    for name in PLAYED:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"--mirror runs with the live market; {flag} does not go with it")


async def _follow(
    where: str,
    symbols: list[str],
    finest: Timeframe,
    quiet_s: float,
    late_s: float,
    cash: int,
    costs: Costs,
    opened: Callable[..., tuple[Server, Codec]],
    door: Door,
) -> int:
    from market.exchange.mirror.mirror import Mirror  # ccxt: two seconds and 100 MB, which a replay need not pay
    from market.exchange.mirror.upstream import UpstreamError
    from market.exchange.mirror.wire import Unreadable

    mirror = Mirror(where, symbols, finest, quiet_s, late_s)
    try:
        venue = Venue(await mirror.open(cash, costs), mirror, wall_ms)
        server, codec = opened(venue, manual=False)  # its state, where it keeps one, before anything is learnt
        await mirror.learn()
    except (UpstreamError, Unreadable) as error:
        await mirror.close()
        log.error("cannot mirror %s", error)
        return EXIT_FAILURE
    except click.ClickException:
        await mirror.close()
        raise
    return await serve(server, codec, door, lambda: mirror.run(server.hub))


def wall_ms() -> int:
    """The wall clock, UTC ms."""
    return time.time_ns() // 1_000_000


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


if __name__ == "__main__":
    main()
