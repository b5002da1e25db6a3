"""What no plan may ever do, whatever it is asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from market import fills
from market.instruments import CASH, Instrument
from strategy import risk, sizing
from strategy.decide import plan
from strategy.live_config import LiveConfig, Rules
from strategy.plan import (
    AccountMemory,
    Enter,
    Exit,
    Holding,
    Memory,
    Outlook,
    Reason,
    Situation,
    SymbolState,
    Tighten,
    TradingState,
)

HOUR = 3_600_000
BAR = 1_000 * HOUR

probabilities = st.one_of(st.floats(0, 1), st.just(float("nan")))
outlooks = st.one_of(st.none(), st.builds(Outlook, probabilities, probabilities, st.integers(-1, 2)))
memories = st.builds(
    Memory,
    st.integers(-1, 2),
    st.integers(-1, 2),
    st.integers(0, 1),
    st.one_of(st.just(-1), st.integers(990, 1_001).map(lambda n: n * HOUR)),
    st.booleans(),
)

barriers = st.sampled_from([None, None, Reason.DEAF, Reason.LATE])


@st.composite
def states(draw: st.DrawFn, number: int) -> SymbolState:
    tick = draw(st.sampled_from([Decimal("0.1"), Decimal("0.01"), Decimal("1")]))
    instrument = Instrument(f"S{number}USDT", f"S{number}", tick=tick)
    close = draw(st.integers(1_000, 10_000_000))
    holding = None
    if draw(st.booleans()):
        side, quantity = draw(st.sampled_from([1, -1])), draw(st.integers(1, 1_000))
        price = max(1, close * draw(st.integers(90, 110)) // 100)
        cost, stop_bps = price * quantity * instrument.unit, draw(st.integers(10, 600))
        margin = fills.initial_margin(cost, draw(st.integers(1, 20)))
        stop = fills.stop_price(cost, quantity, instrument.unit, side, stop_bps)
        holding = Holding(side, quantity, cost, margin, BAR - draw(st.integers(0, 20)) * HOUR, stop, stop_bps)
    return SymbolState(instrument, close, draw(outlooks), holding, draw(memories))


@st.composite
def accounts(draw: st.DrawFn) -> AccountMemory:
    state = draw(st.sampled_from(TradingState))
    reason = None if state is TradingState.ACTIVE else draw(st.sampled_from([Reason.PAUSED, Reason.DAILY_LOSS]))
    until = draw(st.sampled_from([0, BAR, BAR + HOUR, BAR + 2 * HOUR])) if state is TradingState.REDUCING else 0
    known = draw(st.booleans())
    start = draw(st.integers(0, 250_000 * CASH))
    day, week = (risk.day_of(BAR + HOUR), risk.week_of(BAR + HOUR)) if known else (-1, -1)
    return AccountMemory(state, reason, BAR, until, day, week, start, start, start, start, draw(st.integers(0, 10)))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    count = draw(st.integers(1, 4))
    cash = draw(st.integers(-CASH, 200_000 * CASH))
    return Situation(BAR, HOUR, cash, tuple(draw(states(i)) for i in range(count)), draw(barriers), draw(accounts()))


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    return replace(
        LiveConfig().rules(),
        long_entry=draw(st.integers(1, 10**9)),
        short_entry=draw(st.integers(1, 10**9)),
        edge=draw(st.integers(0, 10**8)),
        leverage=tuple(draw(st.integers(1, 50)) for _ in range(3)),
        margin_bps=draw(st.integers(1, 5_000)),
        reserve_bps=draw(st.integers(0, 5_000)),
        max_positions=draw(st.integers(1, 4)),
        max_notional=draw(st.integers(CASH, 100_000 * CASH)),
        risk_bps=draw(st.integers(1, 1_000)),
    )


@settings(max_examples=300, deadline=None)
@given(situations(), rule_sets(), st.integers(1, 30))
def test_no_plan_passes_a_cap_or_loosens_a_stop(situation: Situation, rules: Rules, hold: int) -> None:
    answer = plan(situation, rules, hold)
    by_symbol = {s.instrument.symbol: s for s in situation.symbols}
    gone = {a.symbol for a in answer.actions if isinstance(a, Exit)}
    kept = [s for s in situation.symbols if s.holding and s.instrument.symbol not in gone]
    entries = [a for a in answer.actions if isinstance(a, Enter)]

    margins = sum(s.holding.margin for s in kept if s.holding)
    for entry in entries:
        state = by_symbol[entry.symbol]
        memory = answer.memories[situation.symbols.index(state)]
        cost = state.close * entry.quantity * state.instrument.unit
        margins += fills.initial_margin(cost, entry.leverage)
        assert state.outlook is not None, "no entry without a prediction"
        assert 0 <= state.outlook.p_long <= 1
        assert 0 <= state.outlook.p_short <= 1
        assert memory.regime in (0, 1, 2), "no entry without a settled regime"
        assert situation.barred is None
        assert answer.account.state is TradingState.ACTIVE, "no entry while reducing or halted, whatever the outlook"
        assert state.holding is None or entry.side == -state.holding.side
        assert cost <= rules.max_notional
        assert cost >= state.instrument.min_notional
        assert entry.stop_bps == rules.stop_bps[memory.regime]
        assert entry.leverage == rules.leverage[memory.regime]
        assert memory.stopped_bar < BAR, "no entry in, or right after, the candle of a stop"
    if entries:
        tight = {a.symbol: a.stop_bps for a in answer.actions if isinstance(a, Tighten)}
        risk = sum(
            s.holding.cost * tight.get(s.instrument.symbol, s.holding.stop_bps) for s in kept if s.holding
        ) + sum(
            by_symbol[e.symbol].close * e.quantity * by_symbol[e.symbol].instrument.unit * e.stop_bps for e in entries
        )
        assert margins <= sizing.share(answer.equity, 10_000 - rules.reserve_bps)
        assert risk <= answer.equity * rules.risk_bps
        assert len(kept) + len(entries) <= rules.max_positions

    if answer.account.state is TradingState.HALTED:
        assert gone == {s.instrument.symbol for s in situation.symbols if s.holding}, "halted: everything is closed"

    for move in (a for a in answer.actions if isinstance(a, Tighten)):
        holding = by_symbol[move.symbol].holding
        assert holding is not None
        assert holding.side * (move.stop - holding.stop) > 0, "a stop is never loosened"
        assert holding.side * (by_symbol[move.symbol].close - move.stop) >= 1
        assert move.stop_bps < holding.stop_bps


@settings(max_examples=150, deadline=None)
@given(situations(), rule_sets(), st.integers(1, 30))
def test_every_plan_is_in_order_and_accounts_for_every_symbol(situation: Situation, rules: Rules, hold: int) -> None:
    answer = plan(situation, rules, hold)
    kinds = [(Exit, Tighten, Enter).index(type(a)) for a in answer.actions]
    assert kinds == sorted(kinds), "exits, then tightenings, then entries"
    for state in situation.symbols:
        own = [d for d in answer.decisions if d.symbol == state.instrument.symbol]
        reversal = bool(own) and own[0].reason is Reason.OPPOSITE_SIGNAL
        assert len(own) == (2 if reversal else 1)
    order = [s.instrument.symbol for s in situation.symbols]
    entries = [order.index(a.symbol) for a in answer.actions if isinstance(a, Enter)]
    assert entries == sorted(entries), "entries in configuration order"
    assert answer == plan(situation, rules, hold), "the same question has the same answer"


@given(st.integers(0, 2**62), st.integers(1, 10_000))
def test_shrinking_never_enlarges_and_a_whole_share_changes_nothing(quantity: int, size_bps: int) -> None:
    small = sizing.shrunk(quantity, size_bps)
    assert 0 <= small <= quantity
    assert abs(small - quantity * size_bps // 10_000) <= 0
    assert sizing.shrunk(quantity, 10_000) == quantity
