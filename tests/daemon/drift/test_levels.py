"""What the engine makes of drift: smaller entries, none, and entries again; as journaled, across a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.commands import Alert, RecordDecisions, RecordState, SetLeverage
from daemon.events import DriftJudged, DriftLevel, OperatorCommand, Order
from daemon.state import DaemonState
from strategy.plan import Reason, TradingState
from tests.daemon.engine_play import Play, of

NONE = DriftJudged(DriftLevel.NONE, 10_000, "within all limits", "set-1")
SHRINK = DriftJudged(DriftLevel.SHRINK, 5_000, "features/return_1 2.1 (limit 1)", "set-1")
STOP = DriftJudged(DriftLevel.STOP, 5_000, "features/return_1 2.1 (limit 1)", "set-1")


pytestmark = pytest.mark.usefixtures("booted")


def decided(play: Play, index: int) -> str:
    (record,) = of(play.candle(index, p_long=0.7), RecordDecisions)
    return f"{record.decisions[0].action}: {record.decisions[0].reason}; {record.decisions[0].detail}"


def test_shrinking_halves_the_next_entry_and_says_so(play: Play) -> None:
    (alert,) = of(play.tell(SHRINK), Alert)
    assert (alert.level, alert.text) == ("warning", "drift: shrink: features/return_1 2.1 (limit 1)")
    assert "shrunk to 50 % of its size" in decided(play, 0)
    assert play.engine.state.memory.state is TradingState.ACTIVE


def test_stopping_reduces_for_a_reason_of_its_own(play: Play) -> None:
    told = play.tell(STOP)
    assert of(told, RecordState)[0].account.reason is Reason.DRIFT
    assert "drift" in decided(play, 0)
    assert not of(play.candle(1, p_long=0.7), SetLeverage)


def test_what_is_over_allows_entries_again(play: Play) -> None:
    play.tell(STOP)
    play.tell(NONE)
    assert play.engine.state.memory.state is TradingState.ACTIVE
    said = decided(play, 0)
    assert "open long" in said
    assert "shrunk" not in said


def test_an_operator_who_resumes_accepts_it_until_it_gets_better_and_worse_again(play: Play) -> None:
    play.tell(STOP)
    play.tell(OperatorCommand(Order.RESUME, "anna"))
    assert play.engine.state.memory.state is TradingState.ACTIVE
    play.tell(DriftJudged(DriftLevel.RETRAIN, 5_000, "still", "set-1"))
    assert play.engine.state.memory.state is TradingState.ACTIVE, "accepted"
    play.tell(SHRINK)
    play.tell(STOP)
    assert play.engine.state.memory.reason is Reason.DRIFT


def test_resuming_from_a_pause_leaves_the_stop_for_drift_in_force(play: Play) -> None:
    play.tell(OperatorCommand(Order.PAUSE, "anna"))
    play.tell(STOP)
    assert play.engine.state.memory.reason is Reason.PAUSED
    play.tell(OperatorCommand(Order.RESUME, "anna"))
    assert play.engine.state.memory.reason is Reason.DRIFT


def test_the_end_of_drift_does_not_end_a_pause(play: Play) -> None:
    play.tell(OperatorCommand(Order.PAUSE, "anna"))
    play.tell(STOP)
    play.tell(NONE)
    assert play.engine.state.memory.reason is Reason.PAUSED


def test_the_level_survives_a_restart(play: Play, tmp_path: Path) -> None:
    play.tell(STOP)
    play.candle(0)
    play.journal.close(play.engine.state)
    state = Play(tmp_path).journal.state()
    assert state is not None
    assert (state.drift.level, state.drift.size_bps, state.drift.text) == (DriftLevel.STOP, 5_000, STOP.text)
    assert state.memory.reason is Reason.DRIFT


def test_a_state_from_before_there_was_drift_is_read() -> None:
    text = DaemonState().dump().replace(b'"drift"', b'"unknown"')
    assert DaemonState.load(text).drift.level is DriftLevel.NONE


def test_a_pause_while_entries_are_stopped_for_drift_stays_when_that_is_over(play: Play) -> None:
    play.tell(STOP)
    play.tell(OperatorCommand(Order.PAUSE, "anna"))
    play.tell(NONE)
    assert play.engine.state.memory.reason is Reason.PAUSED
    assert not of(play.candle(0, p_long=0.7), SetLeverage)
    play.tell(OperatorCommand(Order.RESUME, "anna"))
    assert play.engine.state.memory.state is TradingState.ACTIVE
