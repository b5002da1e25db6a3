"""Bybit's payloads as events, in the shapes of its documentation (V5: Private WebSocket Streams, Kline, Order)."""

from __future__ import annotations

import copy
import math
import re
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.account import SNAPSHOT
from daemon.commands import Purpose
from daemon.events import (
    BalanceUpdated,
    Filled,
    FundingPaid,
    OrderStatus,
    OrderUpdated,
    PositionUpdated,
    RestingStop,
    StopUpdated,
)
from daemon.gateway import Refused
from daemon.identity import client_id
from daemon.venues.bybit import wire
from daemon.venues.catalogue import VENUES
from daemon.venues.payloads import UNREADABLE, UnreadablePayload
from daemon.venues.venue import Holding
from market.instruments import CASH, Instrument

BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.10"), step=Decimal("0.001"))
OURS = {"BTCUSDT": BTC}
TIME = 1_700_000_000_000
HOUR = TIME - TIME % 3_600_000


def frame(topic: str, **row: Any) -> dict[str, Any]:
    return {"id": "1", "topic": topic, "creationTime": TIME, "data": [row]}


def order(**changes: Any) -> dict[str, Any]:
    row = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderId": "c0ffee00-0000-0000-0000-000000000001",
        "orderLinkId": "rgabcde-entry",
        "side": "Buy",
        "orderType": "Market",
        "qty": "0.020",
        "orderStatus": "Filled",
        "cumExecQty": "0.020",
        "stopOrderType": "",
        "triggerPrice": "",
        "rejectReason": "EC_NoError",
        "cancelType": "UNKNOWN",
        "reduceOnly": False,
    }
    return row | changes


def stop(status: str, **changes: Any) -> dict[str, Any]:
    told = {"orderStatus": status, "stopOrderType": "Stop", "triggerPrice": "27000.0", "cumExecQty": "", "side": "Sell"}
    return order(orderLinkId="rgabcde-stop", reduceOnly=True, **told) | changes


def execution(**changes: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "execId": "e0ffee00-0000-0000-0000-000000000009",
        "execType": "Trade",
        "execPrice": "27101.5",
        "execQty": "0.020",
        "execFee": "0.29811650",
        "feeCurrency": "",
        "orderId": "c0ffee00-0000-0000-0000-000000000001",
        "orderLinkId": "rgabcde-entry",
        "side": "Buy",
        "execTime": str(TIME),
        "seq": 140_710_188_149,
    }
    return row | changes


def position(**changes: Any) -> dict[str, Any]:
    row = {"symbol": "BTCUSDT", "side": "Sell", "size": "0.020", "entryPrice": "27101.5", "positionBalance": "54.203"}
    return row | changes


def told(topic: str, **row: Any) -> list[object]:
    return list(wire.account_events(frame(topic, **row), OURS))


def test_a_kline_frame_carries_the_confirm_flag_and_no_taker_flow() -> None:
    k = {
        "start": HOUR,
        "end": HOUR + 3_599_999,
        "open": "27000",
        "high": "27100",
        "low": "26900.5",
        "close": "27050",
        "volume": "12.5",
    }
    k |= {"turnover": "338000", "confirm": True}
    told: dict[str, Any] = {"topic": "kline.60.BTCUSDT", "type": "snapshot", "ts": HOUR + 3_600_005, "data": [k]}
    (closed,) = wire.klines_in(told)
    (forming,) = wire.klines_in(told | {"data": [k | {"confirm": False}]})
    (early,) = wire.klines_in(told | {"ts": HOUR + 1_000})
    assert (closed.symbol, closed.timeframe, closed.closed) == ("BTCUSDT", "1h", True)
    assert (forming.closed, early.closed) == (False, False), "07: confirmed before its end is not believed"
    with pytest.raises(UnreadablePayload, match="a candle of 1d"):
        list(wire.klines_in(told | {"topic": "kline.D.BTCUSDT"}))
    assert (closed.candle.high, closed.candle.quote_volume, closed.candle.problem()) == (27_100.0, 338_000.0, None)
    assert all(math.isnan(v) for v in (closed.candle.trades, closed.candle.taker_base, closed.candle.taker_quote))


def test_frames_of_other_topics_bring_no_klines() -> None:
    assert list(wire.klines_in({"topic": "tickers.BTCUSDT", "data": {}})) == []
    assert list(wire.klines_in({"op": "pong", "ret_msg": "pong"})) == []


