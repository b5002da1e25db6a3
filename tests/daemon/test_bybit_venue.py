"""The daemon's verbs against the local exchange that speaks Bybit: what each does there, and what it comes back with.

The same contract as `test_execution` and `test_streams` hold Binance to; here stands where Bybit goes another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.alerts import Alerts
from daemon.backfill import Backfill
from daemon.candle_store import CandleStore
from daemon.commands import AskOrder, AskStop, CancelStop, PlaceStop, SetLeverage, StopOrder, Submit
from daemon.events import (
    Event,
    Failed,
    Filled,
    FundingPaid,
    InstrumentRead,
    LeverageRead,
    Meaning,
    OrderStatus,
    OrderUpdated,
    Reconciled,
    StopUpdated,
    StreamLive,
    StreamStale,
    Transferred,
    Unresolved,
)
from daemon.execution import Execution
from daemon.gateway import OutcomeUnknown, Refused
from daemon.inference import Inference
from daemon.reconciliation import Reconciliation
from daemon.streams import PrivateStream
from daemon.venues.bybit.venue import Bybit
from daemon.venues.venue import OpenOrder, Permissions, Venue
from market.catalogue import instrument
from market.instruments import CASH
from market.timeframes import Timeframe
from models.inference import Predictor
from models.modelset import resolve
from tests.daemon.conftest import LOOKBACK, until
from tests.daemon.test_execution import approved, market_order
from tests.local_exchange import PATIENCE, LocalExchange
from tests.tcp_proxy import TcpProxy

BTC = instrument("BTCUSDT")
HOUR = Timeframe.parse("1h")
Exchange = Callable[..., LocalExchange]
Connect = Callable[..., Awaitable[tuple[Venue, list[tuple[bool, dict[str, object]]]]]]


@dataclass
class Bench:
    """An execution over the exchange, and the events it gave."""

    place: LocalExchange
    proxy: TcpProxy
    venue: Venue
    execution: Execution
    events: list[Event]
    known: dict[str, tuple[int, int]]

    @property
    def price(self) -> int:
        return BTC.ticks(self.place.state()["prices"]["BTCUSDT"])

    async def event(self, kind: type, count: int = 1) -> Event:
        """The so-manieth event of a kind."""
        await until(lambda: sum(isinstance(e, kind) for e in self.events) >= count, f"{count} {kind.__name__}")
        return [e for e in self.events if isinstance(e, kind)][count - 1]

    async def buy(self, client_id: str = "entry-1") -> None:
        self.execution.start(Submit(approved(market_order(client_id, 1, 20))))
        assert await self.event(OrderUpdated) == OrderUpdated("BTCUSDT", client_id, OrderStatus.ACCEPTED)

    def place_stop(self, trigger: int, client_id: str = "entry-stop") -> None:
        self.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", client_id, -1, 20, trigger))))


@pytest.fixture
async def bench(exchange: Exchange, connect: Connect, model_root: Path) -> AsyncIterator[Bench]:
    place = exchange(venue="bybit", warmup=100, bars=400)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url, kind=Bybit)
        events: list[Event] = []
        known: dict[str, tuple[int, int]] = {}
        store, predictor = CandleStore([("BTCUSDT", "1h")], LOOKBACK), Predictor.load(resolve("latest", model_root))
        inference = Inference(predictor, store, Backfill(venue), HOUR, {"BTCUSDT": BTC}, expires=False)
        reconciliation = Reconciliation(
            venue, {"BTCUSDT": BTC}, known.get, lambda: place.ready["market_time"], "entry-"
        )
        execution = Execution(
            venue,
            {"BTCUSDT": BTC},
            reconciliation,
            inference,
            Alerts([], "info"),
            events.append,
            lambda at: None,
            {"BTCUSDT": 30_000.5},
        )
        yield Bench(place, proxy, venue, execution, events, known)
        await execution.close()
        inference.close()


async def test_instruments_and_key_are_read_as_the_exchange_has_them(exchange: Exchange, connect: Connect) -> None:
    place = exchange(venue="bybit", symbols="BTCUSDT,ETHUSDT", warmup=10, bars=10)
    venue, _ = await connect(place.url, ("BTCUSDT", "ETHUSDT"), kind=Bybit)
    assert tuple(venue.instruments.values()) == (BTC, instrument("ETHUSDT"))
    assert await venue.read_again() == []
    assert await venue.permissions() == Permissions(trade=True, withdraw=False, bound_to_address=True)
    assert await venue.coin_price("BTC") == BTC.notional(BTC.ticks(place.state()["prices"]["BTCUSDT"]), 1_000)
    assert await venue.coin_price("NONE") is None
    place.hand("delist", symbol="ETHUSDT")
    assert await venue.read_again() == [InstrumentRead(instrument("ETHUSDT"), False)]
    with pytest.raises(Refused, match="DOGEUSDT is not traded"):
        await venue.open(["DOGEUSDT"])


async def test_an_account_in_hedge_mode_is_refused_at_the_start(exchange: Exchange, connect: Connect) -> None:
    venue, _ = await connect(exchange(venue="bybit", warmup=10, bars=10).url, kind=Bybit)
    mode = {"category": "linear", "symbol": "BTCUSDT", "mode": 3}
    await venue.gateway.call("privatePostV5PositionSwitchMode", mode)
    with pytest.raises(Refused, match="one-way"):
        await venue.open(["BTCUSDT"])


async def test_the_account_is_set_to_isolated_margin_and_leverage_is_read_back(bench: Bench) -> None:
    for _ in range(2):  # as it is already is no failure
        bench.execution.start(SetLeverage("BTCUSDT", 7))
    assert await bench.event(LeverageRead, 2) == LeverageRead("BTCUSDT", 7, True, 30_000.5)
    bench.execution.start(SetLeverage("BTCUSDT", 500))
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.command, failed.code) == ("SetLeverage", 110013)


async def test_a_market_order_is_only_acknowledged_and_asking_tells_what_it_filled(bench: Bench) -> None:
    await bench.buy()
    bench.execution.start(AskOrder("BTCUSDT", "entry-1"))
    assert await bench.event(OrderUpdated, 2) == OrderUpdated("BTCUSDT", "entry-1", OrderStatus.FILLED, 20)
    fill = await bench.event(Filled)
    assert isinstance(fill, Filled)
    assert (fill.client_id, fill.side, fill.quantity, fill.asked) == ("entry-1", 1, 20, True)


async def test_a_stop_rests_under_our_own_id_is_read_back_and_taken_away(bench: Bench) -> None:
    await bench.buy()
    trigger = bench.price * 97 // 100
    bench.place_stop(trigger)
    await bench.event(StopUpdated, 2)
    read_back = [e for e in bench.events if isinstance(e, StopUpdated) and e.read_back]
    assert read_back == [StopUpdated("BTCUSDT", "entry-stop", OrderStatus.ACCEPTED, -1, trigger, 20, read_back=True)]
    (resting,) = bench.place.state()["stops"]
    assert (resting["client_id"], Decimal(resting["trigger"])) == ("entry-stop", trigger * BTC.tick)
    bench.execution.start(CancelStop("BTCUSDT", "entry-stop"))
    assert await bench.event(StopUpdated, 3) == StopUpdated("BTCUSDT", "entry-stop", OrderStatus.CANCELED)
    bench.execution.start(AskStop("BTCUSDT", "entry-stop"))
    told = await bench.event(StopUpdated, 4)
    assert isinstance(told, StopUpdated)
    assert (told.status, bench.place.state()["stops"]) == (OrderStatus.CANCELED, [])


async def test_17_a_stop_beyond_the_price_is_refused_whichever_way_it_looks(bench: Bench) -> None:
    await bench.buy()
    bench.place_stop(bench.price * 2)
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.command, failed.code, failed.meaning) == ("PlaceStop", 110093, Meaning.WOULD_TRIGGER)
    await bench.venue.probe_stops("BTCUSDT", "probe-1")  # its refusal is what it asks for


async def test_15_an_id_that_was_used_before_is_asked_about_never_sent_anew(bench: Bench) -> None:
    await bench.buy()
    bench.execution.start(Submit(approved(market_order("entry-1", 1, 20))))
    assert isinstance(await bench.event(Unresolved), Unresolved)
    for _ in range(2):
        bench.place_stop(bench.price // 2)
    await bench.event(StopUpdated, 4)
    assert bench.place.state()["positions"]["BTCUSDT"]["quantity"] == "0.020"
    assert len(bench.place.state()["stops"]) == 1


async def test_19_what_the_exchange_does_not_know_is_absent(bench: Bench) -> None:
    bench.execution.start(CancelStop("BTCUSDT", "stop-9"))
    assert await bench.event(StopUpdated) == StopUpdated("BTCUSDT", "stop-9", OrderStatus.ABSENT, read_back=True)
    bench.execution.start(AskOrder("BTCUSDT", "entry-9"))
    assert await bench.event(OrderUpdated) == OrderUpdated("BTCUSDT", "entry-9", OrderStatus.ABSENT)
    bench.execution.start(Submit(approved(market_order("exit-1", -1, 20, reduce_only=True))))
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.meaning) == (110017, Meaning.NOTHING_TO_REDUCE)


async def test_14_an_order_without_a_reply_is_unresolved_and_found_by_asking(bench: Bench) -> None:
    bench.proxy.hold_answers()
    bench.execution.start(Submit(approved(market_order("entry-1", 1, 20))))
    assert isinstance(await bench.event(Unresolved), Unresolved)
    bench.proxy.thaw()
    bench.execution.start(AskOrder("BTCUSDT", "entry-1"))
    assert await bench.event(OrderUpdated) == OrderUpdated("BTCUSDT", "entry-1", OrderStatus.FILLED, 20)


async def test_26_a_date_that_the_exchange_refuses_has_the_clock_measured_anew(bench: Bench) -> None:
    bench.venue.gateway.tap.options["timeDifference"] = 60_000
    assert await bench.venue.cash() == 10_000 * CASH
    assert abs(bench.venue.gateway.tap.options["timeDifference"]) < 5_000


async def test_reconciliation_tells_all_of_the_account_and_what_was_missed(bench: Bench) -> None:
    await bench.buy()
    bench.place_stop(bench.price // 2)
    await bench.event(StopUpdated, 2)
    bench.place.hand("deposit", amount="250")
    limit = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01"}
    price = BTC.price_text(bench.price * 9 // 10)
    await bench.venue.gateway.call("privatePostV5OrderCreate", limit | {"price": price, "orderLinkId": "by-hand"})
    assert await bench.venue.open_orders() == [OpenOrder("BTCUSDT", "by-hand", 1, 10, 0)]
    bench.events.clear()
    await bench.execution.reconcile("test")
    moved, fill, truth = [e for e in bench.events if isinstance(e, Filled | Transferred | Reconciled)]
    assert isinstance(fill, Filled)
    assert isinstance(truth, Reconciled)
    assert moved == Transferred(250 * CASH, bench.place.ready["market_time"])
    (symbol,) = truth.symbols
    assert (symbol.quantity, symbol.isolated, symbol.leverage, symbol.orders) == (20, True, 20, ("by-hand",))
    assert (symbol.cost, truth.cash) == (BTC.notional(fill.price, 20), 10_250 * CASH - fill.fee)
    assert [s.client_id for s in symbol.stops] == ["entry-stop"]
    bench.known["BTCUSDT"] = (fill.trade_id, fill.time)
    await bench.place.turn(24 * 9)  # executions are asked for a week at a time
    bench.events.clear()
    await bench.execution.reconcile("test")
    assert not [e for e in bench.events if isinstance(e, Filled)]
    assert len([e for e in bench.events if isinstance(e, FundingPaid)]) == 27


async def test_klines_and_funding_rates_are_fetched_page_by_page(exchange: Exchange, connect: Connect) -> None:
    place = exchange(venue="bybit", warmup=2_500, bars=10)
    venue, _ = await connect(place.url, kind=Bybit)
    candles, forming = await Backfill(venue).newest("BTCUSDT", "1h", 2_400)
    assert (len(candles), forming) == (2_400, place.ready["market_time"])
    assert [b.open_time - a.open_time for a, b in pairwise(candles)] == [HOUR.ms] * 2_399
    since = await Backfill(venue).since("BTCUSDT", "1h", candles[1_000].open_time, forming)
    assert [c.open_time for c in since] == [c.open_time for c in candles[1_000:]]
    rates = await Backfill(venue).funding("BTCUSDT", candles[0].open_time)
    assert len(rates) == 300
    with pytest.raises(Refused, match="no klines of 8h"):
        await venue.klines("BTCUSDT", "8h", 10)


async def test_the_private_stream_is_live_once_all_four_topics_are_acknowledged(bench: Bench) -> None:
    told: list[StreamLive | StreamStale] = []
    heard: list[bool] = []

    async def welcome() -> None:
        heard.append(bench.place.state()["user_streams"] == 1 and bench.venue.account_listens())

    stream = PrivateStream(bench.venue, told.append, welcome, first_data_s=10 * PATIENCE, told_s=10 * PATIENCE)
    task = asyncio.create_task(stream.run())
    try:
        await until(lambda: [type(e) for e in told] == [StreamLive], "the stream")
        bench.proxy.cut()
        await until(lambda: [type(e) for e in told] == [StreamLive, StreamStale, StreamLive], "the stream's return")
    finally:
        task.cancel()
    assert heard == [True, True]


async def test_an_error_of_the_exchange_itself_leaves_the_outcome_open(bench: Bench) -> None:
    bench.place.arm(
        {
            "name": "server error",
            "on": "reply",
            "match": {"path": "/v5/order/create"},
            "do": {"action": "answer", "status": 200, "code": 10016, "message": "Server error."},
        }
    )
    with pytest.raises(OutcomeUnknown, match="Server error"):
        await bench.venue.place_order(market_order("entry-1", 1, 20))
    assert bench.place.state()["orders"] == 1
