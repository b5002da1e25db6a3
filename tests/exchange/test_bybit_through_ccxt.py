"""Unmodified ccxt.pro.bybit against the exchange that speaks Bybit v5, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import ccxt.pro
import pytest

from tests.local_exchange import PATIENCE, LocalExchange

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
H1_MS = 3_600_000
LINEAR = {"category": "linear"}
Start = Callable[..., LocalExchange]


@asynccontextmanager
async def trading(venue: LocalExchange, **config: Any) -> AsyncIterator[ccxt.pro.bybit]:
    """A client ready to trade, at isolated margin and leverage 5."""
    sockets = {
        "public": {"linear": f"{venue.ws_url}/public/linear"},
        "private": {"contract": f"{venue.ws_url}/private"},
    }
    settings: dict[str, Any] = {
        "apiKey": "local",
        "secret": "local",
        "urls": {"api": {"public": venue.url, "private": venue.url, "ws": sockets}},
        "has": {"fetchCurrencies": False},
        "options": {
            "defaultType": "swap",
            "fetchMarkets": {"types": ["linear"]},
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        },
    }
    client = ccxt.pro.bybit(settings | config)
    try:
        await client.load_markets()
        if not config:
            await client.set_margin_mode("isolated")
            for symbol in client.symbols:
                await client.set_leverage(5, symbol)
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def listening(venue: LocalExchange, client: ccxt.pro.bybit, *pairs: list[str]) -> AsyncIterator[list[Any]]:
    """Every raw frame the client receives, once its four private topics and its klines are told."""
    frames: list[Any] = []
    handle = client.handle_message

    def tap(connection: Any, message: Any) -> None:
        frames.append(message)
        handle(connection, message)

    client.handle_message = tap

    async def repeat(watch: Callable[[], Any]) -> None:
        while True:
            await watch()

    watches = [client.watch_orders, client.watch_my_trades, client.watch_positions, client.watch_balance]
    tasks = [asyncio.create_task(repeat(watch)) for watch in watches]
    tasks.append(asyncio.create_task(repeat(lambda: client.watch_ohlcv_for_symbols([list(p) for p in pairs]))))
    try:
        async with asyncio.timeout(30 * PATIENCE):
            while not (await asyncio.to_thread(venue.state))["listening"]:  # noqa: ASYNC110 (of another process)
                await asyncio.sleep(0.01)
        yield frames
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def told(frames: list[Any], topic: str) -> list[dict[str, Any]]:
    """Rows of a topic's frames, in order."""
    return [row for frame in frames if frame.get("topic") == topic for row in frame["data"]]


async def code(request: Any) -> int:
    """The retCode that a request is refused with."""
    with pytest.raises(ccxt.BaseError) as refused:
        await request
    text = str(refused.value)
    return int(text.split('"retCode":')[1].split(",")[0])


async def test_markets_tiers_and_funding_are_read_by_ccxt_as_the_exchange_has_them(exchange: Start) -> None:
    venue = exchange(venue="bybit", symbols="BTCUSDT,ETHUSDT", warmup=100, bars=10)
    async with trading(venue) as client:
        market = client.market(BTC)
        assert (market["id"], market["linear"], market["precision"]["price"]) == ("BTCUSDT", True, 0.01)
        tiers = await client.fetch_market_leverage_tiers(BTC)
        assert [tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]] == [125, 0.004]
        rates = await client.fetch_funding_rate_history(BTC, limit=3)
        assert [rate["timestamp"] % (8 * H1_MS) for rate in rates] == [0, 0, 0]
        assert (await client.fetch_ticker(BTC))["markPrice"] == float(venue.state()["prices"]["BTCUSDT"])


