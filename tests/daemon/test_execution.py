"""Execution against the real local exchange: each command, what it does there, and the events it comes back with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.alerts import Alerts
from daemon.backfill import Backfill
from daemon.candle_store import CandleStore
from daemon.commands import (
    _SEAL,
    Approved,
    AskOrder,
    AskStop,
    CancelStop,
    MarketOrder,
    PlaceStop,
    Predict,
    Purpose,
    SetLeverage,
    StopOrder,
    Submit,
)
from daemon.events import (
    Event,
    Failed,
    Filled,
    FundingPaid,
    LeverageRead,
    OrderStatus,
    OrderUpdated,
    PredictionReady,
    Reconciled,
    StopUpdated,
    Unresolved,
)
from daemon.execution import FRESH_S, Execution
from daemon.inference import Inference
from daemon.reconciliation import Reconciliation
from daemon.venues.venue import Venue
from market.catalogue import instrument
from market.timeframes import Timeframe
from models.inference import Predictor
from models.modelset import resolve
from tests.daemon.conftest import LOOKBACK, until
from tests.local_exchange import LocalExchange
from tests.tcp_proxy import TcpProxy

BTC = instrument("BTCUSDT")
HOUR = Timeframe.parse("1h")
WARMUP = 100


@dataclass
class Bench:
    """An execution over a real exchange, and the events it gave."""

    place: LocalExchange
    proxy: TcpProxy
    venue: Venue
    execution: Execution
    store: CandleStore
    events: list[Event]
    model_set: str
    known: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def price(self) -> int:
        return BTC.ticks(self.place.state()["prices"]["BTCUSDT"])

    async def event(self, kind: type, count: int = 1) -> Event:
        """The so-manieth event of a kind."""
        await until(lambda: sum(isinstance(e, kind) for e in self.events) >= count, f"{count} {kind.__name__}")
        return [e for e in self.events if isinstance(e, kind)][count - 1]

    async def buy(self, client_id: str = "entry-1", quantity: int = 20) -> None:
        self.execution.start(Submit(approved(market_order(client_id, 1, quantity))))
        assert await self.event(OrderUpdated) == OrderUpdated("BTCUSDT", client_id, OrderStatus.FILLED, quantity)


def approved(order: MarketOrder | StopOrder) -> Approved:
    return Approved(order, _SEAL)


def market_order(client_id: str, side: int, quantity: int, reduce_only: bool = False) -> MarketOrder:
    return MarketOrder("BTCUSDT", client_id, Purpose.ENTRY, side, quantity, reduce_only)


Make = Callable[[], Awaitable[Bench]]


@pytest.fixture
async def bench(
    exchange: Callable[..., LocalExchange],
    connect: Callable[..., Awaitable[tuple[Venue, object]]],
    model_root: Path,
) -> AsyncIterator[Bench]:
    place = exchange(warmup=WARMUP, bars=200)
    async with TcpProxy(place.port) as proxy:
        venue, _ = await connect(proxy.url)
        store, backfill = CandleStore([("BTCUSDT", "1h")], LOOKBACK), Backfill(venue)
        for candle in (await backfill.newest("BTCUSDT", "1h", LOOKBACK))[0]:
            store["BTCUSDT", "1h"].append(candle)
        events: list[Event] = []
        known: dict[str, tuple[int, int]] = {}
        predictor = Predictor.load(resolve("latest", model_root))
        inference = Inference(predictor, store, backfill, HOUR, {"BTCUSDT": BTC}, expires=False)
        reconciliation = Reconciliation(venue, {"BTCUSDT": BTC}, known.get, lambda: 0, "entry-")
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
        yield Bench(place, proxy, venue, execution, store, events, predictor.id, known)
        await execution.close()
        inference.close()


async def test_leverage_and_margin_mode_are_set_and_read_back(bench: Bench) -> None:
    bench.execution.start(SetLeverage("BTCUSDT", 7))
    assert await bench.event(LeverageRead) == LeverageRead("BTCUSDT", 7, True, 30_000.5)


async def test_leverage_that_the_exchange_refuses_is_a_failure(bench: Bench) -> None:
    bench.execution.start(SetLeverage("BTCUSDT", 500))
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.command, failed.code < 0) == ("SetLeverage", True)


async def test_a_market_order_is_filled(bench: Bench) -> None:
    await bench.buy()
    assert bench.place.state()["positions"]["BTCUSDT"]["quantity"] == "0.020"


async def test_a_stop_is_placed_and_read_back_as_it_rests(bench: Bench) -> None:
    await bench.buy()
    trigger = bench.price * 97 // 100
    bench.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", "stop-1", -1, 20, trigger))))
    await bench.event(StopUpdated, 2)
    read_back = [e for e in bench.events if isinstance(e, StopUpdated) and e.read_back]
    assert read_back == [StopUpdated("BTCUSDT", "stop-1", OrderStatus.ACCEPTED, -1, trigger, 20, read_back=True)]
    (resting,) = bench.place.state()["stops"]
    assert (resting["client_id"], Decimal(resting["trigger"])) == ("stop-1", trigger * BTC.tick)


async def test_17_a_stop_beyond_the_price_is_refused_with_its_code(bench: Bench) -> None:
    await bench.buy()
    bench.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", "stop-1", -1, 20, bench.price * 2))))
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.command, failed.client_id, failed.code) == ("PlaceStop", "stop-1", -2021)


async def test_15_a_stop_whose_id_is_open_already_is_adopted(bench: Bench) -> None:
    await bench.buy()
    stop = approved(StopOrder("BTCUSDT", "stop-1", -1, 20, bench.price // 2))
    for _ in range(2):
        bench.execution.start(PlaceStop(stop))
    await bench.event(StopUpdated, 4)
    assert not [e for e in bench.events if isinstance(e, Failed)]
    assert len(bench.place.state()["stops"]) == 1


async def test_a_stop_is_cancelled(bench: Bench) -> None:
    await bench.buy()
    bench.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", "stop-1", -1, 20, bench.price // 2))))
    await bench.event(StopUpdated, 2)
    bench.execution.start(CancelStop("BTCUSDT", "stop-1"))
    await bench.event(StopUpdated, 3)
    assert bench.events[-1] == StopUpdated("BTCUSDT", "stop-1", OrderStatus.CANCELED)
    assert bench.place.state()["stops"] == []


async def test_19_a_stop_that_the_exchange_does_not_know_is_absent(bench: Bench) -> None:
    bench.execution.start(CancelStop("BTCUSDT", "stop-9"))
    assert await bench.event(StopUpdated) == StopUpdated("BTCUSDT", "stop-9", OrderStatus.ABSENT, read_back=True)


async def test_an_order_that_the_exchange_does_not_know_is_absent(bench: Bench) -> None:
    bench.execution.start(AskOrder("BTCUSDT", "entry-9"))
    assert await bench.event(OrderUpdated) == OrderUpdated("BTCUSDT", "entry-9", OrderStatus.ABSENT)


async def test_14_an_order_without_a_reply_is_unresolved_and_its_executions_are_found_by_asking(bench: Bench) -> None:
    bench.proxy.hold_answers()
    bench.execution.start(Submit(approved(market_order("entry-1", 1, 20))))
    unresolved = await bench.event(Unresolved)
    assert isinstance(unresolved, Unresolved)
    assert unresolved.client_id == "entry-1"
    bench.proxy.thaw()
    bench.execution.start(AskOrder("BTCUSDT", "entry-1"))
    assert await bench.event(OrderUpdated) == OrderUpdated("BTCUSDT", "entry-1", OrderStatus.FILLED, 20)
    fill = await bench.event(Filled)
    assert isinstance(fill, Filled)
    assert (fill.client_id, fill.side, fill.quantity, fill.trade_id) == ("entry-1", 1, 20, 1)


async def test_a_closing_order_that_finds_nothing_to_close_is_refused(bench: Bench) -> None:
    bench.execution.start(Submit(approved(market_order("exit-1", -1, 20, reduce_only=True))))
    failed = await bench.event(Failed)
    assert isinstance(failed, Failed)
    assert (failed.command, failed.code) == ("Submit", -2022)


async def test_a_stop_that_filled_while_nobody_listened_is_told_with_its_execution(bench: Bench) -> None:
    await bench.buy()
    trigger = bench.price * 9999 // 10_000
    bench.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", "stop-1", -1, 20, trigger))))
    await bench.event(StopUpdated, 2)
    while bench.place.state()["stops"]:
        await bench.place.turn(1)
    bench.events.clear()
    bench.execution.start(AskStop("BTCUSDT", "stop-1"))
    told = await bench.event(StopUpdated)
    assert isinstance(told, StopUpdated)
    assert told.status is OrderStatus.FILLED
    (fill,) = [e for e in bench.events if isinstance(e, Filled)]
    assert (fill.client_id, fill.side, fill.quantity) == ("stop-1", -1, 20)


async def test_reconciliation_tells_position_stops_wallet_and_missing_executions(bench: Bench) -> None:
    await bench.buy()
    bench.execution.start(PlaceStop(approved(StopOrder("BTCUSDT", "entry-stop", -1, 20, bench.price // 2))))
    await bench.event(StopUpdated, 2)
    bench.events.clear()
    await bench.execution.reconcile("test")
    fill, truth = [e for e in bench.events if isinstance(e, Filled | Reconciled)]
    assert isinstance(fill, Filled)
    assert isinstance(truth, Reconciled)
    (symbol,) = truth.symbols
    assert (fill.client_id, fill.quantity) == ("entry-1", 20)
    assert (symbol.quantity, symbol.isolated, len(symbol.stops)) == (20, True, 1)
    assert symbol.cost == BTC.notional(fill.price, 20)
    assert symbol.stops[0].client_id == "entry-stop"


async def test_reconciliation_tells_only_executions_that_are_not_known(bench: Bench) -> None:
    await bench.buy()
    bench.known["BTCUSDT"] = (1, 0)
    bench.events.clear()
    await bench.execution.reconcile("test")
    assert [type(e) for e in bench.events] == [Reconciled]


async def test_reconciliation_asks_for_funding_since_the_first_execution_where_nothing_else_is_known(
    bench: Bench,
) -> None:
    await bench.buy()
    bought = bench.place.state()["market_time"]
    await bench.place.turn(9)  # across a funding instant, unheard
    bench.known["BTCUSDT"] = (0, bought)
    bench.events.clear()
    await bench.execution.reconcile("test")
    told = [e for e in bench.events if isinstance(e, Filled | FundingPaid | Reconciled)]
    assert [type(e) for e in told] == [Filled, FundingPaid, Reconciled]


async def test_a_prediction_is_made_off_the_loop_and_names_its_model_set(bench: Bench) -> None:
    bar = bench.store["BTCUSDT", "1h"].last
    bench.execution.start(Predict(bar, ("BTCUSDT",)))
    ready = await bench.event(PredictionReady)
    assert isinstance(ready, PredictionReady)
    (opinion,) = ready.opinions
    assert opinion.outlook is not None
    assert ready.model_set == bench.model_set


async def test_a_missing_candle_is_a_refusal_not_a_number(bench: Bench) -> None:
    bench.execution.start(Predict(bench.store["BTCUSDT", "1h"].last + HOUR.ms, ("BTCUSDT",)))
    ready = await bench.event(PredictionReady)
    assert isinstance(ready, PredictionReady)
    assert (ready.opinions[0].outlook, ready.opinions[0].refusal) == (None, "its last candle is missing")


async def test_orders_of_a_symbol_keep_their_order(bench: Bench) -> None:
    for number in range(5):
        bench.execution.start(Submit(approved(market_order(f"entry-{number}", 1 if number % 2 == 0 else -1, 10))))
    await bench.event(OrderUpdated, 5)
    done = [e.client_id for e in bench.events if isinstance(e, OrderUpdated)]
    assert done == [f"entry-{n}" for n in range(5)]


async def test_14_a_stop_and_a_close_do_not_wait_for_the_answer_to_an_earlier_order(bench: Bench) -> None:
    await bench.buy()
    bench.proxy.hold_answers()
    bench.execution.start(Submit(approved(market_order("entry-2", 1, 10))))
    await until(lambda: bench.place.state()["fills"] == 2, "the second order carried out")
    stop = StopOrder("BTCUSDT", "stop-1", -1, 30, bench.price * 9 // 10)
    bench.execution.start(PlaceStop(approved(stop)))
    await until(lambda: bench.place.state()["stops"], "the stop resting", 1.5)
    bench.execution.start(Submit(approved(market_order("exit-1", -1, 30, reduce_only=True))))
    await until(lambda: not bench.place.state()["positions"], "the position closed", 1.5)


@pytest.mark.parametrize("fault", [{"action": "garble"}, {"action": "edit", "remove": ["status"]}])
async def test_14_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(bench: Bench, fault: dict[str, Any]) -> None:
    match = {"method": "POST", "path": "/fapi/v1/order"}
    bench.place.arm({"name": "unreadable", "on": "reply", "match": match, "do": fault})
    bench.execution.start(Submit(approved(market_order("entry-1", 1, 20))))
    unresolved = await bench.event(Unresolved)
    assert isinstance(unresolved, Unresolved)
    assert "cannot be read" in unresolved.message


async def test_an_order_is_not_absent_because_an_answer_from_before_it_says_so(bench: Bench) -> None:
    bench.proxy.hold_answers()
    bench.execution.start(AskOrder("BTCUSDT", "never-sent"))
    await asyncio.sleep(FRESH_S + 0.2)
    bench.proxy.thaw()
    await bench.execution.finish(5)
    assert bench.events == []
    bench.execution.start(AskOrder("BTCUSDT", "never-sent"))
    assert await bench.event(OrderUpdated) == OrderUpdated("BTCUSDT", "never-sent", OrderStatus.ABSENT)
