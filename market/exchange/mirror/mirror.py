"""The mirror: the market of a venue as an upstream exchange tells it, in real time.

Market orders fill at the best bid and ask, stops and liquidation go by the mark, funding is charged at the upstream's
rate. What the upstream does not tell is not made up: while it is silent, so are the streams, and orders are refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from market import terms
from market.backoff import Backoff
from market.exchange.account import Costs
from market.exchange.engine import Engine
from market.exchange.feed import Kline
from market.exchange.hub import Hub
from market.exchange.mirror import wire
from market.exchange.mirror.feed import MirrorFeed, Page
from market.exchange.mirror.inbox import Inbox
from market.exchange.mirror.tracks import Track
from market.exchange.mirror.upstream import Upstream, UpstreamError
from market.exchange.mirror.wire import Funded, Heard, Mark, Quote, Unreadable
from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument, InstrumentError
from market.timeframes import Timeframe

log = logging.getLogger("market.exchange.mirror")

FUNDING_ROWS = 1_000
LOOK_S = 0.2
"""How often the silence of the upstream is looked at."""


class Mirror:
    """The market of some symbols at an upstream exchange.

    Parameters
    ----------
    where : str
        As `Upstream` takes it.
    symbols : sequence of str
        The exchange's names.
    finest : Timeframe
        The shortest klines asked for; their closes are the last prices.
    quiet_s : float
        Silence after which prices are no longer trusted.
    late_s : float
        How old the close of a missed kline may be for it to be passed on.

    Attributes
    ----------
    time : int
        The upstream's clock as it was told last, UTC ms.
    """

    engine: Engine

    def __init__(self, where: str, symbols: Sequence[str], finest: Timeframe, quiet_s: float, late_s: float) -> None:
        self.feeds: dict[str, MirrorFeed] = {}
        self.time = 0
        self._where, self._symbols, self._finest, self._quiet_s = where, tuple(symbols), finest, quiet_s
        self._late_ms = late_s * 1000
        self._instruments: dict[str, Instrument] = {}
        self._tracks: dict[tuple[str, Timeframe], Track] = {}
        self._inbox = Inbox()
        self._heard_at: dict[str, float] = {}
        self._due: dict[str, int] = {}
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._unreadable = 0
        self._upstream = Upstream(where, symbols, quiet_s, self._on_frame, self._on_klines)

    async def open(self, cash: int, costs: Costs) -> Engine:
        """Learn the upstream's rules; returns an account under them, which knows no prices before `learn`.

        Raises
        ------
        UpstreamError
            If the upstream cannot be reached, or does not trade a symbol.
        Unreadable
            If it says what this program cannot read.
        """
        rows = await self._upstream.open()
        hours = await self._funding_hours()
        for row in rows:
            symbol = row["symbol"]
            known = terms.terms(symbol)
            instrument = wire.listed(row, known.brackets, hours.get(symbol, Instrument.funding_hours))
            self._instruments[symbol] = instrument
            self.feeds[symbol] = MirrorFeed(instrument, self._finest, self._page)
            if not known.own:
                log.warning("%s: its brackets are not in the table of %s; a small coin's are used", symbol, known.as_of)
        self.engine = Engine(list(self._instruments.values()), cash, costs)
        return self.engine

    async def learn(self) -> None:
        """Take the prices as they stand, and charge the funding that fell due since the account saw any.

        Raises
        ------
        UpstreamError
            If the upstream does not answer.
        Unreadable
            If it says what this program cannot read.
        """
        since = self.engine.time
        for symbol in self._symbols:
            await self._learn(symbol, since)
            self.listen([(symbol, self._finest)])

    async def run(self, hub: Hub) -> None:
        """Mirror until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upstream.run())
                group.create_task(self._pump(hub))
                group.create_task(self._watch_silence())
        finally:
            for task in self._settling.values():
                task.cancel()
            for track in self._tracks.values():
                track.stop()
            await self.close()

    async def close(self) -> None:
        """End every connection to the upstream."""
        await self._upstream.close()

    def listen(self, pairs: Iterable[tuple[str, Timeframe]]) -> None:
        """Have these klines streamed from now on."""
        for symbol, timeframe in pairs:
            if (symbol, timeframe) not in self._tracks:
                track = Track(symbol, timeframe, self._since, self._inbox.put, self._is_news)
                self._tracks[symbol, timeframe] = track
                self._upstream.listen(symbol, str(timeframe))

    def closing(self, wanted: Container[tuple[str, Timeframe]]) -> Iterator[Kline]:
        """Nothing: what closes is told as it comes."""
        return iter(())

    def forming(self, wanted: Container[tuple[str, Timeframe]]) -> Iterator[Kline]:
        """Klines as they form now; none of a symbol that nobody tells of."""
        for pair, track in self._tracks.items():
            if pair in wanted and track.forming is not None and pair[0] not in self.engine.dark:
                yield track.forming

    def state(self) -> dict[str, object]:
        """The market's clock, and how the upstream does."""
        return {
            "market_time": self.time,
            "done": False,
            "upstream": {
                "where": self._where,
                "dark": sorted(self.engine.dark),
                "falls": self._upstream.falls,
                "waiting": len(self._inbox),
                "lost": self._inbox.lost,
                "unreadable": self._unreadable,
            },
        }

    # -- what the upstream tells --------------------------------------------------------------------------------------

    def _on_frame(self, message: Any) -> None:
        try:
            heard = wire.frame(message, self._instruments)
        except Unreadable as error:
            self._unreadable += 1
            log.warning("not read: %s", error)
            return
        match heard:
            case Heard(kline=kline):
                track = self._tracks.get((kline.symbol, kline.timeframe))
                if track is not None:
                    track.hear(heard)
            case Mark():
                self._heard_at[heard.symbol] = time.monotonic()
                self._inbox.put(heard)
            case Quote():
                self._inbox.put(heard)

    def _on_klines(self) -> None:
        for track in self._tracks.values():
            track.fill()

    # -- what becomes of it -------------------------------------------------------------------------------------------

    async def _pump(self, hub: Hub) -> None:
        while True:
            items = await self._inbox.take()
            async with hub.turn:
                # quotes first: what a mark sets off fills at the best price that is known
                for item in sorted(items, key=lambda item: not isinstance(item, Quote)):
                    self._take(item)
                klines = [item.kline for item in items if isinstance(item, Heard)]
                if await hub.tell_events() and any(kline.closed for kline in klines):
                    await hub.barrier()
                await hub.tell_klines(klines)
                await hub.tell_marks(dict.fromkeys(item.symbol for item in items if isinstance(item, Mark)))
                await hub.tell_quotes(dict.fromkeys(item.symbol for item in items if isinstance(item, Quote)))

    def _take(self, item: Heard | Mark | Quote | Funded) -> None:
        try:
            self._apply(item)
        except InstrumentError as error:  # a price so absurd that what is held cannot be counted at it
            self._unreadable += 1
            log.warning("not taken: %s", error)

    def _apply(self, item: Heard | Mark | Quote | Funded) -> None:
        self.time = max(self.time, item.time)
        match item:
            case Quote():
                self.engine.quote(item.symbol, item.bid, item.ask, self.time)
            case Mark():
                self._mark(item)
            case Funded():
                if self.feeds[item.symbol].funded(item):
                    self._fund(item)
            case Heard(kline=kline, live=True) if kline.timeframe == self._finest:
                self.engine.visit(kline.symbol, kline.close, self.time)

    def _mark(self, mark: Mark) -> None:
        feed = self.feeds[mark.symbol]
        if feed.mark is not None and mark.next_time > feed.mark.next_time:
            self._due[mark.symbol] = feed.mark.next_time
            if mark.symbol not in self._settling:
                self._settling[mark.symbol] = asyncio.create_task(self._settle(mark.symbol))
        feed.mark = mark
        self.engine.mark(mark.symbol, mark.price, self.time)

    def _fund(self, instant: Funded) -> None:
        """Charge an instant that has passed, on the mark of then where the upstream tells it."""
        marks, symbol = self.engine.marks, instant.symbol
        now = marks[symbol]
        marks[symbol] = instant.mark or now
        self.engine.fund(symbol, instant.rate, instant.time)
        marks[symbol] = now

    async def _settle(self, symbol: str) -> None:
        """A funding instant has passed: ask until the upstream tells its rate, and those of any missed before it."""
        backoff = Backoff(0.2)
        try:
            told = 0
            while told < self._due[symbol]:
                for row in await self._fundings(symbol):
                    self._inbox.put(row)
                    told = row.time
                await asyncio.sleep(backoff.next())
        finally:
            del self._settling[symbol]

    async def _watch_silence(self) -> None:
        while True:
            now = time.monotonic()
            dark = {s for s in self._symbols if now - self._heard_at.get(s, 0.0) > self._quiet_s}
            for symbol in dark ^ self.engine.dark:
                log.warning("%s: %s", symbol, "no prices; orders are refused" if symbol in dark else "prices again")
            self.engine.dark = dark
            await asyncio.sleep(LOOK_S)

    # -- what is asked for --------------------------------------------------------------------------------------------

    async def _learn(self, symbol: str, since: int) -> None:
        """Prices and funding of a symbol as they stand; what fell due after `since` (ms; 0: never) is charged."""
        instrument, ask = self._instruments[symbol], self._upstream.ask
        mark = wire.premium(instrument, await ask("fapiPublicGetPremiumIndex", {"symbol": symbol}))
        quote = wire.book(instrument, await ask("fapiPublicGetTickerBookTicker", {"symbol": symbol}))
        self.time = max(self.time, mark.time)
        last = (await self._klines(symbol, (self._finest, None, None, 1)))[-1:]
        if not last:
            raise UpstreamError(f"{self._where}: no {self._finest} klines of {symbol}; give another --timeframe")
        self.feeds[symbol].mark = mark
        self.engine.prices[symbol] = last[0].close
        self.engine.marks.setdefault(symbol, mark.price)
        for row in await self._fundings(symbol):
            if self.feeds[symbol].funded(row) and 0 < since < row.time:
                self._fund(row)
        self.engine.quote(symbol, quote.bid, quote.ask, self.time)
        self.engine.mark(symbol, mark.price, self.time)
        self._heard_at[symbol] = time.monotonic()

    async def _funding_hours(self) -> dict[str, int]:
        """Hours between funding instants, of the symbols where they are not the usual eight."""
        rows = await self._upstream.ask("fapiPublicGetFundingInfo")
        try:
            return {str(row["symbol"]): int(row["fundingIntervalHours"]) for row in rows}
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"funding intervals: {error!r}") from error

    async def _fundings(self, symbol: str) -> list[Funded]:
        """Funding instants that are not known yet, oldest first; none where the upstream does not answer."""
        known = self.feeds[symbol].funding_times
        asked: dict[str, object] = {"symbol": symbol, "limit": FUNDING_ROWS}
        if known:
            asked["startTime"] = known[-1] + 60_000
        try:
            rows = await self._upstream.ask("fapiPublicGetFundingRate", asked)
            return [wire.funding_row(self._instruments[symbol], row) for row in rows]
        except (UpstreamError, Unreadable) as error:
            log.warning("funding of %s: %s", symbol, error)
            return []

    async def _since(self, symbol: str, timeframe: Timeframe, start: int, limit: int) -> list[Kline]:
        """What a track missed; the market's clock is asked for too, since nobody told of it meanwhile."""
        try:
            row = await self._upstream.ask("fapiPublicGetPremiumIndex", {"symbol": symbol})
            self.time = max(self.time, wire.premium(self._instruments[symbol], row).time)
        except UpstreamError as error:
            raise Refusal(Code.DISCONNECTED) from error
        return await self._page(symbol, (timeframe, start, None, limit))

    def _is_news(self, kline: Kline) -> bool:
        return self.time - kline.open_time - kline.timeframe.ms <= self._late_ms

    async def _page(self, symbol: str, page: Page) -> list[Kline]:
        """A page of the upstream's klines; where it gives none, the answer is what an exchange's own trouble is."""
        try:
            return await self._klines(symbol, page)
        except (UpstreamError, Unreadable) as error:
            log.warning("klines of %s: %s", symbol, error)
            raise Refusal(Code.DISCONNECTED) from error

    async def _klines(self, symbol: str, page: Page) -> list[Kline]:
        timeframe, start, end, limit = page
        bounds = {"startTime": start, "endTime": end}
        asked = {"symbol": symbol, "interval": str(timeframe), "limit": limit}
        rows = await self._upstream.ask(
            "fapiPublicGetKlines", asked | {name: bound for name, bound in bounds.items() if bound is not None}
        )
        return [wire.kline_row(self._instruments[symbol], timeframe, row) for row in rows]
