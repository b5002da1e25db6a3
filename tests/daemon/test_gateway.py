"""The gateway against the real local exchange: what it sends, what it hears, and how it judges a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from daemon import chores
from daemon.events import InstrumentRead, Meaning
from daemon.gateway import NotSent, OutcomeUnknown, Refused, sent_ns
from daemon.inbox import Inbox
from daemon.venues.venue import Venue
from market.catalogue import instrument
from tests.daemon.conftest import until
from tests.local_exchange import LocalExchange
from tests.tcp_proxy import TcpProxy

Connect = Callable[..., Awaitable[tuple[Venue, list[tuple[bool, Any]]]]]
Exchange = Callable[..., LocalExchange]
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "newOrderRespType": "RESULT"}


async def test_instruments_are_read_exactly_as_the_exchange_lists_them(exchange: Exchange, connect: Connect) -> None:
    place = exchange(symbols="BTCUSDT,ETHUSDT,SOLUSDT", warmup=10, bars=10)
    venue, _ = await connect(place.url)
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        assert await venue.open([symbol]) == (instrument(symbol),)


async def test_every_closed_kline_and_every_private_frame_is_heard(exchange: Exchange, connect: Connect) -> None:
    place = exchange(symbols="BTCUSDT,ETHUSDT", warmup=10, bars=60)
    venue, frames = await connect(place.url, ("BTCUSDT", "ETHUSDT"))
    pairs = [("BTCUSDT", "1h"), ("ETHUSDT", "1h")]

    async def forever(watch: Callable[[], Awaitable[None]]) -> None:
        while True:
            await watch()

    tasks = [asyncio.create_task(forever(lambda: venue.watch_klines(pairs)))]
    tasks.append(asyncio.create_task(forever(venue.watch_account)))
    await until(lambda: place.state()["listening"], "both streams")
    await venue.gateway.call("fapiPrivatePostOrder", BUY)
    await place.turn(50)

    def closed() -> set[tuple[str, int]]:
        klines = [f for private, f in frames if not private and f.get("e") == "kline"]
        return {(f["s"], f["k"]["t"]) for f in klines if f["k"]["x"]}

    await until(lambda: len(closed()) == 100, "every closed kline")
    assert [f["e"] for private, f in frames if private][:3] == [
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]
    for task in tasks:
        task.cancel()


async def test_a_frame_that_is_no_json_is_told_of_and_the_socket_goes_on(exchange: Exchange, connect: Connect) -> None:
    place = exchange(warmup=10, bars=60)
    venue, frames = await connect(place.url)
    watching = asyncio.create_task(venue.watch_klines([("BTCUSDT", "1h")]))
    await until(lambda: place.state()["subscriptions"], "the subscription")
    broken = {"on": "frame", "match": {"stream": "*@kline_*"}, "do": {"action": "garble", "keep": 0.6}}
    place.arm(broken | {"name": "cut off", "every": 3, "count": None})
    await place.turn(20)

    def read() -> list[Any]:
        return [frame for _, frame in frames if isinstance(frame, dict) and frame.get("e") == "kline"]

    await until(lambda: any(f["k"]["t"] == place.ready["market_time"] + 19 * 3_600_000 for f in read()), "the last bar")
    assert sum(isinstance(frame, str) for _, frame in frames) >= 10
    assert venue.gateway.opens[False] == 1
    watching.cancel()


async def test_a_refusal_carries_the_exchanges_code(exchange: Exchange, connect: Connect) -> None:
    venue, _ = await connect(exchange(warmup=10, bars=10).url)
    with pytest.raises(Refused, match="does not exist") as refused:
        await venue.gateway.call("fapiPrivateGetOrder", {"symbol": "BTCUSDT", "origClientOrderId": "nobody"})
    assert (refused.value.code, refused.value.meaning) == (-2013, Meaning.NO_SUCH_ORDER)


async def test_a_reply_that_does_not_come_leaves_the_outcome_unknown(exchange: Exchange, connect: Connect) -> None:
    place = exchange(warmup=10, bars=10)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url)
        proxy.hold_answers()
        with pytest.raises(OutcomeUnknown):
            await venue.gateway.call("fapiPrivatePostOrder", BUY)
        assert place.state()["orders"] == 1  # it was carried out after all


async def test_a_connection_cut_after_sending_leaves_the_outcome_unknown(exchange: Exchange, connect: Connect) -> None:
    place = exchange(warmup=10, bars=10)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url)
        proxy.hold_answers()
        order = asyncio.create_task(venue.gateway.call("fapiPrivatePostOrder", BUY))
        await until(lambda: place.state()["orders"] == 1, "the order at the exchange")
        proxy.cut()
        with pytest.raises(OutcomeUnknown):
            await order


async def test_a_request_that_cannot_leave_is_known_not_to_have_been_sent(exchange: Exchange, connect: Connect) -> None:
    place = exchange(warmup=10, bars=10)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url)
        proxy.refuse()
        await asyncio.sleep(0.2)  # until the client has seen its pooled connection end
        with pytest.raises(NotSent):
            await venue.gateway.call("fapiPrivatePostOrder", BUY)


async def test_an_account_in_hedge_mode_is_refused_at_the_start(exchange: Exchange, connect: Connect) -> None:
    venue, _ = await connect(exchange(warmup=10, bars=10).url)
    await venue.gateway.call("fapiPrivatePostPositionSideDual", {"dualSidePosition": "true"})
    with pytest.raises(Refused, match="one-way"):
        await venue.open(["BTCUSDT"])


async def test_a_symbol_that_is_not_listed_is_refused_at_the_start(exchange: Exchange, connect: Connect) -> None:
    venue, _ = await connect(exchange(warmup=10, bars=10).url)
    with pytest.raises(Refused, match="DOGEUSDT is not traded"):
        await venue.open(["BTCUSDT", "DOGEUSDT"])


async def test_the_instant_an_order_leaves_is_noted_just_before_the_wire(exchange: Exchange, connect: Connect) -> None:
    venue, _ = await connect(exchange(warmup=10, bars=10).url)
    sent: list[int] = []
    sent_ns.set(sent)
    before = time.monotonic_ns()
    await venue.gateway.call("fapiPrivatePostOrder", BUY)
    assert len(sent) == 1
    assert before < sent[0] < time.monotonic_ns()


async def test_what_a_symbol_is_at_the_start_is_told_so_that_an_old_suspension_ends(
    exchange: Exchange, connect: Connect
) -> None:
    venue, _ = await connect(exchange(warmup=10, bars=10).url)
    inbox = Inbox()
    reading = asyncio.create_task(chores.read_instruments(venue, inbox, 60))
    assert await inbox.get() == InstrumentRead(venue.instruments["BTCUSDT"], trading=True)
    reading.cancel()


async def test_31_over_the_limit_nothing_is_asked_until_the_exchange_said_and_orders_may_leave(
    exchange: Exchange, connect: Connect
) -> None:
    place = exchange(warmup=5, bars=5)
    venue, _ = await connect(place.url)
    too_many = {
        "action": "answer",
        "status": 429,
        "code": -1003,
        "message": "too many",
        "headers": {"Retry-After": "1"},
    }
    banned = too_many | {"status": 418, "message": "banned"}
    place.arm({"name": "429", "on": "request", "match": {"path": "/fapi/*"}, "do": too_many})
    for told in ("too many", "not asked"):
        with pytest.raises(Refused, match=told) as refused:
            await venue.server_time()
        assert refused.value.meaning is Meaning.TOO_MANY_REQUESTS
    (rule,) = place.faults()["faults"]
    assert rule["seen"] == 1
    await venue.gateway.call("fapiPrivatePostMarginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"})
    await asyncio.sleep(1.1)
    assert await venue.server_time() > 0
    place.arm({"name": "418", "on": "request", "match": {"path": "/fapi/*"}, "do": banned})
    for told in ("banned", "not sent"):
        with pytest.raises(Refused, match=told):
            await venue.gateway.call("fapiPrivatePostMarginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"})
