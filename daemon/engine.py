"""The engine: one event in, a list of commands out. Synchronous, without I/O, clock or randomness.

It waits for all candles that end together, has them predicted, lets the strategy plan, and works the plan off action
by action: exits first, then entries. Every event also lets each symbol's desk mend what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daemon import steering
from daemon.account import Account
from daemon.approval import Standing
from daemon.commands import Alert, Command, Predict, Purpose, Reconcile, Settled
from daemon.deciding import Deciding
from daemon.desk import Desk, Foreign
from daemon.events import (
    BalanceUpdated,
    CandleClosed,
    CoinPriced,
    DriftJudged,
    Event,
    Failed,
    Filled,
    FundingPaid,
    GapFound,
    InstrumentRead,
    LeverageRead,
    ModelSetSwapped,
    OperatorCommand,
    Opinion,
    OrderUpdated,
    PositionUpdated,
    PredictionReady,
    Reconciled,
    RulesChanged,
    StopUpdated,
    StreamLive,
    StreamStale,
    Tick,
    Transferred,
    Unresolved,
)
from daemon.settings import Settings
from daemon.state import Arrivals, Book, DaemonState
from daemon.trading import Trading
from market.instruments import Instrument
from market.timeframes import Timeframe, utc_text
from strategy.plan import (
    MID,
    Action,
    Enter,
    Exit,
)

PRIVATE = "private"
LATE = "inference did not answer in time"


class Engine:
    """Turns events into commands; everything it knows is in `state`. It does nothing before the first `Reconciled`."""

    def __init__(self, settings: Settings, state: DaemonState | None = None) -> None:
        self.settings = settings
        self.state = state or DaemonState()
        self.state.reconciled, self.state.waiting = False, {}
        # another set than in the life before is told of by an event, which first gives what is open its own set's
        if not (self.state.max_hold_bars and (self.state.serving or self.state.model_set)):
            self.state.max_hold_bars = settings.max_hold_bars
        if self.state.predicting:  # a candle that was not decided yet is told again
            self.state.deciding, self.state.predicting = -1, False
        for i in settings.instruments:
            self._on_this_grid(i)
        self.desks = {
            i.symbol: Desk(
                instrument=i,
                book=self.state.books.setdefault(i.symbol, Book()),
                counts=self.state.counts,
                deployment=settings.deployment,
                decision=settings.decision,
                unknown_stop_bps=settings.rules.stop_bps[MID],
                patience=settings.patience,
                foreign=settings.foreign,
            )
            for i in settings.instruments
        }
        self.account = Account(self.state, self.desks)
        self.trading = Trading(self.state, self.desks)
        self.deciding = Deciding(settings, self.state, self.desks, self.trading)

    def _on_this_grid(self, instrument: Instrument) -> None:
        """Ticks and steps of another grid mean nothing: what was counted in them is forgotten, the exchange asked."""
        state, symbol, grid = self.state, instrument.symbol, f"{instrument.tick} {instrument.step}"
        if state.grids.get(symbol, grid) != grid:
            state.books[symbol] = Book(memory=state.books[symbol].memory)
            state.closes.pop(symbol, None)
        state.grids[symbol] = grid

    @property
    def equity(self) -> int:
        """Cash plus open profit at the last closing prices, in cash units."""
        total = self.state.cash
        for symbol, desk in self.desks.items():
            lot, close = desk.book.lot, self.state.closes.get(symbol)
            if lot and close:
                total += lot.side * (desk.instrument.notional(close[1], lot.quantity) - lot.cost)
        return total

    def step(self, event: Event, at: int) -> list[Command]:
        """Take in one event that arrived at `at` (ms) and say what shall be done."""
        out = self._take(event, at) if self._about_us(event) else []
        out += self.trading.look_for_another(event, self.settings.deployment, at)
        out += self._advance(at)
        self.trading.note(out, self.settings.rules, at)
        return out

    def _about_us(self, event: Event) -> bool:
        """Whether an event is about a symbol we trade, or about none."""
        symbol = event.instrument.symbol if isinstance(event, InstrumentRead) else getattr(event, "symbol", None)
        return symbol is None or symbol in self.desks or isinstance(event, BalanceUpdated)

    def _take(self, event: Event, at: int) -> list[Command]:
        match event:
            case CandleClosed():
                self._candle(event, at)
            case PredictionReady():
                return self.deciding.decide(event)
            case Filled() | FundingPaid() if not self.state.reconciled:
                self.state.held.append(event)
            case Filled():
                return self.account.filled(event, at)
            case OrderUpdated():
                return self._on(event.symbol).order_updated(event, at)
            case StopUpdated():
                return self._on(event.symbol).stop_updated(event, at)
            case PositionUpdated():
                self.account.margin(event)
            case BalanceUpdated():
                self.trading.balance(event, self.equity)
                self.account.balance(event)
            case FundingPaid():
                self.account.funding(event)
            case Transferred():
                self.trading.transferred(event, self.equity)
            case CoinPriced():
                self.account.priced(event)
            case LeverageRead():
                return self._on(event.symbol).leverage_read(event)
            case Unresolved():
                self._on(event.symbol).unresolved(event.client_id)
            case Failed():
                desk = self._on(event.symbol)
                return desk.failed(event.command, event.client_id, event.code, event.message, at, event.meaning)
            case Reconciled():
                return self._reconciled(event, at)
            case InstrumentRead():
                return self._instrument(event)
            case GapFound():
                return self._gap(event, at)
            case DriftJudged():
                return self.trading.drifted(event, at)
            case OperatorCommand():
                return self.trading.obey(event, self.equity, at)
            case ModelSetSwapped():
                self._keep_holdings()
                self.state.serving, self.state.max_hold_bars = event.model_set, event.max_hold_bars
                before = f" in the place of {event.previous}" if event.previous else ""
                return [Alert("info", f"model set {event.model_set} answers{before}: {event.cause}")]
            case RulesChanged():
                return self._rules_changed(event)
            case StreamStale():
                self._hears(event.stream, False)
                return [Alert("warning", f"{event.stream} stream is stale: {event.reason}")]
            case StreamLive():
                self._hears(event.stream, True)
                return [Alert("info", f"{event.stream} stream is live")]
            case Tick():
                pass
        return []

    def _keep_holdings(self) -> None:
        """Positions and entries that name no longest holding, as of an earlier version, keep the leaving set's."""
        for book in self.state.books.values():
            if book.lot is not None:
                book.lot.max_hold_bars = book.lot.max_hold_bars or self.state.max_hold_bars
            if book.order is not None and book.order.purpose is Purpose.ENTRY:
                book.order.max_hold_bars = book.order.max_hold_bars or self.state.max_hold_bars

    def _rules_changed(self, event: RulesChanged) -> list[Command]:
        """Other rules, from the next decision on; what is open keeps its stop, which a plan can only tighten."""
        rules, foreign = event.rules, Foreign(event.foreign)
        patience = replace(
            self.settings.patience,
            answer_ms=event.answer_ms,
            protect_ms=event.protect_ms,
            reconcile_ms=event.reconcile_ms,
        )
        old = self.settings
        self.settings = replace(old, rules=rules, batch_ms=event.batch_ms, patience=patience, foreign=foreign)
        for symbol, desk in self.desks.items():
            self.desks[symbol] = replace(desk, unknown_stop_bps=rules.stop_bps[MID], patience=patience, foreign=foreign)
        self.deciding = Deciding(self.settings, self.state, self.desks, self.trading)
        told = [f"rules {rules.name} from the next decision on"] if rules != old.rules else []
        told += ["other deadlines"] if (event.batch_ms, patience) != (old.batch_ms, old.patience) else []
        told += [f"foreign_positions: {foreign}"] if foreign is not old.foreign else []
        return [Alert("info", f"{', '.join(told)}, by {event.who}")] if told else []

    def _hears(self, stream: str, live: bool) -> None:
        """Note whether a stream delivers; while one does not, nothing is opened."""
        if stream == PRIVATE:
            self.state.deaf = not live
        else:
            self.state.blind = not live

    def _on(self, symbol: str) -> Desk:
        return self.desks[symbol]

    # the account and its operator

    def _reconciled(self, event: Reconciled, at: int) -> list[Command]:
        state, first = self.state, not self.state.reconciled
        out = self.account.reconciled(event, first, at)
        state.truth_at, state.known_until = at, state.heard_at
        if event.trouble != state.trouble:
            state.trouble = event.trouble
            out.append(Alert("critical", event.trouble or "the account's modes are as they must be again"))
        if event.elsewhere != state.elsewhere:
            state.elsewhere = event.elsewhere
            if event.elsewhere:
                names = ", ".join(event.elsewhere)
                out.append(Alert("warning", f"the account holds positions in symbols that are not ours: {names}"))
        if first:
            # what a former life left undone is decided anew at the next candle; positions keep their stops
            state.reconciled, state.actions, state.pursuing, state.predicting = True, [], "", False
            for desk in self.desks.values():
                desk.book.goal = None
        return out

    def _instrument(self, event: InstrumentRead) -> list[Command]:
        """Terms may change while we run: margin tiers and limits at once, another grid after a look at the exchange."""
        state, symbol, out = self.state, event.instrument.symbol, list[Command]()
        if event.trading == (symbol in state.suspended):
            state.suspended ^= {symbol}
            word = "trades again" if event.trading else "is not traded any more: nothing is opened there"
            out.append(Alert("warning", f"{symbol} {word}"))
        before = self.desks[symbol].instrument
        if event.instrument == before:
            return out
        self._on_this_grid(event.instrument)
        self.desks[symbol] = replace(self.desks[symbol], instrument=event.instrument, book=state.books[symbol])
        if (before.tick, before.step) != (event.instrument.tick, event.instrument.step):
            state.reconciled = False
            out.append(Reconcile(f"{symbol} has another tick or step"))
        return [*out, Alert("warning", f"the exchange changed the terms of {symbol}")]

    # candles and decisions

    def _candle(self, event: CandleClosed, at: int) -> None:
        """Note a candle for the instant at which it ended, if that is an instant of decision still to come."""
        state, decision = self.state, self.settings.decision
        closed = event.candle.open_time + Timeframe.parse(event.timeframe).ms
        if closed % decision.ms or closed - decision.ms <= max(state.settled_bar, state.deciding):
            return
        arrivals = state.waiting.setdefault(closed, Arrivals(at + self.settings.batch_ms))
        arrivals.pairs.add((event.symbol, event.timeframe))
        arrivals.live &= event.live
        if event.timeframe == str(decision):
            ticks = self._on(event.symbol).instrument.nearest_ticks(event.candle.close)
            arrivals.closes[event.symbol] = ticks
            state.counts.candles += 1

    def _gap(self, event: GapFound, at: int) -> list[Command]:
        decision = self.settings.decision
        if event.timeframe == str(decision):
            self.state.counts.missed_candles += (event.end - event.start) // decision.ms
        hole = f"hole from {utc_text(event.start)} to {utc_text(event.end)}"
        return [Alert("warning", f"{event.symbol} {event.timeframe}: {hole}")]

    def _due(self, closed: int) -> set[tuple[str, str]]:
        """The (symbol, timeframe) pairs whose candle ends at an instant."""
        settings = self.settings
        return {(i.symbol, str(t)) for i in settings.instruments for t in settings.timeframes if closed % t.ms == 0}

    def _ready(self, closed: int, at: int) -> bool:
        arrivals = self.state.waiting[closed]
        return arrivals.pairs >= self._due(closed) or at >= arrivals.deadline

    def _begin(self, at: int) -> list[Command]:
        """Take up the earliest candle that is complete or will not be awaited any longer."""
        state = self.state
        if state.deciding >= 0 or not state.reconciled or not state.waiting:
            return []
        closed = min(state.waiting)
        if not self._ready(closed, at):
            return []
        arrivals = state.waiting[closed]
        state.deciding, state.predicting, state.began_at = closed - self.settings.decision.ms, True, at
        for symbol, close in arrivals.closes.items():
            state.closes[symbol] = (state.deciding, close)
        return [Predict(state.deciding, tuple(s for s in self.desks if s in arrivals.closes))]

    # what is left to do

    def _advance(self, at: int) -> list[Command]:
        """Let every desk mend what is missing, work off the plan in its order, and settle the candle when all rest."""
        if not self.state.reconciled:
            return []
        out = self._hurry(at)
        self.trading.enforce()
        for desk in self.desks.values():
            out += self._steer(desk, at)
        out += self._work_off(at)
        out += self._settle()
        return out + self._look_again(at) + self._begin(at)

    def _look_again(self, at: int) -> list[Command]:
        """Whatever the streams told or did not tell, the exchange is asked for everything now and then."""
        patience = self.settings.patience
        doubt = any(d.book.doubted is not None for d in self.desks.values())
        if at - self.state.truth_at < (patience.answer_ms if doubt else patience.reconcile_ms):
            return []
        self.state.truth_at = at
        return [Reconcile("it is time")]

    def _steer(self, desk: Desk, at: int) -> list[Command]:
        close = self.state.closes.get(desk.symbol, (0, 0))[1]
        return steering.advance(desk, close, self._standing, at)

    def _standing(self) -> Standing:
        lots = [d.book.lot for d in self.desks.values() if d.book.lot]
        return Standing(
            rules=self.settings.rules,
            barred=self.trading.barred(),
            equity=self.equity,
            margins=sum(lot.margin for lot in lots),
            positions=len(lots),
            sent=self.state.sent,
        )

    def _hurry(self, at: int) -> list[Command]:
        """What takes too long is given up, so that one silent part does not hold up all the others."""
        state, settings, out = self.state, self.settings, list[Command]()
        taken = at - state.began_at
        if state.deciding < 0:
            return []
        if state.predicting and taken >= settings.predict_ms:
            refusals = tuple(Opinion(s, None, LATE) for s in self.desks)
            return self.deciding.decide(PredictionReady(state.deciding, refusals, state.serving or state.model_set))
        if taken >= settings.entry_ms:
            text = "entry given up, it could not be sent in time"
            out += [Alert("warning", f"{a.symbol}: {text}") for a in self.trading.drop_entries()]
        newer = any(self._ready(c, at) for c in state.waiting if c - settings.decision.ms > state.deciding)
        if newer and taken >= settings.settle_ms:
            text = f"the candle of {state.deciding} ms did not come to rest; the next one is decided without it"
            out.append(Alert("critical", text))
            for desk in self.desks.values():
                desk.book.goal = None
            state.actions, state.pursuing = [], ""
            self._close_candle()
        return out

    def _work_off(self, at: int) -> list[Command]:
        state, out = self.state, list[Command]()
        while True:
            if state.pursuing and self._holds_up(self.desks[state.pursuing], at):
                return out
            state.pursuing = ""
            if not state.actions or self._too_early(state.actions[0]):
                return out
            action = state.actions.pop(0)
            desk = self.desks[action.symbol]
            desk.book.goal, desk.book.goal_bar = action, state.deciding
            if isinstance(action, Enter):
                desk.book.leverage = 0  # it may have been changed by hand: set and read back before each entry
            state.pursuing = action.symbol
            out += self._steer(desk, at)

    def _holds_up(self, desk: Desk, at: int) -> bool:
        """Whether the plan waits for a desk: not for an exit that was refused, nor for anything that takes long."""
        goal, taken = desk.book.goal, at - self.state.began_at
        stuck = (isinstance(goal, Exit) and at < desk.book.retry_at) or taken >= self.settings.entry_ms
        return goal is not None and not stuck

    def _too_early(self, action: Action) -> bool:
        """Whether an action is an entry, and an exit before it is still wanted."""
        return isinstance(action, Enter) and any(isinstance(d.book.goal, Exit) for d in self.desks.values())

    def _settle(self) -> Sequence[Command]:
        state = self.state
        busy = state.deciding < 0 or state.predicting or state.actions or state.pursuing
        if busy or not all(d.at_rest for d in self.desks.values()):
            return []
        return [Settled(self._close_candle())]

    def _close_candle(self) -> int:
        state = self.state
        bar, state.deciding, state.predicting, state.settled_bar = state.deciding, -1, False, state.deciding
        state.waiting = {c: a for c, a in state.waiting.items() if c - self.settings.decision.ms > bar}
        return bar