def test_a_kline_row_is_read_in_the_exchanges_order() -> None:
    candle = wire.kline_row([str(HOUR), "1", "4", "0.5", "2", "10", "20"], "1h")
    assert (candle.open, candle.high, candle.low, candle.close) == (1, 4, 0.5, 2)
    assert (candle.volume, candle.quote_volume, math.isnan(candle.trades)) == (10, 20, True)


def test_a_plain_order_and_a_conditional_one_are_told_apart() -> None:
    assert told("order", **order()) == [OrderUpdated("BTCUSDT", "rgabcde-entry", OrderStatus.FILLED, 20)]
    (update,) = told("order", **stop("Untriggered"))
    assert update == StopUpdated("BTCUSDT", "rgabcde-stop", OrderStatus.ACCEPTED, -1, 270_000, 20)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (stop("Untriggered"), OrderStatus.ACCEPTED),
        (stop("Triggered"), OrderStatus.TRIGGERED),
        (stop("New"), OrderStatus.TRIGGERED),
        (stop("Filled", cumExecQty="0.020"), OrderStatus.FILLED),
        (stop("Deactivated", cancelType="CancelByUser"), OrderStatus.CANCELED),
        (stop("Cancelled", cumExecQty="0.010"), OrderStatus.FILLED),
        (stop("Cancelled", cancelType="CancelByUser"), OrderStatus.CANCELED),
        (stop("Cancelled", cancelType="CancelByReduceOnly"), OrderStatus.EXPIRED),
        (stop("Rejected"), OrderStatus.REJECTED),
    ],
)
def test_a_stops_life_is_told_in_our_words(row: dict[str, Any], status: OrderStatus) -> None:
    assert wire.stop_status(row) is status


@pytest.mark.parametrize("word", ["", "filled", "Held"])
def test_a_status_that_is_not_known_is_not_guessed(word: str) -> None:
    with pytest.raises(UnreadablePayload, match="order status"):
        told("order", **order(orderStatus=word))


def test_an_execution_is_a_fill_under_the_clients_id() -> None:
    (fill,) = told("execution", **execution())
    assert isinstance(fill, Filled)
    assert (fill.client_id, fill.side, fill.price, fill.quantity) == ("rgabcde-entry", 1, 271_015, 20)
    assert (fill.fee, fill.time, fill.asked) == (29_811_650, TIME, False)


def test_trade_ids_rise_with_the_sequence_and_tell_what_shares_one_apart() -> None:
    first, same, later = (
        wire.trade_id(execution(execId=name, seq=seq)) for name, seq in (("a", 7), ("b", 7), ("a", 8))
    )
    assert first != same
    assert later > max(first, same)
    assert (wire.sequence(first), wire.sequence(same), wire.sequence(later)) == (7, 7, 8)
    assert first == wire.trade_id(execution(execId="a", seq=7))


@pytest.mark.parametrize("seq", [-1, 2**44, 2**70])
def test_a_sequence_that_no_number_of_ours_can_hold_is_refused(seq: int) -> None:
    with pytest.raises(UnreadablePayload, match=r"seq|bounds"):
        wire.trade_id(execution(seq=seq))


def test_28_a_liquidation_and_a_deleveraging_are_executions_of_the_exchanges_own() -> None:
    (bust,) = told("execution", **execution(execType="BustTrade", orderLinkId="", side="Sell"))
    (adl,) = told("execution", **execution(execType="AdlTrade", orderLinkId=""))
    assert isinstance(bust, Filled)
    assert isinstance(adl, Filled)
    assert (bust.client_id[:10], adl.client_id[:14]) == ("autoclose-", "adl_autoclose-")


