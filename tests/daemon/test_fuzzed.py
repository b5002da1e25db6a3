"""Every frame and reply of an exchange, spoiled: nothing goes unhandled, and nothing is traded on it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.alerts import Alerts
from daemon.approval import approve_close, approve_stop
from daemon.backfill import Backfill
from daemon.candle_feed import CandleFeed
from daemon.candle_store import CandleStore
from daemon.commands import AskOrder, AskStop, CancelStop, Command, PlaceStop, SetLeverage, Submit
from daemon.engine import Engine
from daemon.events import (
    CandleClosed,
    Event,
    Failed,
    Filled,
    LeverageRead,
    Opinion,
    OrderStatus,
    OrderUpdated,
    PredictionReady,
    Reconciled,
    StopUpdated,
    SymbolTruth,
    Tick,
    Unresolved,
)
from daemon.execution import Execution
from daemon.gateway import GatewayError
from daemon.inlet import Inlet
from daemon.reconciliation import Reconciliation
from daemon.settings import Settings
from daemon.state import DaemonState, Lot
from daemon.streams import MarketStream, PrivateStream
from daemon.summary import Stopwatch
from daemon.venues.venue import Venue
from market.candles import Candle
from market.instruments import CASH
from market.timeframes import Timeframe
from strategy.live_config import LiveConfig
from strategy.plan import Outlook
from tests.daemon.corpus import BTC, ENTRY, KINDS, QUANTITY, STOP, SYMBOL, Corpus, record, request, spoiled
from tests.local_exchange import LocalExchange

HOURLY = Timeframe.parse("1h")
SETTINGS = Settings(
    deployment="fuzzed",
    instruments=(BTC,),
    timeframes=(HOURLY,),
    decision=HOURLY,
    rules=LiveConfig.model_validate({"regimes": {"confirm": 1}}).rules(),
    max_hold_bars=12,
)
THOROUGH = settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module", params=sorted(KINDS))
def corpus(runner: asyncio.Runner, request: pytest.FixtureRequest) -> Iterator[Corpus]:
    place = LocalExchange(venue=request.param, symbols=SYMBOL, warmup=60, bars=40)
    try:
        yield runner.run(record(place, request.param))
    finally:
        place.stop()


@pytest.fixture(scope="module")
def venue(runner: asyncio.Runner, corpus: Corpus) -> Iterator[Venue]:
    made = corpus.venue()
    runner.run(made.open([SYMBOL]))
    yield made
    runner.run(made.close())


SPOKEN = {
    "binance": {"kline", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE", "ACCOUNT_CONFIG_UPDATE"},
    "bybit": {"kline", "order", "execution", "position", "wallet"},
}


def test_the_corpus_holds_every_kind_of_frame(corpus: Corpus) -> None:
    frames = [frame for _, frame in corpus.frames if isinstance(frame, dict)]
    assert {str(f.get("e") or f.get("topic")).partition(".")[0] for f in frames} >= SPOKEN[corpus.kind]
    assert len(corpus.replies) >= 12


# frames


class Ear:
    """The way of a frame: the real inlet, candle feed and engine, and what is written down of it."""

    def __init__(self, venue: Venue, corpus: Corpus, state: bytes) -> None:
        self.emitted: list[Event] = []
        self.cuts: list[str] = []
        self.engine = Engine(SETTINGS, DaemonState.load(state))
        self.store = CandleStore(((SYMBOL, "1h"),), 64)
        self.feed = CandleFeed(self.store, Backfill(venue), self.emitted.append, 5.0)
        self.inlet = Inlet(self._offer, Stopwatch())
        market = MarketStream(
            venue, self.emitted.append, _nothing, pairs=((SYMBOL, "1h"),), first_data_s=30.0, data_s=60.0
        )
        private = PrivateStream(venue, self.emitted.append, _nothing, first_data_s=30.0, told_s=30.0)
        private.cut = self.cuts.append  # type: ignore[method-assign]
        self.inlet.open(self.feed, market, private, venue)

    def _offer(self, event: Event) -> bool:
        self.emitted.append(event)
        return True

    async def hear(self, private: bool, frame: Any) -> list[Command]:
        """Let one frame in, and the engine take what comes of it; everything is written down as the journal does."""
        await self.feed.catch_up()
        self.emitted.clear()
        self.inlet.frame(private, frame)
        while len(self.inlet.queue):
            self.feed.frame(await self.inlet.queue.get())
        if lane := self.feed.lanes[SYMBOL, "1h"].filling:
            lane.cancel()
        self.feed.close()
        out, at = [], 1_800_000_000_000
        for event in [*self.emitted, Tick()]:
            out += self.engine.step(event, at)
            orjson.dumps(event, default=str)
        DaemonState.load(self.engine.state.dump())
        assert self.engine.equity is not None
        return out


async def _nothing() -> None:
    return None


def state_of(*, order: bool = False, lot: bool = False, trigger: int = 0) -> bytes:
    """An engine's state with an order under way, or a protected position."""
    engine, at = Engine(SETTINGS, DaemonState()), 1_700_000_000_000
    engine.step(Reconciled(10_000 * CASH, (SymbolTruth(SYMBOL, 0, 0, 0, 5, True, ()),)), at)
    if order or lot:
        bar = 1_700_000_000_000 // HOURLY.ms * HOURLY.ms
        candle = Candle(bar, 40_000.0, 40_000.0, 40_000.0, 40_000.0, 1.0)
        engine.step(CandleClosed(SYMBOL, "1h", candle), at)
        asked = engine.step(PredictionReady(bar, (Opinion(SYMBOL, Outlook(0.9, 0.1, 1)),), "set"), at)
        (leverage,) = [c for c in asked if isinstance(c, SetLeverage)]
        (submit,) = [
            c for c in engine.step(LeverageRead(SYMBOL, leverage.leverage, True, 40_000.0), at) if isinstance(c, Submit)
        ]
        if lot:
            o = submit.approved.order
            engine.step(Filled(SYMBOL, o.client_id, 1, o.side, 4_000_000, o.quantity, 1, at), at)
    return engine.state.dump()


