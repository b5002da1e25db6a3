"""Tracks: the klines of one stream, each closed one passed on once and in order; a hole is filled before it goes on.

A close that is old by the time it is known is no news: passed on late, it would be traded on. It is left to history,
as an exchange that comes back leaves it, and whoever misses it asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from market.backoff import Backoff
from market.exchange.feed import Kline
from market.exchange.mirror.wire import Heard, Unreadable
from market.exchange.refusals import Refusal
from market.timeframes import Timeframe, utc_text

log = logging.getLogger("market.exchange.mirror")

PAGE = 1_000


class Track:
    """One symbol and timeframe.

    Parameters
    ----------
    symbol, timeframe : str, Timeframe
        The stream.
    fetch : callable
        Gives at most so many klines from an open time (ms) on, oldest first; all but the last are final.
    tell : callable
        Takes what is passed on.
    is_news : callable
        Whether a kline that was missed, and is closed, is still to be passed on.

    Attributes
    ----------
    forming : Kline or None
        The kline as it forms now, if it is known.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: Timeframe,
        fetch: Callable[[str, Timeframe, int, int], Awaitable[list[Kline]]],
        tell: Callable[[Heard], None],
        is_news: Callable[[Kline], bool],
    ) -> None:
        self.symbol, self.timeframe = symbol, timeframe
        self.forming: Kline | None = None
        self._fetch, self._tell, self._is_news = fetch, tell, is_news
        self._next: int | None = None
        self._held: Heard | None = None
        self._filling: asyncio.Task[None] | None = None

    def hear(self, heard: Heard) -> None:
        """A kline off the stream: passed on, dropped as a repetition, or kept back while a hole before it is filled."""
        opened = heard.kline.open_time
        if self._filling is not None:
            self._held = heard
        elif self._next is None or opened == self._next:
            self._pass(heard)
        elif opened > self._next:
            self._held = heard
            self.fill()

    def fill(self) -> None:
        """Ask for what may have been missed, as after a connection was lost."""
        if self._next is not None and self._filling is None:
            self._filling = asyncio.create_task(self._fill())

    def stop(self) -> None:
        """Ask no more."""
        if self._filling is not None:
            self._filling.cancel()

    def _pass(self, heard: Heard) -> None:
        kline = heard.kline
        self._next = kline.open_time + (self.timeframe.ms if kline.closed else 0)
        self.forming = None if kline.closed else kline
        self._tell(heard)

    async def _fill(self) -> None:
        backoff = Backoff(0.5)
        while True:
            assert self._next is not None
            try:
                klines = await self._fetch(self.symbol, self.timeframe, self._next, PAGE)
            except (Refusal, Unreadable) as error:
                pause = backoff.next()
                log.warning("%s %s: %s; asking again in %.1f s", self.symbol, self.timeframe, error, pause)
                await asyncio.sleep(pause)
                continue
            closed = [replace(kline, closed=True) for kline in klines[:-1] if kline.open_time >= self._next]
            if closed:
                first, last = utc_text(closed[0].open_time), utc_text(closed[-1].open_time)
                log.info("%s %s: %d missed, %s to %s", self.symbol, self.timeframe, len(closed), first, last)
            for kline in closed:
                end = kline.open_time + self.timeframe.ms
                if self._is_news(kline):
                    self._pass(Heard(kline, end, live=False))
                else:
                    self._next = end
            if len(klines) == PAGE:
                continue
            if klines and klines[-1].open_time >= self._next:
                # what follows the last final one is forming, whatever our clocks say
                self._next = klines[-1].open_time
            break
        self._filling = None
        held, self._held = self._held, None
        if held is not None:
            self.hear(held)
