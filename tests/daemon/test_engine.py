"""The engine, event by event: no exchange, no clock, only what it is told and what it asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from daemon.commands import (
    Alert,
    AskOrder,
    CancelStop,
    Command,
    PlaceStop,
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
    FundingPaid,
    LeverageRead,
    Meaning,
    ModelSetSwapped,
    OperatorCommand,
    Opinion,
    Order,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    PredictionReady,
    RestingStop,
    RulesChanged,
    StopUpdated,
    StreamLive,
    StreamStale,
    Tick,
    Unresolved,
)
from daemon.journal import Journal
from daemon.state import DaemonState
from market.candles import Candle
from market.instruments import CASH
from strategy.plan import Outlook, Reason, TradingState
from tests.daemon.engine_play import BTC, HOUR, PRICE, SETTINGS, START, Play, of


def test_nothing_is_decided_before_the_account_was_read(play: Play) -> None:
    candle = Candle(START, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert play.tell(CandleClosed("BTCUSDT", "1h", candle)) == []


def test_a_quiet_candle_settles_at_once(play: Play) -> None:
    play.boot()
    assert Settled(START) in play.candle(0)


def test_an_entry_sets_leverage_reads_it_back_fills_and_is_protected_before_it_settles(play: Play) -> None:
    play.boot()
    read_back = play.enter()
    book = play.engine.state.books["BTCUSDT"]
    assert not play.engine.desks["BTCUSDT"].at_rest
    assert read_back.trigger == 291_000  # 3 % below the fill, mid regime
    assert of(play.tell(replace(read_back, read_back=False)), Settled) == []  # an acknowledgement is no proof
    assert of(play.tell(read_back), Settled) == [Settled(START)]
    assert book.lot is not None
    assert book.lot.quantity == 10_000 * CASH // 10 * 5 // BTC.notional(PRICE, 1)
    assert play.engine.state.counts.naked_max_ms == 2


def test_an_entry_is_given_up_when_leverage_reads_back_otherwise(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    again = play.tell(LeverageRead("BTCUSDT", leverage.leverage - 1, True))
    assert of(again, Submit) == of(again, SetLeverage) == []
    assert Settled(START) in again


def test_a_stop_that_would_trigger_at_once_closes_the_position(play: Play) -> None:
    play.boot()
    stop = play.enter()
    out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -2021, "passed", Meaning.WOULD_TRIGGER))
    (rescue,) = of(out, Submit)
    assert rescue.approved.order.reduce_only
    (trade,) = of(play.fill(rescue.approved.order.client_id, -1, rescue.approved.order.quantity), RecordTrade)
    assert trade.trade.reason == "could not be protected"


def test_an_order_of_unknown_fate_is_asked_for_and_never_resent(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    (submit,) = of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
    client_id = submit.approved.order.client_id
    out = play.tell(Unresolved("BTCUSDT", client_id, "timed out"))
    assert out == [AskOrder("BTCUSDT", client_id)]
    absent = OrderUpdated("BTCUSDT", client_id, OrderStatus.ABSENT)
    assert of(play.tell(absent), Submit) == []
    assert of(play.tell(Tick(), after=3_000), AskOrder) == [AskOrder("BTCUSDT", client_id)]
    assert Settled(START) in play.tell(absent, after=6_000)  # absence is proven by now, and the entry is given up
    assert play.engine.state.books["BTCUSDT"].lot is None


def test_a_duplicate_execution_counts_once(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    quantity = lot.quantity
    play.trade_id -= 1
    play.fill("whatever", 1, quantity)
    assert lot.quantity == quantity


def test_a_stop_fill_makes_a_trade_with_the_wallet_after_it(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    play.tell(BalanceUpdated(9_800 * CASH, -200 * CASH, "ORDER"))
    (trade,) = of(play.fill(stop.client_id, -1, stop.quantity, price=stop.trigger), RecordTrade)
    assert (trade.trade.reason, trade.trade.cash_after) == ("stop", 9_800 * CASH)
    assert trade.trade.profit == -BTC.notional(PRICE - stop.trigger, stop.quantity) - 10
    assert play.engine.state.books["BTCUSDT"].memory.stopped_bar == START + HOUR


def test_a_liquidation_costs_the_isolated_margin(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    play.tell(PositionUpdated("BTCUSDT", lot.quantity, 77 * CASH, "FUNDING_FEE"))
    play.tell(PositionUpdated("BTCUSDT", 0, 0, "ORDER"))
    (trade,) = of(play.fill("autoclose-1", -1, lot.quantity, price=200_000, fee=0), RecordTrade)
    assert (trade.trade.reason, trade.trade.profit) == ("liquidation", -77 * CASH - 5)


def test_a_liquidation_before_any_word_about_the_margin_costs_what_was_set_aside(play: Play) -> None:
    play.boot()
    play.enter()
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    aside = -(-lot.cost // lot.leverage)
    play.tell(FundingPaid("BTCUSDT", 3 * CASH, START + 9 * HOUR))
    (trade,) = of(play.fill("autoclose-1", -1, lot.quantity, price=200_000, fee=0), RecordTrade)
    assert (trade.trade.reason, trade.trade.funding) == ("liquidation", 3 * CASH)
    assert trade.trade.profit == -aside - 5  # what was left of it, and the funding that had come out of it


def test_a_reversal_is_a_close_then_an_entry_and_the_old_stop_is_gone_first(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    (close,) = of(play.candle(1, p_long=0.3, p_short=0.7), Submit)
    assert close.approved.order.reduce_only
    out = play.fill(close.approved.order.client_id, -1, close.approved.order.quantity)
    assert of(out, CancelStop) == [CancelStop("BTCUSDT", stop.client_id)]
    assert of(out, Submit) == []
    (leverage,) = of(play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.CANCELED)), SetLeverage)
    (entry,) = of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
    assert (entry.approved.order.side, entry.approved.order.reduce_only) == (-1, False)


def test_a_calmer_regime_places_the_nearer_stop_reads_it_back_and_only_then_cancels_the_old(play: Play) -> None:
    play.boot()
    old = play.enter()
    play.tell(old)
    (place,) = of(play.candle(1, p_long=0.6, regime=0), PlaceStop)
    new = place.approved.order
    assert new.trigger == 294_000
    read = StopUpdated("BTCUSDT", new.client_id, OrderStatus.ACCEPTED, -1, new.trigger, new.quantity, read_back=True)
    assert of(play.tell(read), CancelStop) == [CancelStop("BTCUSDT", old.client_id)]
    assert of(play.tell(StopUpdated("BTCUSDT", old.client_id, OrderStatus.CANCELED)), Settled)


def test_a_restart_finds_position_and_stop_again(play: Play, tmp_path: Path) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    play.journal.close(play.engine.state)
    state = Journal(tmp_path).state()
    assert state is not None
    assert state.dump() == play.engine.state.dump()
    again = Play(tmp_path, state)
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    resting = RestingStop(stop.client_id, stop.side, stop.trigger, stop.quantity)
    assert of(again.boot(lot.quantity, lot.cost, (resting,)), PlaceStop) == []
    assert again.engine.desks["BTCUSDT"].at_rest


def test_a_state_of_the_first_version_is_read_with_its_position_and_its_pause(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    old = json.loads(play.engine.state.dump())
    lot, stop = old["books"]["BTCUSDT"]["lot"], next(iter(old["books"]["BTCUSDT"]["stops"].values()))
    del old["memory"], lot["stop_tries"], lot["coin_fees"], stop["placed"], stop["asked"]
    old["paused"], lot["stop_failures"] = True, 1
    state = DaemonState.load(json.dumps(old))
    assert state.books["BTCUSDT"].lot is not None
    assert (state.memory.state, state.memory.reason) == (TradingState.REDUCING, Reason.PAUSED)


def test_a_life_that_ends_in_its_first_candle_hands_on_where_it_was(play: Play) -> None:
    assert play.engine.state.decided_until(HOUR) == -1
    play.boot()
    play.tell(CandleClosed("BTCUSDT", "1h", Candle(START, 30_000.0, 30_000.0, 30_000.0, 30_000.0, 1.0)))
    assert DaemonState.load(play.engine.state.dump()).decided_until(HOUR) == START  # not decided: it is told again
    opinion = Opinion("BTCUSDT", Outlook(0.7, 0.3, 1))
    play.tell(PredictionReady(START, (opinion,), "set-1"))
    assert play.engine.state.settled_bar < 0
    assert DaemonState.load(play.engine.state.dump()).decided_until(HOUR) == START + HOUR  # what follows is told of


def test_a_restart_replaces_a_stop_that_is_gone(play: Play, tmp_path: Path) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    state = DaemonState.load(play.engine.state.dump())
    again = Play(tmp_path, state)
    lot = state.books["BTCUSDT"].lot
    assert lot is not None
    again.boot(lot.quantity, lot.cost)
    gone = StopUpdated("BTCUSDT", stop.client_id, OrderStatus.ABSENT, read_back=True)
    (place,) = of(again.tell(gone), PlaceStop)
    assert place.approved.order.trigger == stop.trigger
    assert place.approved.order.client_id != stop.client_id


def test_a_position_of_unknown_origin_is_adopted_and_protected(play: Play) -> None:
    out = play.boot(quantity=-100, cost=BTC.notional(PRICE, 100))
    (place,) = of(out, PlaceStop)
    assert (place.approved.order.side, place.approved.order.trigger) == (1, 309_000)


def test_flatten_closes_whatever_is_open_and_halts(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    (close,) = of(play.tell(OperatorCommand(Order.FLATTEN, "me")), Submit)
    assert close.approved.order.reduce_only
    memory = play.engine.state.memory
    assert (memory.state, memory.reason) == (TradingState.HALTED, Reason.FLATTENED)


def test_a_pause_reduces_and_resume_ends_it(play: Play) -> None:
    play.boot()
    play.tell(OperatorCommand(Order.PAUSE, "me"))
    (record,) = of(play.candle(0, p_long=0.7), RecordDecisions)
    assert record.decisions[0].reason is Reason.PAUSED
    play.tell(OperatorCommand(Order.RESUME, "me"))
    assert of(play.candle(1, p_long=0.7), SetLeverage)


def test_a_pause_drops_an_entry_that_was_not_sent_yet(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    play.tell(OperatorCommand(Order.PAUSE, "me"))
    assert of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit) == []


def test_a_halt_survives_a_restart_and_closes_what_comes_to_light(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.boot()
    play.tell(OperatorCommand(Order.FLATTEN, "me"))
    again = Play(tmp_path, Journal(tmp_path).state())
    assert again.engine.state.memory == play.engine.state.memory
    (close,) = of(again.boot(quantity=100, cost=BTC.notional(PRICE, 100)), Submit)
    assert close.approved.order.reduce_only


def test_the_daemons_own_stop_closes_everything_and_leaves_the_state(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    assert of(play.tell(OperatorCommand(Order.LEAVE, "stop")), Submit)
    assert play.engine.state.memory.state is TradingState.ACTIVE


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss(play: Play) -> None:
    play.boot()
    play.candle(0)
    play.tell(BalanceUpdated(5_000 * CASH, -5_000 * CASH, "WITHDRAW"))
    play.candle(1)
    memory = play.engine.state.memory
    assert (memory.state, memory.peak, memory.day_start) == (TradingState.ACTIVE, 5_000 * CASH, 5_000 * CASH)
    play.tell(BalanceUpdated(4_700 * CASH, -300 * CASH, "ORDER"))
    (record,) = of(play.candle(2, p_long=0.7), RecordDecisions)
    assert record.decisions[0].reason is Reason.DAILY_LOSS


def test_orders_of_the_same_deed_carry_the_same_id(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        play = Play(tmp_path / name)
        play.boot()
        ids.append(play.enter().client_id)
    assert ids[0] == ids[1]
    assert len(ids[0]) <= 36


def test_the_journal_replays_to_the_same_commands(play: Play, tmp_path: Path) -> None:
    said: list[tuple[Event, int, list[Command]]] = []
    tell = play.tell

    def remember(event: Event, after: int = 1) -> list[Command]:
        commands = tell(event, after)
        said.append((event, play.at, commands))
        return commands

    play.tell = remember  # type: ignore[method-assign]
    play.boot()
    play.tell(play.enter())
    play.candle(1, p_long=0.3, p_short=0.7)
    again = Engine(SETTINGS)
    assert [again.step(event, at) for event, at, _ in said] == [commands for _, _, commands in said]


def test_another_configuration_is_told_by_what_it_changes_alone(play: Play) -> None:
    play.boot()
    patience = SETTINGS.patience
    waits = (SETTINGS.batch_ms, patience.answer_ms, patience.protect_ms, patience.reconcile_ms)
    same = RulesChanged(SETTINGS.rules, *waits, str(SETTINGS.foreign), "me")
    assert play.tell(same) == [], "the section retraining changed, which is nothing to it"
    other = replace(same, rules=replace(SETTINGS.rules, name="OTHER"))
    assert play.tell(other) == [Alert("info", "rules OTHER from the next decision on, by me")]
    last = replace(other, batch_ms=1, foreign="ignore")
    assert play.tell(last) == [Alert("info", "other deadlines, foreign_positions: ignore, by me")]


def test_a_candle_that_had_to_be_fetched_is_decided_but_opens_nothing(play: Play) -> None:
    play.boot()
    candle = Candle(START, 30_000.0, 30_000.0, 30_000.0, 30_000.0, 1.0)
    play.tell(CandleClosed("BTCUSDT", "1h", candle, live=False))
    said = play.tell(PredictionReady(START, (Opinion("BTCUSDT", Outlook(0.7, 0.3, 1)),), "set-1"))
    assert of(said, SetLeverage) == of(said, Submit) == []
    (record,) = of(said, RecordDecisions)
    assert record.decisions[0].reason is Reason.LATE


def test_stops_that_never_arrive_end_in_a_close(play: Play) -> None:
    play.boot()
    stop, out = play.enter(), list[Command]()
    for _ in range(3):
        play.tell(Unresolved("BTCUSDT", stop.client_id, "no reply"))
        out = play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.ABSENT, read_back=True))
        placed = of(out, PlaceStop)
        if placed:
            stop = replace(stop, client_id=placed[0].approved.order.client_id)
    (close,) = of(out, Submit)
    assert close.approved.order.reduce_only


def test_an_order_that_filled_owes_its_executions_and_is_asked_for_them_soon(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    (submit,) = of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
    order = submit.approved.order
    play.tell(OrderUpdated("BTCUSDT", order.client_id, OrderStatus.FILLED, order.quantity))
    assert of(play.tell(Tick(), after=300), AskOrder) == [AskOrder("BTCUSDT", order.client_id)]


def test_nothing_is_opened_while_the_private_stream_is_down(play: Play) -> None:
    play.boot()
    play.tell(StreamStale("private", "cut"))
    assert of(play.candle(0, p_long=0.7), SetLeverage) == []
    play.tell(StreamLive("private"))
    assert of(play.candle(1, p_long=0.7), SetLeverage)


def test_what_was_counted_in_another_tick_is_not_believed(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    finer = replace(SETTINGS, instruments=(replace(BTC, tick=Decimal("0.01")),))
    again = Engine(finer, DaemonState.load(play.engine.state.dump()))
    assert again.state.books["BTCUSDT"].lot is None


def test_flatten_before_the_truth_is_known_closes_what_it_shows(play: Play) -> None:
    play.tell(OperatorCommand(Order.FLATTEN, "me"))
    (close,) = of(play.boot(quantity=100, cost=BTC.notional(PRICE, 100)), Submit)
    assert close.approved.order.reduce_only


def test_a_position_of_an_earlier_version_keeps_the_longest_holding_of_the_set_that_leaves(play: Play) -> None:
    play.boot()
    play.enter()
    lot = play.engine.desks["BTCUSDT"].book.lot
    assert lot is not None
    lot.max_hold_bars = 0  # as it was written before positions named theirs
    play.tell(ModelSetSwapped("set-2", 99, "set-1", "a test"))
    assert (lot.max_hold_bars, play.engine.state.max_hold_bars) == (12, 99)


def test_a_start_with_another_set_leaves_a_position_its_longest_holding(play: Play) -> None:
    play.boot()
    play.enter()
    play.engine.desks["BTCUSDT"].book.lot.max_hold_bars = 0  # type: ignore[union-attr]
    again = Engine(replace(SETTINGS, max_hold_bars=99), play.engine.state)
    again.step(ModelSetSwapped("set-2", 99, "set-1", "the daemon was started with it"), play.at + 1)
    lot = again.desks["BTCUSDT"].book.lot
    assert lot is not None
    assert (lot.max_hold_bars, again.state.max_hold_bars) == (12, 99)
