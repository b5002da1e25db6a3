"""Streams against the real local exchange behind a proxy that cuts and freezes: they fall, say so, and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from daemon.events import StreamLive, StreamStale
from daemon.streams import MarketStream, PrivateStream, Stream
from daemon.venues.venue import Venue
from market.backoff import Backoff
from tests.daemon.conftest import until
from tests.local_exchange import PATIENCE, LocalExchange
from tests.tcp_proxy import TcpProxy

PAIRS = [("BTCUSDT", "1h")]


@dataclass
class Bench:
    """One stream through a proxy, and what it told."""

    place: LocalExchange
    proxy: TcpProxy
    venue: Venue
    told: list[StreamLive | StreamStale]
    welcomes: list[str]
    stream: Stream | None = None

    def kinds(self) -> list[str]:
        return [type(e).__name__ for e in self.told]

    async def welcome(self) -> None:
        self.welcomes.append("welcome")


@pytest.fixture
async def bench(
    exchange: Callable[..., LocalExchange], connect: Callable[..., Awaitable[tuple[Venue, object]]]
) -> AsyncIterator[Bench]:
    place = exchange(warmup=10, bars=100)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url)
        bench = Bench(place, proxy, venue, [], [])

        def frame(private: bool, frame: dict[str, object]) -> None:
            if frame.get("e") == "kline" and isinstance(bench.stream, MarketStream):
                bench.stream.heard(PAIRS[0])

        venue.gateway._on_frame = frame
        yield bench


@pytest.fixture
async def market(bench: Bench) -> AsyncIterator[Bench]:
    bench.stream = MarketStream(
        bench.venue, bench.told.append, bench.welcome, pairs=PAIRS, first_data_s=5 * PATIENCE, data_s=600
    )
    task = asyncio.create_task(bench.stream.run())
    await until(lambda: bench.kinds() == ["StreamLive"], "the market stream")
    yield bench
    task.cancel()


@pytest.fixture
async def private(bench: Bench) -> AsyncIterator[Bench]:
    bench.stream = PrivateStream(
        bench.venue, bench.told.append, bench.welcome, first_data_s=5 * PATIENCE, told_s=2 * PATIENCE
    )
    task = asyncio.create_task(bench.stream.run())
    await until(lambda: bench.kinds() == ["StreamLive"], "the private stream")
    yield bench
    task.cancel()


async def test_1_a_cut_market_socket_is_told_of_and_made_anew(market: Bench) -> None:
    market.proxy.cut()
    await until(lambda: market.kinds() == ["StreamLive", "StreamStale", "StreamLive"], "the stream's return")
    assert len(market.welcomes) == 2
    assert market.place.state()["subscriptions"] == ["btcusdt@kline_1h"]


async def test_2_a_socket_that_brings_nothing_is_given_up(market: Bench) -> None:
    assert isinstance(market.stream, MarketStream)
    market.stream._data_s = 0.5  # the frozen exchange sends nothing, as one whose data stopped
    await until(lambda: "StreamStale" in market.kinds(), "the silence noticed")
    stale = market.told[1]
    assert isinstance(stale, StreamStale)
    assert "no kline of BTCUSDT 1h" in stale.reason


async def test_3_a_subscription_that_never_brings_a_kline_is_tried_again(bench: Bench) -> None:
    bench.stream = MarketStream(
        bench.venue, bench.told.append, bench.welcome, pairs=PAIRS, first_data_s=0.5, data_s=600
    )
    bench.proxy.freeze()
    task = asyncio.create_task(bench.stream.run())
    await asyncio.sleep(1.5)
    assert bench.told == []
    bench.proxy.thaw()
    await until(lambda: bench.kinds() == ["StreamLive"], "the market stream")
    assert bench.venue.gateway.opens[False] >= 2  # the silent socket was left, not waited out
    task.cancel()


async def test_a_cut_private_socket_is_told_of_and_reconciled_again(private: Bench) -> None:
    private.proxy.cut()
    await until(lambda: private.kinds() == ["StreamLive", "StreamStale", "StreamLive"], "the stream's return")
    assert len(private.welcomes) == 2


async def test_29_an_expired_listen_key_has_a_new_one_fetched(private: Bench) -> None:
    assert private.stream is not None
    before = private.venue.gateway.tap.options["linear"]["listenKey"]
    await private.venue.gateway.call("fapiPrivateDeleteListenKey")
    await until(lambda: private.kinds() == ["StreamLive", "StreamStale", "StreamLive"], "the stream's return")
    assert private.venue.gateway.tap.options["linear"]["listenKey"] != before


async def test_a_stream_waits_for_an_exchange_that_refuses_connections(private: Bench) -> None:
    private.proxy.refuse()
    await until(lambda: private.kinds() == ["StreamLive", "StreamStale"], "the fall")
    await asyncio.sleep(1)
    await private.proxy.listen()
    await until(lambda: private.kinds()[-1] == "StreamLive", "the stream's return", seconds=40)


def test_back_off_doubles_up_to_its_cap_and_never_exceeds_it() -> None:
    backoff = Backoff(first_s=1.0, cap_s=8.0)
    pauses = [backoff.next() for _ in range(20)]
    assert all(0.5 * ceiling <= p <= ceiling for p, ceiling in zip(pauses, [1, 2, 4] + [8] * 17, strict=True))
    backoff.reset()
    assert backoff.next() <= 1.0
