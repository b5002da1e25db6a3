"""The feed: one symbol's history as bars that open, move and close, and the klines seen on the way.

A base series is the truth; longer timeframes are aggregated from it, so they cannot contradict it. Prices leave here
in ticks, exactly those that orders fill at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from market import fills
from market.aggregate import aggregate
from market.candles import Candles
from market.funding import Funding
from market.instruments import Instrument
from market.timeframes import Timeframe

OFFERED = tuple(
    Timeframe.parse(text) for text in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
)
"""Timeframes of the exchange; a feed offers those that its base series divides."""

HOUR_MS = 3_600_000
VISITS = 4
"""Prices a bar is taken to visit, its open included."""


@dataclass(frozen=True, slots=True)
class Kline:
    """A kline as it stands: prices in ticks, volumes as recorded (NaN where the history has none)."""

    symbol: str
    timeframe: Timeframe
    closed: bool
    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: float
    quote_volume: float
    trades: float
    taker_base: float
    taker_quote: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a symbol's funding and index now.

    Attributes
    ----------
    rate : int
        The rate last told, 1e-8 of the notional.
    next_time : int
        The next funding instant, UTC ms.
    index : int or None
        The index price in ticks, where somebody tells of one.
    """

    rate: int
    next_time: int
    index: int | None = None


class Series:
    """Closed klines of one timeframe, with prices in ticks."""

    def __init__(self, instrument: Instrument, candles: Candles) -> None:
        self.symbol = instrument.symbol
        self.timeframe = candles.timeframe
        self.times: list[int] = candles.open_time.tolist()
        self.open: list[int] = instrument.ticks_column(candles.open).tolist()
        self.high: list[int] = instrument.ticks_column(candles.high).tolist()
        self.low: list[int] = instrument.ticks_column(candles.low).tolist()
        self.close: list[int] = instrument.ticks_column(candles.close).tolist()
        self._volumes = np.column_stack(
            (candles.volume, candles.quote_volume, candles.trades, candles.taker_base, candles.taker_quote)
        )

    def __len__(self) -> int:
        return len(self.times)

    def kline(self, index: int) -> Kline:
        """The closed kline at `index`."""
        prices = (self.open[index], self.high[index], self.low[index], self.close[index])
        volumes: list[float] = self._volumes[index].tolist()
        return Kline(self.symbol, self.timeframe, True, self.times[index], *prices, *volumes)

    def find(self, open_time: int) -> int | None:
        """Index of the kline that opened at `open_time`, if there is one."""
        index = bisect_left(self.times, open_time)
        return index if index < len(self.times) and self.times[index] == open_time else None

    def volumes(self, start: int, stop: int) -> list[float]:
        """Sums of the five volume columns over rows [start, stop)."""
        sums: list[float] = self._volumes[start:stop].sum(axis=0).tolist()
        return sums


