"""Every refusal of the order desk: its code, and that nothing changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from market.exchange.account import Costs
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.orders import OrderRequest, StopRequest
from market.exchange.refusals import MESSAGES, Code, Refusal
from market.instruments import Instrument, cash

BTC = Instrument("BTCUSDT", "BTC", min_notional=cash(100))
PRICE = 3_000_000


@pytest.fixture
def desk() -> Desk:
    engine = Engine([BTC], cash(1_000), Costs())
    engine.open_bar("BTCUSDT", PRICE, 1_000)
    desk = Desk(engine)
    desk.set_margin_mode("BTCUSDT", isolated=True)
    desk.set_leverage("BTCUSDT", 10)
    return desk


def order(
    quantity: int = 100, side: int = 1, price: int = 0, client_id: str = "", reduce_only: bool = False, tif: str = "GTC"
) -> OrderRequest:
    return OrderRequest("BTCUSDT", client_id, side, "LIMIT" if price else "MARKET", quantity, price, tif, reduce_only)


def stop(trigger: int, quantity: int = 100, client_id: str = "", close_position: bool = False) -> StopRequest:
    amount = 0 if close_position else quantity
    return StopRequest(
        "BTCUSDT", client_id, -1, "STOP_MARKET", amount, trigger, "GTC", not close_position, close_position,
        "CONTRACT_PRICE", False,
    )  # fmt: skip


def code_of(deed: Callable[[], object]) -> Code:
    with pytest.raises(Refusal) as caught:
        deed()
    return caught.value.code


def test_every_code_has_its_words() -> None:
    assert set(MESSAGES) == set(Code)


def test_an_order_larger_than_the_margin_carries_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(10_000))) is Code.NO_MARGIN
    assert not desk.engine.orders


def test_an_order_below_the_smallest_notional_is_refused_unless_it_reduces(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(3))) is Code.TOO_SMALL
    desk.place(order(100))
    assert desk.place(order(1, side=-1, reduce_only=True)).status == "FILLED"


def test_an_order_of_nothing_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(0))) is Code.NO_QUANTITY


def test_an_order_too_large_to_be_counted_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(1_000_000))) is Code.TOO_LARGE


def test_reducing_while_flat_or_into_the_same_side_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(100, side=-1, reduce_only=True))) is Code.REDUCE_ONLY
    desk.place(order(100))
    assert code_of(lambda: desk.place(order(100, reduce_only=True))) is Code.REDUCE_ONLY


def test_a_client_id_is_refused_while_an_open_order_has_it_and_accepted_again_after(desk: Desk) -> None:
    resting = desk.place(order(100, price=2_000_000, client_id="same"))
    assert code_of(lambda: desk.place(order(100, client_id="same"))) is Code.DUPLICATE_CLIENT_ID
    desk.cancel("BTCUSDT", resting.id, None)
    assert desk.place(order(100, client_id="same")).status == "FILLED"
    assert desk.find("BTCUSDT", None, "same").status == "FILLED"


def test_a_stop_past_its_trigger_is_refused(desk: Desk) -> None:
    desk.place(order(100))
    assert code_of(lambda: desk.place_stop(stop(PRICE))) is Code.WOULD_TRIGGER
    assert not desk.engine.stops


def test_a_stop_with_a_waiting_stops_client_id_is_refused(desk: Desk) -> None:
    desk.place_stop(stop(2_900_000, client_id="guard"))
    assert code_of(lambda: desk.place_stop(stop(2_900_000, client_id="guard"))) is Code.DUPLICATE_CLIENT_ID


def test_a_second_close_position_stop_in_the_same_direction_is_refused(desk: Desk) -> None:
    desk.place_stop(stop(2_900_000, close_position=True))
    assert code_of(lambda: desk.place_stop(stop(2_800_000, close_position=True))) is Code.SECOND_CLOSE_POSITION


def test_cancelling_what_is_not_open_is_unknown(desk: Desk) -> None:
    filled = desk.place(order(100))
    assert code_of(lambda: desk.cancel("BTCUSDT", filled.id, None)) is Code.UNKNOWN_ORDER
    assert code_of(lambda: desk.cancel("BTCUSDT", None, "nobody")) is Code.UNKNOWN_ORDER
    assert code_of(lambda: desk.cancel_stop(1, None)) is Code.UNKNOWN_ORDER


def test_asking_for_what_never_was_finds_no_such_order(desk: Desk) -> None:
    assert code_of(lambda: desk.find("BTCUSDT", 7, None)) is Code.NO_SUCH_ORDER
    assert code_of(lambda: desk.find_stop(None, "nobody")) is Code.NO_SUCH_ORDER


def test_a_post_only_order_across_the_market_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.place(order(100, price=PRICE, tif="GTX"))) is Code.NOT_A_MAKER


def test_leverage_out_of_range_is_refused(desk: Desk) -> None:
    assert code_of(lambda: desk.set_leverage("BTCUSDT", 0)) is Code.BAD_LEVERAGE
    assert code_of(lambda: desk.set_leverage("BTCUSDT", 126)) is Code.BAD_LEVERAGE


def test_leverage_is_not_lowered_under_an_isolated_position(desk: Desk) -> None:
    desk.place(order(100))
    assert code_of(lambda: desk.set_leverage("BTCUSDT", 9)) is Code.LEVERAGE_BELOW_POSITION
    desk.set_leverage("BTCUSDT", 11)
    assert desk.engine.settings["BTCUSDT"].leverage == 11


def test_a_margin_mode_is_set_once_and_only_while_flat(desk: Desk) -> None:
    assert code_of(lambda: desk.set_margin_mode("BTCUSDT", isolated=True)) is Code.SAME_MARGIN_TYPE
    resting = desk.place(order(100, price=2_000_000))
    assert code_of(lambda: desk.set_margin_mode("BTCUSDT", isolated=False)) is Code.MARGIN_TYPE_WITH_ORDERS
    desk.cancel("BTCUSDT", resting.id, None)
    desk.place(order(100))
    assert code_of(lambda: desk.set_margin_mode("BTCUSDT", isolated=False)) is Code.MARGIN_TYPE_WITH_POSITION


def test_opening_at_cross_margin_is_refused_in_plain_words(desk: Desk) -> None:
    desk.set_margin_mode("BTCUSDT", isolated=False)
    with pytest.raises(Refusal, match="set marginType ISOLATED first") as caught:
        desk.place(order(100))
    assert caught.value.code is Code.ORDER_REJECTED


def test_hedge_mode_is_switched_while_flat_and_refuses_one_way_orders(desk: Desk) -> None:
    assert code_of(lambda: desk.set_hedge_mode(False)) is Code.SAME_POSITION_MODE
    desk.set_hedge_mode(True)
    assert code_of(lambda: desk.place(order(100))) is Code.WRONG_POSITION_SIDE
    desk.set_hedge_mode(False)
    desk.place(order(100))
    assert code_of(lambda: desk.set_hedge_mode(True)) is Code.POSITION_MODE_WITH_POSITION


def test_an_amended_order_keeps_its_place_and_fills_where_it_now_stands(desk: Desk) -> None:
    resting = desk.place(order(100, price=2_000_000))
    desk.amend("BTCUSDT", resting.id, None, 50, 2_500_000)
    desk.engine.visit("BTCUSDT", 2_400_000, 2_000)
    assert (resting.status, resting.filled) == ("FILLED", 50)


def test_cancelling_all_orders_leaves_the_stops(desk: Desk) -> None:
    desk.place(order(100, price=2_000_000))
    guard = desk.place_stop(stop(2_900_000))
    desk.cancel_all("BTCUSDT")
    assert desk.engine.orders.open() == []
    assert desk.engine.stops.open() == [guard]
    desk.cancel_all_stops("BTCUSDT")
    assert guard.status == "CANCELED"
