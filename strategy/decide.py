"""`plan`: from everything known at a candle's close to what shall be done about it, and why.

The only place where the rules meet: signals, regime, sizing and risk are scalar functions of their own. No clock, no
randomness, no I/O: the daemon and the backtest call this same function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from market import fills
from market.instruments import cash_text
from strategy import halting, regime, risk, signals, sizing
from strategy.live_config import Rules
from strategy.plan import (
    FULL_SIZE,
    AccountMemory,
    Action,
    Decision,
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

_SIDES = {1: "long", -1: "short"}
_LEAVING = (None, None, Reason.TIME, Reason.OPPOSITE_SIGNAL, Reason.SIGNAL_GONE)
_FULL = (None, Reason.POSITION_CAP, Reason.STOP_TOO_FAR, Reason.RESERVE, Reason.RISK_CAP)
"""What the numbers that `signals.leaving` and `risk.room` answer with are called."""


@dataclass(slots=True)
class _View:
    """A symbol's outlook in integers of 1e-9; `side` is the one wanted, 0 for neither."""

    p_long: int
    p_short: int
    side: int

    def __str__(self) -> str:
        return f"P(long) {self.p_long / signals.PPB:.4f}, P(short) {self.p_short / signals.PPB:.4f}"


@dataclass(slots=True)
class _Budget:
    """What the positions that stay, and the entries granted so far, take of the account."""

    equity: int
    positions: int = 0
    margins: int = 0
    at_risk: int = 0

    def take(self, margin: int, at_risk: int) -> None:
        self.positions += 1
        self.margins += margin
        self.at_risk += at_risk


def plan(situation: Situation, rules: Rules, max_hold_bars: int) -> Plan:
    """Decide for all symbols of one candle close, as one batch.

    Parameters
    ----------
    situation : Situation
        Everything known when the candle has closed.
    rules : Rules
        The trading rules.
    max_hold_bars : int
        The present model set's longest holding in decision candles. Before it comes that of the set which opened a
        position, and before both the rules' own, where given.

    Returns
    -------
    Plan
        Equity, actions in the order to be done (exits, tightenings, entries), one decision a symbol (two when it
        reverses) and the memories for the next candle: the symbols' in the situation's order, and the account's.
    """
    states = situation.symbols
    memories = tuple(_remember(s, rules) for s in states)
    views = [_view(s, rules) for s in states]
    # Rule: equity is taken once a batch, at the closing prices, before anything is done.
    equity = situation.cash + sum(_open_profit(s.holding, s) for s in states if s.holding)
    account = halting.assess(situation.account, situation.bar + situation.bar_ms, equity, rules.halts)
    budget = _Budget(equity)
    exits: list[Action] = []
    moves: list[Action] = []
    decisions: list[Decision] = []
    flat: list[tuple[SymbolState, Memory, _View]] = []

    for state, memory, view in zip(states, memories, views, strict=True):
        holding = state.holding
        if holding is None:
            if view:
                flat.append((state, memory, view))
            else:
                decisions.append(_nothing(state, Reason.NO_PREDICTION))
            continue
        # Rule: a position keeps the longest holding it was opened with, whatever set answers by now.
        longest = rules.max_hold_bars or holding.max_hold_bars or max_hold_bars
        why = _exit_reason(situation, account, rules, longest, holding, view)
        if why is not None:
            exits.append(Exit(state.instrument.symbol, holding.side, holding.quantity, why))
            decisions.append(Decision(state.instrument.symbol, f"close {_SIDES[holding.side]}", why, _why(view)))
            if why is Reason.OPPOSITE_SIGNAL and view:  # Rule: a reversal is a close, then an entry.
                flat.append((state, memory, view))
            continue
        stop_bps = holding.stop_bps
        move = _tightening(state, holding, memory, rules) if view else None
        if move is None:
            decisions.append(Decision(state.instrument.symbol, "hold", Reason.HOLD, _why(view)))
        else:
            moves.append(move)
            stop_bps = move.stop_bps
            decisions.append(_tightened(state, holding, move))
        budget.take(holding.margin, risk.at_risk(holding.cost, stop_bps))

    # Rule: exits first, then entries in configuration order; an exit frees its margin for the same batch.
    entries: list[Action] = []
    for state, memory, view in flat:
        entry, decision = _entry(situation, account, rules, budget, state, memory, view)
        entries.extend(replace(wanted, max_hold_bars=max_hold_bars) for wanted in entry)
        decisions.append(decision)
    return Plan(equity, (*exits, *moves, *entries), tuple(decisions), memories, account)


def _remember(state: SymbolState, rules: Rules) -> Memory:
    """Rule: a regime change counts after k candles; a candle without a prediction breaks the row."""
    old = state.memory
    observed = state.outlook.regime if state.outlook and state.outlook.regime in (0, 1, 2) else regime.NONE
    if observed == old.regime and old.seen == 0:
        return old
    now = regime.settle(old.regime, old.candidate, old.seen, observed, rules.confirm)
    return Memory(*now, old.stopped_bar, old.liquidated)


def _view(state: SymbolState, rules: Rules) -> _View | None:
    """Rule: a missing prediction is missing, never 0; either probability missing makes the whole missing."""
    if state.outlook is None:
        return None
    p_long, p_short = signals.probability(state.outlook.p_long), signals.probability(state.outlook.p_short)
    if p_long < 0 or p_short < 0:
        return None
    return _View(p_long, p_short, signals.side_wanted(p_long, p_short, rules.long_entry, rules.short_entry, rules.edge))


def _open_profit(holding: Holding, state: SymbolState) -> int:
    return sizing.open_profit(holding.side, holding.quantity, holding.cost, state.close, state.instrument.unit)