class Feed:
    """One symbol on its way through history.

    Parameters
    ----------
    instrument : Instrument
        Whose prices they are.
    candles : Candles
        The base series; a missing candle is an outage, during which the symbol has no klines.
    funding : Funding, optional
        Its funding instants; none are charged without it.

    Attributes
    ----------
    bar : int
        Index of the base bar that opened last.
    visited : int
        How many of its prices were visited; 0 once it has closed.
    """

    def __init__(self, instrument: Instrument, candles: Candles, funding: Funding | None = None) -> None:
        self.instrument = instrument
        self.candles = candles
        self.base = Series(instrument, candles)
        self.timeframes = tuple(t for t in OFFERED if t.ms % candles.timeframe.ms == 0)
        self.funding_times: list[int] = [] if funding is None else funding.time.tolist()
        self.funding_rates: list[int] = [] if funding is None else funding.rate.tolist()
        self.bar = -1
        self.visited = 0
        self._funded = 0
        self._series = {candles.timeframe: self.base}

    @property
    def symbol(self) -> str:
        """The exchange's name of the instrument."""
        return self.instrument.symbol

    @cached_property
    def path(self) -> tuple[int, int, int, int]:
        """Prices the open bar visits; forgotten when the next one opens."""
        i = self.bar
        return fills.path(self.base.open[i], self.base.high[i], self.base.low[i], self.base.close[i])

    @property
    def open_time(self) -> int:
        """Open time (ms) of the bar that opened last."""
        return self.base.times[self.bar]

    def seek(self, time: int) -> None:
        """Stand before the bar that opens at `time`, with everything earlier closed."""
        self.bar = bisect_left(self.base.times, time) - 1
        self.visited = 0
        self._funded = bisect_right(self.funding_times, time)
        self.__dict__.pop("path", None)

    def place(self) -> dict[str, Any]:
        """Where the feed stands, for `resume`, with the prices of its bar, by which the history is known again."""
        return {"bar": self.bar, "visited": self.visited, "funded": self._funded, "prices": list(self._bar_prices())}

    def resume(self, place: Mapping[str, Any]) -> bool:
        """Stand where `place` said; False, and unmoved, if this is another history."""
        before = self.bar
        if place["bar"] >= len(self.base):
            return False
        self.bar = place["bar"]
        if list(self._bar_prices()) != place["prices"]:
            self.bar = before
            return False
        self.visited, self._funded = place["visited"], place["funded"]
        self.__dict__.pop("path", None)
        return True

    def _bar_prices(self) -> tuple[int, ...]:
        """Open time and prices of the bar that opened last; nothing before the first."""
        i, base = self.bar, self.base
        return () if i < 0 else (base.times[i], base.open[i], base.high[i], base.low[i], base.close[i])

    def opens_at(self, time: int) -> bool:
        """Whether the next bar opens at `time`; during an outage it does not."""
        following = self.bar + 1
        return following < len(self.base) and self.base.times[following] == time

    def open_bar(self) -> int:
        """Open the next bar and return its first price, in ticks."""
        self.bar += 1
        self.visited = 1
        self.__dict__.pop("path", None)
        return self.base.open[self.bar]

    def rates_due(self, until: int) -> Sequence[int]:
        """Funding rates (1e-8) that fell due since the last call, up to and including `until` (ms).

        Those that fell into an outage are due at the first open after it.
        """
        first, self._funded = self._funded, bisect_right(self.funding_times, until)
        return self.funding_rates[first : self._funded]

    def last_rate(self, until: int) -> Sequence[int]:
        """The latest funding rate (1e-8) that fell due up to `until` (ms), alone; nothing if none did."""
        past = bisect_right(self.funding_times, until)
        return self.funding_rates[max(0, past - 1) : past]

    def mark_at(self, time: int) -> int | None:
        """The mark (ticks) of a funding instant: the open of the bar it fell into."""
        index = self.base.find(self.base.timeframe.floor(time))
        return None if index is None else self.base.open[index]

    def outlook(self, now: int, hours: int) -> Outlook:
        """The rate that fell due last, and the next instant, `hours` apart from 00:00 UTC on."""
        past = bisect_right(self.funding_times, now)
        period = hours * HOUR_MS
        return Outlook(self.funding_rates[past - 1] if past else 0, now - now % period + period)

    def series(self, timeframe: Timeframe) -> Series:
        """The whole history in `timeframe`; made once, on first use."""
        if timeframe not in self._series:
            self._series[timeframe] = Series(self.instrument, aggregate(self.candles, timeframe))
        return self._series[timeframe]

    def closed_with(self, bar: int, timeframe: Timeframe) -> Kline | None:
        """The kline of `timeframe` that closes when base bar `bar` does, if one does and is complete."""
        end = self.base.times[bar] + self.base.timeframe.ms
        if end % timeframe.ms:
            return None
        series = self.series(timeframe)
        index = series.find(end - timeframe.ms)
        return None if index is None else series.kline(index)

    def unfinished(self, timeframe: Timeframe) -> Kline | None:
        """The kline of `timeframe` that is forming now, or None between bars and in an hour with a hole behind it."""
        start = timeframe.floor(self.open_time) if self.bar >= 0 else 0
        first = bisect_left(self.base.times, start, 0, self.bar + 1)
        complete = self.base.times[first] == start and self.open_time - start == (self.bar - first) * self._base_ms
        if self.visited == 0 or not complete:
            return None
        seen = self.path[: self.visited]
        share = (self.visited - 1) / (VISITS - 1)
        before = self.base.volumes(first, self.bar)
        now = self.base.volumes(self.bar, self.bar + 1)
        volumes = [a + b * share for a, b in zip(before, now, strict=True)]
        volumes[2] = float(np.floor(volumes[2]))
        return Kline(
            self.symbol,
            timeframe,
            False,
            start,
            self.base.open[first],
            max(*self.base.high[first : self.bar], *seen, 0),
            min(*self.base.low[first : self.bar], *seen, seen[0]),
            seen[-1],
            *volumes,
        )

    def klines(self, timeframe: Timeframe, start: int | None, end: int | None, limit: int) -> Iterator[Kline]:
        """At most `limit` klines up to now, the forming one last; from `start` (ms) the earliest, else the latest."""
        series = self.series(timeframe)
        closed = bisect_right(series.times, self._closed_until() - timeframe.ms)
        low = 0 if start is None else bisect_left(series.times, start, 0, closed)
        high = closed if end is None else bisect_right(series.times, end, 0, closed)
        live = self.unfinished(timeframe)
        if live is not None and not (start or 0) <= live.open_time <= (live.open_time if end is None else end):
            live = None
        rows = high - low + (live is not None)
        if start is not None:
            high = min(high, low + limit)
            live = live if rows <= limit else None
        else:
            low = max(low, high - limit + (live is not None))
        for index in range(low, high):
            yield series.kline(index)
        if live is not None:
            yield live

    @property
    def _base_ms(self) -> int:
        return self.base.timeframe.ms

    def _closed_until(self) -> int:
        """First instant not covered by a closed base bar."""
        if self.visited:
            return self.open_time
        return self.open_time + self._base_ms if self.bar >= 0 else self.base.times[0]
