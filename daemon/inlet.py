"""The inlet: every frame of every socket comes in here and leaves as an event, in order, or is logged as unreadable.

A closing kline waits a moment for what is already readable on the private socket: an exchange tells of fills first.
What finds a queue full is not lost: its stream is cut, comes back, and asks for what it missed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from daemon.candle_feed import CandleFeed
from daemon.events import Event
from daemon.kline_queue import KlineQueue
from daemon.streams import MarketStream, PrivateStream
from daemon.summary import Stopwatch
from daemon.venues.payloads import UNREADABLE, KlineFrame, UnreadablePayload
from daemon.venues.venue import Venue
from market.timeframes import Timeframe

log = logging.getLogger("daemon.inlet")


class Inlet:
    """Takes frames from the gateway; until it is opened they are nobody's.

    Parameters
    ----------
    offer : callable
        Takes an event of the account; False if too many wait.

    Attributes
    ----------
    prices : dict
        Symbol -> last price seen in a kline frame.
    """

    def __init__(self, offer: Callable[[Event], bool], stopwatch: Stopwatch) -> None:
        self._offer, self._stopwatch = offer, stopwatch
        self.queue = KlineQueue()
        self._feed: CandleFeed | None = None
        self._market: MarketStream | None = None
        self._private: PrivateStream | None = None
        self._venue: Venue | None = None
        self.prices: dict[str, float] = {}
        self.unreadable = 0

    def open(self, feed: CandleFeed, market: MarketStream, private: PrivateStream, venue: Venue) -> None:
        """From now on frames are turned into events."""
        self._feed, self._market, self._private, self._venue = feed, market, private, venue

    def frame(self, private: bool, frame: Any) -> None:
        """One decoded frame, in the order in which its socket brought it."""
        now_ns = time.monotonic_ns()
        if self._venue is None:
            return
        try:
            if not isinstance(frame, dict):
                raise UnreadablePayload(f"not an object but {type(frame).__name__}")
            if private:
                self._user(self._venue, frame)
            else:
                for kline in self._venue.klines_in(frame):
                    self._kline(kline, now_ns)
        except UNREADABLE as error:
            self._misread(private, frame, error)

    async def run(self) -> None:
        """Hand klines on, until cancelled."""
        while True:
            frame = await self.queue.get()
            if self._venue is not None and self._feed is not None:
                if frame.closed:
                    await self._venue.gateway.private_quiet()
                self._feed.frame(frame)

    def _kline(self, frame: KlineFrame, now_ns: int) -> None:
        if self._market is None:
            return
        self._market.heard((frame.symbol, frame.timeframe))
        if 0 < frame.candle.close < inf:
            self.prices[frame.symbol] = frame.candle.close
        if frame.closed:
            closed_at = frame.candle.open_time + Timeframe.parse(frame.timeframe).ms
            self._stopwatch.frame(closed_at, now_ns)
        if not self.queue.put(frame):
            self._market.cut("too many klines wait")

    def _user(self, venue: Venue, frame: Mapping[str, Any]) -> None:
        if self._private is None:
            return
        if word := venue.farewell(frame):
            self._private.cut(f"the exchange ended the user stream ({word})")
            return
        for event in list(venue.events_in(frame)):  # all of a frame or nothing
            if not self._offer(event):
                self._private.cut("too many events of the account wait")
                return

    def _misread(self, private: bool, frame: object, error: Exception) -> None:
        """What cannot be read of the account is asked for instead: the private stream starts over and reconciles."""
        self.unreadable += 1
        log.error("unreadable frame (%s: %s): %s", type(error).__name__, error, str(frame)[:500])
        if private and self._private is not None:
            self._private.cut("a frame could not be read")
