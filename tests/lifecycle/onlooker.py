"""The onlooker: hears the exchange's closing klines on a socket of its own, and when they came.

What the daemon says of its own delays is checked against this: from the instant a closing frame was on the wire until
the decision stood in the journal, whatever happened in between.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time

import aiohttp

from tests.lifecycle.market import SYMBOL


class Onlooker:
    """A thread with a socket; it ends with the exchange, or when told to.

    Attributes
    ----------
    closed : dict
        Open time of each candle whose closing frame was heard (ms) -> wall clock then (ms).
    """

    def __init__(self, ws_url: str) -> None:
        self.closed: dict[int, int] = {}
        self._url = ws_url.removesuffix("/ws") + "/market/ws"
        self._loop = asyncio.new_event_loop()
        self._hears = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="onlooker", daemon=True)

    def __enter__(self) -> Onlooker:
        self._thread.start()
        if not self._hears.wait(30):
            raise RuntimeError(f"the onlooker hears nothing at {self._url}")
        return self

    def __exit__(self, *failure: object) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        self._task = self._loop.create_task(self._listen())
        try:
            self._loop.run_until_complete(self._task)
        except (asyncio.CancelledError, aiohttp.ClientError):
            pass
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        wanted = {"method": "SUBSCRIBE", "params": [f"{SYMBOL.lower()}@kline_1h"], "id": 1}
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            await socket.send_json(wanted)
            async for frame in socket:
                now_ms = time.time_ns() // 1_000_000
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                self._hears.set()
                told = json.loads(frame.data)
                kline = told.get("data", told).get("k")
                if kline and kline["x"]:
                    self.closed.setdefault(int(kline["t"]), now_ms)
