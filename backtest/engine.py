"""The backtest's loop: base bars in the local exchange's order, decisions by the daemon's own `decide.plan`.

For each base bar: the rest of its path, then the next bar's open (funding, liquidation, gap stops), then, if a decision
candle has just closed, the plan: exits, tightenings and entries, all at that open. An entry's stop is live at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backtest.bars import SymbolFrame, bars_of, checked
from backtest.broker import Broker, Closed, Costs, Position, Refusal
from backtest.tape import Tape
from market import fills, trades
from market.candles import Ints
from models.prediction import Regimes
from strategy import halting, risk, sizing
from strategy.decide import plan
from strategy.live_config import Rules
from strategy.plan import (
    AccountMemory,
    Enter,
    Exit,
    Holding,
    Memory,
    Plan,
    Reason,
    Situation,
    SymbolState,
    Tighten,
    TradingState,
)

Progress = Callable[[int, int], None]
"""Called now and then with (bars done, bars in all)."""

_REPORT_EVERY = 5_000


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position the data ended on, `profit` at the last price before closing costs (cash units)."""

    symbol: str
    position: Position
    profit: int


@dataclass(frozen=True, slots=True)
class Restriction:
    """A trading state other than active that came into force at the close `time` (ms), and what for."""

    time: int
    state: TradingState
    reason: Reason


@dataclass(frozen=True)
class Result:
    """What a backtest did.

    Attributes
    ----------
    start_ms, end_ms : int
        First bar's open and last bar's close.
    bars, decisions : int
        Bars played (the detail's where there is detail), and decision candles decided.
    start_cash, cash, equity : int
        Wallet before, wallet after, and wallet with open profit after; cash units.
    closed : tuple of Closed
        Trades in the order they closed, with the regime at entry.
    open : tuple of OpenPosition
        What the data ended on.
    curve_time, curve_equity, curve_regime : (D,) int64, int64, int8
        At each decision: the candle's close (ms), equity (cash units), the first symbol's regime in force (-1 none).
        The last row is the data's end.
    reasons : dict
        How often each decision's reason was given.
    restrictions : tuple of Restriction
        Trading states other than active, as they came into force; nobody resumes in a backtest.
    restricted : dict
        Decision candles spent in each of those states.
    refused : dict
        Entries that were decided and never made, by why: not sent, or refused by the exchange.
    fees, funding : int
        Paid, cash units.
    """

    start_ms: int
    end_ms: int
    bars: int
    decisions: int
    start_cash: int
    cash: int
    equity: int
    closed: tuple[Closed, ...]
    open: tuple[OpenPosition, ...]
    curve_time: Ints
    curve_equity: Ints
    curve_regime: Regimes
    reasons: dict[str, int]
    restrictions: tuple[Restriction, ...]
    restricted: dict[str, int]
    refused: dict[str, int]
    fees: int
    funding: int

    @property
    def trades(self) -> list[trades.Trade]:
        """The trades alone, in the order they closed."""
        return [c.trade for c in self.closed]


def run(
    frames: Sequence[SymbolFrame],
    rules: Rules,
    costs: Costs,
    max_hold_bars: int,
    cash: int,
    progress: Progress | None = None,
) -> Result:
    """Play the frames' base bars from the first to the last.

    Parameters
    ----------
    frames : sequence of SymbolFrame
        One a symbol, in configuration order; all of one base and one decision timeframe.
    rules : Rules
        The trading rules.
    costs : Costs
        Fee and slippage.
    max_hold_bars : int
        The model set's longest holding, in decision candles.
    cash : int
        The wallet at the start, cash units.

    Raises
    ------
    BacktestError
        If there are no bars, a symbol comes twice, or timeframes differ.
    """
    return _Run(_tapes(frames), rules, Broker(tuple(f.instrument for f in frames), costs, cash), max_hold_bars).play(
        progress
    )


def _tapes(frames: Sequence[SymbolFrame]) -> tuple[Tape, ...]:
    checked(frames)
    return tuple(Tape.of(frame, bars) for frame, bars in zip(frames, bars_of(frames), strict=True))


