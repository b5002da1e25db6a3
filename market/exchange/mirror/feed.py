"""One mirrored symbol: its klines are fetched when they are asked for; funding and index are as last told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from market.exchange.feed import OFFERED, Kline, Outlook
from market.exchange.mirror.wire import Funded, Mark
from market.exchange.source import Elsewhere
from market.instruments import Instrument
from market.timeframes import Timeframe

Page = tuple[Timeframe, int | None, int | None, int]
"""Timeframe, first and last open time (ms), and how many at most."""
PAGES = 64


class MirrorFeed:
    """One symbol of a live market.

    Parameters
    ----------
    instrument : Instrument
        Its grid, limits and brackets.
    finest : Timeframe
        The shortest klines the upstream offers; longer ones that it divides are offered too.
    fetch : callable
        Gives a page of the symbol's klines from the upstream.
    """

    def __init__(
        self, instrument: Instrument, finest: Timeframe, fetch: Callable[[str, Page], Awaitable[list[Kline]]]
    ) -> None:
        self.instrument = instrument
        self.timeframes = tuple(t for t in OFFERED if t.ms % finest.ms == 0)
        self.funding_times: list[int] = []
        self.funding_rates: list[int] = []
        self.mark: Mark | None = None
        self._fetch = fetch
        self._pages: dict[Page, list[Kline]] = {}
        self._marks_at: dict[int, int] = {}

    @property
    def symbol(self) -> str:
        """The exchange's name of the instrument."""
        return self.instrument.symbol

    def klines(self, timeframe: Timeframe, start: int | None, end: int | None, limit: int) -> list[Kline]:
        """The page, if it was fetched just now; raises Elsewhere with the way to fetch it otherwise."""
        page = (timeframe, start, end, limit)
        fetched = self._pages.pop(page, None)
        if fetched is None:
            raise Elsewhere(lambda: self._bring(page))
        return fetched

    def funded(self, instant: Funded) -> bool:
        """Take a funding instant; returns whether it is new."""
        if self.funding_times and instant.time <= self.funding_times[-1]:
            return False
        self.funding_times.append(instant.time)
        self.funding_rates.append(instant.rate)
        if instant.mark is not None:
            self._marks_at[instant.time] = instant.mark
        return True

    def mark_at(self, time: int) -> int | None:
        """The mark (ticks) the upstream tells of a funding instant, if it does."""
        return self._marks_at.get(time)

    def outlook(self, now: int, hours: int) -> Outlook:
        """As the upstream told last."""
        if self.mark is None:
            period = hours * 3_600_000
            return Outlook(0, now - now % period + period)
        return Outlook(self.mark.rate, self.mark.next_time, self.mark.index)

    async def _bring(self, page: Page) -> None:
        klines = await self._fetch(self.symbol, page)
        while len(self._pages) >= PAGES:  # fetched for somebody who went away
            self._pages.pop(next(iter(self._pages)))
        self._pages[page] = klines
