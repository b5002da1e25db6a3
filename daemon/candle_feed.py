"""The candle feed: from kline frames to closed candles in order, once each, without a hole that could be filled.

A candle is final when the exchange's own closed flag says so, or when REST shows it behind a fresh successor; the
local clock is no evidence. What arrives behind a hole waits until the hole was filled over REST.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from daemon.backfill import Backfill
from daemon.backoff import insist
from daemon.candle_store import CandleStore, Column, Pair
from daemon.events import CandleClosed, GapClosed, GapFound, GapSeen
from daemon.gateway import GatewayError
from daemon.venues.payloads import KlineFrame
from market.candles import Candle
from market.timeframes import utc_text

log = logging.getLogger("daemon.candles")

RETRIES_S = (0.2, 1.0, 3.0)
"""Pauses between asking for candles that REST does not have yet."""
MOST_MISSED = 48
"""How many candles that closed while the daemon was away are still decided, one by one; older ones are only held."""

JUMP = 3.0
"""By what factor a price may lie off the last close before the stream alone is not believed."""

Told = CandleClosed | GapSeen | GapClosed | GapFound
Emit = Callable[[Told], None]
Record = Callable[[Pair, Candle, bool], None]
BY_REST = "filled over REST"
BY_STREAM = "filled by the stream after all"
TOO_OLD = "closed while no daemon ran, too long ago to be decided: held for features as far as they reach"
NO_HISTORY = "refused: the exchange's own history has none"


@dataclass
class Lane:
    """One pair's way into the store.

    `announce_from` is the open time from which candles are told of; older ones are warm-up. `first_seen` and `seen` are
    the first and the newest open time of any frame, `parked` what closed while a hole before it was being filled.
    `gap` is what is being asked for (open times, end exclusive), None where nothing is missing; `fetched` is what the
    fill under way has found over REST.
    """

    pair: Pair
    column: Column
    announce_from: int = -1
    first_seen: int = -1
    seen: int = -1
    parked: dict[int, Candle] = field(default_factory=dict)
    filling: asyncio.Task[None] | None = None
    overdue: asyncio.TimerHandle | None = None
    gap: tuple[int, int] | None = None
    fetched: list[int] = field(default_factory=list)

    @property
    def due(self) -> int:
        """Open time of the candle that comes next."""
        return self.column.last + self.column.timeframe.ms

    def doubt(self, candle: Candle) -> str | None:
        """What makes a candle that is whole in itself implausible behind the last one, in words, or None."""
        before = self.column.last_close
        if candle.open_time <= self.due and max(candle.high / before, before / candle.low) > JUMP:
            return f"prices from {candle.low} to {candle.high} behind a close of {before}"
        return None


class CandleFeed:
    """All lanes of one daemon.

    Parameters
    ----------
    store : CandleStore
        What is filled.
    backfill : Backfill
        Where holes are filled from.
    emit : callable
        Takes `CandleClosed` events, and those of a gap's life: `GapSeen`, then `GapClosed` or `GapFound`.
    record : callable, optional
        Takes every candle that is accepted or revised, with its pair and whether the stream brought it.
    close_s : float
        How long a closing frame may stay out once the successor was seen, seconds.
    settled_until : int
        Close time (ms) of the last candle decided in a former life; later ones are told of. -1: only new ones are.
    """

    def __init__(
        self,
        store: CandleStore,
        backfill: Backfill,
        emit: Emit,
        close_s: float,
        settled_until: int = -1,
        record: Record | None = None,
    ) -> None:
        self._store, self._backfill, self._emit, self._record = store, backfill, emit, record
        self.close_s, self._settled_until = close_s, settled_until
        self.lanes = {pair: Lane(pair, column) for pair, column in store.columns.items()}

    def frame(self, frame: KlineFrame) -> None:
        """Take in a kline frame, closed or not."""
        lane = self.lanes.get((frame.symbol, frame.timeframe))
        if lane is None:
            return
        if lane.first_seen < 0:
            lane.first_seen = frame.candle.open_time
        lane.seen = max(lane.seen, frame.candle.open_time)
        if frame.closed:
            self._closed(lane, frame.candle)
        elif len(lane.column) and frame.candle.open_time > lane.due and not lane.filling and not lane.overdue:
            loop = asyncio.get_running_loop()
            lane.overdue = loop.call_later(self.close_s, self._missed_close, lane)

    @property
    def warm(self) -> bool:
        """Whether every lane has its history."""
        return all(lane.announce_from >= 0 for lane in self.lanes.values())

    async def catch_up(self) -> None:
        """Fill every lane up to now: after start and after every reconnect."""
        for lane in self.lanes.values():
            self._fill(lane)
        await asyncio.gather(*(lane.filling for lane in self.lanes.values() if lane.filling))

    def close(self) -> None:
        """Stop filling."""
        for lane in self.lanes.values():
            if lane.filling:
                lane.filling.cancel()
            if lane.overdue:
                lane.overdue.cancel()

    def _closed(self, lane: Lane, candle: Candle) -> None:
        problem = candle.problem() or lane.doubt(candle)
        if problem:  # REST has the last word: what it says as well is so
            log.warning("%s %s candle of %s refused: %s", *lane.pair, utc_text(candle.open_time), problem)
            self._fill(lane)
        elif lane.filling or lane.announce_from < 0:
            lane.parked[candle.open_time] = candle
        elif not len(lane.column) or candle.open_time == lane.due:
            self._accept(lane, candle, live=True)
        elif candle.open_time < lane.due:
            self._again(lane, candle)
        else:
            lane.parked[candle.open_time] = candle
            self._missing(lane, candle.open_time)
            self._fill(lane)

    def _missing(self, lane: Lane, end: int) -> None:
        """The candles from the one that is due up to `end` (ms) were not brought."""
        lane.gap = (lane.due, end)
        self._emit(GapSeen(*lane.pair, *lane.gap))

    def _again(self, lane: Lane, candle: Candle) -> None:
        """A candle that is held already: a duplicate says nothing new, a revision is taken over for the features."""
        if lane.column.replace(candle):
            if self._record is not None:
                self._record(lane.pair, candle, True)
            log.warning("%s %s candle of %s was revised after its close", *lane.pair, utc_text(candle.open_time))

    def _accept(self, lane: Lane, candle: Candle, live: bool) -> None:
        lane.column.append(candle)
        if self._record is not None:
            self._record(lane.pair, candle, live)
        if lane.announce_from >= 0 and candle.open_time >= lane.announce_from:
            if not live:
                lane.fetched.append(candle.open_time)
            self._emit(CandleClosed(*lane.pair, candle, live))

    def _missed_close(self, lane: Lane) -> None:
        lane.overdue = None
        if lane.seen > lane.due:
            log.warning("%s %s: the close of %s was not told; asking", *lane.pair, utc_text(lane.due))
            self._missing(lane, lane.seen)
            self._fill(lane)

    def _fill(self, lane: Lane) -> None:
        if not lane.filling:
            lane.filling = asyncio.create_task(self._fill_lane(lane), name=f"backfill {lane.pair}")

    async def _fill_lane(self, lane: Lane) -> None:
        try:
            if lane.announce_from < 0:
                await self._warm_up(lane)
            for pause in (*RETRIES_S, 0.0):
                self._take(lane, await self._ask(lane))
                if not lane.parked and lane.seen <= lane.due:
                    return
                await asyncio.sleep(pause)
            self._give_up(lane)
        finally:
            self._tell_filled(lane)
            lane.filling = None  # before the next frame is read, which would be parked for good otherwise

    def _tell_filled(self, lane: Lane) -> None:
        """What the fill that ends has found, as gaps that are closed."""
        starts = set()
        for start, end in _runs(lane.fetched, lane.column.timeframe.ms):
            starts.add(start)
            self._emit(GapClosed(*lane.pair, start, end, BY_REST))
        lane.fetched.clear()
        if lane.gap is not None and len(lane.column) and lane.due > lane.gap[0]:
            if lane.gap[0] not in starts:
                self._emit(GapClosed(*lane.pair, *lane.gap, BY_STREAM))
            lane.gap = None

    async def _ask(self, lane: Lane) -> list[Candle]:
        """What REST has from the candle due now; without any history there is nothing to follow on from."""
        if not len(lane.column):
            return []
        known = max(lane.seen, max(lane.parked, default=-1))
        what = f"{lane.pair[0]} {lane.pair[1]} backfill"
        return await insist(lambda: self._backfill.since(*lane.pair, lane.due, known), what, GatewayError)

    async def _warm_up(self, lane: Lane) -> None:
        """The first fill: history is held in silence, holes and all, and told of from the candle that forms now."""
        what = f"{lane.pair[0]} {lane.pair[1]} history"
        newest = await insist(lambda: self._backfill.newest(*lane.pair, lane.column.capacity), what, GatewayError)
        candles, forming = newest
        if lane.first_seen >= 0:
            forming = min(forming, lane.first_seen)  # what closed while this was asked is told of
        lane.announce_from = self._first_told(lane, forming)
        for candle in candles:
            if problem := candle.problem():
                log.warning("%s %s candle of %s refused: %s", *lane.pair, utc_text(candle.open_time), problem)
            else:
                self._accept(lane, candle, live=lane.parked.pop(candle.open_time, None) is not None)
        self._take_parked(lane)
        for start, end in lane.column.window().holes():
            self._emit(GapClosed(*lane.pair, start, end, NO_HISTORY))

    def _first_told(self, lane: Lane, forming: int) -> int:
        if self._settled_until < 0:
            return forming
        oldest = forming - MOST_MISSED * lane.column.timeframe.ms
        if self._settled_until < oldest:
            self._emit(GapClosed(*lane.pair, self._settled_until, oldest, TOO_OLD))
        return max(self._settled_until, oldest)

    def _take(self, lane: Lane, candles: Iterable[Candle]) -> None:
        """Accept candles found over REST as far as they follow on, with the parked ones in their places."""
        for candle in candles:
            if problem := candle.problem():
                log.warning("%s %s candle of %s refused: %s", *lane.pair, utc_text(candle.open_time), problem)
            elif candle.open_time == lane.due:
                self._accept(lane, candle, live=lane.parked.pop(candle.open_time, None) is not None)
            elif candle.open_time > lane.due:
                lane.parked.setdefault(candle.open_time, candle)
        self._take_parked(lane)

    def _take_parked(self, lane: Lane) -> None:
        for time in sorted(lane.parked):
            if len(lane.column) and time < lane.due:
                self._again(lane, lane.parked.pop(time))
            elif time == lane.due or not len(lane.column):
                self._accept(lane, lane.parked.pop(time), live=True)

    def _give_up(self, lane: Lane) -> None:
        """A hole that nobody can fill: told of as it is, and life goes on behind it."""
        while lane.parked:
            first = min(lane.parked)
            log.error("%s %s: no candles from %s to %s", *lane.pair, utc_text(lane.due), utc_text(first))
            self._emit(GapFound(*lane.pair, lane.due, first))
            lane.gap = None
            self._accept(lane, lane.parked.pop(first), live=True)
            self._take_parked(lane)


def _runs(times: list[int], step: int) -> list[tuple[int, int]]:
    """Open times as stretches without a hole, end exclusive."""
    runs: list[tuple[int, int]] = []
    for time in sorted(times):
        if runs and runs[-1][1] == time:
            runs[-1] = (runs[-1][0], time + step)
        else:
            runs.append((time, time + step))
    return runs
