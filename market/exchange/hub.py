"""The hub: who listens to which stream, and sending it there in order.

Sends are awaited one after the other under one lock, so what is told first is on the wire first. Across two sockets
that is not enough: a ping after the account's events, and its pong, prove that they were read before a close is told.
A reader that does not keep up is cut off, as the real exchange does, rather than holding up the market.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from market.exchange.binance import frames, market_data
from market.exchange.feed import Kline
from market.exchange.venue import Venue

SLOW_READER_SECONDS = 10.0
BARRIER_SECONDS = 5.0
"""How long the market waits for the user stream's readers to catch up before it tells of a close."""


class Hub:
    """WebSocket connections of one venue.

    Attributes
    ----------
    turn : asyncio.Lock
        Held by whoever changes the venue until all of it is told.
    """

    def __init__(self, venue: Venue) -> None:
        self.turn = asyncio.Lock()
        self._venue = venue
        self._readers: dict[str, set[web.WebSocketResponse]] = {}
        self._private: dict[web.WebSocketResponse, asyncio.Event] = {}
        self._requests: dict[web.WebSocketResponse, web.Request] = {}
        self._streams = {
            frames.stream_name(feed.symbol, timeframe): (feed.symbol, timeframe)
            for feed in venue.replay.feeds.values()
            for timeframe in feed.timeframes
        }

    async def market(self, request: web.Request) -> web.WebSocketResponse:
        """A market or public stream: SUBSCRIBE and UNSUBSCRIBE, each acknowledged."""
        socket = await self._accept(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    async with self.turn:
                        await self._answer(socket, message.data)
        finally:
            for readers in self._readers.values():
                readers.discard(socket)
            del self._requests[socket]
        return socket

    async def private(self, request: web.Request) -> web.StreamResponse:
        """The user stream of a listen key."""
        key = request.query.get("listenKey") or request.match_info.get("key", "")
        if not key or key != self._venue.listen_key:
            return web.Response(status=400, text="Invalid listenKey")
        socket = await self._accept(request, autoping=False)
        self._private[socket] = asyncio.Event()
        try:
            async for message in socket:
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self._private[socket].set()
        finally:
            self._private.pop(socket).set()
            del self._requests[socket]
        return socket

    def state(self) -> dict[str, object]:
        """Who listens; `listening` once a user stream is open and klines of every symbol are subscribed."""
        heard = {symbol for symbol, _ in self._wanted(self._streams)}
        return {
            "listening": bool(self._private) and heard == set(self._venue.replay.feeds),
            "subscriptions": sorted(name for name, readers in self._readers.items() if readers),
            "user_streams": len(self._private),
        }

    async def tell_events(self) -> int:
        """What happened to the account since the last call, to the user stream; returns how many events."""
        events = self._venue.engine.drain()
        for event in events:
            if self._private:
                await self._send(self._private, frames.event(self._venue.engine.instruments, event))
        return len(events)

    async def barrier(self) -> None:
        """Wait until every reader of the user stream has read what was sent, within reason."""
        waits = []
        for socket, read in list(self._private.items()):
            read.clear()
            try:
                await socket.ping()
            except ConnectionError:
                continue
            waits.append(asyncio.ensure_future(read.wait()))
        if waits:
            _, late = await asyncio.wait(waits, timeout=BARRIER_SECONDS)
            for wait in late:
                wait.cancel()

    async def tell_closing(self) -> None:
        """The klines that the last turn closed."""
        await self.tell_klines(self._venue.replay.closing(self._wanted(self._streams)))

    async def tell_forming(self) -> None:
        """The klines as they form, the mark prices, and the best quotes."""
        await self.tell_klines(self._venue.replay.forming(self._wanted(self._streams)))
        await self.tell_marks(self._venue.replay.feeds)
        await self.tell_quotes(self._venue.replay.feeds)

    async def tell_klines(self, klines: Iterable[Kline]) -> None:
        """Some klines, to whoever listens to them."""
        for kline in klines:
            readers = self._readers.get(frames.stream_name(kline.symbol, kline.timeframe))
            if readers:
                await self._send(readers, self._kline_frame(kline))

    async def tell_marks(self, symbols: Iterable[str]) -> None:
        """The mark prices of some symbols."""
        for symbol in symbols:
            for name in frames.mark_streams(symbol):
                if self._readers.get(name):
                    premium = market_data.premium(self._venue, self._venue.replay.feeds[symbol])
                    await self._send(self._readers[name], frames.mark_price(premium))

    async def tell_quotes(self, symbols: Iterable[str]) -> None:
        """The best bids and asks of some symbols."""
        for symbol in symbols:
            name = frames.book_stream(symbol)
            if self._readers.get(name):
                await self._send(self._readers[name], frames.book_ticker(market_data.book(self._venue, symbol)))

    async def close_private(self) -> None:
        """End the user stream, after its listen key was given up."""
        for socket in list(self._private):
            await socket.close()

    async def close(self) -> None:
        """End every connection."""
        for socket in list(self._requests):
            await socket.close(code=1001, message=b"the exchange shuts down")

    def _wanted(self, names: Iterable[str]) -> set[tuple[str, Any]]:
        return {self._streams[name] for name in names if self._readers.get(name)}

    def _kline_frame(self, kline: Kline) -> dict[str, Any]:
        return frames.kline(self._venue.engine.instruments[kline.symbol], kline, self._venue.replay.time)

    async def _accept(self, request: web.Request, autoping: bool = True) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, autoping=autoping)
        await socket.prepare(request)
        self._requests[socket] = request
        return socket

    async def _answer(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            request = orjson.loads(text)
            method, names, id_ = request["method"], request.get("params", []), request.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            await self._send([socket], {"error": {"code": 3, "msg": "Invalid JSON: expected method, params and id"}})
            return
        for name in names:
            readers = self._readers.setdefault(str(name), set())
            if method == "SUBSCRIBE":
                readers.add(socket)
            elif method == "UNSUBSCRIBE":
                readers.discard(socket)
        await self._send([socket], {"result": None, "id": id_})
        if method == "SUBSCRIBE":
            # the real exchange pushes within 250 ms: a fresh subscriber need not wait for the market to move
            asked = self._wanted(name for name in names if name in self._streams)
            self._venue.replay.listen(asked)
            for kline in self._venue.replay.forming(asked):
                await self._send([socket], self._kline_frame(kline))

    async def _send(self, readers: Iterable[web.WebSocketResponse], payload: dict[str, Any]) -> None:
        text = orjson.dumps(payload).decode()
        reached: Sequence[web.WebSocketResponse] = [socket for socket in readers if not socket.closed]
        for socket in reached:
            try:
                async with asyncio.timeout(SLOW_READER_SECONDS):
                    await socket.send_str(text)
            except (ConnectionError, TimeoutError):
                self._cut(socket)

    def _cut(self, socket: web.WebSocketResponse) -> None:
        transport = self._requests[socket].transport if socket in self._requests else None
        if transport is not None:
            transport.abort()
