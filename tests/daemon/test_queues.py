"""The queues between sockets and engine: bounded, and nothing that matters is lost where one is full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from daemon.backfill import Backfill
from daemon.candle_feed import CandleFeed
from daemon.candle_store import CandleStore
from daemon.events import Event, Filled, Tick
from daemon.inbox import Inbox
from daemon.inlet import Inlet
from daemon.kline_queue import KlineQueue
from daemon.streams import MarketStream, PrivateStream
from daemon.summary import Stopwatch
from daemon.venues.binance.venue import Binance
from daemon.venues.payloads import KlineFrame
from market import catalogue
from market.candles import Candle

HOUR_MS = 3_600_000


def frame(bar: int, close: float = 1.0, closed: bool = False, symbol: str = "BTCUSDT") -> KlineFrame:
    return KlineFrame(symbol, "1h", closed, Candle(bar * HOUR_MS, 1.0, close, 1.0, close, 0.0))


async def test_of_a_candle_that_forms_only_the_newest_frame_waits() -> None:
    queue = KlineQueue()
    for close in (1.0, 2.0, 3.0):
        assert queue.put(frame(0, close))
    assert queue.put(frame(0, 9.0, symbol="ETHUSDT"))
    assert (len(queue), queue.replaced) == (2, 2)
    assert await queue.get() == frame(0, 3.0)
    assert await queue.get() == frame(0, 9.0, symbol="ETHUSDT")


async def test_a_closed_candle_keeps_its_place_and_what_forms_next_stands_behind_it() -> None:
    queue = KlineQueue()
    told = [frame(0, 1.0), frame(0, 2.0, closed=True), frame(1, 3.0), frame(1, 4.0, closed=True), frame(2)]
    for each in told:
        queue.put(each)
    assert queue.put(frame(2, 8.0))
    assert [await queue.get() for _ in told] == [*told[:-1], frame(2, 8.0)]


async def test_a_frame_that_is_taken_out_is_not_replaced_any_more() -> None:
    queue = KlineQueue()
    queue.put(frame(0, 1.0))
    assert await queue.get() == frame(0, 1.0)
    queue.put(frame(0, 2.0))
    assert await queue.get() == frame(0, 2.0)
    assert queue.replaced == 0


async def test_a_full_queue_refuses_a_closed_candle_and_counts_it() -> None:
    queue = KlineQueue(bound=2)
    assert queue.put(frame(0, closed=True))
    assert queue.put(frame(1, closed=True))
    assert not queue.put(frame(2, closed=True))
    assert queue.counts() == {"klines": 2, "klines_replaced": 0, "klines_refused": 1}
    await queue.get()
    assert queue.put(frame(2, closed=True))


async def test_a_full_inbox_takes_our_own_answers_and_refuses_what_others_send() -> None:
    inbox = Inbox(bound=2)
    fill = Filled("BTCUSDT", "web", 1, 1, 1, 1, 0, 0)
    assert inbox.offer(fill)
    assert inbox.offer(replace(fill, trade_id=2))
    assert not inbox.offer(replace(fill, trade_id=3))
    inbox.put(Tick())
    taken: list[Event] = [await inbox.get() for _ in range(3)]
    assert taken == [fill, replace(fill, trade_id=2), Tick()]
    assert (inbox.refused, inbox.most, len(inbox)) == (1, 3, 0)


@pytest.fixture
async def venue() -> AsyncIterator[Binance]:
    """A venue that is never opened: nothing is sent."""
    venue = Binance("local", "local", "http://127.0.0.1:9", 1.0, lambda private, frame: None)
    venue.instruments = {"BTCUSDT": catalogue.instrument("BTCUSDT")}
    yield venue
    await venue.close()


class Bench:
    """An inlet with its two streams, which never run: only whether they were told to cut is looked at."""

    def __init__(self, venue: Binance, klines: int, events: int) -> None:
        store = CandleStore([("BTCUSDT", "1h")], 10)
        self.inbox = Inbox(events)
        self.inlet = Inlet(self.inbox.offer, Stopwatch())
        self.inlet.queue = KlineQueue(klines)

        async def nothing() -> None:
            return None

        put = self.inbox.put
        self.market = MarketStream(venue, put, nothing, pairs=[("BTCUSDT", "1h")], first_data_s=1, data_s=1)
        self.private = PrivateStream(venue, put, nothing, first_data_s=1, told_s=1)
        feed = CandleFeed(store, Backfill(venue), put, 1.0)
        self.inlet.open(feed, self.market, self.private, venue)


def kline(bar: int) -> dict[str, object]:
    values = dict.fromkeys(("o", "h", "l", "c"), "1.0") | dict.fromkeys(("v", "q", "V", "Q"), "0") | {"n": 1}
    times = {"t": bar * HOUR_MS, "T": (bar + 1) * HOUR_MS - 1}
    return {
        "e": "kline",
        "E": (bar + 1) * HOUR_MS,
        "s": "BTCUSDT",
        "k": {"s": "BTCUSDT", "i": "1h", "x": True} | times | values,
    }


async def test_closed_candles_that_find_no_room_cut_the_market_stream_which_fetches_them(venue: Binance) -> None:
    bench = Bench(venue, klines=2, events=10)
    for bar in range(2):
        bench.inlet.frame(False, kline(bar))
    assert bench.market._cut is None
    bench.inlet.frame(False, kline(2))
    assert bench.market._cut == "too many klines wait"
    assert bench.inlet.queue.refused == 1


async def test_account_events_that_find_no_room_cut_the_private_stream_which_reconciles(venue: Binance) -> None:
    bench = Bench(venue, klines=2, events=1)
    balance = {"a": "USDT", "wb": "1", "cw": "1", "bc": "0"}
    update = {"e": "ACCOUNT_UPDATE", "T": 1, "E": 1, "a": {"m": "DEPOSIT", "B": [balance], "P": []}}
    bench.inlet.frame(True, update)
    assert bench.private._cut is None
    bench.inlet.frame(True, update)
    assert bench.inbox.refused == 1
    assert bench.private._cut == "too many events of the account wait"
