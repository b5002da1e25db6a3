"""The bench: `daemon.engine.Engine` wired to the local exchange's engine and desk in one process, without sockets.

Commands reach the exchange and its answers come back as events on a simulated wall clock, with whatever a `Faults`
asks for in between: delays, duplicates, lost answers, refused stops, a cut stream, a hand at the account, kills.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

import numpy as np

from backtest.bars import SymbolFrame
from daemon.commands import (
    Alert,
    AskOrder,
    AskStop,
    CancelStop,
    Command,
    PlaceStop,
    Predict,
    Purpose,
    Reconcile,
    RecordDecisions,
    RecordTrade,
    SetLeverage,
    Settled,
    Submit,
)
from daemon.engine import Engine
from daemon.events import (
    BalanceUpdated,
    CandleClosed,
    Event,
    Failed,
    Filled,
    FundingPaid,
    LeverageRead,
    Opinion,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    PredictionReady,
    Reconciled,
    RestingStop,
    StopUpdated,
    SymbolTruth,
    Tick,
    Unresolved,
)
from daemon.identity import client_id, prefix
from daemon.journal import HARMLESS
from daemon.settings import Settings
from daemon.state import DaemonState
from market import catalogue
from market.aggregate import aggregate
from market.candles import Candle
from market.exchange import account
from market.exchange import engine as exchange
from market.exchange import orders as book
from market.exchange.desk import Desk
from market.exchange.feed import VISITS, Feed
from market.exchange.refusals import Code, Refusal
from market.exchange.replay import Replay
from market.funding import Funding
from market.instruments import CASH
from market.timeframes import Timeframe
from market.trades import Trade
from models.prediction import PredictionHistory
from strategy.live_config import Rules
from strategy.plan import Outlook
from tests.backtest.rough import rough_market

HOUR = 3_600_000
START = 1_704_067_200_000
HOURLY = Timeframe.parse("1h")
DEPLOYMENT = "bench"
DEPOSIT = 10_000 * CASH
MAX_HOLD = 12
TICK_MS = 250
PATIENCE_STEPS = 6_000
"""Steps of the bench after which something that has not come to rest is stuck."""


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, as shares of the occasions: 0 never, 1 always.

    late: a message takes up to six seconds; twice: an event is delivered again; lost: a request's outcome stays
    unknown; refused: a stop is refused with -2021; cut: the private stream falls; kill: the daemon is killed;
    mute: inference does not answer; restless: the market moves while something is under way; by_hand: somebody
    closes a position or cancels a stop; split: executions come in two parts.
    """

    late: float = 0.0
    twice: float = 0.0
    lost: float = 0.0
    refused: float = 0.0
    cut: float = 0.0
    kill: float = 0.0
    mute: float = 0.0
    restless: float = 0.0
    by_hand: float = 0.0
    split: bool = False


