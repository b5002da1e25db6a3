"""An upstream for tests that says what a real exchange once said: recorded rules, replies and frames, over sockets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

MINUTE_MS = 60_000


class RecordedUpstream:
    """Serves the recorded kline frames of a few symbols, and the recorded shapes of all else filled in for them.

    Attributes
    ----------
    url : str
        Its base address.
    klines : list of dict
        The recorded kline frames of its symbols, in order.
    """

    def __init__(self, fixtures: Path, symbols: dict[str, str]) -> None:
        lines = (fixtures / "binance_ws_kline_messages.jsonl").read_text().splitlines()
        messages = [json.loads(line)["msg"] for line in lines]
        self.klines: list[dict[str, Any]] = [m["data"] for m in messages if m["data"]["s"] in symbols]
        self._read = lambda name: json.loads((fixtures / "binance_usdm" / name).read_text())
        self._ticks = symbols
        self._sockets: set[web.WebSocketResponse] = set()
        self._subscribed: set[str] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> RecordedUpstream:
        app = web.Application()
        app.router.add_get("/fapi/v1/{tail:.*}", self._answer)
        app.router.add_get("/{kind}/ws", self._stream)
        app.router.add_get("/{kind}/ws/{stream}", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in list(self._sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def say(self, *frames: Any) -> None:
        """Send frames to every listener, as they are; a text goes out raw."""
        for socket in list(self._sockets):
            for frame in frames:
                await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def subscribed(self, name: str) -> None:
        """Wait until somebody listens to the stream of that name."""
        while name not in self._subscribed:  # noqa: ASYNC110 (the caller's time-out ends it)
            await asyncio.sleep(0.01)

    def mark(self, symbol: str, price: str, time: int) -> dict[str, Any]:
        """A mark price frame of the recorded shape."""
        shape = self._read("ws/mark_price_stream.json")
        return {**shape, "s": symbol, "p": price, "i": price, "P": price, "E": time, "T": time + 8 * 60 * MINUTE_MS}

    def quote(self, symbol: str, bid: str, ask: str, time: int) -> dict[str, Any]:
        """A book ticker frame of the recorded shape."""
        shape = self._read("ws/book_ticker_stream.json")
        return {**shape, "s": symbol, "b": bid, "a": ask, "E": time, "T": time}

    def last(self, symbol: str) -> dict[str, Any]:
        """The first recorded kline of a symbol."""
        frame: dict[str, Any] = next(frame for frame in self.klines if frame["s"] == symbol)
        return frame["k"]  # type: ignore[no-any-return]

    async def _answer(self, request: web.Request) -> web.Response:
        path, symbol = request.match_info["tail"], request.query.get("symbol", "")
        match path:
            case "exchangeInfo":
                return web.json_response(self._rules())
            case "premiumIndex":
                shape = self._read("http/http_futures_market_premium_index.json")
                price = {"symbol": symbol, "markPrice": self.last(symbol)["c"], "indexPrice": self.last(symbol)["c"]}
                return web.json_response(shape | price)
            case "ticker/bookTicker":
                shape = self._read("http/http_futures_market_book_ticker.json")
                price = {"symbol": symbol, "bidPrice": self.last(symbol)["c"], "askPrice": self.last(symbol)["c"]}
                return web.json_response(shape | price)
            case "klines":
                k = self.last(symbol)
                row = [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"], k["V"], k["Q"], "0"]
                return web.json_response([row])
            case "fundingRate" | "fundingInfo":
                return web.json_response([])
        return web.json_response({"code": -5000, "msg": f"no {path} here"}, status=404)

    def _rules(self) -> dict[str, Any]:
        rules: dict[str, Any] = self._read("http/http_futures_market_exchange_info.json")
        shape = rules["symbols"][0]
        rules["symbols"] = []
        for symbol, tick in self._ticks.items():
            filters = [f | ({"tickSize": tick} if f["filterType"] == "PRICE_FILTER" else {}) for f in shape["filters"]]
            filters = [f | ({"stepSize": "1", "minQty": "1"} if "LOT" in f["filterType"] else {}) for f in filters]
            names = {"symbol": symbol, "pair": symbol, "baseAsset": symbol.removesuffix("USDT")}
            rules["symbols"].append(shape | names | {"filters": filters})
        return rules

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                self._subscribed.update(asked["params"])
                await socket.send_json({"result": None, "id": asked["id"]})
        self._sockets.discard(socket)
        return socket
