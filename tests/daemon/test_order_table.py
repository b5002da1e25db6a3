"""The order table under every sequence of the exchange's words, and what the desk does about an order in doubt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.commands import AskOrder, AskStop, CancelStop, Command, PlaceStop, Submit
from daemon.engine import Engine
from daemon.events import Event, Failed, OrderStatus, OrderUpdated, StopUpdated, Tick, Unresolved
from daemon.orders import ORDER, OVER, STOP, State, after
from daemon.state import DaemonState
from daemon.steering import WAITING
from tests.daemon.test_fuzzed import SETTINGS, STATES, SYMBOL

WORDS = st.lists(st.sampled_from(OrderStatus), max_size=12)
ALIVE = (OrderStatus.ACCEPTED, OrderStatus.TRIGGERING, OrderStatus.TRIGGERED, OrderStatus.FILLED)
LATE = {
    "order": {(State.CANCELED, OrderStatus.FILLED), (State.EXPIRED, OrderStatus.FILLED)},
    "stop": {(State.CANCELED, OrderStatus.FILLED), *((State.ABSENT, word) for word in ALIVE)},
}
"""What may still follow on an end: a cancel that lost its race, and an order that was missed and arrived after all."""
AT = 1_700_000_000_000
ANSWER_MS = SETTINGS.patience.answer_ms


@pytest.mark.parametrize(("name", "table"), [("order", ORDER), ("stop", STOP)])
@given(words=WORDS, start=st.sampled_from(State))
def test_every_sequence_of_words_leaves_a_legal_state_and_an_end_is_an_end(
    name: str, table: dict[tuple[State, OrderStatus], State], words: list[OrderStatus], start: State
) -> None:
    state = start
    for word in words:
        before, state = state, after(table, state, word)
        assert state in State
        if before in OVER and state is not before:
            assert (before, word) in LATE[name], f"{before} -> {state} by {word}"
        if before is State.FILLED:
            assert state is State.FILLED
        if (before, word) not in table and before not in OVER:
            assert state is State.UNRESOLVED, "what cannot follow is not believed"


@pytest.mark.parametrize(("name", "table"), [("order", ORDER), ("stop", STOP)])
def test_the_table_lets_nothing_rise_from_its_end_but_what_is_pinned(
    name: str, table: dict[tuple[State, OrderStatus], State]
) -> None:
    rising = {(state, word) for (state, word), to in table.items() if state in OVER and to is not state}
    assert rising == LATE[name]


def order_words(client_id: str) -> st.SearchStrategy[Event]:
    return st.one_of(
        st.builds(OrderUpdated, st.just(SYMBOL), st.just(client_id), st.sampled_from(OrderStatus), st.integers(0, 20)),
        st.builds(Unresolved, st.just(SYMBOL), st.just(client_id), st.just("timed out")),
        st.just(Tick()),
    )


def stop_words(client_id: str, side: int, trigger: int, quantity: int) -> st.SearchStrategy[Event]:
    return st.one_of(
        st.builds(
            StopUpdated, st.just(SYMBOL), st.just(client_id), st.sampled_from(OrderStatus),
            st.just(side), st.sampled_from([trigger, trigger - 1]), st.sampled_from([quantity, 1]), st.booleans(),
        ),
        st.builds(Unresolved, st.just(SYMBOL), st.just(client_id), st.just("timed out")),
        st.builds(Failed, st.just(SYMBOL), st.just("PlaceStop"), st.just(client_id), st.just(-1102), st.just("no")),
        st.just(Tick()),
    )  # fmt: skip


PAUSES = st.sampled_from([0, 1, 50, 300, 1_100, 3_100, 7_000])


def tell(engine: Engine, events: list[tuple[Event, int]]) -> tuple[list[Command], int]:
    """Everything commanded, and the instant at which the last event was told."""
    out, at = list[Command](), AT
    for event, pause in events:
        at += pause
        out += engine.step(event, at)
    return out, at


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_an_order_in_doubt_is_always_asked_about_and_never_sent_again(data: st.DataObject) -> None:
    engine = Engine(SETTINGS, DaemonState.load(STATES["an order under way"]))
    engine.state.reconciled = True
    book = engine.state.books[SYMBOL]
    assert book.order is not None
    client_id = book.order.client_id
    told = data.draw(st.lists(st.tuples(order_words(client_id), PAUSES), max_size=10))
    commands, at = tell(engine, told)
    assert not [c for c in commands if isinstance(c, Submit) and not c.approved.order.reduce_only]
    if book.order is None:
        return
    assert book.order.client_id == client_id
    asked, _ = tell(engine, [(Tick(), at - AT + ANSWER_MS + 1)])
    assert AskOrder(SYMBOL, client_id) in asked, f"{book.order} is left alone"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_stop_in_doubt_is_always_asked_about_and_a_position_never_left(data: st.DataObject) -> None:
    engine = Engine(SETTINGS, DaemonState.load(STATES["a position"]))
    engine.state.reconciled = True
    book, desk = engine.state.books[SYMBOL], engine.desks[SYMBOL]
    assert book.lot is not None
    engine.step(Tick(), AT + 10)
    ((client_id, stop),) = list(book.stops.items())
    words = stop_words(client_id, stop.side, stop.trigger, stop.quantity)
    _, at = tell(engine, data.draw(st.lists(st.tuples(words, PAUSES), max_size=10)))
    asked, later = tell(engine, [(Tick(), at - AT + ANSWER_MS + 1)])
    for waiting in (s for s in book.stops.values() if s.state in WAITING and s.placed < later):
        questions = (AskStop(SYMBOL, waiting.client_id), CancelStop(SYMBOL, waiting.client_id))
        fresh = [c for c in asked if isinstance(c, PlaceStop) and c.approved.order.client_id == waiting.client_id]
        assert fresh or any(q in asked for q in questions), f"{waiting} is left alone"
    unprotected = book.lot is not None and not desk.protected()
    if unprotected:
        assert book.order is not None or any(s.state in WAITING for s in book.stops.values()) or book.urgent
