"""The profiles tell the truth: each peculiarity that one states is what the exchange does, seen over sockets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from daemon.commands import StopOrder
from daemon.events import Event, Filled, Meaning, OrderStatus, StopUpdated
from daemon.gateway import Refused
from daemon.venues.binance.venue import Binance
from daemon.venues.bybit.venue import Bybit
from daemon.venues.catalogue import VENUES
from daemon.venues.payloads import KlineFrame
from daemon.venues.venue import Venue
from tests.daemon.conftest import Frames, until
from tests.daemon.test_execution import market_order
from tests.local_exchange import LocalExchange

KINDS = [pytest.param("binance", Binance), pytest.param("bybit", Bybit)]


@pytest.mark.parametrize(("speaks", "kind"), KINDS)
async def test_what_a_profile_says_of_an_exchange_is_so(
    exchange: Callable[..., LocalExchange],
    connect: Callable[..., Awaitable[tuple[Venue, Frames]]],
    speaks: str,
    kind: type[Venue],
) -> None:
    place = exchange(venue=speaks, warmup=100, bars=300)
    venue, frames = await connect(place.url, kind=kind)
    said = venue.profile

    async def account() -> None:
        while True:
            await venue.watch_account()

    async def market() -> None:
        while True:
            await venue.watch_klines([("BTCUSDT", "1h")])

    tasks = [asyncio.create_task(account()), asyncio.create_task(market())]
    await until(lambda: place.state()["listening"] and venue.account_listens(), "both streams")

    # a market order is answered with what it filled, or only acknowledged
    taken = await venue.place_order(market_order("rg-one", 1, 20))
    assert (taken.status is OrderStatus.FILLED) == said.answers_with_fill

    # the id of an order that is over may be used again, or not
    if said.client_ids_reusable:
        await venue.place_order(market_order("rg-one", 1, 20))
    else:
        with pytest.raises(Refused) as refused:
            await venue.place_order(market_order("rg-one", 1, 20))
        assert refused.value.meaning is Meaning.DUPLICATE_ID

    # the execution of a stop names it; what it became is another order, or itself
    price = venue.instruments["BTCUSDT"].ticks(place.state()["prices"]["BTCUSDT"])
    await venue.place_stop(StopOrder("BTCUSDT", "rg-stop", -1, 20, price * 999 // 1000))
    orders = place.state()["orders"]
    for _ in range(250):
        await place.turn()
        if not place.state()["stops"]:
            break
    await until(
        lambda: any(isinstance(e, StopUpdated) and e.status is OrderStatus.FILLED for e in told(venue, frames)),
        "the stop filled",
    )
    await until(lambda: closed_klines(venue, frames), "a closed candle")
    events = told(venue, frames)
    fill = [e for e in events if isinstance(e, Filled)][-1]
    assert (fill.client_id == "rg-stop") == said.stop_fill_names_stop
    assert place.state()["orders"] == orders + 1
    told_as = {type(e).__name__ for e in events if getattr(e, "client_id", "") == "rg-stop" and e is not fill}
    assert ("OrderUpdated" in told_as) == said.stops_apart

    # klines carry the closed flag under its name, and taker flow or none
    closed = closed_klines(venue, frames)
    assert all(f'"{said.closed_flag}": True' in str(f).replace("'", '"') for f, _ in closed)
    assert all(math.isnan(k.candle.taker_base) != said.taker_flow for _, k in closed)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def told(venue: Venue, frames: Frames) -> list[Event]:
    """What the user stream's frames say."""
    return [event for private, frame in frames if private for event in venue.events_in(frame)]


def closed_klines(venue: Venue, frames: Frames) -> list[tuple[Any, KlineFrame]]:
    """Frames of the market stream that closed a candle, with what was read of them."""
    return [(f, k) for private, f in frames if not private for k in venue.klines_in(f) if k.closed]


@pytest.mark.parametrize("venue", VENUES.values())
def test_no_code_both_means_something_and_leaves_the_outcome_open(venue: type[Venue]) -> None:
    assert not venue.profile.outcome_unknown & set(venue.profile.meanings)
    assert {Meaning.NO_SUCH_ORDER, Meaning.DUPLICATE_ID, Meaning.WOULD_TRIGGER, Meaning.CLOCK_SKEW} <= set(
        venue.profile.meanings.values()
    )
