"""The candle feed: frames are handed in by hand, holes are filled from the real local exchange over REST."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from daemon.backfill import Backfill
from daemon.candle_feed import BY_REST, MOST_MISSED, TOO_OLD, CandleFeed, Told
from daemon.candle_store import CandleStore
from daemon.events import CandleClosed, GapClosed, GapFound, GapSeen
from daemon.recorder import Recorder
from daemon.venues.payloads import KlineFrame
from daemon.venues.venue import Venue
from market import history, synthetic
from market.candles import Candle
from market.timeframes import Timeframe
from tests.daemon.conftest import until
from tests.local_exchange import LocalExchange

PAIR = ("BTCUSDT", "1h")
HOUR_MS = 3_600_000
WARMUP = 300


@dataclass
class Bench:
    """A feed over a real exchange, and what it told."""

    place: LocalExchange
    backfill: Backfill
    feed: CandleFeed
    store: CandleStore
    told: list[Told]
    start: int
    recorder: Recorder

    def forming(self, bar: int) -> KlineFrame:
        """A first frame of the bar so many bars after the start."""
        return KlineFrame(*PAIR, False, Candle(self.start + bar * HOUR_MS, 1.0, 1.0, 1.0, 1.0, 0.0))

    async def closed(self, bar: int) -> KlineFrame:
        """The closing frame of a bar, with the values the exchange gives it."""
        time = self.start + bar * HOUR_MS
        (candle,) = [c for c in await self.backfill.since(*PAIR, time, time + 1) if c.open_time == time]
        return KlineFrame(*PAIR, True, candle)

    def bars(self) -> list[int]:
        """Which bars were told of as closed, counted from the start."""
        return [(e.candle.open_time - self.start) // HOUR_MS for e in self.told if isinstance(e, CandleClosed)]

    def gaps(self) -> list[Told]:
        """What was told of gaps."""
        return [e for e in self.told if not isinstance(e, CandleClosed)]

    async def rest(self) -> None:
        """Wait until nothing is being filled."""
        await until(lambda: not any(lane.filling for lane in self.feed.lanes.values()), "backfill at rest")


Make = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench(
    exchange: Callable[..., LocalExchange], connect: Callable[..., Awaitable[tuple[Venue, object]]], tmp_path: Path
) -> AsyncIterator[Make]:
    feeds: list[CandleFeed] = []
    recorder = Recorder(tmp_path)

    async def make(settled_bar: int | None = None, close_s: float = 0.2, **options: object) -> Bench:
        place = exchange(warmup=WARMUP, bars=200, **options)
        venue, _ = await connect(place.url)
        start = place.state()["market_time"]
        told: list[Told] = []
        store, backfill = CandleStore([PAIR], 200), Backfill(venue)
        settled = -1 if settled_bar is None else start + settled_bar * HOUR_MS
        feed = CandleFeed(store, backfill, told.append, close_s, settled, recorder.take)
        feeds.append(feed)
        return Bench(place, backfill, feed, store, told, start, recorder)

    yield make
    for feed in feeds:
        feed.close()
    recorder.close()


async def test_history_is_held_in_silence_and_the_open_candle_left_out(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    assert b.told == []
    window = b.store[PAIR].window()
    assert (len(window), window.open_time[-1], window.holes()) == (200, b.start - HOUR_MS, [])


async def test_taker_flow_is_kept(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    window = b.store[PAIR].window()
    assert (window.taker_base > 0).all()
    assert (window.taker_base < window.volume).all()


@pytest.mark.parametrize("factor", [1_000.0, 0.001])
async def test_an_absurd_candle_is_taken_from_rest_and_opens_nothing(bench: Make, factor: float) -> None:
    b = await bench()
    await b.feed.catch_up()
    await asyncio.to_thread(b.place.advance, 2)
    true = await b.closed(0)
    absurd = {name: getattr(true.candle, name) * factor for name in ("open", "high", "low", "close")}
    b.feed.frame(replace(true, candle=replace(true.candle, **absurd)))
    assert b.bars() == []
    b.feed.frame(b.forming(2))
    await until(lambda: b.bars() == [0, 1], "both candles")
    (first, *_) = [e for e in b.told if isinstance(e, CandleClosed)]
    assert (first.candle.close, first.live) == (true.candle.close, False)
    b.feed.frame(replace(true, candle=replace(true.candle, **absurd)))  # nor is it believed as a revision
    assert b.store[PAIR].window().close[-2] == true.candle.close


async def test_candles_are_told_in_order_and_once(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(3)
    for bar in (0, 0, 1, 1, 0, 2):
        b.feed.frame(await b.closed(bar))
    assert b.bars() == [0, 1, 2]
    assert all(e.live for e in b.told if isinstance(e, CandleClosed))


async def test_an_unfinished_candle_is_not_taken_for_closed(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    b.feed.frame(b.forming(0))
    await b.rest()
    assert b.told == []


async def test_what_closes_during_the_first_fill_is_told_though_rest_has_it_too(bench: Make) -> None:
    b = await bench()
    b.feed.frame(b.forming(0))
    await b.place.turn(2)
    b.feed.frame(await b.closed(0))
    b.feed.frame(await b.closed(1))
    await b.feed.catch_up()
    assert b.bars() == [0, 1]


async def test_a_hole_is_filled_before_what_lies_behind_it_is_told(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(6)
    b.feed.frame(await b.closed(0))
    b.feed.frame(await b.closed(4))
    b.feed.frame(await b.closed(5))
    assert b.bars() == [0]
    await b.rest()
    assert b.bars() == [0, 1, 2, 3, 4, 5]
    assert b.store[PAIR].window().holes() == []


async def test_a_close_that_was_never_told_is_asked_for_once_its_successor_is_fresh(bench: Make) -> None:
    b = await bench(close_s=0.1)
    await b.feed.catch_up()
    await b.place.turn(1)
    b.feed.frame(b.forming(1))
    await until(lambda: b.bars() == [0], "the missed close")
    await b.place.turn(1)
    b.feed.frame(await b.closed(0))  # late after all
    b.feed.frame(await b.closed(1))
    assert b.bars() == [0, 1]


async def test_missed_candles_are_filled_after_a_reconnect(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(5)
    b.feed.frame(b.forming(5))
    await b.feed.catch_up()
    assert b.bars() == [0, 1, 2, 3, 4]
    assert not any(e.live for e in b.told if isinstance(e, CandleClosed))


async def test_a_revision_after_the_close_reaches_the_features_and_is_not_told_again(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(1)
    frame = await b.closed(0)
    b.feed.frame(frame)
    b.feed.frame(replace(frame, candle=replace(frame.candle, volume=123.0)))
    assert b.bars() == [0]
    assert b.store[PAIR].window().volume[-1] == 123.0


@pytest.mark.parametrize("price", [float("nan"), 0.0, -1.0])
async def test_an_impossible_candle_is_refused_and_asked_for_again(bench: Make, price: float) -> None:
    b = await bench(close_s=0.1)
    await b.feed.catch_up()
    await b.place.turn(1)
    frame = await b.closed(0)
    b.feed.frame(replace(frame, candle=replace(frame.candle, close=price)))
    assert b.bars() == []
    b.feed.frame(b.forming(1))
    await until(lambda: b.bars() == [0], "the right candle over REST")
    assert b.store[PAIR].window().close[-1] == frame.candle.close


async def test_a_hole_that_nobody_can_fill_is_told_as_a_gap(
    bench: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("daemon.candle_feed.RETRIES_S", (0.01, 0.01))
    candles, _ = synthetic.generate("BTCUSDT", bars=600, timeframe=Timeframe.parse("1h"), seed=2)
    outage = np.arange(len(candles))
    history.write(candles[(outage < WARMUP + 2) | (outage >= WARMUP + 8)], tmp_path / "outage.parquet")
    b = await bench(data=tmp_path / "outage.parquet")
    await b.feed.catch_up()
    await b.place.turn(4)
    for bar in (0, 1, 8, 9):
        b.feed.frame(await b.closed(bar))
    await b.rest()
    assert b.bars() == [0, 1, 8, 9]
    hole = (b.start + 2 * HOUR_MS, b.start + 8 * HOUR_MS)
    assert b.told[2:4] == [GapSeen(*PAIR, *hole), GapFound(*PAIR, *hole)]


async def test_a_restart_tells_of_what_closed_since_the_last_settled_candle(bench: Make) -> None:
    b = await bench(settled_bar=-3)
    await b.feed.catch_up()
    assert b.bars() == [-3, -2, -1]


async def test_a_restart_after_long_tells_of_the_newest_and_calls_the_rest_a_gap(bench: Make) -> None:
    b = await bench(settled_bar=-100)
    await b.feed.catch_up()
    assert b.bars() == list(range(-MOST_MISSED, 0))
    assert b.told[0] == GapClosed(*PAIR, b.start - 100 * HOUR_MS, b.start - MOST_MISSED * HOUR_MS, TOO_OLD)


async def test_history_longer_than_a_page_is_asked_for_page_by_page(
    exchange: Callable[..., LocalExchange], connect: Callable[..., Awaitable[tuple[Venue, object]]]
) -> None:
    place = exchange(warmup=2_600, bars=10)
    venue, _ = await connect(place.url)
    candles, forming = await Backfill(venue).newest(*PAIR, 2_500)
    times = [c.open_time for c in candles]
    assert times == list(range(forming - 2_500 * HOUR_MS, forming, HOUR_MS))


async def test_a_gap_is_told_of_when_it_is_seen_and_when_it_is_filled(bench: Make) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(6)
    b.feed.frame(await b.closed(0))
    b.feed.frame(await b.closed(4))
    start, end = (b.start + n * HOUR_MS for n in (1, 4))
    assert b.gaps() == [GapSeen(*PAIR, start, end)]
    await until(lambda: b.bars() == [0, 1, 2, 3, 4, 5], "the gap filled")
    await b.rest()
    assert b.gaps()[:2] == [GapSeen(*PAIR, start, end), GapClosed(*PAIR, start, end, BY_REST)]


async def test_every_candle_that_is_accepted_or_revised_is_recorded_once(bench: Make, tmp_path: Path) -> None:
    b = await bench()
    await b.feed.catch_up()
    await b.place.turn(3)
    for bar in (0, 2, 2):
        b.feed.frame(await b.closed(bar))
    await until(lambda: b.bars() == [0, 1, 2], "the gap filled")
    revised = await b.closed(2)
    revised = replace(revised, candle=replace(revised.candle, close=revised.candle.high, taker_base=float("nan")))
    b.feed.frame(revised)
    b.recorder.close()
    with closing(sqlite3.connect(tmp_path / "candles.sqlite")) as file:
        rows = file.execute("SELECT open_time, close, taker_base, live FROM candles ORDER BY open_time").fetchall()
    assert len(rows) == 200 + 3
    assert [row[3] for row in rows[-4:]] == [0, 1, 0, 1]
    assert rows[-1][:3] == (b.start + 2 * HOUR_MS, revised.candle.close, None)
    assert b.recorder.lost == 0
