"""What a mirror adds: from a frame of the upstream to the same frame of the mirror, both read off sockets here."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.local_exchange import LocalExchange

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT", "DOTUSDT", "LTCUSDT", "TRXUSDT", "UNIUSDT")
SECONDS = 20.0
STREAMS = ("kline_1m", "markPrice@1s", "bookTicker")


async def listen(url: str, until: float) -> dict[str, float]:
    """When each frame came, by what it says."""
    names = [f"{symbol.lower()}@{stream}" for symbol in SYMBOLS for stream in STREAMS]
    came: dict[str, float] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url.replace('http', 'ws')}/market/ws") as socket,
    ):
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        while (left := until - time.perf_counter()) > 0:
            try:
                message = await socket.receive(timeout=left)
            except TimeoutError:
                break
            frame: dict[str, Any] = json.loads(message.data)
            if "e" in frame:
                said = [frame["e"], frame["s"], frame["E"], frame.get("k") or frame.get("p") or frame.get("b")]
                came.setdefault(json.dumps(said), time.perf_counter())
    return came


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    upstream = LocalExchange(symbols=SYMBOLS, timeframe="1m", warmup=300, bars=2_000, speed=40)
    mirror = LocalExchange(mirror=upstream.url, symbols=SYMBOLS, speed=None)
    try:

        async def both() -> list[dict[str, float]]:
            until = time.perf_counter() + SECONDS
            return list(await asyncio.gather(listen(upstream.url, until), listen(mirror.url, until)))

        before = cpu_seconds(mirror.pid)
        told, heard = asyncio.run(both())
        spent = cpu_seconds(mirror.pid) - before
        delays = np.array([heard[said] - came for said, came in told.items() if said in heard]) * 1000
        p50, p99 = np.percentile(delays, (50, 99))
        print(
            f"mirror: {len(delays) / SECONDS:.0f} frames/s of {len(SYMBOLS)} symbols passed on, of {len(told):,} told"
        )
        print(f"mirror: delay p50 {p50:.1f} ms, p99 {p99:.1f} ms; {1000 * spent / len(heard):.2f} ms of CPU a frame")
    finally:
        mirror.stop()
        upstream.stop()


if __name__ == "__main__":
    main()