STATES = {
    "flat": state_of(),
    "an order under way": state_of(order=True),
    "a position": state_of(lot=True),
}


def named(frame: Any, state: bytes) -> Any:
    """The frame as if it spoke of the order and the stop that this state knows."""
    book = DaemonState.load(state).books[SYMBOL]
    text = json.dumps(frame)
    if book.order:
        text = text.replace(ENTRY, book.order.client_id)
    for client_id in book.stops:
        text = text.replace(STOP, client_id)
    return json.loads(text)


@THOROUGH
@given(data=st.data(), state=st.sampled_from(sorted(STATES)))
def test_a_spoiled_frame_of_the_account_is_handled_and_opens_nothing(
    data: st.DataObject, state: str, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    frames = [frame for private, frame in corpus.frames if private and isinstance(frame, dict)]
    frame = data.draw(spoiled(named(data.draw(st.sampled_from(frames)), STATES[state])))
    ear = Ear(venue, corpus, STATES[state])
    commands = runner.run(ear.hear(True, frame))
    assert not [c for c in commands if isinstance(c, Submit) and not c.approved.order.reduce_only]
    if ear.inlet.unreadable:
        assert ear.cuts, "what cannot be read of the account is asked for"
        assert not ear.emitted, "all of a frame or nothing"


@THOROUGH
@given(data=st.data())
def test_a_spoiled_kline_is_never_decided_on_unless_it_is_whole(
    data: st.DataObject, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    frames = [f for private, f in corpus.frames if not private and isinstance(f, dict) and list(venue.klines_in(f))]
    frame = data.draw(spoiled(data.draw(st.sampled_from(frames))))
    ear = Ear(venue, corpus, STATES["flat"])
    commands = runner.run(ear.hear(False, frame))
    assert not [c for c in commands if isinstance(c, Submit | SetLeverage | PlaceStop)]
    for event in ear.emitted:
        if isinstance(event, CandleClosed):
            assert event.candle.problem() is None
            assert event.candle.open_time % HOURLY.ms == 0
    last = ear.feed.lanes[SYMBOL, "1h"].seen
    assert last <= corpus.newest + HOURLY.ms, "no frame moves the market's time by itself"


@THOROUGH
@given(text=st.one_of(st.text(max_size=60), st.binary(max_size=60), JSON := st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["e", "k", "o", "a", "data", "T", "stream"]), inner, max_size=3), max_leaves=8,
)), private=st.booleans())  # fmt: skip
def test_a_frame_that_is_anything_at_all_is_handled(
    text: Any, private: bool, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    runner.run(Ear(venue, corpus, STATES["a position"]).hear(private, text))


# replies


def one_reply(venue: Venue, corpus: Corpus, name: str, reply: Any) -> None:
    """Have this venue be answered so to one request, and to all others as recorded."""

    async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        recorded = await corpus.fetch(url, method, headers, body)
        return reply if request(method, url, body) == name else recorded

    venue.gateway.tap.fetch = fetch


COMMANDS = ("submit", "place stop", "cancel stop", "ask order", "ask stop", "set leverage")


def requests_of(runner: asyncio.Runner, corpus: Corpus, work: Any) -> list[str]:
    """The requests that some work makes, by name."""
    corpus.asked.clear()
    with suppress(GatewayError):
        runner.run(work)
    return sorted(set(corpus.asked))


def command(name: str, corpus: Corpus) -> Command:
    stop = corpus.stop_order()
    lot = Lot(1, QUANTITY, QUANTITY * 4_000_000 * BTC.unit, QUANTITY, 1, 0, 0, 5, 2_000, stop=stop.trigger)
    match name:
        case "submit":
            return Submit(approve_close(replace(corpus.market_order(), side=-1, reduce_only=True), lot))
        case "place stop":
            return PlaceStop(approve_stop(stop, lot))
        case "cancel stop":
            return CancelStop(SYMBOL, STOP)
        case "ask order":
            return AskOrder(SYMBOL, ENTRY)
        case "ask stop":
            return AskStop(SYMBOL, STOP)
    return SetLeverage(SYMBOL, 5)


async def carried_out(venue: Venue, wanted: Command) -> list[Event]:
    """What execution tells of a command."""
    told: list[Event] = []
    reconciliation = Reconciliation(venue, venue.instruments, lambda symbol: None, lambda: 0, "rgaaaaa-")
    alerts = Alerts((), "critical")
    heard: Callable[[Event], None] = told.append
    execution = Execution(venue, [SYMBOL], reconciliation, None, alerts, heard, lambda at: None, {})  # type: ignore[arg-type]
    execution.start(wanted)
    await execution.finish(10.0)
    await execution.close()
    assert not alerts.recent, f"a command ended in an error: {list(alerts.recent)}"
    return told


@THOROUGH
@given(data=st.data(), what=st.sampled_from(COMMANDS))
def test_a_spoiled_reply_to_an_order_leaves_its_outcome_unknown_or_as_it_was(
    data: st.DataObject, what: str, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    wanted = command(what, corpus)
    name = data.draw(st.sampled_from(requests_of(runner, corpus, carried_out(venue, wanted))))
    one_reply(venue, corpus, name, data.draw(spoiled(corpus.replies[name])))
    try:
        told = runner.run(carried_out(venue, wanted))
    finally:
        venue.gateway.tap.fetch = corpus.fetch
    engine = Engine(SETTINGS, DaemonState.load(STATES["a position"]))
    for event in told:
        engine.step(event, 1_800_000_000_000)
        orjson.dumps(event, default=str)
    orders = [e for e in told if isinstance(e, OrderUpdated | StopUpdated | Unresolved | Failed)]
    assert all(e.client_id in (ENTRY, STOP, "") for e in orders), "nobody else's"
    if isinstance(wanted, Submit | CancelStop | PlaceStop):
        assert not [e for e in told if isinstance(e, Failed)], "it was carried out: nothing says that it was not"
    if isinstance(wanted, Submit):
        (answer,) = told
        assert isinstance(answer, Unresolved) or (isinstance(answer, OrderUpdated) and answer.filled <= QUANTITY)
    if isinstance(wanted, CancelStop):
        assert all(isinstance(e, Unresolved) or e.status is OrderStatus.CANCELED for e in orders)


def positions(kind: str, reply: Any) -> list[tuple[Any, Any]]:
    """Symbol and size of each position in a reply, as they stand there."""
    if kind == "binance":
        return [(row.get("symbol"), row.get("positionAmt")) for row in reply]
    return [(row.get("symbol"), row.get("size")) for row in reply["result"]["list"]]


HOLDINGS = {"binance": "GET v3/positionRisk", "bybit": "GET position/list category=linear settleCoin=USDT"}


@THOROUGH
@given(data=st.data())
def test_a_spoiled_reply_is_no_truth_about_the_account(
    data: st.DataObject, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    since = corpus.newest - 9 * HOURLY.ms
    reconciliation = Reconciliation(venue, venue.instruments, lambda symbol: (0, since), lambda: since, "rgaaaaa-")
    forget(venue)
    name = data.draw(st.sampled_from(requests_of(runner, corpus, reconciliation.ask())))
    reply = data.draw(spoiled(corpus.replies[name]))
    one_reply(venue, corpus, name, reply)
    forget(venue)
    try:
        told = runner.run(reconciliation.ask())
    except GatewayError:
        return
    finally:
        venue.gateway.tap.fetch = corpus.fetch
    engine = Engine(SETTINGS, DaemonState())
    for event in [*told, Tick()]:
        engine.step(event, 1_800_000_000_000)
        orjson.dumps(event, default=str)
    DaemonState.load(engine.state.dump())
    truth = told[-1]
    assert isinstance(truth, Reconciled)
    (symbol,) = truth.symbols
    if not isinstance(reply, type(corpus.replies[name])):
        pytest.fail(f"{name} {reply!r} was read as {truth}")
    if name == HOLDINGS[corpus.kind] and symbol.quantity == 0:
        said = [size for name, size in positions(corpus.kind, reply) if name == SYMBOL]
        assert all(isinstance(size, str) and Decimal(size) == 0 for size in said), "flat, though it says otherwise"


def forget(venue: Venue) -> None:
    """Have a venue ask again for what it keeps."""
    getattr(venue, "_client_ids", {}).clear()


@THOROUGH
@given(data=st.data(), what=st.sampled_from(("klines", "funding rates")))
def test_spoiled_history_is_asked_for_again_or_whole(
    data: st.DataObject, what: str, corpus: Corpus, venue: Venue, runner: asyncio.Runner
) -> None:
    backfill = Backfill(venue)

    def ask() -> Any:
        return backfill.newest(SYMBOL, "1h", 8) if what == "klines" else backfill.funding(SYMBOL, 0)

    (name,) = requests_of(runner, corpus, ask())
    one_reply(venue, corpus, name, data.draw(spoiled(corpus.replies[name])))
    try:
        told = runner.run(ask())
    except GatewayError:
        return
    finally:
        venue.gateway.tap.fetch = corpus.fetch
    if what == "klines":
        candles, forming = told
        assert all(c.open_time % HOURLY.ms == 0 for c in candles)
        assert forming <= corpus.newest
    else:
        assert all(math.isfinite(rate) for rate in told.rate.tolist())


def test_what_is_not_spoiled_is_read_as_it_is(corpus: Corpus, venue: Venue, runner: asyncio.Runner) -> None:
    (taken,) = runner.run(carried_out(venue, command("submit", corpus)))
    filled = OrderUpdated(SYMBOL, ENTRY, OrderStatus.FILLED, QUANTITY)
    assert taken == filled if venue.profile.answers_with_fill else OrderUpdated(SYMBOL, ENTRY, OrderStatus.ACCEPTED)
    *executed, told = runner.run(carried_out(venue, command("ask order", corpus)))
    assert told == filled
    assert [type(e) for e in executed] == [Filled]
    *_, read_back = runner.run(carried_out(venue, command("place stop", corpus)))
    assert isinstance(read_back, StopUpdated)
    assert read_back.read_back
    reconciliation = Reconciliation(venue, venue.instruments, lambda symbol: None, lambda: 0, "rgaaaaa-")
    truth = runner.run(reconciliation.ask())[-1]
    assert isinstance(truth, Reconciled)
    assert truth.symbols[0].quantity == QUANTITY
    assert replace(truth.symbols[0].stops[0], trigger=0) is not None
