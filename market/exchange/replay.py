"""The replay: all symbols on one clock of market time, bar by bar.

One advance plays the rest of the open bars, then opens the next ones; what the engine does on the way precedes the
closing klines on the wire, so an order sent after a close fills at the next bar's open.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from market import fills
from market.exchange.engine import Engine
from market.exchange.feed import VISITS, Feed, Kline
from market.timeframes import Timeframe


class ReplayError(ValueError):
    """The histories cannot be replayed together."""


class Replay:
    """Feeds that share a base timeframe, driving one engine.

    Parameters
    ----------
    engine : Engine
        Receives every price.
    feeds : sequence of Feed
        In the order of the engine's instruments.
    start : int
        Open time (ms) of the first bar to trade in; everything earlier is served as history.
    bars : int, optional
        How many bars to play; to the end of the data if None.
    """

    def __init__(self, engine: Engine, feeds: Sequence[Feed], start: int, bars: int | None = None) -> None:
        timeframes = {feed.base.timeframe for feed in feeds}
        if len(timeframes) != 1:
            names = ", ".join(f"{feed.symbol} {feed.base.timeframe}" for feed in feeds)
            raise ReplayError(f"all symbols need the same base timeframe; got {names}")
        self.timeframe: Timeframe = timeframes.pop()
        self.engine = engine
        self.feeds: dict[str, Feed] = {feed.symbol: feed for feed in feeds}
        times = np.unique(np.concatenate([feed.candles.open_time for feed in feeds]))
        self._times: list[int] = times[times >= start].tolist()[:bars]
        for feed in feeds:
            if not self._times or feed.base.find(self._times[0]) is None:
                raise ReplayError(f"{feed.symbol} has no bar at the start, {start} ms; choose a time both have")
            feed.seek(self._times[0])
        self._at = 0
        self._closed: list[tuple[Feed, int]] = []
        self.time = self._times[0]
        self._open()

    @property
    def done(self) -> bool:
        """Whether the last bar has closed."""
        return self._at >= len(self._times)

    @property
    def visited(self) -> int:
        """How many prices of the open bars were visited; 0 when done."""
        return max(feed.visited for feed in self.feeds.values())

    @property
    def bars_left(self) -> int:
        """Bars that have not closed yet, the open one included."""
        return len(self._times) - self._at

    def place(self) -> dict[str, Any]:
        """Where the replay stands, for `resume`."""
        return {
            "first": self._times[0],
            "at": self._at,
            "time": self.time,
            "feeds": {symbol: feed.place() for symbol, feed in self.feeds.items()},
        }

    def resume(self, place: Mapping[str, Any]) -> None:
        """Stand where `place` said; the engine is not told.

        Raises
        ------
        ReplayError
            If the history is another, or starts elsewhere.
        """
        if place["first"] != self._times[0] or place["at"] > len(self._times):
            raise ReplayError(f"the state began at {place['first']} ms, this replay at {self._times[0]} ms")
        for symbol, feed in self.feeds.items():
            if not feed.resume(place["feeds"][symbol]):
                raise ReplayError(f"the history of {symbol} is not the one that the state was made with")
        self._at, self.time, self._closed = place["at"], place["time"], []

    def visit(self) -> None:
        """Every open bar visits its next price; the last of them is its close."""
        for feed in self.feeds.values():
            if 0 < feed.visited < VISITS:
                at = fills.path_times(feed.open_time, self.timeframe.ms)[feed.visited]
                price = feed.path[feed.visited]
                feed.visited += 1
                self.time = at
                self.engine.visit(feed.symbol, price, at)

    def turn(self) -> None:
        """Play the rest of the open bars, close them, and open the next: one advance."""
        self._closed = []
        if self.done:
            return
        while self.visited < VISITS:
            self.visit()
        for feed in self.feeds.values():
            if feed.visited:
                self._closed.append((feed, feed.bar))
                feed.visited = 0
        self._at += 1
        if self.done:
            self.time += 1
            self.engine.time = self.time
        else:
            self._open()

    def listen(self, pairs: Iterable[tuple[str, Timeframe]]) -> None:
        """Every kline is at hand: nothing to do."""

    def closing(self, wanted: Container[tuple[str, Timeframe]]) -> Iterator[Kline]:
        """Klines the last turn closed: the shorter timeframe first, symbols in order; only those `wanted`."""
        for timeframe in self._timeframes():
            for feed, bar in self._closed:
                if (feed.symbol, timeframe) in wanted:
                    kline = feed.closed_with(bar, timeframe)
                    if kline is not None:
                        yield kline

    def forming(self, wanted: Container[tuple[str, Timeframe]]) -> Iterator[Kline]:
        """Klines as they form now, in the same order; only those `wanted`."""
        for timeframe in self._timeframes():
            for feed in self.feeds.values():
                if (feed.symbol, timeframe) in wanted:
                    kline = feed.unfinished(timeframe)
                    if kline is not None:
                        yield kline

    def state(self) -> dict[str, object]:
        """Where the replay stands."""
        return {"market_time": self.time, "done": self.done, "bars_left": self.bars_left}

    def _timeframes(self) -> tuple[Timeframe, ...]:
        return next(iter(self.feeds.values())).timeframes

    def _open(self) -> None:
        self.time = self._times[self._at]
        for feed in self.feeds.values():
            if feed.opens_at(self.time):
                self.engine.open_bar(feed.symbol, feed.open_bar(), self.time, self._rates_due(feed))

    def _rates_due(self, feed: Feed) -> Sequence[int]:
        """The history's funding; where the interval was changed since, the last rate at the instants it adds."""
        rates, hours = feed.rates_due(self.time), self.engine.instruments[feed.symbol].funding_hours
        added = hours != feed.instrument.funding_hours and self.time % (hours * 3_600_000) == 0
        return feed.last_rate(self.time) if added and not rates else rates
