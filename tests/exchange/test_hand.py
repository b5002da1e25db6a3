"""What is done to an account behind its trader's back, action by action, and over the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import pytest

from market.exchange.hand.actions import ACTIONS, Hand
from market.exchange.hand.wants import HandError
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.instruments import cash
from tests.exchange.test_shapes import Recorded, ask, buy, code_of, differences, guard, recorded, told, venue
from tests.local_exchange import LocalExchange

__all__ = ["recorded", "venue"]

Start = Callable[..., LocalExchange]


def do(venue: Venue, action: str, **wanted: Any) -> dict[str, Any]:
    return Hand(venue).do({"action": action, **wanted})


def error_of(venue: Venue, **order: Any) -> str:
    with pytest.raises(HandError) as caught:
        Hand(venue).do(order)
    return str(caught.value)


def held(venue: Venue) -> int:
    position = venue.engine.ledger.positions.get("BTCUSDT")
    return position.side * position.quantity if position else 0


def test_a_trade_by_hand_opens_reduces_and_closes_under_a_foreign_client_id(venue: Venue) -> None:
    opened = do(venue, "trade", symbol="BTCUSDT", side="SELL", quantity="0.3")
    assert (held(venue), opened["client_id"][:4], opened["status"]) == (-300, "web_", "FILLED")
    do(venue, "trade", symbol="BTCUSDT", side="BUY", quantity=0.1, reduce_only=True, client_id="ios_1")
    assert held(venue) == -200
    guard(venue, 1.01, side="BUY")
    do(venue, "close_position", symbol="BTCUSDT")
    assert held(venue) == 0
    assert len(venue.engine.stops.open()) == 1  # orphaned, as at the exchange


def test_orders_and_stops_are_placed_and_cancelled_by_hand(venue: Venue) -> None:
    buy(venue)
    price = venue.engine.prices["BTCUSDT"] / 100
    do(venue, "stop", symbol="BTCUSDT", side="SELL", quantity="0.1", trigger=round(price * 0.9, 2), client_id="mine")
    do(venue, "stop", symbol="BTCUSDT", side="SELL", trigger=round(price * 0.8, 2), working_type="MARK_PRICE")
    do(venue, "limit", symbol="BTCUSDT", side="BUY", quantity="0.1", price=round(price * 0.9, 2))
    assert [stop.close_position for stop in venue.engine.stops.open()] == [False, True]
    assert do(venue, "cancel", symbol="BTCUSDT", client_id="mine") == {"canceled": ["mine"]}
    assert len(do(venue, "cancel", symbol="BTCUSDT")["canceled"]) == 2
    assert error_of(venue, action="cancel", symbol="BTCUSDT") == "cancel: BTCUSDT has no open order or stop"


def test_settings_change_by_the_exchanges_own_rules(venue: Venue) -> None:
    do(venue, "leverage", symbol="BTCUSDT", leverage=7)
    assert venue.engine.settings["BTCUSDT"].leverage == 7
    told(venue)
    do(venue, "margin_type", symbol="BTCUSDT", margin_type="CROSSED")
    (frame,) = told(venue)
    assert (frame["a"]["m"], frame["a"]["P"][0]["mt"]) == ("MARGIN_TYPE_CHANGE", "cross")
    do(venue, "multi_assets", on=True)
    assert told(venue)[-1]["ai"] == {"j": True}
    assert ask(venue, "GET", "/fapi/v1/multiAssetsMargin") == {"multiAssetsMargin": True}
    assert ask(venue, "GET", "/fapi/v3/account")["multiAssetsMargin"] is True
    isolate = lambda: do(venue, "margin_type", symbol="BTCUSDT", margin_type="ISOLATED")  # noqa: E731
    assert code_of(isolate) is Code.ISOLATED_IN_MULTI_ASSETS
    assert code_of(lambda: do(venue, "multi_assets", on=True)) is Code.SAME_ASSET_MODE
    do(venue, "multi_assets", on=False)
    isolate()
    assert code_of(lambda: do(venue, "multi_assets", on=True)) is Code.MULTI_ASSETS_WITH_ISOLATED
    do(venue, "hedge_mode", on=True)
    assert code_of(lambda: buy(venue)) is Code.WRONG_POSITION_SIDE


def test_leverage_may_be_clipped_below_what_was_asked_for(venue: Venue) -> None:
    do(venue, "clip_leverage", symbol="BTCUSDT", at=3)
    reply = ask(venue, "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="10")
    assert reply["leverage"] == 3
    assert ask(venue, "GET", "/fapi/v1/symbolConfig")[0]["leverage"] == 3
    do(venue, "clip_leverage", symbol="BTCUSDT", at=0)
    assert ask(venue, "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="10")["leverage"] == 10


def test_a_deposit_and_a_withdrawal_are_told_and_are_no_profit(venue: Venue, recorded: Recorded) -> None:
    do(venue, "deposit", amount="500.25")
    assert do(venue, "withdraw", amount=100) == {"cash": "10400.25000000"}
    frames = told(venue)
    assert [(f["a"]["m"], f["a"]["B"][0]["bc"], f["a"]["P"]) for f in frames] == [
        ("DEPOSIT", "500.25000000", []),
        ("WITHDRAW", "-100.00000000", []),
    ]
    assert differences(frames[0], recorded("ws/account_update_bnfcr.json")) == []
    assert venue.engine.ledger.deposits == cash("10400.25")
    assert venue.engine.ledger.imbalance() == 0
    rows = ask(venue, "GET", "/fapi/v1/income", incomeType="TRANSFER")
    assert [row["income"] for row in rows] == ["500.25000000", "-100.00000000"]


def test_no_more_is_withdrawn_than_no_position_has_set_aside(venue: Venue) -> None:
    buy(venue)
    assert "is free to be withdrawn" in error_of(venue, action="withdraw", amount=10_000)
    assert "must be positive" in error_of(venue, action="deposit", amount=0)


def test_adl_closes_at_the_mark_without_a_fee_under_its_own_client_id(venue: Venue, recorded: Recorded) -> None:
    buy(venue)
    fees = venue.engine.ledger.fees
    told(venue)
    do(venue, "adl", symbol="BTCUSDT", quantity="0.04")
    assert (held(venue), venue.engine.ledger.fees) == (60, fees)
    assert venue.engine.fills[-1].price == venue.engine.prices["BTCUSDT"]
    frame = told(venue)[-1]
    theirs = recorded("ws/ws_futures_order_update_adl.json")
    assert differences(frame, theirs, absent=("W",)) == []
    assert (frame["o"]["x"], frame["o"]["X"], frame["o"]["o"]) == ("CALCULATED", "FILLED", "MARKET")
    assert frame["o"]["c"].startswith("adl_autoclose")
    do(venue, "adl", symbol="BTCUSDT")
    assert held(venue) == 0
    assert error_of(venue, action="adl", symbol="BTCUSDT") == "adl: BTCUSDT is flat"


def test_a_forced_liquidation_takes_the_margin_wherever_the_price_stands(venue: Venue) -> None:
    buy(venue)
    before, margin = venue.engine.ledger.cash, venue.engine.ledger.positions["BTCUSDT"].margin
    do(venue, "liquidate", symbol="BTCUSDT")
    assert (held(venue), venue.engine.ledger.cash) == (0, before - margin)
    assert told(venue)[-1]["o"]["c"].startswith("autoclose-")


def test_a_halted_symbol_may_be_reduced_and_nothing_else(venue: Venue) -> None:
    buy(venue)
    do(venue, "halt", symbol="BTCUSDT")
    assert ask(venue, "GET", "/fapi/v1/exchangeInfo")["symbols"][0]["status"] == "PENDING_TRADING"
    assert code_of(lambda: buy(venue)) is Code.SYMBOL_HALTED
    assert guard(venue)["algoStatus"] == "NEW"
    assert buy(venue, side="SELL", reduceOnly="true")["status"] == "FILLED"
    do(venue, "resume", symbol="BTCUSDT")
    assert buy(venue)["status"] == "FILLED"


def test_a_delisted_symbol_is_settled_and_takes_no_order(venue: Venue, recorded: Recorded) -> None:
    buy(venue)
    guard(venue)
    told(venue)
    do(venue, "delist", symbol="BTCUSDT")
    frames = told(venue)
    assert (held(venue), venue.engine.stops.open(), frames[0]["o"]["X"]) == (0, [], "EXPIRED")
    assert differences(frames[-1], recorded("ws/order_update_settlement.json")) == []
    assert frames[-1]["o"]["c"].startswith("settlement_autoclose-")
    assert ask(venue, "GET", "/fapi/v1/exchangeInfo")["symbols"][0]["status"] == "CLOSE"
    assert code_of(lambda: buy(venue)) is Code.SYMBOL_CLOSED
    assert venue.engine.ledger.imbalance() == 0


def test_terms_change_while_a_position_is_open(venue: Venue) -> None:
    buy(venue)
    before = venue.engine.liquidation_price("BTCUSDT")
    do(venue, "brackets", symbol="BTCUSDT", brackets=[{"cap": 10_000, "max_leverage": 25, "maintenance_bps": 400}])
    do(venue, "terms", symbol="BTCUSDT", min_notional="250", funding_hours=4)
    assert venue.engine.liquidation_price("BTCUSDT") > before
    assert ask(venue, "GET", "/fapi/v1/fundingInfo")[0]["fundingIntervalHours"] == 4
    info = ask(venue, "GET", "/fapi/v1/exchangeInfo")["symbols"][0]
    assert {"filterType": "MIN_NOTIONAL", "notional": "250"} in info["filters"]
    assert "a divisor of 24" in error_of(venue, action="terms", symbol="BTCUSDT", funding_hours=7)
    assert "send a new value for one of" in error_of(venue, action="terms", symbol="BTCUSDT")
    assert "'brackets' must be a list of {cap" in error_of(venue, action="brackets", symbol="BTCUSDT", brackets=[5])
    (row,) = ask(venue, "GET", "/fapi/v1/leverageBracket")
    assert [(b["notionalCap"], b["initialLeverage"], b["maintMarginRatio"]) for b in row["brackets"]] == [
        (10_000, 25, 0.04)
    ]


def test_a_shorter_funding_interval_settles_more_often_at_the_last_rate(venue: Venue) -> None:
    buy(venue)

    def instants(bars: int) -> set[int]:
        seen = len(venue.engine.incomes)
        for _ in range(bars):
            venue.replay.turn()
        return {i.time % (24 * 3_600_000) for i in venue.engine.incomes[seen:] if i.kind == "FUNDING_FEE"}

    assert {time // 3_600_000 for time in instants(24)} == {0, 8, 16}
    do(venue, "terms", symbol="BTCUSDT", funding_hours=4)
    assert {time // 3_600_000 for time in instants(24)} == {0, 4, 8, 12, 16, 20}
    assert venue.engine.ledger.imbalance() == 0


def test_what_becomes_of_the_next_stop_is_chosen_by_hand(venue: Venue) -> None:
    buy(venue)
    resting = guard(venue)
    assert do(venue, "next_stop_trigger", symbol="BTCUSDT", fate="stuck") == {"symbol": "BTCUSDT", "fate": "stuck"}
    price = int(venue.engine.prices["BTCUSDT"] * 0.985)
    venue.engine.visit("BTCUSDT", price, venue.engine.time + 1)
    (row,) = ask(venue, "GET", "/fapi/v1/openAlgoOrders")
    assert (row["clientAlgoId"], row["algoStatus"]) == (resting["clientAlgoId"], "TRIGGERING")
    assert do(venue, "release_stops", symbol="BTCUSDT") == {"released": 1}
    assert held(venue) == 0
    assert "must be one of rejected, expired, stuck, filled" in error_of(
        venue, action="next_stop_trigger", symbol="BTCUSDT", fate="lost"
    )


def test_depth_is_changed_and_commanded_by_hand(venue: Venue) -> None:
    do(venue, "depth", at_most="50%", rest="command")
    assert buy(venue)["status"] == "PARTIALLY_FILLED"
    assert do(venue, "fill", symbol="BTCUSDT") == {"orders": 1}
    assert "a share such as 40%" in error_of(venue, action="depth", at_most="much")


def test_what_the_key_may_do_is_asked_for_and_binds(venue: Venue) -> None:
    restrictions = ask(venue, "GET", "/sapi/v1/account/apiRestrictions")
    assert (restrictions["enableWithdrawals"], restrictions["enableFutures"]) == (False, True)
    do(venue, "permissions", withdrawals=True, futures=False, can_trade=False)
    restrictions = ask(venue, "GET", "/sapi/v1/account/apiRestrictions")
    assert (restrictions["enableWithdrawals"], restrictions["enableFutures"]) == (True, False)
    assert ask(venue, "GET", "/fapi/v3/account")["canTrade"] is False
    assert code_of(lambda: buy(venue)) is Code.MAY_NOT_TRADE
    venue.permissions.check(reads=True)
    with pytest.raises(Refusal):
        venue.permissions.check(reads=False)


def test_an_expired_listen_key_is_told_of_and_dead(venue: Venue) -> None:
    assert "no listen key is open" in error_of(venue, action="expire_listen_key")
    first = ask(venue, "POST", "/fapi/v1/listenKey")["listenKey"]
    do(venue, "expire_listen_key")
    (frame,) = told(venue)
    assert (frame["e"], frame["listenKey"]) == ("listenKeyExpired", first)
    assert code_of(lambda: ask(venue, "PUT", "/fapi/v1/listenKey")) is Code.NO_LISTEN_KEY
    assert ask(venue, "POST", "/fapi/v1/listenKey")["listenKey"] != first


def test_errors_say_what_to_send(venue: Venue) -> None:
    assert "one of: " + ", ".join(sorted(ACTIONS)) in error_of(venue)
    assert "one of: " in error_of(venue, action="dance")
    assert error_of(venue, action="halt", symbol="NOPE") == "halt: 'symbol' must be one of BTCUSDT, not 'NOPE'"
    missing = error_of(venue, action="trade", symbol="BTCUSDT", side="BUY")
    assert missing == "trade: 'quantity' must be a decimal number"
    fine = error_of(venue, action="trade", symbol="BTCUSDT", side="BUY", quantity="0.00001")
    assert "is not a multiple of 0.001" in fine
    assert error_of(venue, action="hedge_mode", on="yes") == "hedge_mode: 'on' must be true or false, not 'yes'"
    assert "must be a whole number" in error_of(venue, action="leverage", symbol="BTCUSDT", leverage="5")


def heard_by_somebody(local: LocalExchange) -> None:
    while not local.state()["user_streams"]:
        time.sleep(0.01)


async def test_a_trade_by_hand_reaches_the_user_stream_through_ccxt(exchange: Start) -> None:
    local = exchange(bars=50)
    client = local.ccxt()
    try:
        restrictions = await client.sapi_get_account_apirestrictions()
        assert restrictions["enableWithdrawals"] is False
        await client.set_margin_mode("isolated", "BTC/USDT:USDT")
        watching = asyncio.ensure_future(client.watch_orders())
        await asyncio.to_thread(heard_by_somebody, local)
        await asyncio.to_thread(local.hand, "trade", symbol="BTCUSDT", side="BUY", quantity="0.1", client_id="web_7")
        (order,) = await asyncio.wait_for(watching, 20)
        assert order["clientOrderId"] == "web_7"
    finally:
        await client.close()
    with pytest.raises(HTTPError) as caught:
        local.hand("trade", symbol="BTCUSDT", side="BUY", quantity="15")
    assert (caught.value.code, json.load(caught.value)["code"]) == (409, Code.NO_MARGIN)
    with pytest.raises(HTTPError) as caught:
        local.hand("dance")
    assert caught.value.code == 400
