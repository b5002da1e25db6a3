"""Streams: one supervised loop for each socket, market and private: watch, expect data, fall, back off, watch again.

Deadlines count from the subscription. A dead socket is noticed by ccxt's ping and pong; a socket that answers pings and
brings no data is noticed here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ccxt.base.errors import BaseError

from daemon.candle_store import Pair
from daemon.events import StreamLive, StreamStale
from daemon.gateway import GatewayError
from daemon.venues.venue import Venue
from market.backoff import Backoff

log = logging.getLogger("daemon.streams")

LOOK_S = 0.25
"""How often deadlines are looked at, seconds."""
STEADY_S = 10.0
"""How long a stream must have lived for its next fall to start the back-off over."""


class StreamDown(Exception):
    """A stream fell or fell silent; the message says how."""


class Stream(ABC):
    """A socket kept alive.

    Parameters
    ----------
    name : str
        ``market`` or ``private``, as events name it.
    emit : callable
        Takes `StreamStale` and `StreamLive`.
    on_live : callable
        Awaited each time the stream has come to life, before it is told of.
    """

    def __init__(
        self,
        name: str,
        venue: Venue,
        emit: Callable[[StreamStale | StreamLive], None],
        on_live: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self.live = asyncio.Event()
        self._venue, self._emit, self._on_live = venue, emit, on_live
        self._cut: str | None = None

    async def run(self) -> None:
        """Keep the stream alive until cancelled."""
        backoff = Backoff()
        while True:
            began = time.monotonic()
            self._cut = None
            try:
                await self._once()
            except (StreamDown, GatewayError, BaseError, OSError) as error:
                self._fell(f"{error}" or type(error).__name__)
            await self._venue.drop(self.name == "private")
            if time.monotonic() - began > STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next())

    def cut(self, reason: str) -> None:
        """Have the stream end and come back."""
        self._cut = reason

    @abstractmethod
    async def _watch(self) -> None:
        """One wait for the next push; subscribes where that was not done."""

    @abstractmethod
    def _arrived(self) -> bool:
        """Whether the first data is there."""

    @abstractmethod
    def _silence(self) -> str | None:
        """What has been silent beyond its deadline, in words."""

    @abstractmethod
    def _begin(self) -> None:
        """Count deadlines from now."""

    async def _once(self) -> None:
        self._begin()
        pump = asyncio.create_task(self._pump(), name=f"{self.name} stream")
        welcome: asyncio.Task[None] | None = None
        private, opens = self.name == "private", 0
        try:
            while True:
                await asyncio.wait([pump], timeout=LOOK_S if self.live.is_set() else LOOK_S / 10)
                if pump.done():
                    pump.result()
                if reason := self._cut or self._silence():
                    raise StreamDown(reason)
                if welcome is None and self._arrived():
                    opens = self._venue.gateway.opens[private]
                    welcome = asyncio.create_task(self._welcome(), name=f"{self.name} stream came to life")
                if welcome is not None and self._venue.gateway.opens[private] != opens:
                    raise StreamDown("the connection was lost, and made anew behind our back")
                if welcome is not None and welcome.done():
                    welcome.result()
        finally:
            for task in (pump, welcome):
                if task is not None:
                    task.cancel()

    async def _pump(self) -> None:
        while True:
            await self._watch()

    async def _welcome(self) -> None:
        await self._on_live()
        self.live.set()
        self._emit(StreamLive(self.name))

    def _fell(self, reason: str) -> None:
        log.warning("%s stream fell: %s", self.name, reason)
        if self.live.is_set():
            self.live.clear()
            self._emit(StreamStale(self.name, reason))


class MarketStream(Stream):
    """Klines of all pairs on one socket; each pair has its own deadline."""

    def __init__(self, *rest: Any, pairs: Sequence[Pair], first_data_s: float, data_s: float) -> None:
        super().__init__("market", *rest)
        self._pairs, self._first_data_s, self._data_s = pairs, first_data_s, data_s
        self._heard: dict[Pair, float] = {}
        self._began = 0.0

    def expect(self, *, first_data_s: float, data_s: float) -> None:
        """Go by other deadlines, seconds."""
        self._first_data_s, self._data_s = first_data_s, data_s

    def heard(self, pair: Pair) -> None:
        """A frame of a pair arrived."""
        self._heard[pair] = time.monotonic()

    def _begin(self) -> None:
        self._heard, self._began = {}, time.monotonic()

    async def _watch(self) -> None:
        await self._venue.watch_klines(self._pairs)

    def _arrived(self) -> bool:
        return bool(self._heard)

    def _silence(self) -> str | None:
        now = time.monotonic()
        if not self._heard and now - self._began > self._first_data_s:
            return f"subscribed, and no kline within {self._first_data_s:g} s"
        for pair in self._pairs:
            silent = now - self._heard.get(pair, self._began)
            if self._heard and silent > max(self._data_s, self._first_data_s if pair not in self._heard else 0):
                return f"no kline of {pair[0]} {pair[1]} for {silent:.0f} s"
        return None


class PrivateStream(Stream):
    """The user stream; silence is its normal state, unless an order was taken and it tells nothing of that."""

    def __init__(self, *rest: Any, first_data_s: float, told_s: float) -> None:
        super().__init__("private", *rest)
        self._first_data_s, self._told_s, self._began = first_data_s, told_s, 0.0

    def expect(self, *, first_data_s: float, told_s: float) -> None:
        """Go by other deadlines, seconds."""
        self._first_data_s, self._told_s = first_data_s, told_s

    def _begin(self) -> None:
        self._began = time.monotonic()

    async def _watch(self) -> None:
        await self._venue.watch_account()

    def _arrived(self) -> bool:
        return self._venue.account_listens()

    def _silence(self) -> str | None:
        if not self._arrived() and time.monotonic() - self._began > self._first_data_s:
            return f"not open within {self._first_data_s:g} s"
        if self._venue.gateway.unheard_s > self._told_s:
            return f"an order was taken, and nothing told of it within {self._told_s:g} s"
        return None
