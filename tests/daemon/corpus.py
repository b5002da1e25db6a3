"""The corpus: what a real local exchange said, recorded through unmodified ccxt, and the ways to spoil it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import strategies as st

from daemon.commands import MarketOrder, Purpose, StopOrder
from daemon.reconciliation import Reconciliation
from daemon.venues.binance.venue import Binance
from daemon.venues.bybit.venue import Bybit
from daemon.venues.venue import Venue
from market.catalogue import instrument
from tests.local_exchange import LocalExchange

SYMBOL, BTC = "BTCUSDT", instrument("BTCUSDT")
ENTRY, STOP = "rgaaaaa-entry", "rgaaaaa-stop"
QUANTITY = 10


KINDS: dict[str, type[Venue]] = {"binance": Binance, "bybit": Bybit}


class Corpus:
    """Frames as (is_private, frame), and the last reply to each request: see `request` for how they are named.

    `newest` is the open time (ms) of the candle that formed at last.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.frames: list[tuple[bool, Any]] = []
        self.replies: dict[str, Any] = {}
        self.asked: list[str] = []
        self.trigger = self.newest = 0

    def venue(self) -> Venue:
        """A venue that is answered from here and reaches nobody; `open` it like any other."""
        venue = KINDS[self.kind]("local", "local", "http://127.0.0.1:9", 5.0, lambda private, frame: None)
        venue.gateway.tap.fetch = self.fetch
        return venue

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """In place of ccxt's own: the reply recorded, for the caller to keep."""
        self.asked.append(request(method, url, body))
        return copy.deepcopy(self.replies[self.asked[-1]])

    def market_order(self) -> MarketOrder:
        return MarketOrder(SYMBOL, ENTRY, Purpose.ENTRY, 1, QUANTITY, reduce_only=False)

    def stop_order(self) -> StopOrder:
        return StopOrder(SYMBOL, STOP, -1, QUANTITY, self.trigger)


VOLATILE = (
    "timestamp",
    "signature",
    "recvWindow",
    "startTime",
    "endTime",
    "start",
    "end",
    "limit",
    "fromId",
    "orderId",
)


def request(method: str, url: str, body: Any) -> str:
    """A request's name: its method, the end of its path, and what tells apart those to one path."""
    parts = urlsplit(url)
    asked = [f"{name}={value}" for name, value in parse_qsl(parts.query) if name not in VOLATILE]
    about = [name for name in (ENTRY, STOP) if name in str(body or "")]
    return " ".join([method, "/".join(parts.path.split("/")[-2:]), *sorted(asked), *about])


async def record(place: LocalExchange, kind: str) -> Corpus:
    """Trade a little at an exchange and note all that it says."""
    corpus = Corpus(kind)
    venue = KINDS[kind](
        "local", "local", place.url, 10.0, lambda private, frame: corpus.frames.append((private, frame))
    )
    fetch = venue.gateway.tap.fetch

    async def noting(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        reply = await fetch(url, method, headers, body)
        corpus.replies[request(method, url, body)] = copy.deepcopy(reply)
        return reply

    venue.gateway.tap.fetch = noting
    await venue.open([SYMBOL])
    watching = [
        asyncio.create_task(_forever(lambda: venue.watch_klines([(SYMBOL, "1h")]))),
        asyncio.create_task(_forever(venue.watch_account)),
    ]
    try:
        while not (place.state()["listening"] and venue.account_listens()):  # noqa: ASYNC110 (outside this process)
            await asyncio.sleep(0.01)
        await venue.set_leverage(SYMBOL, 5)
        await venue.place_order(corpus.market_order())
        price = BTC.ticks(place.state()["prices"][SYMBOL])
        corpus.trigger = price * 8 // 10
        await venue.place_stop(corpus.stop_order())
        await venue.ask_order(SYMBOL, ENTRY)
        for ask in (venue.cash, venue.holdings, venue.terms, venue.open_orders, venue.server_time, venue.permissions):
            await ask()
        start = place.ready["market_time"]
        await venue.fills_since(SYMBOL, None, 50)
        await venue.fills_since(SYMBOL, (0, start), 50)
        await place.turn(9)  # across a funding instant
        await venue.moved_since(start)
        await venue.funding_rates(SYMBOL, 0)
        corpus.newest = (await venue.klines(SYMBOL, "1h", 20))[-1].open_time
        await venue.open_stops("rgaaaaa")
        await venue.ask_stop(SYMBOL, STOP)
        await Reconciliation(venue, venue.instruments, lambda _: (0, start), lambda: start, "rgaaaaa").ask()
        await venue.cancel_stop(SYMBOL, STOP)
        await asyncio.sleep(0.2)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await venue.close()
    return corpus


async def _forever(watch: Any) -> None:
    while True:
        await watch()


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself included; of a long list only the first entries and the last."""
    yield here
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*here, key))
    elif isinstance(value, list):
        for index in sorted({*range(min(2, len(value))), *range(max(0, len(value) - 1), len(value))}):
            yield from paths(value[index], (*here, index))


GONE = object()
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
JUNK = st.sampled_from(
    [
        GONE, None, "", " ", "x", "NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "0.0000000001", "1" * 400, "१२",
        "null", -1, 0, 1, 7, 1.5, 1e308, 10**19, 10**40, -(10**40), True, False, [], {}, [[]], {"a": {"b": []}}, DEEP,
        "99999999999", "0.1", 253402300799999, float("nan"), float("inf"),
    ]
)  # fmt: skip
"""What may stand where something else should: nothing, other types, no numbers, and numbers beyond all bounds."""


@st.composite
def spoiled(draw: st.DrawFn, whole: Any) -> Any:
    """A JSON value with one to three places spoiled."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(value))))
        value = _put(value, path, draw(JUNK))
    return value


def _put(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return None if junk is GONE else copy.deepcopy(junk)
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    if junk is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(junk)
    return value