def test_funding_is_an_execution_that_fills_nothing() -> None:
    assert told("execution", **execution(execType="Funding", execFee="-0.5")) == [
        FundingPaid("BTCUSDT", -CASH // 2, TIME)
    ]


def test_a_position_is_signed_by_its_side_and_flat_without_one() -> None:
    assert told("position", **position()) == [PositionUpdated("BTCUSDT", -20, 5_420_300_000, "")]
    assert told("position", **position(side="", size="0", positionBalance="0")) == [
        PositionUpdated("BTCUSDT", 0, 0, "")
    ]
    assert wire.holding(None, position(symbol="DOGEUSDT")) == Holding(-1, 0, 0)


def test_the_wallet_is_told_whole_and_names_no_cause() -> None:
    coins = [{"coin": "USDT", "walletBalance": "100.25"}, {"coin": "BTC", "walletBalance": "1"}]
    assert told("wallet", accountType="UNIFIED", coin=coins) == [BalanceUpdated(10_025_000_000, 0, SNAPSHOT, "", TIME)]
    assert told("wallet", accountType="UNIFIED", coin=coins[1:]) == []


@pytest.mark.parametrize(
    ("topic", "row"),
    [
        ("order", order(cumExecQty="0.021")),
        ("execution", execution(execQty="0")),
        ("execution", execution(execQty="900000000")),
        ("execution", execution(execPrice="-1")),
        ("position", position(size="900000000")),
    ],
)
def test_amounts_that_cannot_be_are_not_believed(topic: str, row: dict[str, Any]) -> None:
    with pytest.raises(UNREADABLE):
        told(topic, **row)


def test_other_symbols_and_topics_are_not_ours_to_act_on() -> None:
    assert told("order", **order(symbol="DOGEUSDT")) == []
    assert told("greeks", symbol="BTCUSDT") == []
    assert list(wire.account_events({"op": "auth", "success": True}, OURS)) == []


def test_of_a_stop_that_is_not_ours_only_the_name_is_read() -> None:
    assert wire.resting_stop(BTC, stop("Untriggered"), "rgabcde-") == RestingStop("rgabcde-stop", -1, 270_000, 20)
    foreign = stop("Untriggered", orderLinkId="", triggerPrice="odd", orderId="x")
    assert wire.resting_stop(BTC, foreign, "rgabcde-") == RestingStop("x", 0, 0, 0)


def test_an_instrument_is_read_from_its_rules_and_risk_limits() -> None:
    info = {
        "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading", "fundingInterval": 480,
        "priceFilter": {"tickSize": "0.10"}, "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001"},
    }  # fmt: skip
    tiers = [
        {"riskLimitValue": "2600000", "maintenanceMargin": "0.0056", "maxLeverage": "90.00"},
        {"riskLimitValue": "2000000", "maintenanceMargin": "0.005", "maxLeverage": "100.00"},
    ]
    read = wire.instrument_from(info, tiers)
    assert (read.trading, read.instrument.tick, read.instrument.min_notional) == (True, Decimal("0.1"), 5 * CASH)
    assert [(b.max_leverage, b.maintenance_bps) for b in read.instrument.brackets] == [(100, 50), (90, 56)]
    assert not wire.instrument_from(info | {"status": "Closed"}, tiers).trading
    with pytest.raises(UnreadablePayload, match="risk limits of BTCUSDT"):
        wire.instrument_from(info, [tiers[1] | {"maxLeverage": "0.5"}])


def test_a_timeframe_without_klines_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="no klines of 8h"):
        wire.interval("8h")


@pytest.mark.parametrize("venue", list(VENUES))
def test_our_client_ids_are_of_the_kind_that_the_exchange_takes(venue: str) -> None:
    made = client_id("deployment", TIME, "BTCUSDT", Purpose.ENTRY, 3)
    assert re.fullmatch(VENUES[venue].profile.client_id, made)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "0", "-1", "1e400", "NaN", "Infinity", "9" * 40, 2**70, "Buy", "Trade", "Funding", "Stop"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FRAMES = [
    frame("order", **order()),
    frame("order", **stop("Untriggered")),
    frame("execution", **execution()),
    frame("execution", **execution(execType="Funding")),
    frame("position", **position()),
    frame("wallet", accountType="UNIFIED", coin=[{"coin": "USDT", "walletBalance": "1"}]),
    frame(
        "kline.60.BTCUSDT",
        start=HOUR,
        end=HOUR + 3_599_999,
        open="1",
        high="2",
        low="1",
        close="2",
        volume="1",
        turnover="1",
        confirm=True,
    )
    | {"ts": HOUR + 3_600_000},
]


@given(st.sampled_from(FRAMES), st.data())
def test_whatever_stands_in_a_frame_it_is_read_refused_as_unreadable_or_nothing(
    sound: Any, data: st.DataObject
) -> None:
    odd = copy.deepcopy(sound)
    inside = data.draw(st.sampled_from([odd, odd["data"][0], *odd["data"][0].get("coin", [])]))
    name = data.draw(st.sampled_from(sorted(inside)))
    if data.draw(st.booleans()):
        del inside[name]
    else:
        inside[name] = data.draw(ODD)
    try:
        events = list(wire.account_events(odd, OURS))
        klines = list(wire.klines_in(odd))
    except UNREADABLE:
        return
    orjson.dumps(events)  # and what was read can be journaled
    assert all(k.candle.open_time == HOUR or k.candle.problem() or not k.closed for k in klines)
