"""Orders that fill in parts: how large they are, when the next follows, and what may come between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.exchange.depth import UNLIMITED, Depth, DepthError, Rest
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.orders import Execution, OrderEvent, StopFate
from market.exchange.refusals import Code, Refusal
from tests.exchange.test_engine import BTC, PRICE, limit, market, stop, story, venue


def shallow(rest: Rest, most: str = "40%") -> tuple[Engine, Desk]:
    engine, desk = venue()
    engine.depth = Depth.parse(most, rest)
    return engine, desk


def statuses(engine: Engine) -> list[str]:
    return [event.order.status for event in engine.drain() if isinstance(event, OrderEvent)]


@given(st.integers(1, 10**6), st.integers(1, 100), st.integers(0, 9), st.integers(1, 10**7))
def test_the_parts_of_an_order_are_within_the_most_and_add_up(quantity: int, share: int, seed: int, id_: int) -> None:
    depth, filled, parts = Depth.parse(f"{share}%", seed=seed), 0, 0
    while filled < quantity and parts < 500:
        part = depth.take(BTC, id_, quantity, filled)
        assert 1 <= part <= max(1, quantity * share // 100)
        assert part == depth.take(BTC, id_, quantity, filled), "the same again after a restart"
        filled, parts = filled + part, parts + 1
    assert filled <= quantity
    assert parts <= 2 * -(-100 // share) + 1 or quantity < 200


def test_a_most_is_a_share_or_a_quantity_and_nothing_else() -> None:
    assert Depth.parse("0.05").most(BTC, 1_000) == 50
    assert Depth.parse("25%").most(BTC, 1_000) == 250
    assert UNLIMITED.most(BTC, 1_000) == 1_000
    for text in ("", "much", "0", "-1", "101%", "nan"):
        with pytest.raises(DepthError):
            Depth.parse(text)


def test_a_market_order_fills_at_once_in_several_executions() -> None:
    engine, desk = shallow(Rest.AT_ONCE)
    order = desk.place(market(1, 100))
    told = statuses(engine)
    assert order.status == "FILLED"
    assert told[0] == "NEW"
    assert told[-1] == "FILLED"
    assert set(told[1:-1]) == {"PARTIALLY_FILLED"}
    assert engine.ledger.positions["BTCUSDT"].quantity == 100
    assert engine.ledger.imbalance() == 0


def test_the_rest_follows_at_the_next_prices_each_at_its_own() -> None:
    engine, desk = shallow(Rest.PRICE)
    order = desk.place(market(1, 100))
    assert order.status == "PARTIALLY_FILLED"
    price = PRICE
    while order.is_open:
        price += 1_000
        engine.visit("BTCUSDT", price, engine.time + 1)
    prices = [fill.price for fill in engine.fills]
    assert len(prices) > 2
    assert prices == sorted(set(prices))


def test_the_rest_waits_for_a_command_and_a_cancel_may_come_first() -> None:
    engine, desk = shallow(Rest.COMMAND)
    order = desk.place(market(1, 100))
    engine.visit("BTCUSDT", PRICE, engine.time + 1)
    first = order.filled
    assert 0 < first < 100
    assert engine.go_on("BTCUSDT") == 1
    assert order.filled > first
    desk.cancel("BTCUSDT", order.id, None)
    assert (order.status, engine.ledger.positions["BTCUSDT"].quantity) == ("CANCELED", order.filled)
    assert engine.go_on("BTCUSDT") == 0
    with pytest.raises(Refusal) as refused:
        desk.cancel("BTCUSDT", order.id, None)
    assert refused.value.code is Code.UNKNOWN_ORDER


def test_a_stop_is_finished_once_its_order_is_and_tells_the_average() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.depth = Depth.parse("60%", Rest.PRICE)
    engine.drain()
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert placed.status == "TRIGGERED"
    assert 0 < placed.filled < 100
    while engine.ledger.positions:
        engine.visit("BTCUSDT", 2_930_000, engine.time + 1)
    assert (placed.status, placed.filled) == ("FINISHED", 100)
    assert 2_929_000 < placed.fill_price < 2_950_000
    told = story(engine)
    assert told[:3] == ["stop TRIGGERING", "stop TRIGGERED", "order NEW NEW"]
    assert told[-1] == "stop FINISHED"


def test_a_stop_whose_order_is_cancelled_half_way_is_finished_with_what_it_filled() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.depth = Depth.parse("50%", Rest.COMMAND)
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    desk.cancel("BTCUSDT", placed.order_id, None)
    assert (placed.status, placed.filled) == ("FINISHED", engine.orders[placed.order_id].filled)
    assert engine.ledger.positions["BTCUSDT"].quantity == 100 - placed.filled


def test_reduce_only_orders_shrink_to_what_is_left_and_never_turn_the_position() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    engine.depth = Depth.parse("50%", Rest.COMMAND)
    exit_ = desk.place(market(-1, 100, reduce_only=True))
    engine.depth = UNLIMITED
    desk.place(market(-1, 100, reduce_only=True))  # the rest of the position is gone
    assert not engine.ledger.positions
    engine.go_on("BTCUSDT")
    assert exit_.status == "EXPIRED"
    assert not engine.ledger.positions


def test_a_limit_order_fills_a_part_at_each_price_that_touches_it() -> None:
    engine, desk = shallow(Rest.PRICE)
    order = desk.place(limit(1, 100, 2_990_000))
    touches = 0
    while order.is_open:
        engine.visit("BTCUSDT", 2_980_000, engine.time + 1)
        touches += 1
    assert touches > 2
    assert {(fill.price, fill.maker) for fill in engine.fills} == {(2_990_000, True)}


def test_immediate_orders_keep_their_word_in_a_shallow_book() -> None:
    engine, desk = shallow(Rest.PRICE)
    taken = desk.place(limit(1, 100, PRICE + 1_000, "IOC"))
    assert (taken.status, 0 < taken.filled < 100) == ("EXPIRED", True)
    killed = desk.place(limit(1, 100, PRICE + 1_000, "FOK"))
    assert (killed.status, killed.filled) == ("EXPIRED", 0)
    assert engine.ledger.imbalance() == 0


def test_an_opening_order_ends_where_the_margin_does() -> None:
    engine, desk = shallow(Rest.PRICE, "50%")
    order = desk.place(market(1, 3_000))  # 90,000 of notional at 10x takes 9,000 of 10,000
    engine.visit("BTCUSDT", 3_600_000, engine.time + 1)
    engine.visit("BTCUSDT", 3_600_000, engine.time + 1)
    while order.is_open:
        engine.visit("BTCUSDT", 3_600_000, engine.time + 1)
    assert order.status == "EXPIRED"
    assert 0 < order.filled < 3_000
    assert engine.ledger.free >= 0


def test_a_liquidation_cancels_what_still_fills() -> None:
    engine, desk = shallow(Rest.COMMAND)
    order = desk.place(market(1, 100))
    engine.visit("BTCUSDT", 2_000_000, 2_000)
    assert order.status == "CANCELED"
    assert not engine.ledger.positions
    assert engine.ledger.imbalance() == 0


@pytest.mark.parametrize(
    ("fate", "status", "reason"), [("rejected", "REJECTED", "Margin is insufficient."), ("expired", "EXPIRED", "The ")]
)
def test_a_stop_may_come_to_grief_after_its_trigger(fate: str, status: str, reason: str) -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.stop_fates["BTCUSDT"] = StopFate(fate)
    engine.drain()
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    assert story(engine) == ["stop TRIGGERING", f"stop {status}"]
    assert placed.reason.startswith(reason)
    assert not engine.stops.open()
    again = desk.place_stop(replace(stop(-1, 2_930_000), client_id=placed.client_id))
    engine.visit("BTCUSDT", 2_920_000, 3_000)
    assert again.status == "FINISHED"


def test_a_stuck_stop_reads_as_accepted_and_can_be_neither_fired_nor_cancelled() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.stop_fates["BTCUSDT"] = StopFate.STUCK
    engine.visit("BTCUSDT", 2_940_000, 2_000)
    engine.visit("BTCUSDT", 2_930_000, 3_000)
    assert placed.status == "TRIGGERING"
    assert engine.stops.open("BTCUSDT") == [placed]
    with pytest.raises(Refusal) as refused:
        desk.cancel_stop(placed.id, None)
    assert refused.value.code is Code.STOP_TRIGGERING
    desk.cancel_all_stops("BTCUSDT")
    assert engine.release("BTCUSDT") == 1
    assert (placed.status, engine.ledger.positions) == ("FINISHED", {})


def test_executions_of_one_order_are_told_one_by_one() -> None:
    engine, desk = shallow(Rest.AT_ONCE)
    desk.place(market(1, 100))
    trades = [e for e in engine.drain() if isinstance(e, OrderEvent) and e.execution is Execution.TRADE]
    assert sum(event.fill.quantity for event in trades if event.fill) == 100
    assert [event.order.filled for event in trades] == sorted({event.order.filled for event in trades})
