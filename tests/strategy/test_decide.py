"""The rules together: what a plan does at one candle's close, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from market.instruments import CASH, MOST, Instrument
from market.tiers import brackets
from strategy import live_config
from strategy.decide import plan
from strategy.live_config import Entry, LiveConfig, Rules
from strategy.plan import (
    HIGH,
    LOW,
    MID,
    AccountMemory,
    Enter,
    Exit,
    Holding,
    Memory,
    Outlook,
    Plan,
    Reason,
    Situation,
    SymbolState,
    Tighten,
    TradingState,
)

HOUR = 3_600_000
THRESHOLDS = LiveConfig(entry=Entry(long=0.55, short=0.55), exit=live_config.Exit(long=0.48, short=0.48))
RULES = THRESHOLDS.rules()
BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.1"))
ETH = Instrument("ETHUSDT", "ETH", tick=Decimal("0.1"))
SETTLED = Memory(regime=LOW)
LONG, SHORT, QUIET = Outlook(0.60, 0.40, LOW), Outlook(0.40, 0.60, LOW), Outlook(0.50, 0.50, LOW)
BAR = 100 * HOUR


def held(side: int = 1, price: int = 300_000, quantity: int = 100, bars: int = 3, stop_bps: int = 200) -> Holding:
    cost = price * quantity * BTC.unit
    stop = price * (10_000 - side * stop_bps) // 10_000
    return Holding(side, quantity, cost, cost // 10, BAR - bars * HOUR, stop, stop_bps)


def state(
    outlook: Outlook | None,
    holding: Holding | None = None,
    memory: Memory = SETTLED,
    instrument: Instrument = BTC,
    close: int = 300_000,
) -> SymbolState:
    return SymbolState(instrument, close, outlook, holding, memory)


def decide(
    *states: SymbolState,
    rules: Rules = RULES,
    cash: int = 10_000 * CASH,
    hold: int = 12,
    allowed: bool = True,
    account: AccountMemory | None = None,
) -> Plan:
    barred = None if allowed else Reason.LATE
    return plan(Situation(BAR, HOUR, cash, states, barred, account or AccountMemory()), rules, hold)


def reasons(answer: Plan) -> list[Reason]:
    return [d.reason for d in answer.decisions]


def test_a_long_signal_opens_a_long_sized_by_equity_margin_and_leverage() -> None:
    answer = decide(state(LONG))
    # 10,000 x 10 % x 10 = 10,000 of notional, at 30,000.0: 0.333.
    assert answer.actions == (Enter("BTCUSDT", 1, 333, 10, 200, Reason.LONG_SIGNAL, max_hold_bars=12),)
    assert "P(long) 0.6000" in answer.decisions[0].detail


def test_a_short_signal_opens_a_short() -> None:
    (entry,) = decide(state(SHORT)).actions
    assert isinstance(entry, Enter)
    assert (entry.side, entry.reason) == (-1, Reason.SHORT_SIGNAL)


def test_the_regime_in_force_sets_leverage_and_stop() -> None:
    for regime, leverage, stop_bps in ((LOW, 10, 200), (MID, 5, 300), (HIGH, 2, 500)):
        (entry,) = decide(state(replace(LONG, regime=regime), memory=Memory(regime=regime))).actions
        assert isinstance(entry, Enter)
        assert (entry.leverage, entry.stop_bps) == (leverage, stop_bps)


def test_leverage_is_clipped_to_the_instruments_highest() -> None:
    (entry,) = decide(state(LONG, instrument=replace(BTC, brackets=brackets((MOST, 4, 40))))).actions
    assert isinstance(entry, Enter)
    assert entry.leverage == 4


def test_no_trade_says_why() -> None:
    assert reasons(decide(state(QUIET))) == [Reason.NO_SIGNAL]
    assert reasons(decide(state(Outlook(0.60, 0.59, LOW)))) == [Reason.NO_EDGE]
    assert reasons(decide(state(None))) == [Reason.NO_PREDICTION]
    assert reasons(decide(state(LONG, memory=Memory()))) == [Reason.NO_REGIME]
    assert reasons(decide(state(LONG), allowed=False)) == [Reason.LATE]
    assert reasons(decide(state(LONG), cash=10 * CASH)) == [Reason.TOO_SMALL]
    assert reasons(decide(state(LONG), cash=-5 * CASH)) == [Reason.TOO_SMALL]


def test_a_missing_probability_makes_the_whole_prediction_missing() -> None:
    nan = float("nan")
    for outlook in (Outlook(nan, 0.9, LOW), Outlook(0.9, nan, LOW), Outlook(1.5, 0.1, LOW)):
        assert reasons(decide(state(outlook))) == [Reason.NO_PREDICTION]


def test_a_regime_settles_after_two_candles_and_allows_the_entry_of_the_second() -> None:
    first = decide(state(LONG, memory=Memory()))
    second = decide(state(LONG, memory=first.memories[0]))
    assert reasons(first) == [Reason.NO_REGIME]
    assert reasons(second) == [Reason.LONG_SIGNAL]
    assert second.memories[0].regime == LOW


def test_a_regime_change_applies_after_two_candles() -> None:
    wild = replace(LONG, regime=HIGH)
    first = decide(state(wild))
    second = decide(state(wild, memory=first.memories[0]))
    assert first.memories[0] == Memory(LOW, HIGH, 1)
    assert isinstance(first.actions[0], Enter)
    assert isinstance(second.actions[0], Enter)
    assert (first.actions[0].leverage, second.actions[0].leverage) == (10, 2)


def test_a_position_is_kept_while_its_signal_lasts() -> None:
    answer = decide(state(QUIET, held()))
    assert answer.actions == ()
    assert reasons(answer) == [Reason.HOLD]


def test_an_opposite_signal_is_a_close_then_an_entry() -> None:
    answer = decide(state(SHORT, held()))
    assert reasons(answer) == [Reason.OPPOSITE_SIGNAL, Reason.SHORT_SIGNAL]
    close, enter = answer.actions
    assert close == Exit("BTCUSDT", 1, 100, Reason.OPPOSITE_SIGNAL)
    assert isinstance(enter, Enter)
    assert enter.side == -1


def test_a_reversal_still_closes_when_the_entry_is_refused() -> None:
    answer = decide(state(SHORT, held()), allowed=False)
    assert reasons(answer) == [Reason.OPPOSITE_SIGNAL, Reason.LATE]
    assert len(answer.actions) == 1


def test_a_position_is_closed_when_its_signal_is_gone() -> None:
    assert reasons(decide(state(Outlook(0.47, 0.45, LOW), held()))) == [Reason.SIGNAL_GONE]
    assert reasons(decide(state(Outlook(0.45, 0.47, LOW), held(side=-1)))) == [Reason.SIGNAL_GONE]


def test_a_position_is_closed_by_time_whatever_the_signal_says() -> None:
    for outlook in (LONG, SHORT, QUIET, None):
        assert reasons(decide(state(outlook, held(bars=11)))) == [Reason.TIME]
    assert reasons(decide(state(LONG, held(bars=10)))) == [Reason.HOLD]


def test_the_rules_own_longest_holding_comes_before_the_model_sets() -> None:
    short_hold = replace(RULES, max_hold_bars=4)
    assert reasons(decide(state(LONG, held(bars=3)), rules=short_hold, hold=12)) == [Reason.TIME]


def test_without_a_prediction_a_position_is_kept_with_its_stop() -> None:
    answer = decide(state(None, held(stop_bps=500)))
    assert answer.actions == ()
    assert reasons(answer) == [Reason.HOLD]


def test_a_calmer_regime_tightens_the_stop() -> None:
    answer = decide(state(LONG, held(stop_bps=500)))
    assert answer.actions == (Tighten("BTCUSDT", 294_000, 200),)
    assert answer.decisions[0].detail == "stop 28500.0 -> 29400.0"


def test_a_wilder_regime_never_loosens_the_stop() -> None:
    answer = decide(state(replace(LONG, regime=HIGH), held(stop_bps=200), memory=Memory(regime=HIGH)))
    assert answer.actions == ()


def test_a_stop_is_not_tightened_to_where_it_would_fire_at_once() -> None:
    assert decide(state(LONG, held(stop_bps=500), close=294_000)).actions == ()
    assert decide(state(LONG, held(stop_bps=500), close=294_001)).actions != ()


def test_no_entry_in_the_candle_of_a_stop_nor_while_cooling_down() -> None:
    def after(stopped: int, liquidated: bool = False) -> list[Reason]:
        return reasons(decide(state(LONG, memory=Memory(regime=LOW, stopped_bar=stopped, liquidated=liquidated))))

    assert after(BAR + HOUR) == [Reason.SAME_CANDLE]
    assert after(BAR) == [Reason.COOLDOWN]
    assert after(BAR - HOUR) == [Reason.LONG_SIGNAL]
    assert after(BAR - HOUR, liquidated=True) == [Reason.LOST_LIQUIDATION]
    assert after(BAR - 24 * HOUR, liquidated=True) == [Reason.LONG_SIGNAL]


def test_positions_are_capped_in_configuration_order() -> None:
    answer = decide(state(LONG), state(LONG, instrument=ETH), rules=replace(RULES, max_positions=1))
    assert reasons(answer) == [Reason.LONG_SIGNAL, Reason.POSITION_CAP]


def test_the_reserve_refuses_an_entry_and_does_not_shrink_it() -> None:
    answer = decide(state(LONG), state(LONG, instrument=ETH), rules=replace(RULES, reserve_bps=8_500))
    assert reasons(answer) == [Reason.LONG_SIGNAL, Reason.RESERVE]


def test_the_risk_of_all_stops_is_capped_over_all_symbols() -> None:
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    answer = decide(*(state(LONG, instrument=replace(BTC, symbol=n)) for n in names))
    # Each takes up to 2 % of equity: three fit in 6 %.
    assert reasons(answer) == [Reason.LONG_SIGNAL] * 3 + [Reason.RISK_CAP]


def test_an_entry_is_refused_when_its_stop_is_not_within_half_the_way_to_liquidation() -> None:
    assert reasons(decide(state(LONG), rules=replace(RULES, leverage=(30, 5, 2)))) == [Reason.STOP_TOO_FAR]
    assert reasons(decide(state(LONG), rules=replace(RULES, leverage=(20, 5, 2)))) == [Reason.LONG_SIGNAL]


def test_exits_come_first_and_free_their_margin_for_the_same_batch() -> None:
    rules = replace(RULES, max_positions=1)
    answer = decide(state(LONG), state(QUIET, held(bars=11), instrument=ETH), rules=rules)
    assert [type(a) for a in answer.actions] == [Exit, Enter]
    assert [a.symbol for a in answer.actions] == ["ETHUSDT", "BTCUSDT"]


def test_equity_is_taken_once_with_open_profit_at_the_close() -> None:
    answer = decide(state(QUIET, held(), close=310_000))
    assert answer.equity == 10_000 * CASH + 100 * 10_000 * BTC.unit
    losing_short = decide(state(QUIET, held(side=-1), close=310_000))
    assert losing_short.equity == 10_000 * CASH - 100 * 10_000 * BTC.unit


def test_every_symbol_has_exactly_one_decision_and_a_memory_in_order() -> None:
    answer = decide(state(None), state(LONG, instrument=ETH))
    assert sorted(d.symbol for d in answer.decisions) == ["BTCUSDT", "ETHUSDT"]
    assert answer.memories[0].regime == LOW
    assert len(answer.memories) == 2


def test_leverage_falls_to_what_the_tier_of_the_entrys_size_allows() -> None:
    small = replace(BTC, brackets=brackets((2_000 * CASH, 20, 40), (100_000 * CASH, 3, 50)))
    (entry,) = decide(state(LONG, instrument=small)).actions
    cost = small.notional(state(LONG).close, entry.quantity)
    assert entry.leverage == 3
    assert cost > 2_000 * CASH


REDUCING = AccountMemory(TradingState.REDUCING, Reason.PAUSED)
HALTED = AccountMemory(TradingState.HALTED, Reason.FLATTENED)


def test_while_reducing_nothing_is_entered_and_positions_leave_by_rule() -> None:
    answer = decide(state(LONG), state(SHORT, held(), instrument=ETH), account=REDUCING)
    assert reasons(answer) == [Reason.OPPOSITE_SIGNAL, Reason.PAUSED, Reason.PAUSED]
    assert [type(a) for a in answer.actions] == [Exit]
    assert reasons(decide(state(LONG, held()), account=REDUCING)) == [Reason.HOLD]


def test_while_halted_every_position_is_closed_whatever_the_outlook() -> None:
    for outlook in (LONG, SHORT, QUIET, None):
        answer = decide(state(outlook, held()), account=HALTED)
        assert answer.actions == (Exit("BTCUSDT", 1, 100, Reason.FLATTENED),)
        assert reasons(answer) == [Reason.FLATTENED]


def test_a_limit_that_strikes_at_this_close_binds_at_this_close() -> None:
    rich = AccountMemory(day=BAR // 86_400_000 * 86_400_000, week=-1, day_start=12_000 * CASH, peak=12_000 * CASH)
    answer = decide(state(LONG), account=rich)
    assert reasons(answer) == [Reason.DAILY_LOSS]
    assert answer.account.state is TradingState.REDUCING
    poor = AccountMemory(peak=13_000 * CASH)
    assert decide(state(LONG, held()), account=poor).actions == (Exit("BTCUSDT", 1, 100, Reason.DRAWDOWN),)


def test_a_doubted_model_gets_a_share_of_the_size_at_the_same_leverage() -> None:
    (whole,) = decide(state(LONG)).actions
    answer = plan(Situation(BAR, HOUR, 10_000 * CASH, (state(LONG),), size_bps=5_000), RULES, 12)
    (half,) = answer.actions
    assert isinstance(whole, Enter)
    assert half == replace(whole, quantity=166)  # half of 333 steps, down to the step
    assert "shrunk to 50 % of its size" in answer.decisions[0].detail


def test_an_entry_shrunk_below_the_smallest_order_is_not_made() -> None:
    answer = plan(Situation(BAR, HOUR, 10_000 * CASH, (state(LONG),), size_bps=10), RULES, 12)
    assert reasons(answer) == [Reason.TOO_SMALL]


def test_a_position_keeps_the_longest_holding_it_was_opened_with() -> None:
    shorter, longer = (replace(held(bars=5), max_hold_bars=bars) for bars in (6, 48))
    assert reasons(decide(state(LONG, shorter), hold=48)) == [Reason.TIME]
    assert reasons(decide(state(LONG, longer), hold=6)) == [Reason.HOLD]
    assert reasons(decide(state(LONG, longer), rules=replace(RULES, max_hold_bars=6))) == [Reason.TIME]
