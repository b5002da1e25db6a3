"""The mirror's parts: what is read and refused, what waits, and in which order klines are passed on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.catalogue import instrument
from market.exchange.feed import Kline
from market.exchange.mirror import wire
from market.exchange.mirror.inbox import Inbox
from market.exchange.mirror.tracks import Track
from market.exchange.mirror.wire import Heard, Mark, Quote, Unreadable
from market.exchange.refusals import Code, Refusal
from market.instruments import CASH
from market.terms import terms
from market.timeframes import Timeframe

BTC = {"BTCUSDT": instrument("BTCUSDT")}
MINUTE = Timeframe.parse("1m")
KLINE = {
    "e": "kline", "E": 90_000, "s": "BTCUSDT",
    "k": {"t": 60_000, "i": "1m", "o": "10", "h": "12", "l": "9", "c": "11", "v": "5", "q": "50", "n": 3, "V": "2",
          "Q": "20", "x": True},
}  # fmt: skip
MARK = {"e": "markPriceUpdate", "E": 5, "s": "BTCUSDT", "p": "10.004", "i": "10", "r": "0.0001", "T": 9}
BOOK = {"e": "bookTicker", "E": 5, "T": 4, "s": "BTCUSDT", "b": "10.00", "a": "10.01", "B": "1", "A": "1"}


def kline(minute: int, closed: bool = True, close: int = 1_000) -> Heard:
    opened = minute * MINUTE.ms
    told = Kline("BTCUSDT", MINUTE, closed, opened, close, close, close, close, 1.0, 1.0, 1.0, 1.0, 1.0)
    return Heard(told, opened, live=True)


def test_frames_are_read_into_ticks() -> None:
    heard = wire.frame(KLINE, BTC)
    assert isinstance(heard, Heard)
    assert (heard.kline.open, heard.kline.high, heard.kline.closed, heard.live) == (1_000, 1_200, True, True)
    assert wire.frame({"stream": "x", "data": MARK}, BTC) == Mark("BTCUSDT", 1_000, 1_000, 10_000, 9, 5)
    assert wire.frame(BOOK, BTC) == Quote("BTCUSDT", 1_000, 1_001, 4)
    assert wire.frame({**BOOK, "s": "ETHUSDT"}, BTC) is None
    assert wire.frame({"result": None, "id": 1}, BTC) is None


@pytest.mark.parametrize(
    "broken",
    [
        {**KLINE, "k": {**KLINE["k"], "c": "NaN"}},
        {**KLINE, "k": {**KLINE["k"], "l": "0"}},
        {**KLINE, "k": {**KLINE["k"], "v": "-1"}},
        {**KLINE, "k": {**KLINE["k"], "i": "7x"}},
        {**KLINE, "k": None},
        {**MARK, "p": "-1"},
        {**MARK, "r": "2"},
        {**BOOK, "b": "10.02"},
        {**BOOK, "a": "1e400"},
        {"e": "bookTicker", "s": "BTCUSDT"},
    ],
)
def test_what_is_no_price_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        wire.frame(broken, BTC)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("eEskTpirbat"), inner, max_size=6),
    max_leaves=8,
)


scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just({}) | st.just([])
fields = st.sampled_from(["E", "T", "k", "p", "i", "r", "b", "a"])


@given(st.sampled_from([KLINE, MARK, BOOK]), fields, scalar)
def test_no_frame_is_unhandled(frame: dict[str, Any], name: str, value: Any) -> None:
    try:
        read = wire.frame({**frame, name: value}, BTC)
    except Unreadable:
        return
    assert isinstance(read, Heard | Mark | Quote)


@given(anything)
def test_nothing_that_may_arrive_is_unhandled(message: Any) -> None:
    assert wire.frame(message, BTC) is None


async def test_the_newest_quote_and_forming_kline_wait_and_everything_else_in_order() -> None:
    inbox = Inbox(limit=4)
    for time in (1, 2, 3):
        inbox.put(Quote("BTCUSDT", time, time + 1, time))
    marks = [Mark("BTCUSDT", price, price, 0, 9, price) for price in (5, 6)]
    for item in (kline(1, closed=False), marks[0], kline(1), kline(2, closed=False), marks[1]):
        inbox.put(item)
    inbox.put(Mark("BTCUSDT", 7, 7, 0, 9, 7))
    taken = await inbox.take()
    # the forming kline of minute 2 comes after the close of minute 1, and the last mark found no room
    assert taken == [Quote("BTCUSDT", 3, 4, 3), marks[0], kline(1), kline(2, closed=False)]
    assert (inbox.lost, len(inbox)) == (2, 0)


class History:
    """An upstream's klines: minutes up to `now`, of which the last is forming; it fails as often as it is told."""

    def __init__(self) -> None:
        self.now = 5
        self.failures = 0
        self.holes: set[int] = set()
        self.asked: list[int] = []

    async def since(self, symbol: str, timeframe: Timeframe, start: int, limit: int) -> list[Kline]:
        self.asked.append(start // MINUTE.ms)
        if self.failures:
            self.failures -= 1
            raise Refusal(Code.DISCONNECTED)
        minutes = [m for m in range(start // MINUTE.ms, self.now + 1) if m not in self.holes]
        return [kline(m, closed=False).kline for m in minutes[:limit]]


@pytest.fixture
def told() -> list[Heard]:
    return []


def track_of(history: History, told: list[Heard]) -> Track:
    return Track("BTCUSDT", MINUTE, history.since, told.append, lambda kline: True)


def closed_minutes(told: list[Heard]) -> list[int]:
    return [heard.kline.open_time // MINUTE.ms for heard in told if heard.kline.closed]


async def settled(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 (what is waited for runs beside)
            await asyncio.sleep(0.01)


async def test_a_hole_is_filled_before_the_stream_goes_on(told: list[Heard]) -> None:
    history = History()
    track = track_of(history, told)
    track.hear(kline(1))
    track.hear(kline(5, closed=False))  # 2, 3 and 4 were missed
    assert closed_minutes(told) == [1]
    await settled(lambda: len(told) == 5)
    assert closed_minutes(told) == [1, 2, 3, 4]
    assert [heard.live for heard in told] == [True, False, False, False, True]
    assert (track.forming, history.asked) == (kline(5, closed=False).kline, [2])


async def test_repetitions_and_late_revisions_are_not_passed_on(told: list[Heard]) -> None:
    track = track_of(History(), told)
    for heard in (kline(1), kline(1), kline(2), kline(1, close=900), kline(1, closed=False), kline(3, closed=False)):
        track.hear(heard)
    assert closed_minutes(told) == [1, 2]
    assert told[-1] == kline(3, closed=False)


async def test_what_closes_while_a_hole_is_filled_is_neither_lost_nor_told_twice(told: list[Heard]) -> None:
    history = History()
    history.failures = 1
    track = track_of(history, told)
    track.hear(kline(1))
    track.hear(kline(5, closed=False))
    history.now = 7
    for heard in (kline(5), kline(6, closed=False), kline(6), kline(7, closed=False)):
        track.hear(heard)
    await settled(lambda: bool(told) and told[-1].kline == kline(7, closed=False).kline)
    assert closed_minutes(told) == [1, 2, 3, 4, 5, 6]


async def test_minutes_that_the_exchange_itself_lacks_are_stepped_over(told: list[Heard]) -> None:
    history = History()
    history.holes = {2, 3}
    track = track_of(history, told)
    track.hear(kline(1))
    track.hear(kline(5, closed=False))
    await settled(lambda: told[-1].kline.open_time == 5 * MINUTE.ms)
    assert closed_minutes(told) == [1, 4]


async def test_a_missed_close_that_is_old_is_left_to_history(told: list[Heard]) -> None:
    track = Track("BTCUSDT", MINUTE, History().since, told.append, lambda kline: kline.open_time >= 4 * MINUTE.ms)
    track.hear(kline(1))
    track.hear(kline(5, closed=False))
    await settled(lambda: told[-1].kline.open_time == 5 * MINUTE.ms)
    track.hear(kline(5))
    assert closed_minutes(told) == [1, 4, 5]


async def test_a_connection_made_anew_asks_for_what_was_missed(told: list[Heard]) -> None:
    history = History()
    track = track_of(history, told)
    track.fill()
    assert history.asked == []  # nothing was heard yet: there is nothing to miss
    track.hear(kline(2, closed=False))
    track.fill()
    await settled(lambda: closed_minutes(told) == [2, 3, 4])
    track.hear(replace(kline(5), live=True))
    assert closed_minutes(told) == [2, 3, 4, 5]


def test_the_bundled_table_is_dated_and_its_tiers_meet() -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        known = terms(symbol)
        assert (known.own, known.brackets[0].max_leverage, known.brackets[-1].max_leverage) == (True, 150, 1)
        assert known.as_of.startswith("202")
    assert terms("BTCUSDT").brackets[-1].cum == 421_482_000 * CASH
    assert terms("ETHUSDT").brackets[-1].cum == 280_507_000 * CASH
    other = terms("DOGEUSDT")
    assert (other.own, other.brackets[0].maintenance_bps, other.taker_ppm) == (False, 150, 500)


def test_an_instrument_is_read_from_the_exchanges_rules(shared: Any) -> None:
    file = shared / "fixtures" / "binance_usdm" / "http" / "http_futures_market_exchange_info.json"
    row = json.loads(file.read_text())["symbols"][0]
    read = wire.listed(row, terms("BTCUSDT").brackets, 4)
    assert (read.symbol, str(read.tick), str(read.step), read.min_notional) == ("BTCUSDT", "0.1", "0.001", 10 * CASH)
    assert read.funding_hours == 4
    lots = [f for f in row["filters"] if f["filterType"] != "PRICE_FILTER"]
    with pytest.raises(Unreadable, match="PRICE_FILTER"):
        wire.listed({**row, "filters": lots}, terms("BTCUSDT").brackets, 8)
