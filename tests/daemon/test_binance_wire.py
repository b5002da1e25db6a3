"""Binance's payloads as events; they are those of the exchange's documentation, recorded beside the checkout."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.events import BalanceUpdated, Filled, OrderStatus, OrderUpdated, PositionUpdated, StopUpdated
from daemon.venues.binance.wire import (
    holding,
    instrument_from,
    kline_frame,
    kline_row,
    resting_stop,
    stop_status,
    trade_row,
    user_event,
)
from daemon.venues.payloads import UnreadablePayload, units
from market.instruments import CASH, Instrument
from market.tiers import brackets

BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.01"), step=Decimal("0.001"))
DOGE = Instrument("DOGEUSDT", "DOGE", tick=Decimal("0.00001"), step=Decimal("1"))
OURS = {"BTCUSDT": BTC, "DOGEUSDT": DOGE}


@pytest.fixture
def recorded(shared: Path) -> Any:
    def read(name: str) -> Any:
        value = json.loads((shared / "fixtures" / "binance_usdm" / name).read_text())
        return value["data"] if isinstance(value, dict) and "data" in value else value

    return read


def test_a_fill_is_told_before_the_order_it_belongs_to(recorded: Any) -> None:
    frame = recorded("ws/order_update_trade.json")
    frame["o"]["s"] = "BTCUSDT"
    fill, order = user_event(frame, OURS)
    assert isinstance(fill, Filled)
    assert isinstance(order, OrderUpdated)
    assert fill.client_id == order.client_id == frame["o"]["c"]
    assert BTC.price_text(fill.price) == str(Decimal(frame["o"]["L"]).quantize(BTC.tick))
    assert order.filled == BTC.steps(frame["o"]["z"])


def test_an_order_that_was_only_accepted_fills_nothing(recorded: Any) -> None:
    frame = recorded("ws/order_update_new.json")
    frame["o"]["s"] = "BTCUSDT"
    (order,) = user_event(frame, OURS)
    assert isinstance(order, OrderUpdated)
    assert order.status is OrderStatus.ACCEPTED


def test_28_a_liquidation_is_an_execution_and_its_empty_closing_frame_is_none(recorded: Any) -> None:
    fill, _ = user_event(recorded("ws/ws_futures_order_update_liquidation.json"), OURS)
    assert isinstance(fill, Filled)
    assert (fill.client_id[:10], fill.side, fill.quantity, fill.fee) == ("autoclose-", -1, 100, 5 * CASH)
    (order,) = user_event(recorded("ws/ws_futures_order_update_liquidation_zero_qty.json"), OURS)
    assert isinstance(order, OrderUpdated)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ws_futures_algo_update_triggering", OrderStatus.TRIGGERING),
        ("ws_futures_algo_update_triggered", OrderStatus.TRIGGERED),
        ("ws_futures_algo_update_finished", OrderStatus.FILLED),
        ("ws_futures_algo_update_finished_canceled", OrderStatus.EXPIRED),
    ],
)
def test_a_stops_life_is_told_in_our_words(recorded: Any, name: str, status: OrderStatus) -> None:
    frame = recorded(f"ws/{name}.json")
    instruments = {frame["o"]["s"]: DOGE if frame["o"]["s"].startswith("DOGE") else BTC}
    (stop,) = user_event(frame, instruments)
    assert isinstance(stop, StopUpdated)
    assert (stop.status, stop.read_back) == (status, False)


def test_an_account_frame_tells_wallet_and_the_one_way_position(recorded: Any) -> None:
    wallet, position = user_event(recorded("ws/account_update.json"), OURS)
    assert wallet == BalanceUpdated(units("122624.12345678"), units("50.12345678"), "ORDER", "BTCUSDT", 1564745798939)
    assert position == PositionUpdated("BTCUSDT", 0, 0, "ORDER")


def test_other_assets_and_symbols_are_not_ours_to_act_on(recorded: Any) -> None:
    assert list(user_event(recorded("ws/account_update_bnfcr.json"), OURS)) == []
    assert list(user_event(recorded("ws/algo_update_new.json"), OURS)) == []  # BNBUSDT


def test_a_kline_frame_carries_the_closed_flag(recorded: Any) -> None:
    closed, forming = recorded("ws/kline_stream_closed.json"), recorded("ws/kline_stream_open.json")
    assert not kline_frame(closed).closed, "07: made before the candle's end, as the documentation's example is"
    closed["E"] = closed["k"]["T"] + 1
    assert (kline_frame(closed).closed, kline_frame(forming).closed) == (True, False)
    assert kline_frame(closed).candle.problem() is None


def test_a_kline_row_keeps_the_taker_flow(recorded: Any) -> None:
    row = recorded("http/http_futures_market_klines.json")[0]
    row[6] = row[0] + 3_599_999  # the documentation's example spans a week, which the daemon never asks for
    candle = kline_row(row, "1h")
    assert (candle.open_time, candle.taker_base, candle.taker_quote) == (row[0], float(row[9]), float(row[10]))


def test_what_the_exchange_does_not_know_is_not_zero() -> None:
    row = [0, "1", "1", "1", "1", "1", 59_999, None, None, None, None, "0"]
    candle = kline_row(row, "1m")
    assert math.isnan(candle.trades)
    assert math.isnan(candle.taker_base)


def test_an_instrument_is_read_from_the_exchanges_rules(recorded: Any) -> None:
    info = next(
        s for s in recorded("http/http_futures_market_exchange_info.json")["symbols"] if s["symbol"] == "BTCUSDT"
    )
    first = {"notionalFloor": 0, "notionalCap": 50000, "initialLeverage": 125, "maintMarginRatio": 0.004, "cum": 0.0}
    second = {
        "notionalFloor": 50000,
        "notionalCap": 6e5,
        "initialLeverage": 100,
        "maintMarginRatio": 0.005,
        "cum": 50.0,
    }
    read = instrument_from(info, {"brackets": [second, first]})
    assert (read.symbol, read.base, read.max_leverage) == ("BTCUSDT", "BTC", 125)
    assert read.brackets == brackets((50_000 * CASH, 125, 40), (600_000 * CASH, 100, 50))
    with pytest.raises(UnreadablePayload, match="leverage brackets"):
        instrument_from(info, {"brackets": [second]})
    assert read.min_notional >= 5 * CASH
    assert "E" not in read.price_text(1_000_000)


def test_open_stops_and_trades_are_read_from_their_rows(recorded: Any) -> None:
    (row,) = recorded("http/open_algo_orders.json")
    assert (resting_stop(BTC, row).trigger, resting_stop(BTC, row).quantity) == (4_500_000, 1)
    trade = recorded("http/http_futures_account_trades.json")[0]
    fill = trade_row(Instrument("ETHUSDT", "ETH"), trade, "mine")
    assert (fill.client_id, fill.quantity, fill.fee) == ("mine", 5, units(trade["commission"]))


@pytest.mark.parametrize("word", ["", "HELD", "new"])
def test_a_status_that_is_not_known_is_not_guessed(word: str) -> None:
    with pytest.raises(UnreadablePayload, match="order status"):
        stop_status(word, "0")


def test_a_position_that_cost_nothing_is_not_believed() -> None:
    row = {
        "symbol": "BTCUSDT",
        "positionAmt": "0.010",
        "entryPrice": "0.0",
        "markPrice": "30000",
        "isolatedWallet": "15",
    }
    with pytest.raises(UnreadablePayload, match="entered at"):
        holding(BTC, row)
