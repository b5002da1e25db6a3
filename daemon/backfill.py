"""Backfill: closed candles and funding rates over REST, by the raw endpoints, which keep the taker flow.

The klines endpoint answers with the forming candle as its last row; a row is final only if a later one is known.
"""

from __future__ import annotations

import numpy as np

from daemon.gateway import Gateway
from daemon.wire import funding_rate, kline_row
from market.candles import Candle
from market.funding import Funding
from market.timeframes import Timeframe

PAGE = 1_000


class Backfill:
    """Asks an exchange for what its streams did not tell."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def newest(self, symbol: str, timeframe: str, count: int) -> tuple[list[Candle], int]:
        """The newest `count` closed candles, oldest first, and the open time (ms) of the forming one.

        Fewer come where the exchange has no more.
        """
        rows = await self._page(symbol, timeframe, limit=min(PAGE, count + 1))
        if not rows:
            return [], -1
        forming, closed = rows[-1].open_time, rows[:-1]
        while closed and len(closed) < count:
            older = await self._page(
                symbol, timeframe, endTime=closed[0].open_time - 1, limit=min(PAGE, count - len(closed))
            )
            older = [c for c in older if c.open_time < closed[0].open_time]
            if not older:
                break
            closed = older + closed
        return closed, forming

    async def since(self, symbol: str, timeframe: str, start: int, final_before: int) -> list[Candle]:
        """Closed candles from `start` (ms) on; those opened before `final_before` are known to be closed."""
        found: list[Candle] = []
        while True:
            rows = await self._page(symbol, timeframe, startTime=start, limit=PAGE)
            rows = [r for r in rows if r.open_time >= start]
            found += rows
            if len(rows) < PAGE:
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
            rows = await self._gateway.call(
                "fapiPublicGetFundingRate", {"symbol": symbol, "startTime": start, "limit": PAGE}
            )
            for row in rows:
                if not times or int(row["fundingTime"]) > times[-1]:
                    times.append(int(row["fundingTime"]))
                    rates.append(funding_rate(row["fundingRate"]))
            if len(rows) < PAGE:
                return Funding(np.array(times, dtype=np.int64), np.array(rates, dtype=np.int64))
            start = times[-1] + 1

    async def _page(self, symbol: str, timeframe: str, **bounds: int) -> list[Candle]:
        rows = await self._gateway.call("fapiPublicGetKlines", {"symbol": symbol, "interval": timeframe, **bounds})
        return [kline_row(row) for row in rows]