async def test_klines_come_newest_first_on_the_wire_and_end_with_the_live_bar(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=200, bars=10)
    async with trading(venue) as client:
        reply = await client.publicGetV5MarketKline(LINEAR | {"symbol": "BTCUSDT", "interval": "60", "limit": 3})
        opens = [int(row[0]) for row in reply["result"]["list"]]
        assert opens == [venue.ready["market_time"] - hours * H1_MS for hours in range(3)]
        since = venue.ready["market_time"] - 150 * H1_MS
        candles = await client.fetch_ohlcv(BTC, "1h", since=since, limit=5)
        assert [c[0] for c in candles] == [since + hours * H1_MS for hours in range(5)]
        assert await code(client.publicGetV5MarketKline(LINEAR | {"symbol": "BTCUSDT", "interval": "61"})) == 10001


async def test_every_closed_kline_is_told_once_with_confirm(exchange: Start) -> None:
    venue = exchange(venue="bybit", timeframe="30m", warmup=100, bars=80)
    async with trading(venue) as client, listening(venue, client, [BTC, "30m"], [BTC, "1h"]) as frames:
        await venue.turn(60)
        await asyncio.sleep(0.2)
        closed = [k["start"] for k in told(frames, "kline.30.BTCUSDT") if k["confirm"]]
        hours = [k["start"] for k in told(frames, "kline.60.BTCUSDT") if k["confirm"]]
    assert closed == [venue.ready["market_time"] + n * H1_MS // 2 for n in range(60)]
    assert len(hours) == 30


async def test_a_market_order_is_told_by_position_wallet_execution_and_order(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=10)
    async with trading(venue) as client, listening(venue, client, [BTC, "1h"]) as frames:
        made = await client.create_order(BTC, "market", "buy", 0.02, params={"clientOrderId": "rg-entry"})
        await asyncio.sleep(0.3)
        topics = [f["topic"] for f in frames if f.get("topic") in ("order", "execution", "position", "wallet")]
        assert topics == ["order", "position", "wallet", "execution", "order"]
        (fill,), state = told(frames, "execution"), venue.state()
        assert (fill["orderLinkId"], fill["execQty"], fill["execType"]) == ("rg-entry", "0.020", "Trade")
        assert told(frames, "wallet")[0]["coin"][0]["walletBalance"] == state["cash"]
        assert told(frames, "position")[0]["positionBalance"] == state["positions"]["BTCUSDT"]["margin"]
        assert [row["orderStatus"] for row in told(frames, "order")] == ["New", "Filled"]
        (trade,) = await client.fetch_my_trades(BTC)
        assert (trade["order"], trade["amount"], trade["fee"]["cost"]) == (made["id"], 0.02, float(fill["execFee"]))
        (position,) = await client.fetch_positions([BTC])
        assert (position["side"], position["contracts"], position["leverage"]) == ("long", 0.02, 5)
        assert (await client.fetch_balance())["USDT"]["total"] == pytest.approx(float(state["cash"]), abs=1e-6)


async def test_a_conditional_order_keeps_its_id_from_waiting_to_filled(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=200)
    async with trading(venue) as client, listening(venue, client, [BTC, "1h"]) as frames:
        await client.create_order(BTC, "market", "buy", 0.02)
        price = float(venue.state()["prices"]["BTCUSDT"])
        trigger = {"triggerPrice": round(price * 0.999, 2), "triggerDirection": "descending", "reduceOnly": True}
        made = await client.create_order(BTC, "market", "sell", 0.02, params=trigger | {"clientOrderId": "rg-stop"})
        (waiting,) = await client.fetch_open_orders(BTC, params={"trigger": True})
        assert (waiting["id"], waiting["triggerPrice"]) == (made["id"], trigger["triggerPrice"])
        for _ in range(150):
            await venue.turn(1)
            if not venue.state()["stops"]:
                break
        await asyncio.sleep(0.3)
        life = [row["orderStatus"] for row in told(frames, "order") if row["orderLinkId"] == "rg-stop"]
        assert life == ["Untriggered", "Triggered", "Filled"]
        fill = told(frames, "execution")[-1]
        assert (fill["orderId"], fill["orderLinkId"], fill["stopOrderType"]) == (made["id"], "rg-stop", "Stop")
        named = LINEAR | {"symbol": "BTCUSDT", "orderLinkId": "rg-stop"}
        (asked,) = (await client.privateGetV5OrderRealtime(named))["result"]["list"]
        assert (asked["orderId"], asked["orderStatus"], asked["cumExecQty"]) == (made["id"], "Filled", "0.020")


async def test_the_exchange_refuses_in_bybits_codes(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=10)
    async with trading(venue) as client:
        price = float(venue.state()["prices"]["BTCUSDT"])

        def order(**changes: Any) -> Any:
            body = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.02", "orderLinkId": "one"}
            return client.privatePostV5OrderCreate(LINEAR | body | changes)

        async def stop(side: str, direction: int, far: float) -> int:
            trigger = {"side": side, "triggerDirection": direction, "triggerPrice": f"{price * far:.2f}"}
            return await code(order(orderLinkId=f"{side}{direction}{far}", **trigger))

        await order()
        assert await code(order()) == 110072  # its id stays taken, though it is filled
        assert await code(order(orderLinkId="two", qty="1.5")) == 110007
        assert await code(order(orderLinkId="two", qty="0.0205")) == 10001
        assert await code(order(orderLinkId="two", side="Up")) == 10001
        assert await code(order(orderLinkId="two", reduceOnly=True)) == 110017
        assert await code(order(orderLinkId="two", positionIdx=1)) == 10001
        assert await code(order(orderLinkId="two", stopLoss="1")) == 10001  # would be dropped in silence otherwise
        assert (await stop("Buy", 1, 0.9), await stop("Sell", 2, 1.1)) == (110092, 110093)
        named = LINEAR | {"symbol": "BTCUSDT", "orderLinkId": "nobody"}
        assert await code(client.privatePostV5OrderCancel(named)) == 110001
        assert (await client.privateGetV5OrderRealtime(named))["result"]["list"] == []
        leverage = LINEAR | {"symbol": "BTCUSDT", "buyLeverage": "5", "sellLeverage": "5"}
        assert await code(client.privatePostV5PositionSetLeverage(leverage)) == 110043
        assert await code(client.privatePostV5PositionSwitchMode(LINEAR | {"symbol": "BTCUSDT", "mode": 0})) == 110025
        isolated = {"symbol": "BTCUSDT", "tradeMode": 1, "buyLeverage": "5", "sellLeverage": "5"}
        assert await code(client.privatePostV5PositionSwitchIsolated(LINEAR | isolated)) == 100028
        assert await code(client.publicGetV5MarketTickers({"category": "spot", "symbol": "BTCUSDT"})) == 10001


async def test_a_wrong_key_signature_and_date_are_refused_with_their_codes(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=10)
    for config, expected in (({"apiKey": "stranger"}, 10003), ({"secret": "wrong"}, 10004)):
        async with trading(venue, **config) as client:
            assert await code(client.privateGetV5AccountInfo()) == expected
            client.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True}
            with pytest.raises(ccxt.AuthenticationError):
                await client.watch_orders()
    async with trading(venue) as client:
        client.options["timeDifference"] = 60_000
        assert await code(client.privateGetV5AccountInfo()) == 10002


