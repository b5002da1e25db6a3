"""The engine against the local exchange's own engine: what must hold after every fault, and the backtest's trades.

`python -m tests.daemon.test_engine_against_exchange HOURS SEEDS` runs the same at length.
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.broker import Costs
from backtest.engine import run
from daemon.commands import (
    AskStop,
    CancelStop,
    PlaceStop,
    Predict,
    Reconcile,
    RecordDecisions,
    RecordTrade,
    Settled,
    Submit,
)
from daemon.events import (
    BalanceUpdated,
    CandleClosed,
    Failed,
    Filled,
    FundingPaid,
    LeverageRead,
    OperatorCommand,
    Opinion,
    Order,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    PredictionReady,
    Reconciled,
    StopUpdated,
    SymbolTruth,
    Tick,
)
from daemon.state import DaemonState
from market.candles import Candle
from market.instruments import CASH
from market.timeframes import Timeframe
from market.trades import Trade
from strategy.live_config import Halts, Rules, load_rules
from strategy.plan import Outlook, Reason, TradingState
from tests.daemon.bench import DEPOSIT, MAX_HOLD, Bench, Faults, frames
from tests.daemon.engine_play import BTC, HOUR, PRICE, START, Play, of

PARITY = Path(__file__).parents[2] / "configs" / "parity_rules.yaml"
ALONE = {
    "late and out of order": Faults(late=0.2),
    "twice": Faults(twice=0.3),
    "lost": Faults(lost=0.15),
    "stops refused": Faults(refused=0.2),
    "a market that does not wait": Faults(restless=0.05),
    "a private stream that falls": Faults(cut=0.01),
    "kills": Faults(kill=0.02),
    "a silent inference": Faults(mute=0.1),
    "a hand at the account": Faults(by_hand=0.01),
    "executions in parts": Faults(split=True),
}
SHARES = {
    "late": 0.15,
    "twice": 0.2,
    "lost": 0.1,
    "refused": 0.1,
    "cut": 0.01,
    "kill": 0.02,
    "mute": 0.02,
    "restless": 0.03,
    "by_hand": 0.005,
}


@cache
def rules() -> Rules:
    """The rules of parity, at a size at which ninety hours win and lose enough for a halt."""
    return replace(load_rules(PARITY), margin_bps=1_000, risk_bps=600)


def books_agree(bench: Bench, money: tuple[str, ...]) -> None:
    """Every closed position is recorded once, with the money the exchange's own books tell."""
    pennies = 1 if bench.faults.split else 0  # the exchange closes whole what the daemon closes in parts
    for symbol in bench.frames:
        ours = [t for t in bench.trades if t.symbol == symbol]
        theirs = [t for t in bench.audit.closed if t.symbol == symbol]
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            for name in ("side", "quantity", "entry_time", "exit_time"):
                assert getattr(mine, name) == getattr(other, name), f"{name}: {mine} and {other}"
            for name in money:
                allowed = pennies if name == "profit" else 0
                assert abs(getattr(mine, name) - getattr(other, name)) <= allowed, f"{name}: {mine} and {other}"


def stand(seed: int, faults: Faults, hours: int) -> Bench:
    """One run with faults; it must come to rest at every candle, agree with the exchange, and replay alike."""
    bench = Bench(frames(seed, hours), rules(), faults, seed).play()
    # funding that fell due in the exit's own instant, with the stream down, is told after the trade was recorded: the
    # wallet is right, and the trade lacks it
    books_agree(bench, ("fees",) if faults.cut else ("fees", "funding", "profit"))
    return bench


def halting_rules() -> Rules:
    halts = {
        "daily_loss": {"limit": 0.01, "then": "reducing"},
        "weekly_loss": None,
        "drawdown": {"limit": 0.05, "then": "halted"},
        "losing_streak": {"trades": 2, "then": "reducing"},
    }
    return replace(rules(), halts=Halts.model_validate(halts).limits())


