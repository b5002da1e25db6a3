"""The hub: who listens to which topic, and sending it there in order.

Sends are awaited one after the other under one lock, so what is told first is on the wire first. Across two sockets
that is not enough: a ping after the account's events, and its pong, prove that they were read before a close is told.
A reader that does not keep up is cut off, as the real exchange does, rather than holding up the market.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from market.exchange.codec import Codec, Line
from market.exchange.exposure import Exposure
from market.exchange.faults.injector import Injector
from market.exchange.feed import Kline
from market.exchange.venue import Venue

SLOW_READER_SECONDS = 10.0
BARRIER_SECONDS = 5.0
"""How long the market waits for the user stream's readers to catch up before it tells of a close."""


@dataclass(eq=False, slots=True)
class Connection(Line):
    """A line with its socket, open since the loop's time `opened` (s).

    `read` is set once it has read what was sent before the last ping.
    """

    request: web.Request = field(kw_only=True)
    socket: web.WebSocketResponse = field(kw_only=True)
    opened: float = field(kw_only=True)
    read: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """WebSocket connections of one venue.

    Attributes
    ----------
    turn : asyncio.Lock
        Held by whoever changes the venue until all of it is told.
    """

    def __init__(self, venue: Venue, codec: Codec, faults: Injector) -> None:
        self.turn = asyncio.Lock()
        self._venue, self._codec, self._faults = venue, codec, faults
        self._exposure = Exposure(venue.engine)
        self._open: list[Connection] = []

    async def market(self, request: web.Request) -> web.StreamResponse:
        """A public socket."""
        return await self._serve(request, private=False)

    async def private(self, request: web.Request) -> web.StreamResponse:
        """A socket for the account's events."""
        return await self._serve(request, private=True)

    async def _serve(self, request: web.Request, private: bool) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, autoping=False)
        line = Connection(private, request=request, socket=socket, opened=asyncio.get_running_loop().time())
        if (words := self._codec.greet(line, request.path, request.query)) is not None:
            return web.Response(status=400, text=words)
        await self._faults.admit(request)
        await socket.prepare(request)
        self._open.append(line)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    async with self.turn:
                        for topic, payload in self._codec.hear(line, message.data):
                            await self._send(topic, [line], payload)
                elif message.type is WSMsgType.PING:
                    await self._faults.pong(request, socket, message.data)
                elif message.type is WSMsgType.PONG:
                    line.read.set()
        finally:
            self._open.remove(line)
            line.read.set()
        return socket

    def state(self) -> dict[str, object]:
        """Who listens; `listening` once a user stream is open and klines of every symbol are subscribed."""
        heard = {symbol for symbol, _ in self._wanted()}
        private = [line for line in self._open if line.private]
        return {
            "listening": any(map(self._codec.knows_all, private)) and heard == set(self._venue.replay.feeds),
            "subscriptions": sorted({topic for line in self._open if not line.private for topic in line.topics}),
            "user_streams": len(private),
            "exposure": self._exposure.state(),
        }

    async def tell_events(self) -> int:
        """What happened to the account since the last call, to the user stream; returns how many events."""
        events = self._venue.drain()
        if events:
            self._exposure.look()
        for event in events:
            if any(line.private for line in self._open):
                for topic, payload in self._codec.account(event):
                    await self._tell(topic, payload)
        return len(events)

    async def barrier(self) -> None:
        """Wait until every reader of the user stream has read what was sent, within reason."""
        waits = []
        for line in [line for line in self._open if line.private]:
            line.read.clear()
            try:
                await line.socket.ping()
            except ConnectionError:
                continue
            waits.append(asyncio.ensure_future(line.read.wait()))
        if waits:
            _, late = await asyncio.wait(waits, timeout=BARRIER_SECONDS)
            for wait in late:
                wait.cancel()

    async def tell_closing(self) -> None:
        """The klines that the last turn closed."""
        await self.tell_klines(self._venue.replay.closing(self._wanted()))

    async def tell_forming(self) -> None:
        """The klines as they form, the mark prices, and the best quotes."""
        await self.tell_klines(self._venue.replay.forming(self._wanted()))
        await self.tell_marks(self._venue.replay.feeds)
        await self.tell_quotes(self._venue.replay.feeds)

    async def tell_klines(self, klines: Iterable[Kline]) -> None:
        """Some klines, to whoever listens to them."""
        topics = self._topics()
        for kline in klines:
            topic = self._codec.kline_topic(kline.symbol, kline.timeframe)
            if topic in topics:
                await self._tell(topic, self._codec.kline(kline))

    async def tell_marks(self, symbols: Iterable[str]) -> None:
        """The mark prices of some symbols."""
        topics = self._topics()
        for symbol in symbols:
            for topic, payload in self._codec.marks(symbol, topics):
                await self._tell(topic, payload)

    async def tell_quotes(self, symbols: Iterable[str]) -> None:
        """The best bids and asks of some symbols."""
        topics = self._topics()
        for symbol in symbols:
            for topic, payload in self._codec.quotes(symbol, topics):
                await self._tell(topic, payload)

    async def close_over(self) -> None:
        """End the sockets that lost their right to be open."""
        for line in [line for line in self._open if self._codec.is_over(line)]:
            await line.socket.close()

    async def close_older_than(self, seconds: float) -> None:
        """End the connections that are that old, as the exchange does after a day."""
        now = asyncio.get_running_loop().time()
        for line in [line for line in self._open if now - line.opened >= seconds and not line.socket.closed]:
            await line.socket.close(code=1001, message=b"the connection has reached its age")

    async def close(self) -> None:
        """End every connection."""
        for line in list(self._open):
            await line.socket.close(code=1001, message=b"the exchange shuts down")

    def _topics(self) -> set[str]:
        return {topic for line in self._open for topic in line.topics}

    def _wanted(self) -> set[tuple[str, Any]]:
        return {self._codec.pairs[topic] for topic in self._topics() if topic in self._codec.pairs}

    async def _tell(self, topic: str, payload: dict[str, Any]) -> None:
        await self._send(topic, [line for line in self._open if topic in line.topics], payload)

    async def _send(self, topic: str, lines: Iterable[Connection], payload: dict[str, Any]) -> None:
        for line in lines:
            await self._faults.send(line.request, partial(self._put, line), topic, payload)

    async def _put(self, line: Connection, text: str) -> None:
        if line.socket.closed:
            return
        try:
            async with asyncio.timeout(SLOW_READER_SECONDS):
                await line.socket.send_str(text)
        except (ConnectionError, TimeoutError):
            if line.request.transport is not None:
                line.request.transport.abort()