def frames(seed: int, hours: int, base: Timeframe = HOURLY) -> list[SymbolFrame]:
    """Two symbols with random predictions and regimes, some missing, and funding every eight hours."""
    random = np.random.default_rng(seed)
    made = []
    for symbol, price in (("BTCUSDT", 40_000.0), ("ETHUSDT", 2_500.0)):
        candles = rough_market(random, hours * (HOUR // base.ms), base, price, 0.03, (-0.12, -0.03, 0.03, 0.12))
        decision = aggregate(candles, HOURLY)
        instants = START + np.arange(0, hours, 8, dtype=np.int64) * HOUR
        p_long, p_short = random.uniform(0.3, 0.7, (2, len(decision)))
        missing = random.random(len(decision)) < 0.05
        regime = np.repeat(random.integers(0, 3, len(decision)), 5)[: len(decision)]
        told = PredictionHistory(
            open_time=decision.open_time,
            p_long=np.where(missing, np.nan, p_long),
            p_short=np.where(missing, np.nan, p_short),
            regime=np.where(missing, -1, regime).astype(np.int8),
            horizons={},
            refusals={},
        )
        funding = Funding(instants, random.integers(-80_000, 80_000, len(instants)))
        made.append(SymbolFrame(catalogue.instrument(symbol), candles, decision, funding, told))
    return made


@dataclass
class Life:
    """A position's life as the exchange's own books tell it; `change` is what it moved the wallet by."""

    side: int = 0
    quantity: int = 0
    entry_time: int = 0
    fees: int = 0
    funding: int = 0
    change: int = 0
    halves: bool = False


@dataclass
class Audit:
    """What the exchange's events amount to, told by nobody: closed positions, and the wallet."""

    cash: int = DEPOSIT
    flat: dict[str, bool] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)
    closed: list[Trade] = field(default_factory=list)

    def take(self, event: book.Event) -> None:
        if isinstance(event, book.AccountEvent):
            life = self.lives.setdefault(event.symbol, Life())
            life.change += event.cash - self.cash
            if event.reason == "FUNDING_FEE":
                life.funding -= event.change
            self.cash, self.flat[event.symbol] = event.cash, event.position is None
        if isinstance(event, book.OrderEvent) and event.fill is not None:
            self._fill(event.fill)

    def _fill(self, fill: book.Fill) -> None:
        life = self.lives[fill.symbol]
        life.fees += fill.fee
        if not life.side:
            life.side, life.quantity, life.entry_time = fill.side, fill.quantity, fill.time
        if self.flat[fill.symbol]:
            del self.lives[fill.symbol]
            times = (life.entry_time, 0, fill.time, 0)
            money = (life.fees, life.funding, life.change, self.cash)
            self.closed.append(Trade(fill.symbol, life.side, life.quantity, 0, *times, "", *money))


class Bench:
    """One daemon at one exchange; `play` runs it to the end of its history."""

    def __init__(
        self, histories: Sequence[SymbolFrame], rules: Rules, faults: Faults | None = None, seed: int = 0
    ) -> None:
        self.faults, self.random = faults or Faults(), Random(seed)
        instruments = tuple(f.instrument for f in histories)
        self.settings = Settings(DEPLOYMENT, instruments, (HOURLY,), HOURLY, rules, MAX_HOLD)
        self.market = exchange.Engine(instruments, DEPOSIT, account.Costs(500, 200, 100))
        self.desk = Desk(self.market)
        self.replay = Replay(self.market, [Feed(f.instrument, f.base, f.funding) for f in histories], START)
        self.frames = {f.instrument.symbol: f for f in histories}
        self.audit = Audit()
        self.now = START
        self.durable: bytes | None = None
        self.told: list[CandleClosed] = []
        self.settled: list[int] = []
        self.decided: list[tuple[int, str]] = []
        self.trades: list[Trade] = []
        self.alerts: list[str] = []
        self.kills = 0
        self.troubled = False
        self._due: list[tuple[int, int, str, object]] = []
        self._number = count()
        self._stream_due = self._candle_due = 0
        self._turn_due: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._boot()

    # one life of the daemon

    def _boot(self) -> None:
        self.engine = Engine(self.settings, DaemonState.load(self.durable) if self.durable else None)
        self.connected, self._born_as = True, self.engine.state.dump()
        self._diary: list[tuple[Event, int, list[Command]]] = []
        self._put("ask", Reconcile("start"), self._latency())
        settled = self.engine.state.settled_bar
        for event in self.told:
            if event.candle.open_time > settled:
                self._tell_candle(CandleClosed(event.symbol, event.timeframe, event.candle, live=False))

    def _kill(self) -> None:
        """Everything in the process is gone; what left it may still arrive at the exchange."""
        self.replays_alike()
        self.kills += 1
        self._due = [d for d in self._due if d[2] == "do" and self.random.random() < 0.5]
        heapq.heapify(self._due)
        self._stream_due = self._candle_due = 0
        self.connected = False
        self.now += self.random.randint(100, 8_000)
        while self._chance(self.faults.restless):
            self._nudge()
        self._due = [d for d in self._due if d[2] == "do"]  # nobody listens meanwhile
        heapq.heapify(self._due)
        self._boot()

    def replays_alike(self) -> None:
        """What was told, told again, leads to the same commands; an idle tick is not in the journal."""
        again = Engine(self.settings, DaemonState.load(self._born_as))
        for event, at, commands in self._diary:
            assert again.step(event, at) == commands, f"replayed differently: {event}"

    def _step(self, event: Event) -> None:
        commands = self.engine.step(event, self.now)
        if isinstance(event, Reconciled):
            self._known = {s: max(b.trades_seen, default=0) for s, b in self.engine.state.books.items()}
        if self._chance(self.faults.kill):
            return self._kill()  # between the engine and the journal
        if not isinstance(event, Tick) or commands:
            self._diary.append((event, self.now, commands))
        if isinstance(event, Filled) or any(not isinstance(c, HARMLESS) for c in commands):
            self.durable = self.engine.state.dump()
        for command in commands:
            self._note(command)
        for command in commands:
            if self._chance(self.faults.kill):
                return self._kill()  # between intent and deed
            self._start(command)
        return None

    def _note(self, command: Command) -> None:
        match command:
            case RecordTrade():
                self.trades.append(command.trade)
            case RecordDecisions():
                self.decided += [(command.bar, d.symbol) for d in command.decisions if d.action.startswith("open")]
            case Settled():
                self.settled.append(command.bar)
            case Alert():
                self.alerts.append(command.text)

    # requests and their way

    def _start(self, command: Command) -> None:
        match command:
            case Predict():
                if not self._chance(self.faults.mute):
                    self._put("tell", [self._predicted(command)], self._latency())
            case Submit() | PlaceStop() | CancelStop() | SetLeverage():
                order = command.approved.order if isinstance(command, Submit | PlaceStop) else command
                self._send(command, order.symbol, getattr(order, "client_id", ""))
            case AskOrder() | AskStop() | Reconcile():
                self._put("ask", command, self._latency())

    def _send(self, command: Command, symbol: str, identity: str) -> None:
        """What changes something keeps its order within a symbol; its answer may be lost before or after the deed."""
        due = self._turn_due[symbol] = max(self.now + self._latency(), self._turn_due.get(symbol, 0))
        if not identity or not self._chance(self.faults.lost):
            self._put_at(due, "do", (command, True))
            return
        self._put("tell", [Unresolved(symbol, identity, "timed out")], self.random.randint(500, 3_000))
        match self.random.randrange(3):
            case 0:
                self._put_at(due, "do", (command, False))
            case 1:
                adrift = self.now + self.random.randint(500, 4_999)  # within the receive window
                self._put_at(adrift, "do", (command, False))

    def _latency(self) -> int:
        if self._chance(self.faults.late):
            return self.random.randint(50, 6_000)
        return self.random.randint(1, 40) if self.faults != Faults() else 5

    def _do(self, command: Command, answered: bool) -> None:
        """The exchange carries a command out, and answers."""
        refused = isinstance(command, PlaceStop) and self._chance(self.faults.refused)
        try:
            if refused:
                raise Refusal(Code.WOULD_TRIGGER)
            answer = self._carried_out(command)
        except Refusal as refusal:
            answer = self._refused(command, refusal)
        self._pump()
        if answered:
            self._put("tell", answer, self._latency())
            if isinstance(command, PlaceStop) and not isinstance(answer[0], Failed):
                self._put("ask", AskStop(command.approved.order.symbol, command.approved.order.client_id), 2)

    def _carried_out(self, command: Command) -> list[Event]:
        match command:
            case Submit():
                o = command.approved.order
                request = book.OrderRequest(
                    o.symbol, o.client_id, o.side, "MARKET", o.quantity, 0, "GTC", o.reduce_only
                )
                return [self._order_state(self.desk.place(request))]
            case PlaceStop():
                s = command.approved.order
                terms = (s.quantity, s.trigger, "GTC", True, False, "CONTRACT_PRICE", False)
                self.desk.place_stop(book.StopRequest(s.symbol, s.client_id, s.side, "STOP_MARKET", *terms))
                return [StopUpdated(s.symbol, s.client_id, OrderStatus.ACCEPTED, s.side, s.trigger, s.quantity)]
            case CancelStop():
                self.desk.cancel_stop(None, command.client_id)
                return [StopUpdated(command.symbol, command.client_id, OrderStatus.CANCELED)]
            case SetLeverage():
                if not self.market.settings[command.symbol].isolated:
                    self.desk.set_margin_mode(command.symbol, True)
                self.desk.set_leverage(command.symbol, command.leverage)
                settings = self.market.settings[command.symbol]
                price = float(self.market.prices[command.symbol] * self.market.instruments[command.symbol].tick)
                return [LeverageRead(command.symbol, settings.leverage, settings.isolated, price)]
        raise AssertionError(command)

    def _refused(self, command: Command, refusal: Refusal) -> list[Event]:
        name, code, why = type(command).__name__, int(refusal.code), refusal.message
        match command:
            case CancelStop():
                return self._answer(AskStop(command.symbol, command.client_id))
            case Submit() | PlaceStop():
                order = command.approved.order
                if refusal.code is Code.DUPLICATE_CLIENT_ID:
                    return [Unresolved(order.symbol, order.client_id, why)]
                return [Failed(order.symbol, name, order.client_id, code, why)]
            case SetLeverage():
                return [Failed(command.symbol, name, "", code, why)]
        raise AssertionError(command)

    def _answer(self, question: Command) -> list[Event]:
        """What the exchange says now: executions first, then the state."""
        match question:
            case AskOrder():
                order = self.market.orders.find(question.symbol, None, question.client_id)
                if order is None:
                    return [OrderUpdated(question.symbol, question.client_id, OrderStatus.ABSENT)]
                return [*self._executions(question.symbol, order.id), self._order_state(order)]
            case AskStop():
                stop = self.market.stops.find(question.symbol, None, question.client_id)
                if stop is None:
                    absent = StopUpdated(question.symbol, question.client_id, OrderStatus.ABSENT, read_back=True)
                    return [absent]
                return [*self._executions(question.symbol, stop.order_id), self._stop_state(stop, read_back=True)]
            case Reconcile():
                return self._truth()
        raise AssertionError(question)

    def _truth(self) -> list[Event]:
        """Executions the daemon does not know and funding, oldest first, then everything as it is."""
        found: list[Filled | FundingPaid] = [
            FundingPaid(i.symbol, -i.amount, i.time) for i in self.market.incomes if i.kind == "FUNDING_FEE"
        ]
        for fill in self.market.fills:
            found += [
                replace(f, asked=True) for f in self._filled(fill) if f.trade_id > self._known.get(fill.symbol, 0)
            ]
        told: list[Event] = sorted(found, key=lambda e: e.time)  # funding comes first at its instant
        truths = []
        for symbol, settings in self.market.settings.items():
            p = self.market.ledger.positions.get(symbol)
            resting = tuple(
                RestingStop(s.client_id, s.side, s.trigger, s.quantity) for s in self.market.stops.open(symbol)
            )
            position = (p.side * p.quantity, p.cost, p.margin) if p else (0, 0, 0)
            truths.append(SymbolTruth(symbol, *position, settings.leverage, settings.isolated, resting))
        return [*told, Reconciled(self.market.ledger.cash, tuple(truths))]

    def _executions(self, symbol: str, order_id: int) -> Iterator[Event]:
        for fill in self.market.fills:
            if order_id and fill.symbol == symbol and fill.order_id == order_id:
                yield from (replace(part, asked=True) for part in self._filled(fill))

    def _filled(self, fill: book.Fill) -> list[Filled]:
        identity, half = self.market.orders[fill.order_id].client_id, fill.quantity // 2
        parts = [(half, fill.fee // 2), (fill.quantity - half, fill.fee - fill.fee // 2)]
        if not self.faults.split or fill.id % 2 or not half:
            parts = [(fill.quantity, fill.fee)]
        return [
            Filled(fill.symbol, identity, 10 * fill.id + n, fill.side, fill.price, quantity, fee, fill.time)
            for n, (quantity, fee) in enumerate(parts)
        ]

    def _order_state(self, order: book.Order) -> OrderUpdated:
        words = {"NEW": OrderStatus.ACCEPTED, "PARTIALLY_FILLED": OrderStatus.PARTIAL}
        status = words.get(order.status) or OrderStatus[order.status]
        return OrderUpdated(order.symbol, order.client_id, status, order.filled)

    def _stop_state(self, stop: book.Stop, read_back: bool) -> StopUpdated:
        finished = OrderStatus.FILLED if stop.filled else OrderStatus.EXPIRED
        words = {"NEW": OrderStatus.ACCEPTED, "FINISHED": finished}
        status = words.get(stop.status) or OrderStatus[stop.status]
        terms = (stop.side, stop.trigger, stop.quantity)
        return StopUpdated(stop.symbol, stop.client_id, status, *terms, read_back, message=stop.reason)

    def _predicted(self, command: Predict) -> PredictionReady:
        return PredictionReady(command.bar, tuple(self._opinion(s, command.bar) for s in command.symbols), "bench-set")

    def _opinion(self, symbol: str, bar: int) -> Opinion:
        said = self.frames[symbol].predictions
        row = int(np.searchsorted(said.open_time, bar))
        if np.isnan(said.p_long[row]):
            return Opinion(symbol, None, "nothing was said")
        return Opinion(symbol, Outlook(float(said.p_long[row]), float(said.p_short[row]), int(said.regime[row])))

    # what the exchange tells of itself

    def _pump(self) -> None:
        """Put what happened at the exchange on the private stream, first come first served."""
        for event in self.market.drain():
            self.audit.take(event)
            told = self._translated(event)
            if not self.connected or not told:
                continue
            self._stream_due = max(self._stream_due, self.now + self._latency())
            self._put_at(self._stream_due, "stream", told)
            if self._chance(self.faults.twice):  # what is absolute, such as the wallet, comes twice in a row
                again = 0 if isinstance(event, book.AccountEvent) else self.random.randint(0, 8_000)
                self._put_at(self._stream_due + again, "stream", told)

    def _translated(self, event: book.Event) -> list[Event]:
        match event:
            case book.AccountEvent():
                p = event.position
                held = PositionUpdated(event.symbol, *((p.side * p.quantity, p.margin) if p else (0, 0)), event.reason)
                return [BalanceUpdated(event.cash, event.change, event.reason, event.symbol, event.time), held]
            case book.OrderEvent():
                filled = self._filled(event.fill) if event.fill else []
                return [*filled, self._order_state(event.order)]
            case book.StopEvent():
                return [self._stop_state(event.stop, read_back=False)]
        return []

    def _cut(self) -> None:
        """The private stream falls; what it carried is gone. It comes back, and the account is asked about."""
        self._due = [d for d in self._due if d[2] != "stream"]
        heapq.heapify(self._due)
        self.connected = False
        self._put("connect", None, self.random.randint(100, 3_000))

    # the clock

    def play(self) -> Bench:
        while not self.replay.done:
            self.come_to_rest()
            self._turn()
        self.come_to_rest()
        self.replays_alike()
        return self

    def _turn(self) -> None:
        self.replay.turn()
        self._pump()
        if self.replay.done:
            return  # nothing trades after the last bar, so nothing is decided
        for kline in self.replay.closing({(s, HOURLY) for s in self.frames}):
            candles = self.frames[kline.symbol].decision
            row = int(np.searchsorted(candles.open_time, kline.open_time))
            prices = (float(c[row]) for c in (candles.open, candles.high, candles.low, candles.close))
            event = CandleClosed(kline.symbol, "1h", Candle(kline.open_time, *prices, 1.0))
            self.told.append(event)
            self._tell_candle(event)

    def _tell_candle(self, event: CandleClosed) -> None:
        """Closing klines come after what the private stream told before them."""
        self._candle_due = max(self._candle_due, self._stream_due, self.now + self._latency())
        self._put_at(self._candle_due, "tell", [event])
        if self._chance(self.faults.twice):
            self._put_at(self._candle_due + self.random.randint(0, 8_000), "tell", [event])

    def _nudge(self) -> None:
        """The market moves on by one price."""
        if self.replay.done:
            return
        if self.replay.visited < VISITS:
            self.replay.visit()
            self._pump()
        else:
            self._turn()

    def _meddle(self) -> None:
        """Somebody cancels a stop, or closes a position, at the exchange's own site."""
        symbol = self.random.choice(list(self.frames))
        position = self.market.ledger.positions.get(symbol)
        if position and self.random.random() < 0.5:
            order = book.OrderRequest(
                symbol, f"web_{self.now}", -position.side, "MARKET", position.quantity, 0, "GTC", True
            )
            self.desk.place(order)
        else:
            self.desk.cancel_all_stops(symbol)
        self._pump()

    @property
    def resting(self) -> bool:
        """Nothing on its way and nothing left to do."""
        state = self.engine.state
        if self._due or not self.connected or not state.reconciled or state.deciding >= 0 or state.waiting:
            return False
        return all(d.at_rest for d in self.engine.desks.values())

    def come_to_rest(self) -> None:
        """Deliver everything, let time pass, and hold the daemon against the exchange."""
        for _ in range(PATIENCE_STEPS):
            if self.resting:
                return self.agree()
            self._trouble()
            if self._due and self._due[0][0] <= self.now + TICK_MS:
                due, _, kind, what = heapq.heappop(self._due)
                self.now = max(self.now, due)
                self._handle(kind, what)
            else:
                self.now += TICK_MS
                self._step(Tick())
        raise AssertionError(f"stuck at {self.now}: {self.engine.state.as_dict()}")

    def _trouble(self) -> None:
        if self._chance(self.faults.restless):
            self._nudge()
        if self._chance(self.faults.by_hand):
            self._meddle()
        if self.connected and self._chance(self.faults.cut):
            self._cut()

    def _handle(self, kind: str, what: object) -> None:
        match kind:
            case "do":
                self._do(*what)  # type: ignore[misc]
            case "ask":
                assert isinstance(what, AskOrder | AskStop | Reconcile)
                if isinstance(what, Reconcile) or not self._chance(self.faults.lost):
                    self._put("tell", self._answer(what), self._latency())
            case "connect":
                self.connected = True
                self._put("ask", Reconcile("the private stream came to life"), self._latency())
            case _:
                assert isinstance(what, list)
                life = self.kills
                for event in what:
                    self._step(event)
                    if self.kills != life:
                        return

    def _put(self, kind: str, what: object, after: int) -> None:
        self._put_at(self.now + after, kind, what)

    def _put_at(self, due: int, kind: str, what: object) -> None:
        heapq.heappush(self._due, (due, next(self._number), kind, what))

    def _chance(self, share: float) -> bool:
        return share > 0 and self.random.random() < share

    # what must hold

    def agree(self) -> None:
        """At rest the daemon and the exchange hold the same, and each position has exactly its stop."""
        state = self.engine.state
        for symbol, desk in self.engine.desks.items():
            lot, position = desk.book.lot, self.market.ledger.positions.get(symbol)
            ours = (lot.side, lot.quantity, lot.cost, lot.margin) if lot else None
            theirs = (position.side, position.quantity, position.cost, position.margin) if position else None
            assert ours == theirs, f"{symbol}: the daemon holds {ours}, the exchange {theirs}"
            rest = [(s.client_id, s.side, s.quantity, s.trigger) for s in self.market.stops.open(symbol)]
            if lot is None:
                assert rest == [], f"{symbol} is flat, and stops rest: {rest}"
            else:
                assert [r[1:] for r in rest] == [(-lot.side, lot.quantity, lot.stop)], f"{symbol}: {lot} and {rest}"
                (stop,) = desk.live_stops()
                assert stop.client_id == rest[0][0], f"{symbol}: another stop rests than the one on record"
        assert state.cash == self.market.ledger.cash, "the wallets differ"
        assert self.market.ledger.imbalance() == 0
        unsettled = {c.candle.open_time for c in self.told} - set(self.settled)
        given_up = {int(a.split()[3]) for a in self.alerts if "did not come to rest" in a}  # overtaken by the next one
        assert unsettled <= given_up, f"not settled: {sorted(unsettled - given_up)}"
        assert DaemonState.load(state.dump()) == state, "a restart would read another state"
        self._nothing_doubled()

    def _nothing_doubled(self) -> None:
        ours = [o for o in self.market.orders.values() if o.client_id.startswith(prefix(DEPLOYMENT))]
        entries = Counter(o.client_id for o in ours if not o.reduce_only)
        allowed = Counter(client_id(DEPLOYMENT, bar, s, Purpose.ENTRY, 0) for bar, s in self.decided)
        assert max(allowed.values(), default=1) == 1, "a candle was decided twice"
        assert entries <= allowed, "an entry was sent twice, or was never decided"
