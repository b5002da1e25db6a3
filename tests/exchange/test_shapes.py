"""Replies and frames have the shape of recorded ones: every recorded field is there, of the recorded type."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from market.catalogue import instrument
from market.exchange.account import Costs
from market.exchange.binance import frames
from market.exchange.binance.params import Params
from market.exchange.binance.rest import ROUTES
from market.exchange.binance.signing import Gate
from market.exchange.depth import Depth, Rest
from market.exchange.fee_coin import FeeCoin
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.instruments import CASH, cash
from market.synthetic import generate
from market.timeframes import Timeframe

NOW = 1_700_000_000_000
Recorded = Callable[[str], Any]


@pytest.fixture
def recorded(shared: Path) -> Recorded:
    def read(name: str) -> Any:
        message = json.loads((shared / "fixtures" / "binance_usdm" / name).read_text())
        return message["data"] if isinstance(message, dict) and "stream" in message else message

    return read


@pytest.fixture
def venue() -> Venue:
    candles, funding = generate("BTCUSDT", bars=300, timeframe=Timeframe.parse("1h"), seed=1)
    history = (instrument("BTCUSDT"), candles, funding)
    venue = Venue.replaying(
        [history], start=int(candles.open_time[100]), bars=None, cash=cash(10_000), costs=Costs(), wall_ms=lambda: NOW
    )
    ask(venue, "POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    for _ in range(30):
        venue.replay.turn()
    venue.drain()
    return venue


def ask(venue: Venue, method: str, path: str, **params: str) -> Any:
    """A reply as it would be read from the wire."""
    _, answer = ROUTES[method, path]
    return json.loads(orjson.dumps(answer(venue, Params(params, venue.engine.instruments))))


def buy(venue: Venue, **params: str) -> Any:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1", "newOrderRespType": "RESULT"}
    return ask(venue, "POST", "/fapi/v1/order", **order | params)


def guard(venue: Venue, share: float = 0.99, **params: str) -> Any:
    price = instrument("BTCUSDT").price_text(int(venue.engine.prices["BTCUSDT"] * share))
    order = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "algoType": "CONDITIONAL",
        "triggerPrice": price,
    }
    return ask(venue, "POST", "/fapi/v1/algoOrder", **order | {"quantity": "0.1", "reduceOnly": "true"} | params)


def told(venue: Venue) -> list[dict[str, Any]]:
    return [json.loads(orjson.dumps(frames.event(venue.engine.instruments, event))) for event in venue.engine.drain()]


def differences(mine: Any, theirs: Any, where: str = "", absent: tuple[str, ...] = ()) -> list[str]:
    """Fields of `theirs` that `mine` lacks or types otherwise; lists are compared by their first rows."""
    if isinstance(theirs, dict):
        if not isinstance(mine, dict):
            return [f"{where}: {type(mine).__name__} in place of an object"]
        found = []
        for name, value in theirs.items():
            if name in absent:
                continue
            place = f"{where}.{name}"
            found += differences(mine[name], value, place, absent) if name in mine else [f"{place}: absent"]
        return found
    if isinstance(theirs, list) and isinstance(mine, list):
        return differences(mine[0], theirs[0], f"{where}[0]", absent) if theirs and mine else []
    if theirs is not None and type(mine) is not type(theirs):
        return [f"{where}: {mine!r} in place of {theirs!r}"]
    return []


SETTINGS = ("leverage", "maxNotionalValue", "marginType", "isAutoAddMargin")
"""What the recorded v2 reply still had and v3 leaves to symbolConfig."""


@pytest.mark.parametrize(
    ("path", "name", "absent"),
    [
        ("/fapi/v3/account", "http/account_info_v2.json", ("positions",)),
        ("/fapi/v3/balance", "http/balance.json", ()),
        ("/fapi/v3/positionRisk", "http/position_risk.json", SETTINGS),
        ("/fapi/v1/symbolConfig", "http/http_futures_account_symbol_config.json", ()),
        ("/fapi/v1/positionSide/dual", "http/http_futures_account_position_side_dual.json", ()),
        ("/fapi/v1/userTrades", "http/http_futures_account_trades.json", ()),
        ("/fapi/v1/commissionRate", "http/http_futures_wallet_commission_rate_btcusdt.json", ()),
        ("/fapi/v1/premiumIndex", "http/http_futures_market_premium_index.json", ()),
        ("/fapi/v1/fundingRate", "http/http_futures_market_funding_rate.json", ()),
        ("/fapi/v1/ticker/price", "http/http_futures_market_ticker_price.json", ()),
        ("/fapi/v1/ticker/bookTicker", "http/http_futures_market_book_ticker.json", ()),
        ("/fapi/v1/ticker/24hr", "http/http_futures_market_ticker_24hr.json", ()),
        ("/fapi/v1/openAlgoOrders", "http/open_algo_orders.json", ()),
    ],
)
def test_a_reply_has_the_recorded_fields(
    venue: Venue, recorded: Recorded, path: str, name: str, absent: tuple[str, ...]
) -> None:
    buy(venue)
    guard(venue)
    assert differences(ask(venue, "GET", path, symbol="BTCUSDT"), recorded(name), absent=absent) == []


def test_exchange_info_has_the_recorded_fields(venue: Venue, recorded: Recorded) -> None:
    mine, theirs = ask(venue, "GET", "/fapi/v1/exchangeInfo"), recorded("http/http_futures_market_exchange_info.json")
    # settlePlan is gone from the live reply; the price band does not bind a replay
    assert differences(mine, theirs, absent=("settlePlan",)) == []
    kinds = {entry["filterType"] for entry in theirs["symbols"][0]["filters"]} - {"PERCENT_PRICE"}
    assert {entry["filterType"] for entry in mine["symbols"][0]["filters"]} == kinds


def test_klines_have_the_recorded_row(venue: Venue, recorded: Recorded) -> None:
    rows = ask(venue, "GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h")
    (theirs,) = recorded("http/http_futures_market_klines.json")
    assert [type(value) for value in rows[0]] == [type(value) for value in theirs[:11]] + [str]


def test_order_replies_have_the_recorded_fields(venue: Venue, recorded: Recorded) -> None:
    assert differences(buy(venue), recorded("http/order_response.json")) == []
    rows = ask(venue, "GET", "/fapi/v1/allOrders", symbol="BTCUSDT")
    # of trailing orders, which the exchange does not offer
    trailing = ("activatePrice", "priceRate")
    assert differences(rows, recorded("http/http_futures_account_orders.json"), absent=trailing) == []


def test_user_stream_frames_have_the_recorded_fields(venue: Venue, recorded: Recorded) -> None:
    buy(venue)
    guard(venue, 0.9999)
    while venue.engine.ledger.positions:
        venue.replay.turn()
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for frame in told(venue):
        seen[frame["e"], frame["o"]["X"] if "o" in frame else frame["a"]["m"]] = frame
    pairs = {
        ("ACCOUNT_UPDATE", "ORDER"): "ws/account_update.json",
        ("ORDER_TRADE_UPDATE", "NEW"): "ws/order_update_new.json",
        ("ORDER_TRADE_UPDATE", "FILLED"): "ws/order_update_trade.json",
        ("ALGO_UPDATE", "NEW"): "ws/algo_update_new.json",
        ("ALGO_UPDATE", "TRIGGERING"): "ws/ws_futures_algo_update_triggering.json",
        ("ALGO_UPDATE", "TRIGGERED"): "ws/ws_futures_algo_update_triggered.json",
        ("ALGO_UPDATE", "FINISHED"): "ws/ws_futures_algo_update_finished.json",
    }
    for key, name in pairs.items():
        assert differences(seen[key], recorded(name)) == [], name


def test_a_part_of_an_order_is_told_as_recorded(venue: Venue, recorded: Recorded) -> None:
    venue.engine.depth = Depth.parse("0.06", Rest.PRICE)
    assert buy(venue)["status"] == "PARTIALLY_FILLED"
    frame = told(venue)[-1]
    assert differences(frame, recorded("ws/order_update_trade_partial.json")) == []
    assert (frame["o"]["x"], frame["o"]["X"]) == ("TRADE", "PARTIALLY_FILLED")
    assert 0 < float(frame["o"]["l"]) == float(frame["o"]["z"]) < 0.1


def test_a_fee_in_another_coin_is_told_with_its_wallet(venue: Venue) -> None:
    venue.engine.fee_coin = FeeCoin.opened_with("BNB", 600 * CASH, CASH)
    buy(venue)
    account, order = told(venue)[-2:]
    assert order["o"]["N"] == "BNB"
    wallets = {balance["a"]: balance["wb"] for balance in account["a"]["B"]}
    assert wallets["USDT"] == "10000.00000000"
    assert float(wallets["BNB"]) == pytest.approx(1 - float(order["o"]["n"]))
    assert [asset["asset"] for asset in ask(venue, "GET", "/fapi/v3/account")["assets"]] == ["USDT", "BNB"]
    (trade,) = ask(venue, "GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
    assert (trade["commissionAsset"], trade["commission"]) == ("BNB", order["o"]["n"])


def test_a_liquidation_has_the_recorded_fields(venue: Venue, recorded: Recorded) -> None:
    buy(venue)
    venue.engine.visit("BTCUSDT", 1, venue.engine.time + 1)
    frame = told(venue)[-1]
    assert differences(frame, recorded("ws/order_update_calculated.json")) == []
    assert (frame["o"]["x"], frame["o"]["c"][:10]) == ("CALCULATED", "autoclose-")


@pytest.mark.parametrize(
    ("name", "closed"), [("ws/kline_stream_open.json", False), ("ws/kline_stream_closed.json", True)]
)
def test_kline_frames_have_the_recorded_fields(venue: Venue, recorded: Recorded, name: str, closed: bool) -> None:
    venue.replay.turn()
    wanted = {("BTCUSDT", Timeframe.parse("1h"))}
    (kline,) = venue.replay.closing(wanted) if closed else venue.replay.forming(wanted)
    frame = json.loads(orjson.dumps(frames.kline(instrument("BTCUSDT"), kline, venue.replay.time)))
    assert differences(frame, recorded(name)) == []
    assert frame["k"]["x"] is closed


def test_recorded_kline_messages_of_the_live_exchange_have_no_field_that_ours_lack(venue: Venue, shared: Path) -> None:
    (kline,) = venue.replay.forming({("BTCUSDT", Timeframe.parse("1h"))})
    frame = json.loads(orjson.dumps(frames.kline(instrument("BTCUSDT"), kline, venue.replay.time)))
    for line in (shared / "fixtures" / "binance_ws_kline_messages.jsonl").read_text().splitlines():
        message = json.loads(line)["msg"]
        if "futures" in json.loads(line)["file"].lower():
            assert differences(frame, message.get("data", message)) == []


def test_an_acknowledged_market_order_is_new_and_a_result_is_filled(venue: Venue) -> None:
    assert buy(venue, newOrderRespType="ACK")["status"] == "NEW"
    assert buy(venue, newOrderRespType="RESULT")["status"] == "FILLED"


def test_an_entry_price_gives_its_cost_back_exactly(venue: Venue) -> None:
    buy(venue, quantity="0.101")
    venue.engine.visit("BTCUSDT", venue.engine.prices["BTCUSDT"] + 17, venue.engine.time + 1)
    buy(venue, quantity="0.037")
    (row,) = ask(venue, "GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    cost = venue.engine.ledger.positions["BTCUSDT"].cost
    assert round(float(row["entryPrice"]) * float(row["positionAmt"]) * 1e8) == cost


def test_what_the_history_does_not_know_is_null_on_the_wire(venue: Venue) -> None:
    (kline,) = venue.replay.forming({("BTCUSDT", Timeframe.parse("1h"))})
    unknown = replace(kline, taker_base=float("nan"), trades=float("nan"))
    frame = json.loads(orjson.dumps(frames.kline(instrument("BTCUSDT"), unknown, 0)))
    assert frame["k"]["V"] is None
    assert frame["k"]["n"] is None


def code_of(deed: Callable[[], object]) -> Code:
    with pytest.raises(Refusal) as caught:
        deed()
    return caught.value.code


def test_malformed_requests_are_refused_by_their_codes(venue: Venue) -> None:
    assert code_of(lambda: buy(venue, symbol="NOPE")) is Code.BAD_SYMBOL
    assert code_of(lambda: buy(venue, quantity="0.0001")) is Code.TOO_PRECISE
    assert code_of(lambda: buy(venue, quantity="many")) is Code.MISSING_PARAMETER
    assert code_of(lambda: buy(venue, quantity="")) is Code.MISSING_PARAMETER
    assert code_of(lambda: buy(venue, side="HOLD")) is Code.BAD_SIDE
    assert code_of(lambda: buy(venue, type="HOPE")) is Code.BAD_ORDER_TYPE
    assert code_of(lambda: buy(venue, type="STOP_MARKET")) is Code.USE_ALGO_ENDPOINT
    assert code_of(lambda: buy(venue, type="LIMIT", price="1")) is Code.MISSING_PARAMETER
    assert code_of(lambda: buy(venue, type="LIMIT", price="1", timeInForce="GTD")) is Code.BAD_TIME_IN_FORCE
    assert code_of(lambda: buy(venue, reduceOnly="perhaps")) is Code.BAD_PARAMETER
    assert code_of(lambda: buy(venue, positionSide="LONG")) is Code.WRONG_POSITION_SIDE
    assert code_of(lambda: guard(venue, closePosition="true")) is Code.UNWANTED_PARAMETER
    assert code_of(lambda: guard(venue, algoType="")) is Code.MISSING_PARAMETER
    trailing = {"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}
    assert code_of(lambda: guard(venue, **trailing)) is Code.BAD_ORDER_TYPE
    assert code_of(lambda: guard(venue, **trailing | {"callbackRate": "11"})) is Code.BAD_CALLBACK_RATE
    assert code_of(lambda: guard(venue, **trailing | {"callbackRate": ""})) is Code.MISSING_PARAMETER
    assert code_of(lambda: guard(venue, **trailing, closePosition="true")) is Code.BAD_STRATEGY
    assert code_of(lambda: guard(venue, type="STOP")) is Code.BAD_ORDER_TYPE
    assert code_of(lambda: buy(venue, type="TRAILING_STOP_MARKET")) is Code.USE_ALGO_ENDPOINT
    klines = "/fapi/v1/klines"
    assert code_of(lambda: ask(venue, "GET", klines, symbol="BTCUSDT", interval="7m")) is Code.BAD_INTERVAL
    assert code_of(lambda: ask(venue, "GET", klines, symbol="BTCUSDT", interval="15m")) is Code.BAD_INTERVAL
    assert code_of(lambda: ask(venue, "GET", klines, symbol="BTCUSDT")) is Code.MISSING_PARAMETER
    assert code_of(lambda: ask(venue, "GET", "/fapi/v1/order", symbol="BTCUSDT")) is Code.MISSING_PARAMETER


def signed(secret: str = "local", **params: object) -> str:
    query = urlencode(params)
    return f"{query}&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"


def test_a_signature_covers_everything_before_it() -> None:
    gate = Gate({"local": "local"})
    query = signed(symbol="BTCUSDT", note="a b&c=ü", timestamp=NOW)
    assert gate.check("local", query, "", NOW)["note"] == "a b&c=ü"
    assert gate.check("local", "", query, NOW)["symbol"] == "BTCUSDT"
    assert code_of(lambda: gate.check("local", query.replace("BTC", "ETH"), "", NOW)) is Code.BAD_SIGNATURE
    assert code_of(lambda: gate.check("nobody", query, "", NOW)) is Code.BAD_API_KEY
    assert code_of(lambda: gate.check("local", "symbol=BTCUSDT", "", NOW)) is Code.MISSING_PARAMETER


@pytest.mark.parametrize(("late", "accepted"), [(-1_001, False), (-1_000, True), (5_000, True), (5_001, False)])
def test_a_request_is_taken_within_its_window(late: int, accepted: bool) -> None:
    gate, query = Gate({"local": "local"}), signed(timestamp=NOW)
    if accepted:
        gate.check("local", query, "", NOW + late)
    else:
        assert code_of(lambda: gate.check("local", query, "", NOW + late)) is Code.CLOCK_SKEW


def test_server_time_is_the_wall_clock_and_not_the_markets(venue: Venue) -> None:
    assert ask(venue, "GET", "/fapi/v1/time") == {"serverTime": NOW}
    assert ask(venue, "GET", "/fapi/v1/premiumIndex", symbol="BTCUSDT")["time"] == venue.replay.time != NOW
