"""Backfill: closed candles and funding rates over REST.

The klines endpoint answers with the forming candle as its last row; a row is final only if a later one is known.
"""

from __future__ import annotations

import numpy as np

from daemon.gateway import readable
from daemon.venues.venue import Venue
from market.candles import Candle
from market.funding import Funding
from market.timeframes import Timeframe


class Backfill:
    """Asks an exchange for what its streams did not tell."""

    def __init__(self, venue: Venue) -> None:
        self._venue, self._page = venue, venue.profile.kline_page

    async def newest(self, symbol: str, timeframe: str, count: int) -> tuple[list[Candle], int]:
        """The newest `count` closed candles, oldest first, and the open time (ms) of the forming one.

        Fewer come where the exchange has no more.
        """
        rows = await self._klines(symbol, timeframe, min(self._page, count + 1))
        if not rows:
            return [], -1
        forming, closed = rows[-1].open_time, rows[:-1]
        while closed and len(closed) < count:
            limit = min(self._page, count - len(closed))
            older = await self._klines(symbol, timeframe, limit, end=closed[0].open_time - 1)
            older = [c for c in older if c.open_time < closed[0].open_time]
            if not older:
                break
            closed = older + closed
        return closed, forming

    async def since(self, symbol: str, timeframe: str, start: int, final_before: int) -> list[Candle]:
        """Closed candles from `start` (ms) on; those opened before `final_before` are known to be closed."""
        found: list[Candle] = []
        while True:
            rows = await self._klines(symbol, timeframe, self._page, start=start)
            rows = [r for r in rows if r.open_time >= start]
            found += rows
            if len(rows) < self._page:
                break
            start = rows[-1].open_time + Timeframe.parse(timeframe).ms
        if found and found[-1].open_time >= final_before:
            found.pop()
        return found

    async def funding(self, symbol: str, start: int) -> Funding:
        """Funding rates from `start` (ms) on."""
        times: list[int] = []
        rates: list[int] = []
        while True:
            with readable():
                rows = await self._venue.funding_rates(symbol, start)
            for time, rate in rows:
                if not times or time > times[-1]:
                    times.append(time)
                    rates.append(rate)
            if len(rows) < self._venue.profile.funding_page:
                return Funding(np.array(times, dtype=np.int64), np.array(rates, dtype=np.int64))
            start = times[-1] + 1

    async def _klines(self, symbol: str, timeframe: str, limit: int, **bounds: int) -> list[Candle]:
        with readable():
            return await self._venue.klines(symbol, timeframe, limit, **bounds)