def _exit_reason(
    situation: Situation, account: AccountMemory, rules: Rules, longest: int, holding: Holding, view: _View | None
) -> Reason | None:
    """Why the position is closed at this close, None if it stays."""
    p_long, p_short, wanted = (view.p_long, view.p_short, view.side) if view else (-1, -1, 0)
    overdue = signals.time_up(situation.bar, situation.bar_ms, holding.entry_bar, longest)
    halted = account.state is TradingState.HALTED
    why = signals.leaving(halted, overdue, holding.side, p_long, p_short, wanted, rules.long_exit, rules.short_exit)
    return account.reason if why == signals.BY_HALT else _LEAVING[why]


def _tightening(state: SymbolState, holding: Holding, memory: Memory, rules: Rules) -> Tighten | None:
    if memory.regime < 0 or rules.stop_bps[memory.regime] >= holding.stop_bps:
        return None
    stop_bps = rules.stop_bps[memory.regime]
    unit = state.instrument.unit
    stop = risk.tighter_stop(holding.cost, holding.quantity, unit, holding.side, holding.stop, stop_bps, state.close)
    return Tighten(state.instrument.symbol, stop, stop_bps) if stop else None


def _entry(
    situation: Situation,
    account: AccountMemory,
    rules: Rules,
    budget: _Budget,
    state: SymbolState,
    memory: Memory,
    view: _View,
) -> tuple[tuple[Enter, ...], Decision]:
    """An entry and its decision, or no entry and the first reason that forbids it."""
    side, instrument = view.side, state.instrument
    if side == 0:
        lacks = signals.lacks_edge(view.p_long, view.p_short, rules.long_entry, rules.short_entry, rules.edge)
        return (), _nothing(state, Reason.NO_EDGE if lacks else Reason.NO_SIGNAL, str(view))
    refusal = account.reason or state.barred or _not_now(situation, rules, memory)
    if refusal is not None:
        return (), _nothing(state, refusal, str(view))

    stop_bps = rules.stop_bps[memory.regime]
    leverage, quantity = sizing.entry_terms(
        budget.equity,
        rules.margin_bps,
        rules.leverage[memory.regime],
        rules.max_notional,
        state.close,
        instrument.unit,
        instrument.brackets,
    )
    quantity = sizing.shrunk(quantity, situation.size_bps)
    if not sizing.large_enough(
        quantity, state.close, instrument.unit, instrument.min_quantity, instrument.min_notional
    ):
        return (), _nothing(state, Reason.TOO_SMALL, f"{view}; equity {cash_text(budget.equity)}")

    cost = instrument.notional(state.close, quantity)
    margin = fills.initial_margin(cost, leverage)
    at_risk = risk.at_risk(cost, stop_bps)
    refusal = _no_room(rules, budget, state, side, quantity, margin, at_risk, stop_bps)
    if refusal is not None:
        return (), _nothing(state, refusal, f"{view}; margin {cash_text(margin)} of equity {cash_text(budget.equity)}")

    budget.take(margin, at_risk)
    reason = Reason.LONG_SIGNAL if side > 0 else Reason.SHORT_SIGNAL
    detail = f"{view}; {instrument.quantity_text(quantity)} at {leverage}x, stop {stop_bps / 100:g} %"
    if situation.size_bps < FULL_SIZE:
        detail += f", shrunk to {situation.size_bps / 100:g} % of its size"
    entry = Enter(instrument.symbol, side, quantity, leverage, stop_bps, reason)
    return (entry,), Decision(instrument.symbol, f"open {_SIDES[side]}", reason, detail)


def _not_now(situation: Situation, rules: Rules, memory: Memory) -> Reason | None:
    """What forbids any entry of this symbol at this close, whatever its size."""
    if situation.barred is not None:
        return situation.barred
    if memory.regime < 0:
        return Reason.NO_REGIME
    cooldown = rules.liquidation_cooldown if memory.liquidated else rules.stop_cooldown
    match risk.after_stop(situation.bar, situation.bar_ms, memory.stopped_bar, cooldown):
        case risk.SAME_CANDLE:
            return Reason.SAME_CANDLE
        case risk.COOLING:
            return Reason.LOST_LIQUIDATION if memory.liquidated else Reason.COOLDOWN
    return None


def _no_room(
    rules: Rules,
    budget: _Budget,
    state: SymbolState,
    side: int,
    quantity: int,
    margin: int,
    at_risk: int,
    stop_bps: int,
) -> Reason | None:
    """Which cap the entry would pass; an entry is refused by a cap, never cut down to it."""
    unit, cost = state.instrument.unit, state.instrument.notional(state.close, quantity)
    # Rule: the closing price is the expected fill; the stop must lie within half the way to liquidation.
    stop = fills.stop_price(cost, quantity, unit, side, stop_bps)
    liquidation = state.instrument.liquidation_price(cost, margin, quantity, side)
    full = risk.room(
        budget.positions,
        rules.max_positions,
        risk.stop_near_enough(state.close, stop, liquidation, side),
        budget.margins + margin,
        budget.at_risk + at_risk,
        budget.equity,
        rules.reserve_bps,
        rules.risk_bps,
    )
    return _FULL[full]


def _why(view: _View | None) -> str:
    return str(view) if view else "no prediction; the stop stays"


def _nothing(state: SymbolState, reason: Reason, detail: str = "") -> Decision:
    return Decision(state.instrument.symbol, "none", reason, detail)


def _tightened(state: SymbolState, holding: Holding, move: Tighten) -> Decision:
    price = state.instrument.price_text
    return Decision(
        state.instrument.symbol, "tighten", Reason.TIGHTENED, f"stop {price(holding.stop)} -> {price(move.stop)}"
    )
