"""The hub: who listens to which stream, and sending it there in order.

Sends are awaited one after the other under one lock, so what is told first is on the wire first. Across two sockets
that is not enough: a ping after the account's events, and its pong, prove that they were read before a close is told.
A reader that does not keep up is cut off, as the real exchange does, rather than holding up the market.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from aiohttp import WSMsgType, web

from market.exchange.binance import frames, market_data
from market.exchange.exposure import Exposure
from market.exchange.faults.injector import Injector
from market.exchange.feed import Kline
from market.exchange.venue import Venue

SLOW_READER_SECONDS = 10.0
PRIVATE, ANSWER = "private", "answer"
"""Streams beside those of the market: the account's events, and replies to what a client asks on its socket."""
BARRIER_SECONDS = 5.0
"""How long the market waits for the user stream's readers to catch up before it tells of a close."""


class Hub:
    """WebSocket connections of one venue.

    Attributes
    ----------
    turn : asyncio.Lock
        Held by whoever changes the venue until all of it is told.
    """

    def __init__(self, venue: Venue, faults: Injector) -> None:
        self.turn = asyncio.Lock()
        self._venue = venue
        self._faults = faults
        self._exposure = Exposure(venue.engine)
        self._readers: dict[str, set[web.WebSocketResponse]] = {}
        self._private: dict[web.WebSocketResponse, asyncio.Event] = {}
        self._requests: dict[web.WebSocketResponse, web.Request] = {}
        self._opened: WeakKeyDictionary[web.WebSocketResponse, float] = WeakKeyDictionary()
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
                elif message.type is WSMsgType.PING:
                    await self._faults.pong(request, socket, message.data)
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
        socket = await self._accept(request)
        self._private[socket] = asyncio.Event()
        try:
            async for message in socket:
                if message.type is WSMsgType.PING:
                    await self._faults.pong(request, socket, message.data)
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
            "exposure": self._exposure.state(),
        }

    async def tell_events(self) -> int:
        """What happened to the account since the last call, to the user stream; returns how many events."""
        events = self._venue.drain()
        if events:
            self._exposure.look()
        for event in events:
            if self._private:
                await self._send(PRIVATE, self._private, frames.event(self._venue.engine.instruments, event))
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
        await self._tell_klines(self._venue.replay.closing(self._wanted(self._streams)))

    async def tell_forming(self) -> None:
        """The klines as they form, and the mark prices."""
        await self._tell_klines(self._venue.replay.forming(self._wanted(self._streams)))
        for symbol, feed in self._venue.replay.feeds.items():
            for name in frames.mark_streams(symbol):
                if self._readers.get(name):
                    premium = market_data.premium(self._venue, feed)
                    await self._send(name, self._readers[name], frames.mark_price(premium))

    async def close_private(self) -> None:
        """End the user stream, after its listen key was given up."""
        for socket in list(self._private):
            await socket.close()

    async def close_older_than(self, seconds: float) -> None:
        """End the connections that are that old, as the exchange does after a day."""
        now = asyncio.get_running_loop().time()
        for socket in list(self._requests):
            if now - self._opened[socket] >= seconds and not socket.closed:
                await socket.close(code=1001, message=b"the connection has reached its age")

    async def close(self) -> None:
        """End every connection."""
        for socket in list(self._requests):
            await socket.close(code=1001, message=b"the exchange shuts down")

    def _wanted(self, names: Iterable[str]) -> set[tuple[str, Any]]:
        return {self._streams[name] for name in names if self._readers.get(name)}

    async def _tell_klines(self, klines: Iterable[Kline]) -> None:
        for kline in klines:
            name = frames.stream_name(kline.symbol, kline.timeframe)
            await self._send(name, self._readers[name], self._kline_frame(kline))

    def _kline_frame(self, kline: Kline) -> dict[str, Any]:
        return frames.kline(self._venue.engine.instruments[kline.symbol], kline, self._venue.replay.time)

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        await self._faults.admit(request)
        socket = web.WebSocketResponse(compress=False, autoping=False)
        await socket.prepare(request)
        self._requests[socket] = request
        self._opened[socket] = asyncio.get_running_loop().time()
        return socket

    async def _answer(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            request = orjson.loads(text)
            method, names, id_ = request["method"], request.get("params", []), request.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            told = {"error": {"code": 3, "msg": "Invalid JSON: expected method, params and id"}}
            await self._send(ANSWER, [socket], told)
            return
        for name in names:
            readers = self._readers.setdefault(str(name), set())
            if method == "SUBSCRIBE":
                readers.add(socket)
            elif method == "UNSUBSCRIBE":
                readers.discard(socket)
        await self._send(ANSWER, [socket], {"result": None, "id": id_})
        if method == "SUBSCRIBE":
            # the real exchange pushes within 250 ms: a fresh subscriber need not wait for the market to move
            asked = self._wanted(name for name in names if name in self._streams)
            for kline in self._venue.replay.forming(asked):
                name = frames.stream_name(kline.symbol, kline.timeframe)
                await self._send(name, [socket], self._kline_frame(kline))

    async def _send(self, stream: str, readers: Iterable[web.WebSocketResponse], payload: dict[str, Any]) -> None:
        for socket in list(readers):
            if (request := self._requests.get(socket)) is not None:
                await self._faults.send(request, partial(self._put, socket), stream, payload)

    async def _put(self, socket: web.WebSocketResponse, text: str) -> None:
        if socket.closed:
            return
        try:
            async with asyncio.timeout(SLOW_READER_SECONDS):
                await socket.send_str(text)
        except (ConnectionError, TimeoutError):
            self._cut(socket)

    def _cut(self, socket: web.WebSocketResponse) -> None:
        transport = self._requests[socket].transport if socket in self._requests else None
        if transport is not None:
            transport.abort()