@pytest.mark.parametrize("seed", range(3))
def test_a_halt_holds_whatever_goes_wrong(seed: int) -> None:
    """Under every fault at once, and killed now and then: once halted all is closed, and nothing is decided open."""
    soon = replace(halting_rules().halts, daily_loss_bps=0, losing_streak=0, drawdown_bps=200)
    bench = Bench(frames(seed, 90), replace(rules(), halts=soon), Faults(**SHARES, split=True), seed).play()
    memory = bench.engine.state.memory
    assert memory.state is TradingState.HALTED
    assert bench.market.ledger.positions == {}
    assert all(bar + HOUR < memory.since for bar, _ in bench.decided)
    assert bench.kills


def test_a_halt_strikes_in_daemon_and_backtest_alike() -> None:
    """Daily losses and a losing streak reduce, a drawdown closes what is open; nothing is traded after it."""
    ours, seen = halting_rules(), set()
    for seed in range(3):
        histories = frames(seed, 150)
        theirs = run(histories, ours, Costs(500, 100), MAX_HOLD, DEPOSIT)
        bench = Bench(histories, ours).play()
        assert bench.trades == theirs.trades
        assert bench.engine.state.memory.state == theirs.restrictions[-1].state
        assert len(theirs.trades) < len(run(histories, rules(), Costs(500, 100), MAX_HOLD, DEPOSIT).trades)
        seen |= {(r.state, r.reason) for r in theirs.restrictions}
    assert seen >= {
        (TradingState.REDUCING, Reason.DAILY_LOSS),
        (TradingState.REDUCING, Reason.LOSING_STREAK),
        (TradingState.HALTED, Reason.DRAWDOWN),
    }


@pytest.mark.parametrize(("base", "hours"), [("1h", 90), ("15m", 45)])
@pytest.mark.parametrize("seed", range(2))
def test_without_faults_the_trades_are_the_backtests(seed: int, base: str, hours: int) -> None:
    histories = frames(seed, hours, Timeframe.parse(base))
    theirs = run(histories, rules(), Costs(500, 100), MAX_HOLD, DEPOSIT)
    bench = Bench(histories, rules()).play()
    for number, (mine, other) in enumerate(zip(bench.trades, theirs.trades, strict=False)):
        assert mine.difference(other) is None, f"trade {number}: {mine.difference(other)}\n{mine}\n{other}"
    assert len(bench.trades) == len(theirs.trades) > 30
    assert bench.engine.state.cash == theirs.cash
    assert bench.engine.state.counts.naked_max_ms < 1_000
    books_agree(bench, tuple(f.name for f in fields(Trade) if f.name in ("fees", "funding", "profit", "cash_after")))


@pytest.mark.parametrize("name", ALONE)
def test_the_daemon_stands(name: str) -> None:
    bench = stand(1, ALONE[name], 50)
    books_agree(bench, ("cash_after",))
    assert len(bench.trades) > 20


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 10_000),
    st.fixed_dictionaries({name: st.sampled_from([0.0, share]) for name, share in SHARES.items()}),
    st.booleans(),
)
def test_the_daemon_stands_under_any_mixture(seed: int, shares: dict[str, float], split: bool) -> None:
    stand(seed, Faults(**shares, split=split), 25)


# what the bench found, each alone


def truth(quantity: int, cash: int = 10_000 * CASH) -> Reconciled:
    return Reconciled(cash, (SymbolTruth("BTCUSDT", quantity, BTC.notional(PRICE, abs(quantity)), 0, 5, True, ()),))


def test_an_entry_stopped_out_before_its_stop_was_read_back_is_not_sent_again(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(replace(stop, read_back=False))
    assert of(play.fill(stop.client_id, -1, stop.quantity, price=stop.trigger), RecordTrade)
    out = play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.FILLED))
    assert of(out, Submit) == []
    assert of(out, Settled) == [Settled(START)]


def test_a_stop_given_up_as_absent_that_arrives_late_is_cancelled(play: Play) -> None:
    play.boot()
    first = play.enter()
    absent = StopUpdated("BTCUSDT", first.client_id, OrderStatus.ABSENT, read_back=True)
    (place,) = of(play.tell(absent, after=100), PlaceStop)
    second = replace(first, client_id=place.approved.order.client_id)
    assert of(play.tell(second), Settled)
    assert of(play.tell(replace(first, read_back=False)), CancelStop) == [CancelStop("BTCUSDT", first.client_id)]


