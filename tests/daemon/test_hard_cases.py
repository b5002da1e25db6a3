"""The engine where two things go wrong at once: what is refused while it hurries, told in pieces, or told nonsense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.commands import (
    AskOrder,
    CancelStop,
    Command,
    MarketOrder,
    PlaceStop,
    Predict,
    Reconcile,
    SetLeverage,
    Submit,
)
from daemon.engine import Engine
from daemon.events import (
    CandleClosed,
    CoinPriced,
    Failed,
    Filled,
    LeverageRead,
    Meaning,
    Opinion,
    OrderStatus,
    OrderUpdated,
    PredictionReady,
    Reconciled,
    RestingStop,
    StopUpdated,
    SymbolTruth,
    Tick,
    Unresolved,
)
from daemon.state import DaemonState
from market.candles import Candle
from market.instruments import CASH
from strategy.plan import Outlook
from tests.daemon.engine_play import BTC, HOUR, PRICE, SETTINGS, START, Play, of

pytestmark = pytest.mark.usefixtures("booted")


def read_back(place: PlaceStop) -> StopUpdated:
    stop = place.approved.order
    terms = (stop.side, stop.trigger, stop.quantity)
    return StopUpdated(stop.symbol, stop.client_id, OrderStatus.ACCEPTED, *terms, read_back=True)


def over_time(play: Play, ms: int) -> list[Command]:
    """What is asked for while time passes and nobody answers."""
    return [c for _ in range(ms // 50) for c in play.tell(Tick(), after=50)]


def entry(play: Play) -> MarketOrder:
    """A long entry that was sent and has not filled yet."""
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    (submit,) = of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
    order = submit.approved.order
    assert isinstance(order, MarketOrder)
    return order


def refuse(play: Play, command: Submit | PlaceStop, code: int = -1_111) -> list[Command]:
    order = command.approved.order
    return play.tell(Failed(order.symbol, type(command).__name__, order.client_id, code, "refused"))


def test_a_position_whose_close_is_refused_is_given_a_stop_meanwhile(play: Play) -> None:
    stop = play.enter()
    urgent = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -2021, "passed", Meaning.WOULD_TRIGGER))
    (close,) = of(urgent, Submit)
    (again,) = of(refuse(play, close), PlaceStop)
    assert again.approved.order.quantity == stop.quantity
    play.tell(read_back(again))
    assert play.engine.desks["BTCUSDT"].protected()
    assert len(of(over_time(play, 1_100), Submit)) == 1  # and it is still to be closed


def test_tries_that_are_spent_leave_one_for_each_close_that_is_refused(play: Play) -> None:
    stop = play.enter()
    out: list[Command] = []
    for _ in range(3):
        out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -4131, "refused"))
        out += over_time(play, 300)
        stop = replace(stop, client_id=p[-1].approved.order.client_id) if (p := of(out, PlaceStop)) else stop
    for _ in range(3):
        (close,) = of(out, Submit)
        (place,) = of(refuse(play, close), PlaceStop)
        out = refuse(play, place)
        assert of(out, PlaceStop) == []
        out = over_time(play, 1_000)
        assert of(out, PlaceStop) == []
    assert len(play.engine.state.books["BTCUSDT"].stops) < 10


def test_an_entry_that_fills_in_pieces_does_not_spend_the_tries_of_its_stop(play: Play) -> None:
    order = entry(play)
    play.fill(order.client_id, 1, 10)
    assert len(of(over_time(play, 300), PlaceStop)) == 1  # it has waited for the rest long enough
    placed = [p for _ in range(5) for p in of(play.fill(order.client_id, 1, 10), PlaceStop)]
    assert play.engine.state.books["BTCUSDT"].urgent == ""
    assert placed[-1].approved.order.quantity == 60


def test_executions_of_one_order_beyond_number_count_once_when_they_are_asked_for_again(play: Play) -> None:
    order = entry(play)
    fills = [Filled("BTCUSDT", order.client_id, n, 1, PRICE, 1, 5, START + HOUR) for n in range(1, 301)]
    for fill in fills:
        play.tell(fill, after=0)
    for _ in range(3):
        for fill in fills:
            play.tell(replace(fill, asked=True), after=0)
        lot = play.engine.state.books["BTCUSDT"].lot
        assert lot is not None
        assert lot.quantity == 300
        truth = SymbolTruth("BTCUSDT", 300, lot.cost, 0, 20, True, ())
        play.tell(Reconciled(10_000 * CASH, (truth,)))
        fills = fills[-1:]
    assert len(play.engine.state.books["BTCUSDT"].trades_seen) == 200


def test_a_price_that_is_none_bounds_nothing_and_ends_nothing(play: Play) -> None:
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    assert len(of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True, float("nan"))), Submit)) == 1


ETH = replace(BTC, symbol="ETHUSDT", base="ETH")


def test_an_exit_that_is_refused_does_not_hold_up_another_nor_let_an_entry_pass(play: Play) -> None:
    play.engine = Engine(replace(SETTINGS, instruments=(BTC, ETH)))
    cost = BTC.notional(PRICE, 100)
    truths = tuple(SymbolTruth(s, 100, cost, 0, 20, True, ()) for s in ("BTCUSDT", "ETHUSDT"))
    for place in of(play.tell(Reconciled(10_000 * CASH, truths)), PlaceStop):
        play.tell(replace(read_back(place), symbol=place.approved.order.symbol))
    out: list[Command] = []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        out = play.tell(CandleClosed(symbol, "1h", Candle(START + HOUR, 3e4, 3e4, 3e4, 3e4, 1.0)))
    assert of(out, Predict)
    opinions = tuple(Opinion(s, Outlook(0.2, short, 1)) for s, short in (("BTCUSDT", 0.3), ("ETHUSDT", 0.8)))
    (close,) = of(play.tell(PredictionReady(START + HOUR, opinions, "set-1")), Submit)
    assert close.approved.order.symbol == "BTCUSDT"
    (other,) = of(refuse(play, close), Submit)
    order = other.approved.order
    assert (order.symbol, order.reduce_only) == ("ETHUSDT", True)
    play.tell(Filled("ETHUSDT", order.client_id, 1, -1, PRICE, 100, 5, START + 2 * HOUR))
    for stop in list(play.engine.state.books["ETHUSDT"].stops):
        out = play.tell(StopUpdated("ETHUSDT", stop, OrderStatus.CANCELED))
    assert of(out, SetLeverage) == []  # the reversal waits for the margin that the other one still holds


def test_a_fee_that_never_got_its_price_is_not_charged_to_the_next_position(play: Play) -> None:
    def fill(number: int, side: int) -> None:
        play.tell(Filled("BTCUSDT", "by hand", number, side, PRICE, 10, 0, START + HOUR, False, "BNB", CASH))

    fill(1, 1)
    fill(2, -1)
    fill(3, 1)
    play.tell(CoinPriced("BNB", 600 * CASH))
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    assert lot.coin_fees == 600 * CASH


def test_strangers_that_are_gone_are_forgotten(play: Play) -> None:
    for n in range(20):
        play.boot(stops=(RestingStop(f"web-{n}", 0, 0, 0),))
    assert play.engine.state.books["BTCUSDT"].strangers == ["web-19"]


def test_a_clock_that_was_set_back_between_two_lives_holds_up_no_close(play: Play, tmp_path: Path) -> None:
    stop = play.enter()
    play.tell(stop)
    (close,) = of(play.candle(1, p_long=0.3), Submit)
    play.tell(Unresolved("BTCUSDT", close.approved.order.client_id, "timed out"))
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    again = Play(tmp_path, DaemonState.load(play.engine.state.dump()))
    again.at -= HOUR
    out = again.boot(lot.quantity, lot.cost, (RestingStop(stop.client_id, -1, stop.trigger, stop.quantity),))
    out += over_time(again, 9_000)
    assert len(of(out, AskOrder)) > 3
    absent = OrderUpdated("BTCUSDT", close.approved.order.client_id, OrderStatus.ABSENT)
    again.tell(absent)
    assert again.engine.state.books["BTCUSDT"].order is None


def test_a_stop_that_is_refused_for_hours_leaves_a_state_of_bounded_size(play: Play) -> None:
    stop = play.enter()
    out = play.tell(Failed("BTCUSDT", "PlaceStop", stop.client_id, -2021, "passed", Meaning.WOULD_TRIGGER))
    for _ in range(300):
        for command in [*of(out, Submit), *of(out, PlaceStop)]:
            out = refuse(play, command)
        out = out if of(out, PlaceStop) else play.tell(Tick(), after=1_000)
    assert len(play.engine.state.books["BTCUSDT"].stops) <= 52


def truth(quantity: int, cost: int = 0, stops: tuple[RestingStop, ...] = ()) -> Reconciled:
    return Reconciled(10_000 * CASH, (SymbolTruth("BTCUSDT", quantity, cost, 0, 20, True, stops),))


def test_a_position_that_answers_lose_for_a_moment_keeps_its_stop(play: Play) -> None:
    stop = play.enter()
    play.tell(stop)
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    resting = (RestingStop(stop.client_id, stop.side, stop.trigger, stop.quantity),)
    out = [c for _ in range(5) for c in play.tell(truth(0, stops=resting), after=100)]
    assert of(out, CancelStop) == []
    assert len(of(out, Reconcile)) == 1  # at once, and then in its own time
    assert of(over_time(play, 3_000), Reconcile)
    play.tell(truth(lot.quantity, lot.cost, resting))
    assert play.engine.desks["BTCUSDT"].at_rest


def test_a_position_that_stays_gone_is_gone(play: Play) -> None:
    stop = play.enter()
    play.tell(stop)
    play.tell(truth(0))
    over_time(play, 3_000)
    play.tell(truth(0))
    assert play.engine.state.books["BTCUSDT"].lot is None


def test_nothing_is_entered_while_a_position_is_in_doubt(play: Play) -> None:
    play.tell(truth(100, BTC.notional(PRICE, 100)))
    assert of(play.candle(0, p_long=0.7), SetLeverage) == []
    assert of(play.tell(truth(0)), SetLeverage)