async def test_the_trading_stop_guards_the_position_and_refuses_what_is_not_simulated(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=200)
    async with trading(venue) as client:
        price = float(venue.state()["prices"]["BTCUSDT"])

        def set_stop(**changes: Any) -> Any:
            return client.privatePostV5PositionTradingStop(LINEAR | {"symbol": "BTCUSDT", "positionIdx": 0} | changes)

        assert await code(set_stop(stopLoss="1")) == 10001  # there is no position
        await client.create_order(BTC, "market", "sell", 0.02)
        assert await code(set_stop(stopLoss=f"{price * 0.99:.2f}")) == 10001  # on the wrong side
        assert await code(set_stop(trailingStop="10")) == 10001
        await set_stop(stopLoss=f"{price * 1.2:.2f}", slTriggerBy="MarkPrice")
        assert await code(set_stop(stopLoss=f"{price * 1.2:.2f}", slTriggerBy="MarkPrice")) == 34040
        await set_stop(stopLoss=f"{price * 1.001:.2f}", slTriggerBy="MarkPrice")  # the old one goes
        (only,) = venue.state()["stops"]
        (position,) = (await client.privateGetV5PositionList(LINEAR | {"symbol": "BTCUSDT"}))["result"]["list"]
        assert position["stopLoss"] == only["trigger"]
        for _ in range(150):
            await venue.turn(1)
            if not venue.state()["positions"]:
                break
        (trade,) = (await client.privateGetV5ExecutionList(LINEAR | {"symbol": "BTCUSDT", "limit": 1}))["result"][
            "list"
        ]
        assert (trade["stopOrderType"], trade["orderLinkId"], trade["side"]) == ("StopLoss", "", "Buy")
        await client.create_order(BTC, "market", "sell", 0.02)
        price = float(venue.state()["prices"]["BTCUSDT"])
        await set_stop(takeProfit=f"{price * 0.9:.2f}")
        await set_stop(takeProfit="0")
        assert venue.state()["stops"] == []