def test_a_late_denial_of_a_confirmed_stop_is_not_believed_at_once(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    out = play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.ABSENT, read_back=True))
    assert of(out, PlaceStop)  # another does no harm
    asked = of(play.tell(Tick(), after=1_000), AskStop)
    assert AskStop("BTCUSDT", stop.client_id) in asked


def test_a_position_that_a_late_truth_denies_is_kept_until_the_second_look(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    lot = play.engine.state.books["BTCUSDT"].lot
    play.tell(truth(0))
    assert play.engine.state.books["BTCUSDT"].lot is lot
    play.tell(truth(0), after=3_000)
    assert play.engine.state.books["BTCUSDT"].lot is None


def test_executions_before_the_first_truth_are_taken_in_the_order_in_which_they_happened(play: Play) -> None:
    play.tell(Filled("BTCUSDT", "web-2", 2, -1, PRICE, 10, 5, START + 2))
    play.tell(Filled("BTCUSDT", "web-1", 1, 1, PRICE, 10, 5, START + 1))
    (trade,) = of(play.boot(), RecordTrade)
    assert (trade.trade.side, trade.trade.entry_time) == (1, START + 1)


def test_an_execution_after_a_position_was_taken_over_is_checked_against_the_exchange(play: Play) -> None:
    play.boot(quantity=10, cost=BTC.notional(PRICE, 10))
    assert of(play.fill("web-1", 1, 10), Reconcile)
    play.tell(truth(10))
    play.tell(truth(10))
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    assert lot.quantity == 10


def test_missed_executions_are_asked_for_from_before_the_last_truth(play: Play) -> None:
    play.boot()
    play.fill("web-1", 1, 10)
    assert play.journal.last_fill("BTCUSDT") == (0, START + HOUR)
    play.tell(truth(10))
    play.trade_id = 6
    play.fill("web-2", -1, 10)
    assert play.journal.last_fill("BTCUSDT") == (1, START + HOUR)


def test_flatten_closes_an_entry_that_fills_afterwards(play: Play) -> None:
    play.boot()
    (leverage,) = play.candle(0, p_long=0.7)[1:]
    (submit,) = of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
    play.tell(OperatorCommand(Order.FLATTEN, "me"))
    order = submit.approved.order
    (close,) = of(play.fill(order.client_id, order.side, order.quantity), Submit)
    assert close.approved.order.reduce_only


def test_a_silent_inference_is_a_refusal_and_the_candle_settles(play: Play) -> None:
    play.boot()
    play.tell(CandleClosed("BTCUSDT", "1h", Candle(START, 1.0, 1.0, 1.0, 1.0, 1.0)))
    out = play.tell(Tick(), after=30_000)
    (record,) = of(out, RecordDecisions)
    assert record.decisions[0].detail == "inference did not answer in time"
    assert of(out, Settled) == [Settled(START)]


def test_a_candle_killed_before_its_prediction_is_decided_when_told_again(play: Play, tmp_path: Path) -> None:
    play.boot()
    closed = CandleClosed("BTCUSDT", "1h", Candle(START, 1.0, 1.0, 1.0, 1.0, 1.0))
    play.tell(closed)
    again = Play(tmp_path, DaemonState.load(play.engine.state.dump()))
    again.boot()
    assert again.tell(closed) == [Predict(START, ("BTCUSDT",))]


def test_an_entry_is_late_as_soon_as_any_newer_candle_closed(play: Play) -> None:
    play.boot()
    for index in range(2):
        play.tell(CandleClosed("BTCUSDT", "1h", Candle(START + index * HOUR, 3e4, 3e4, 3e4, 3e4, 1.0)))
    said = PredictionReady(START, (Opinion("BTCUSDT", Outlook(0.7, 0.3, 1)),), "set-1")
    (record,) = of(play.tell(said), RecordDecisions)
    assert [d.action for d in record.decisions] == ["none"]


def test_an_exit_that_is_refused_for_good_does_not_hold_up_the_next_candle(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    (close,) = of(play.candle(1, p_long=0.3), Submit)
    play.tell(Failed("BTCUSDT", "Submit", close.approved.order.client_id, -4140, "symbol is closed"))
    candle = Candle(START + 2 * HOUR, 3e4, 3e4, 3e4, 3e4, 1.0)
    play.tell(CandleClosed("BTCUSDT", "1h", candle), after=500)
    for _ in range(70):
        out = play.tell(Tick(), after=1_000)
        for submit in of(out, Submit):
            play.tell(Failed("BTCUSDT", "Submit", submit.approved.order.client_id, -4140, "symbol is closed"))
        if of(out, Predict):
            break
    assert of(out, Predict) == [Predict(START + 2 * HOUR, ("BTCUSDT",))]


def test_a_stop_stuck_in_triggering_is_helped_by_a_close(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    assert of(play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.TRIGGERING)), Submit) == []
    (close,) = of(play.tell(Tick(), after=3_000), Submit)
    assert close.approved.order.reduce_only


def test_an_unanswered_question_drops_neither_order_nor_stop(play: Play) -> None:
    play.boot()
    stop = play.enter()
    assert play.tell(Failed("BTCUSDT", "AskStop", stop.client_id, -1003, "too many requests")) == []
    assert of(play.tell(stop), Settled)


def test_a_late_answer_about_leverage_leaves_an_exit_alone(play: Play) -> None:
    play.boot()
    stop = play.enter()
    play.tell(stop)
    (close,) = of(play.candle(1, p_long=0.3), Submit)
    play.tell(Failed("BTCUSDT", "SetLeverage", "", -1000, "late"))
    play.tell(OrderUpdated("BTCUSDT", close.approved.order.client_id, OrderStatus.EXPIRED))
    assert of(play.tell(Tick(), after=1_000), Submit)  # tried again: it still wants out


def test_a_prediction_that_is_no_number_is_missing_and_the_state_can_be_read_back(play: Play) -> None:
    play.boot()
    out = play.candle(0, p_long=float("nan"))
    assert of(out, RecordDecisions)[0].decisions[0].detail == "the prediction is not a number"
    assert DaemonState.load(play.engine.state.dump()) == play.engine.state


def test_two_positions_of_one_candle_share_no_stop_id(play: Play) -> None:
    play.boot()
    ids = []
    for _ in range(2):
        (place,) = of(play.fill("by hand", 1, 10), PlaceStop)
        ids.append(place.approved.order.client_id)
        play.fill("by hand", -1, 10)
        play.tell(StopUpdated("BTCUSDT", ids[-1], OrderStatus.CANCELED))
    assert ids[0] != ids[1]


def test_a_liquidation_in_parts_costs_the_margin_once(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    quantity = lot.quantity
    play.tell(PositionUpdated("BTCUSDT", quantity, 77 * CASH, "FUNDING_FEE"))
    play.fill("autoclose-1", -1, quantity // 2, price=200_000, fee=0)
    (trade,) = of(play.fill("autoclose-1", -1, quantity - quantity // 2, price=200_000, fee=0), RecordTrade)
    assert trade.trade.profit == -77 * CASH - 5


def test_funding_told_twice_or_found_by_asking_counts_once(play: Play) -> None:
    play.boot()
    play.tell(play.enter())
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    paid = BalanceUpdated(9_990 * CASH, -10 * CASH, "FUNDING_FEE", "BTCUSDT", START + 8 * HOUR)
    play.tell(paid)
    play.tell(paid)
    play.tell(FundingPaid("BTCUSDT", 10 * CASH, START + 8 * HOUR + 7))
    play.tell(FundingPaid("BTCUSDT", 3 * CASH, START + 16 * HOUR))
    assert lot.funding == 13 * CASH


def at_length(hours: int, seeds: int) -> None:
    """Every fault alone and in mixtures, over many seeds."""
    for seed in range(seeds):
        for name, faults in ALONE.items():
            sys.stdout.write(f"seed {seed}, {name}: {len(stand(seed, faults, hours).trades)} trades\n")
        for part in (0.2, 0.6, 1.0):
            mixture = Faults(**{name: part * share for name, share in SHARES.items()}, split=seed % 2 == 0)
            trades = len(stand(seed, mixture, hours).trades)
            sys.stdout.write(f"seed {seed}, {part:g} of everything: {trades} trades\n")


if __name__ == "__main__":
    at_length(int(sys.argv[1]), int(sys.argv[2]))
