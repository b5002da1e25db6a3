"""The queues between sockets and engine: bounded, and nothing that matters is lost where one is full."""

from __future__ import annotations

from dataclasses import replace

from daemon.events import Event, Filled, Tick
from daemon.inbox import Inbox
from daemon.kline_queue import KlineQueue
from daemon.venues.payloads import KlineFrame
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
