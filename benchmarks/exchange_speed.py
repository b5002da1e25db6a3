"""The local exchange: cost of a bar, of a klines reply, and of a market order through ccxt on loopback."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.local_exchange import LocalExchange

BARS = 2_000
TIMES = 300
SYMBOL = "BTC/USDT:USDT"


def bars(venue: LocalExchange) -> None:
    began = time.perf_counter()
    venue.advance(BARS)
    print(f"advance, nobody listening: {(time.perf_counter() - began) / BARS * 1e3:.3f} ms a bar")


def klines(venue: LocalExchange) -> None:
    times = []
    for _ in range(20):
        began = time.perf_counter()
        urlopen(f"{venue.url}/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=1000").read()
        times.append(time.perf_counter() - began)
    print(f"1,000 klines over REST: {median(times) * 1e3:.1f} ms")


async def orders(venue: LocalExchange) -> None:
    client = venue.ccxt()
    try:
        await client.load_markets()
        await client.set_margin_mode("isolated", SYMBOL)
        sides = ("buy", "sell")
        await timed("market order through ccxt", lambda i: client.create_order(SYMBOL, "market", sides[i % 2], 0.02))
        watching = asyncio.create_task(client.watch_ohlcv(SYMBOL, "1h"))
        await watching
        await timed("advance of a bar, one kline stream heard", lambda _: venue.turn())
    finally:
        await client.close()


async def timed(what: str, call: Callable[[int], Awaitable[object]]) -> None:
    times = []
    for index in range(TIMES):
        began = time.perf_counter()
        await call(index)
        times.append((time.perf_counter() - began) * 1e3)
    print(f"{what}: p50 {median(times):.2f} ms, p99 {quantiles(times, n=100)[98]:.2f} ms")


def main() -> None:
    venue = LocalExchange(bars=BARS + 2 * TIMES)
    try:
        bars(venue)
        klines(venue)
        asyncio.run(orders(venue))
    finally:
        venue.stop()


if __name__ == "__main__":
    main()