async def test_history_comes_in_pages_of_a_week_and_ends(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=400)
    async with trading(venue) as client:
        for number in range(7):
            side = "buy" if number % 2 == 0 else "sell"
            await client.create_order(BTC, "market", side, 0.02, params={"clientOrderId": f"n{number}"})
        query: dict[str, Any] = LINEAR | {"symbol": "BTCUSDT", "limit": 3}
        pages: list[list[str]] = []
        while True:
            result = (await client.privateGetV5ExecutionList(query))["result"]
            pages.append([row["orderLinkId"] for row in result["list"]])
            if not result["nextPageCursor"]:
                break
            query["cursor"] = result["nextPageCursor"]
        assert pages == [["n6", "n5", "n4"], ["n3", "n2", "n1"], ["n0"]]
        await venue.turn(24 * 8)
        assert (await client.privateGetV5ExecutionList(LINEAR | {"symbol": "BTCUSDT", "execType": "Trade"}))["result"][
            "list"
        ] == []
        funding = await client.privateGetV5ExecutionList(LINEAR | {"symbol": "BTCUSDT", "execType": "Funding"})
        assert len(funding["result"]["list"]) == 21  # thrice a day for a week
        span = {"startTime": venue.ready["market_time"], "endTime": venue.ready["market_time"] + 8 * 86_400_000}
        assert await code(client.privateGetV5ExecutionList(LINEAR | {"symbol": "BTCUSDT"} | span)) == 10001


async def test_key_account_and_movements_are_told_in_bybits_words(exchange: Start) -> None:
    venue = exchange(venue="bybit", warmup=100, bars=10)
    async with trading(venue) as client:
        key = (await client.privateGetV5UserQueryApi())["result"]
        assert (key["readOnly"], key["permissions"]["Wallet"], key["uta"]) == (0, [], 1)
        assert (await client.privateGetV5AccountInfo())["result"]["marginMode"] == "ISOLATED_MARGIN"
        await client.create_order(BTC, "market", "buy", 0.02)
        venue.hand("deposit", amount="250")
        log = (await client.privateGetV5AccountTransactionLog({"accountType": "UNIFIED"}))["result"]["list"]
        assert [(row["type"], row["symbol"]) for row in log] == [("TRANSFER_IN", ""), ("TRADE", "BTCUSDT")]
        assert (log[0]["change"], log[1]["fee"]) == ("250.00000000", venue.state()["fees"])
        await client.privatePostV5AccountSetMarginMode({"setMarginMode": "ISOLATED_MARGIN"})  # as it is already
