"""The protected-position monitor: within a second a stop is read back, placed anew, or the position is closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.commands import AskStop, CancelStop, Command, PlaceStop, Reconcile, RecordExposure, StopOrder, Submit
from daemon.events import Failed, Meaning, OrderStatus, StopUpdated, Tick, Unresolved
from daemon.state import DaemonState
from tests.daemon.engine_play import PRICE, Play, of

pytestmark = pytest.mark.usefixtures("booted")


def read_back(stop: StopOrder) -> StopUpdated:
    terms = (stop.side, stop.trigger, stop.quantity)
    return StopUpdated(stop.symbol, stop.client_id, OrderStatus.ACCEPTED, *terms, read_back=True)


def over_time(play: Play, ms: int) -> list[Command]:
    """What is asked for while time passes and nobody answers."""
    return [c for _ in range(ms // 50) for c in play.tell(Tick(), after=50)]


def test_a_stop_nobody_answers_for_is_asked_for_after_a_quarter_of_the_second_and_placed_anew_after_half(
    play: Play,
) -> None:
    stop = play.enter()
    early = over_time(play, 250)
    assert of(early, AskStop) == [AskStop("BTCUSDT", stop.client_id)]
    assert of(early, PlaceStop) == []
    (second,) = of(over_time(play, 250), PlaceStop)
    assert second.approved.order.client_id != stop.client_id
    assert second.approved.order.trigger == stop.trigger
    assert play.engine.desks["BTCUSDT"].book.urgent == ""


def test_a_stop_placed_anew_and_read_back_protects_and_the_silent_one_is_cancelled_once_it_shows_itself(
    play: Play,
) -> None:
    silent = play.enter()
    (second,) = of(over_time(play, 500), PlaceStop)
    assert of(play.tell(read_back(second.approved.order)), RecordExposure)
    assert play.engine.desks["BTCUSDT"].protected()
    assert len(of(play.tell(silent), CancelStop)) == 1  # either will do, and one is too many
    assert play.engine.desks["BTCUSDT"].protected()


def test_without_any_answer_to_three_stops_the_position_is_closed(play: Play) -> None:
    play.enter()
    waiting = over_time(play, 1_400)
    assert len(of(waiting, PlaceStop)) == 2
    assert of(waiting, Submit) == []
    (close,) = of(over_time(play, 200), Submit)
    assert close.approved.order.reduce_only


def test_a_stop_refused_three_times_ends_in_a_close_within_the_second(play: Play) -> None:
    stop, out, began = play.enter(), list[Command](), play.at
    for _ in range(3):
        out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -4131, "refused"))
        out += over_time(play, 300)
        stop = replace(stop, client_id=p[-1].approved.order.client_id) if (p := of(out, PlaceStop)) else stop
    (close,) = of(out, Submit)
    assert close.approved.order.reduce_only
    assert play.at - began <= 1_000


def test_the_last_refusal_of_a_stop_is_not_waited_upon(play: Play) -> None:
    stop, out = play.enter(), list[Command]()
    for last in (False, False, True):
        out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -4131, "refused"))
        if not last:
            (place,) = of(over_time(play, 300), PlaceStop)
            stop = replace(stop, client_id=place.approved.order.client_id)
    assert of(out, Submit)


def test_22_a_refused_close_does_not_delay_the_stop_of_the_next_position(play: Play) -> None:
    stop = play.enter()
    play.tell(read_back(StopOrder("BTCUSDT", stop.client_id, stop.side, stop.quantity, stop.trigger)))
    book = play.engine.desks["BTCUSDT"].book
    (exit_,) = of(play.candle(1, p_long=0.3, p_short=0.7), Submit)
    play.fill("web_1", -1, stop.quantity)
    play.tell(Failed("BTCUSDT", "Submit", exit_.approved.order.client_id, -2022, "nothing to reduce"))
    assert book.retry_at > play.at
    assert of(play.fill("web_2", 1, 5), PlaceStop)


def test_a_nearer_stop_that_is_refused_leaves_the_one_that_rests(play: Play) -> None:
    first = play.enter()
    play.tell(first)
    out = play.candle(1, p_long=0.6, regime=0)
    for _ in range(3):
        (place,) = of(out, PlaceStop)
        play.tell(Failed("BTCUSDT", "PlaceStop", place.approved.order.client_id, -4131, "refused"))
        out = over_time(play, 300)
    desk = play.engine.desks["BTCUSDT"]
    assert of(out, Submit) == of(out, CancelStop) == []
    assert desk.book.lot is not None
    assert (desk.book.lot.stop, desk.book.lot.stop_bps) == (first.trigger, 300)
    assert desk.in_place()


def test_a_close_that_hangs_does_not_leave_the_position_naked(play: Play) -> None:
    stop = play.enter()
    out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -2021, "it would", Meaning.WOULD_TRIGGER))
    assert of(out, Submit)
    assert of(over_time(play, 600), PlaceStop)


def test_a_stop_stuck_in_triggering_is_helped_after_a_second(play: Play) -> None:
    stop = play.enter()
    play.tell(stop)
    play.tell(StopUpdated("BTCUSDT", stop.client_id, OrderStatus.TRIGGERING))
    assert of(over_time(play, 900), Submit) == []
    (close,) = of(over_time(play, 200), Submit)
    assert close.approved.order.reduce_only


def test_a_position_that_grows_gets_a_stop_of_its_size_before_the_smaller_one_goes(play: Play) -> None:
    first = play.enter()
    play.tell(first)
    out = play.fill("by hand", 1, 5)
    (place,) = of(out, PlaceStop)
    assert place.approved.order.quantity == first.quantity + 5
    assert of(out, CancelStop) == []
    assert of(play.tell(read_back(place.approved.order)), CancelStop) == [CancelStop("BTCUSDT", first.client_id)]


def test_after_a_restart_the_second_counts_from_the_first_truth(play: Play, tmp_path: Path) -> None:
    play.enter()
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    again = Play(tmp_path / "again", DaemonState.load(play.engine.state.dump()))
    again.at = play.at + 60_000
    out = again.boot(lot.quantity, lot.cost)
    assert of(out, Submit) == []
    assert of(out, AskStop) or of(out, PlaceStop)


def test_each_exposure_is_written_down_with_its_length(play: Play) -> None:
    stop = play.enter()
    play.tell(Unresolved("BTCUSDT", stop.client_id, "no reply"), after=100)
    play.tell(stop, after=100)
    play.fill("by hand", 1, 5, PRICE)
    (grown,) = [s for s in play.engine.desks["BTCUSDT"].live_stops() if s.quantity == stop.quantity + 5]
    terms = (grown.side, grown.trigger, grown.quantity)
    play.tell(StopUpdated("BTCUSDT", grown.client_id, OrderStatus.ACCEPTED, *terms, read_back=True), after=40)
    assert play.journal.exposures_ms() == [200, 40]
    assert play.engine.state.counts.naked_max_ms == 200


def test_the_whole_truth_is_asked_for_every_half_minute(play: Play) -> None:
    assert of(over_time(play, 29_000), Reconcile) == []
    assert len(of(over_time(play, 62_000), Reconcile)) == 3
