"""Serving: a server on its address, one line on standard output once it answers, and an end in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import click
import orjson
from aiohttp import web

from market.exchange.codec import Codec
from market.exchange.server import Server

log = logging.getLogger("market.exchange")

EXIT_FAILURE = 1


@dataclass(frozen=True)
class Door:
    """Where to serve; with a TLS context over https and wss. Port 0 is any free one."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


async def play(server: Server, codec: Codec, door: Door, speed: float | None, exit_at_end: bool) -> int:
    """Serve a replay, by itself at `speed` times real pace, or on command where that is None; returns the exit code."""
    clock = server.clock
    assert clock is not None
    run = None if speed is None else lambda: clock.run(speed)
    return await serve(server, codec, door, run, clock.ended if exit_at_end else None)


async def serve(
    server: Server,
    codec: Codec,
    door: Door,
    run: Callable[[], Coroutine[None, None, None]] | None,
    ended: asyncio.Event | None = None,
) -> int:
    """Serve until a signal, or until `ended`; `run` moves the market by itself. Returns the exit code."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, door.host, door.port, ssl_context=door.tls)
        try:
            await site.start()
        except OSError as error:
            where = f"{door.host} port {door.port}"
            log.error("cannot listen on %s: %s; choose another --port, or 0", where, error.strerror)
            return EXIT_FAILURE
        stop = _listen_to_signals()
        port = runner.addresses[0][1]
        address = f"{'s' if door.tls else ''}://{door.host}:{port}"
        ready = {
            "venue": codec.name,
            "port": port,
            "url": f"http{address}",
            "ws_url": f"ws{address}{codec.socket_base}",
        }
        click.echo(orjson.dumps(ready | {"market_time": codec.venue.replay.time}).decode())
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