@dataclass
class _Run:
    tapes: tuple[Tape, ...]
    rules: Rules
    broker: Broker
    max_hold_bars: int
    memories: list[Memory] = field(default_factory=list)
    account: AccountMemory = field(default_factory=AccountMemory)
    counted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    restrictions: list[Restriction] = field(default_factory=list)
    restricted: Counter[str] = field(default_factory=Counter)
    curve: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memories = [Memory()] * len(self.tapes)
        self.bar_ms = self.tapes[0].decision_ms

    def play(self, progress: Progress | None) -> Result:
        start_cash, tapes = self.broker.cash, self.tapes
        times, lengths = _union(tapes)
        for tape in tapes:
            tape.open_bar(times[0])
        for n, (time, length) in enumerate(zip(times, lengths, strict=True)):
            self._rest_of_bars(time, length)
            if n + 1 == len(times):
                break
            following = times[n + 1]
            for symbol, tape in enumerate(tapes):
                if tape.open_bar(following) and self.broker.positions[symbol]:
                    self._opened(symbol, tape, following)
            # Rule: a decision at each closed candle, in force from the next bar's first price.
            closed_at = time + length
            if closed_at % self.bar_ms == 0:
                self._decide(closed_at - self.bar_ms, following)
            if progress and n % _REPORT_EVERY == 0:
                progress(n, len(times))
        if progress:
            progress(len(times), len(times))
        return self._result(start_cash, times[0], times[-1] + lengths[-1])

    def _rest_of_bars(self, time: int, length: int) -> None:
        """The paths of the open bars, every symbol visiting its next price in turn.

        Nothing can happen while no price of a bar reaches its position's stop or liquidation.
        """
        paths = []
        for symbol, (tape, position) in enumerate(zip(self.tapes, self.broker.positions, strict=True)):
            if tape.live:
                tape.price = tape.close
                if position is not None and _within_reach(position, tape.high, tape.low):
                    paths.append((symbol, fills.path(tape.open, tape.high, tape.low, tape.close)))
        if paths:
            instants = fills.path_times(time, length)
            for step in (1, 2, 3):
                for symbol, prices in paths:
                    self._reach(symbol, prices[step], instants[step], at_open=False)

    def _opened(self, symbol: int, tape: Tape, time: int) -> None:
        """Rule: at a bar's open, funding on the mark (the open) comes first, then liquidation, then a gap stop."""
        for rate in tape.funding.get(time, ()):
            self.broker.fund(symbol, tape.price, rate)
        self._reach(symbol, tape.price, time, at_open=True)

    def _reach(self, symbol: int, price: int, time: int, at_open: bool) -> None:
        reason = self.broker.reach(symbol, price, time, at_open)
        if reason is not None:
            old, bar = self.memories[symbol], time - time % self.bar_ms
            self.memories[symbol] = Memory(old.regime, old.candidate, old.seen, bar, reason == trades.LIQUIDATION)

    def _decide(self, bar: int, now: int) -> None:
        """One batch at the close of candle `bar`; market time is `now`, the open at which its orders fill."""
        closed = False
        states = []
        for tape, position, memory in zip(self.tapes, self.broker.positions, self.memories, strict=True):
            closed |= tape.close_candle(bar)
            states.append(SymbolState(tape.instrument, tape.decision_close, tape.outlook, _holding(position), memory))
        if not closed:
            return  # no symbol has this candle
        for gone in self.broker.closed[self.counted :]:
            self.account = halting.after_trade(self.account, gone.trade.profit)
        self.counted = len(self.broker.closed)
        situation = Situation(bar, self.bar_ms, self.broker.cash, tuple(states), account=self.account)
        answer = plan(situation, self.rules, self.max_hold_bars)
        self.memories = list(answer.memories)
        self._restrict(answer.account)
        for decision in answer.decisions:
            self.reasons[decision.reason] += 1
        self.curve.append((bar + self.bar_ms, answer.equity, self.memories[0].regime))
        if answer.actions:
            self._do(answer, now)

    def _restrict(self, new: AccountMemory) -> None:
        """Take over the account's memory, noting the trading state."""
        old, self.account = self.account, new
        if new.reason is None:
            return
        self.restricted[new.state] += 1
        if (new.state, new.reason, new.since) != (old.state, old.reason, old.since):
            self.restrictions.append(Restriction(new.since, new.state, new.reason))

    def _do(self, answer: Plan, now: int) -> None:
        numbers = {tape.instrument.symbol: i for i, tape in enumerate(self.tapes)}
        for action in answer.actions:
            symbol = numbers[action.symbol]
            price = self.tapes[symbol].price
            match action:
                case Exit():
                    self.broker.close(symbol, price, now, str(action.reason))
                case Tighten():
                    self._tighten(symbol, action, price, now)
                case Enter() if self._may_send(symbol, action, price):
                    entry_bar, regime = now - now % self.bar_ms, self.memories[symbol].regime
                    self.broker.enter(symbol, action, price, now, entry_bar, regime)

    def _may_send(self, symbol: int, order: Enter, price: int) -> bool:
        """Rule: the price band and the reserve hold at the moment of sending, whatever the exits before it cost."""
        close, instrument = self.tapes[symbol].decision_close, self.tapes[symbol].instrument
        if not risk.within_band(close, price, self.rules.price_band_bps):
            return self.broker.refuse(Refusal.BAND)
        equity, margins = (
            self.broker.cash,
            fills.initial_margin(instrument.notional(close, order.quantity), order.leverage),
        )
        for tape, held in zip(self.tapes, self.broker.positions, strict=True):
            if held:
                equity += sizing.open_profit(
                    held.side, held.quantity, held.cost, tape.decision_close, tape.instrument.unit
                )
                margins += held.margin
        if not risk.within_reserve(margins, equity, self.rules.reserve_bps):
            return self.broker.refuse(Refusal.RESERVE)
        return True

    def _tighten(self, symbol: int, move: Tighten, price: int, now: int) -> None:
        """Rule: a new stop that the open has passed already is refused by the exchange; the position is closed."""
        position = self.broker.positions[symbol]
        assert position is not None
        if fills.touched(position.side, move.stop, 0, price, at_open=True):
            self.broker.close(symbol, price, now, trades.UNPROTECTED)
        else:
            position.stop, position.stop_bps = move.stop, move.stop_bps

    def _result(self, start_cash: int, start: int, end: int) -> Result:
        left = []
        for tape, position in zip(self.tapes, self.broker.positions, strict=True):
            if position:
                now = tape.instrument.notional(tape.price, position.quantity)
                profit = fills.realized_profit(position.side, position.cost, now)
                left.append(OpenPosition(tape.instrument.symbol, position, profit))
        equity = self.broker.cash + sum(o.profit for o in left)
        decisions = len(self.curve)
        self.curve.append((end, equity, self.memories[0].regime))
        columns = np.array(self.curve, dtype=np.int64)
        return Result(
            start_ms=start,
            end_ms=end,
            bars=sum(tape.count for tape in self.tapes),
            decisions=decisions,
            start_cash=start_cash,
            cash=self.broker.cash,
            equity=equity,
            closed=tuple(self.broker.closed),
            open=tuple(left),
            curve_time=columns[:, 0],
            curve_equity=columns[:, 1],
            curve_regime=columns[:, 2].astype(np.int8),
            reasons={str(reason): count for reason, count in self.reasons.most_common()},
            restrictions=tuple(self.restrictions),
            restricted={str(state): count for state, count in self.restricted.items()},
            refused=dict(self.broker.refused),
            fees=self.broker.fees,
            funding=self.broker.funding,
        )


def _union(tapes: tuple[Tape, ...]) -> tuple[list[int], list[int]]:
    """Every instant at which a bar opens, and how long the bars of that instant are."""
    lengths = {time: length for tape in tapes for time, length in zip(tape.times, tape.lengths, strict=True)}
    times = sorted(lengths)
    return times, [lengths[time] for time in times]


def _within_reach(position: Position, high: int, low: int) -> bool:
    if position.side > 0:
        return low <= position.stop or low <= position.liquidation
    return high >= position.stop or high >= position.liquidation


def _holding(position: Position | None) -> Holding | None:
    if position is None:
        return None
    return Holding(
        position.side,
        position.quantity,
        position.cost,
        position.margin,
        position.entry_bar,
        position.stop,
        position.stop_bps,
    )
