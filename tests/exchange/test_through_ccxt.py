"""Unmodified ccxt.pro against the exchange, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import ccxt
import ccxt.pro
import pytest

from tests.local_exchange import PATIENCE, LocalExchange

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
H1_MS = 3_600_000
Start = Callable[..., LocalExchange]


@asynccontextmanager
async def trading(venue: LocalExchange, **config: Any) -> AsyncIterator[ccxt.pro.binanceusdm]:
    """A client ready to trade BTC and ETH at isolated margin and leverage 5."""
    client = venue.ccxt(**config)
    try:
        await client.load_markets()
        for symbol in client.symbols:
            await client.set_margin_mode("isolated", symbol)
            await client.set_leverage(5, symbol)
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def listening(
    venue: LocalExchange, client: ccxt.pro.binanceusdm, *klines: tuple[str, str]
) -> AsyncIterator[list[dict[str, Any]]]:
    """Every raw frame the client receives, once its user stream and kline streams are open."""
    frames: list[dict[str, Any]] = []
    handle = client.handle_message

    def tap(connection: Any, message: dict[str, Any]) -> None:
        frames.append(message)
        handle(connection, message)

    client.handle_message = tap

    async def repeat(watch: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        while True:
            await watch()

    watches: list[Callable[[], Coroutine[Any, Any, Any]]] = [client.watch_orders]
    if klines:
        watches.append(lambda: client.watch_ohlcv_for_symbols([list(pair) for pair in klines]))
    tasks = [asyncio.create_task(repeat(watch)) for watch in watches]
    try:
        wanted = {f"{client.market(symbol)['id'].lower()}@kline_{timeframe}" for symbol, timeframe in klines}

        async def heard() -> bool:
            now = await state(venue)
            return wanted <= set(now["subscriptions"]) and now["user_streams"] > 0

        await until(heard, "have the streams open")
        yield frames
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def state(venue: LocalExchange) -> dict[str, Any]:
    return await asyncio.to_thread(venue.state)


async def until(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again until it is so."""
    for _ in range(int(3_000 * PATIENCE)):
        if await check():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"gave up waiting to {what}")


async def settled(frames: list[dict[str, Any]], last: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until a frame like `last` has come."""

    async def came() -> bool:
        return any(last(frame) for frame in frames)

    await until(came, "see the last frame")


def kline(frame: dict[str, Any]) -> tuple[str, str, int, bool] | None:
    k = frame.get("k")
    return (frame["s"], k["i"], k["t"], k["x"]) if k else None


async def test_markets_carry_the_grid_and_the_limits(exchange: Start) -> None:
    client = exchange(symbols="BTCUSDT,ETHUSDT", bars=50).ccxt()
    try:
        markets = await client.load_markets()
        assert set(markets) == {BTC, ETH}
        assert markets[BTC]["precision"] | {"base": 0, "quote": 0} == {
            "amount": 0.001,
            "price": 0.01,
            "base": 0,
            "quote": 0,
        }
        assert markets[BTC]["limits"]["cost"]["min"] == 100
        assert markets[BTC]["swap"]
        assert markets[BTC]["linear"]
    finally:
        await client.close()


async def test_klines_over_rest_end_with_the_live_bar(exchange: Start) -> None:
    venue = exchange(timeframe="15m", warmup=200, bars=50)
    client = venue.ccxt()
    try:
        await client.load_markets()
        await venue.turn(6)
        now = (await state(venue))["market_time"]
        candles = await client.fetch_ohlcv(BTC, "15m", limit=5)
        assert [c[0] for c in candles] == [now - i * 900_000 for i in (4, 3, 2, 1, 0)]
        hours = await client.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "1h", "limit": 2})
        assert [len(row) for row in hours] == [12, 12]
        assert int(hours[-1][0]) == now - now % H1_MS
        quarters = [c for c in candles if c[0] >= int(hours[-1][0])]
        assert float(hours[-1][2]) == max(c[2] for c in quarters)
        assert float(hours[-1][4]) == candles[-1][4]
    finally:
        await client.close()


async def test_leverage_and_margin_mode_are_set_and_read_back(exchange: Start) -> None:
    async with trading(exchange(bars=20)) as client:
        await client.set_leverage(7, BTC)
        read = await client.fetch_leverages([BTC])
        assert (read[BTC]["longLeverage"], read[BTC]["marginMode"]) == (7, "isolated")
        with pytest.raises(ccxt.OperationRejected, match="-4046"):
            await client.fapiPrivatePostMarginType({"symbol": "BTCUSDT", "marginType": "ISOLATED"})
        with pytest.raises(ccxt.OperationRejected, match="-4059"):
            await client.set_position_mode(False)


async def test_a_market_order_fills_and_shows_in_position_balance_and_trades(exchange: Start) -> None:
    venue = exchange(bars=20)
    async with trading(venue) as client:
        order = await client.create_order(BTC, "market", "buy", 0.1, None, {"newClientOrderId": "entry-1"})
        assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.1, "entry-1")
        (position,) = await client.fetch_positions([BTC])
        assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.1, "isolated")
        assert position["entryPrice"] == order["average"]
        assert position["liquidationPrice"] < order["average"]
        (trade,) = await client.fetch_my_trades(BTC)
        assert trade["order"] == order["id"]
        assert trade["fee"]["cost"] == pytest.approx(order["cost"] * 0.0005, abs=2e-8)
        balance = await client.fetch_balance()
        assert balance["USDT"]["free"] == pytest.approx(10_000 - trade["fee"]["cost"] - order["cost"] / 5, abs=1e-7)
        found = await client.fetch_order(None, BTC, {"origClientOrderId": "entry-1"})
        assert found["id"] == order["id"]


async def test_a_stop_is_placed_listed_triggered_and_told_of_in_order(exchange: Start) -> None:
    venue = exchange(bars=400, seed=5)
    async with trading(venue) as client, listening(venue, client, (BTC, "1h")) as frames:
        entry = await client.create_order(BTC, "market", "buy", 0.1, None, {"newClientOrderId": "entry"})
        trigger = float(client.price_to_precision(BTC, entry["average"] * 0.998))
        params = {"stopLossPrice": trigger, "reduceOnly": True, "clientOrderId": "guard"}
        placed = await client.create_order(BTC, "market", "sell", 0.1, None, params)
        assert await client.fetch_open_orders(BTC) == []
        (listed,) = await client.fetch_open_orders(BTC, params={"trigger": True})
        assert (listed["id"], listed["clientOrderId"], listed["triggerPrice"]) == (placed["id"], "guard", trigger)
        await settled(frames, lambda f: f.get("e") == "ALGO_UPDATE" and f["o"]["X"] == "NEW")
        frames.clear()
        while (await state(venue))["positions"]:
            await venue.turn()
        await settled(frames, lambda f: f.get("e") == "ALGO_UPDATE" and f["o"]["X"] == "FINISHED")
        told = [(f["e"], f["o"].get("X", "")) for f in frames if f["e"] in ("ALGO_UPDATE", "ORDER_TRADE_UPDATE")]
        assert told == [
            ("ALGO_UPDATE", "TRIGGERING"),
            ("ALGO_UPDATE", "TRIGGERED"),
            ("ORDER_TRADE_UPDATE", "NEW"),
            ("ORDER_TRADE_UPDATE", "FILLED"),
            ("ALGO_UPDATE", "FINISHED"),
        ]
        spawned = next(f["o"] for f in frames if f["e"] == "ORDER_TRADE_UPDATE" and f["o"]["X"] == "FILLED")
        triggered = next(f["o"] for f in frames if f["e"] == "ALGO_UPDATE" and f["o"]["X"] == "TRIGGERED")
        assert (spawned["c"], str(spawned["i"])) == ("guard", triggered["ai"])
        assert await client.fetch_open_orders(BTC, params={"trigger": True}) == []


async def test_a_stop_is_cancelled_only_when_named_a_trigger_order(exchange: Start) -> None:
    venue = exchange(bars=20)
    async with trading(venue) as client:
        entry = await client.create_order(BTC, "market", "buy", 0.1)
        params = {"stopLossPrice": round(entry["average"] * 0.9, 2), "reduceOnly": True}
        placed = await client.create_order(BTC, "market", "sell", 0.1, None, params)
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(placed["id"], BTC)
        await client.cancel_all_orders(BTC)
        assert len((await state(venue))["stops"]) == 1
        await client.cancel_order(placed["id"], BTC, {"trigger": True})
        assert (await state(venue))["stops"] == []


async def test_error_codes_arrive_as_the_exceptions_ccxt_has_for_them(exchange: Start) -> None:
    venue = exchange(bars=20, cash="1000")
    async with trading(venue) as client:
        price = float((await client.fapiPublicGetTickerPrice({"symbol": "BTCUSDT"}))["price"])

        async def refused(kind: type[ccxt.BaseError], code: int, call: Coroutine[Any, Any, Any]) -> None:
            with pytest.raises(kind, match=f'"code":{code}'):
                await call

        def order(amount: float = 0.01, side: str = "buy", **params: Any) -> Coroutine[Any, Any, Any]:
            return client.create_order(BTC, "market", side, amount, None, params)

        raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
        await refused(ccxt.InsufficientFunds, -2019, order(5_000 * 3 / price))
        await refused(ccxt.InvalidOrder, -4164, order(0.001))
        await refused(ccxt.InvalidOrder, -2022, order(side="sell", reduceOnly=True))
        await refused(ccxt.OrderImmediatelyFillable, -2021, order(side="sell", stopLossPrice=price, reduceOnly=True))
        await refused(ccxt.OrderNotFound, -2013, client.fetch_order("1", BTC))
        await refused(ccxt.OrderNotFound, -2011, client.cancel_order("1", BTC))
        await refused(ccxt.InvalidOrder, -4120, client.fapiPrivatePostOrder(raw | {"type": "STOP_MARKET"}))
        await refused(ccxt.BadRequest, -1111, client.fapiPrivatePostOrder(raw | {"quantity": "0.0001"}))
        await refused(ccxt.BadRequest, -1102, client.fapiPrivatePostOrder(raw))
        await refused(ccxt.BadSymbol, -1121, client.fapiPrivatePostOrder(raw | {"symbol": "NOPEUSDT"}))
        await refused(ccxt.OperationRejected, -4061, order(0.02, positionSide="LONG"))
        await client.create_order(BTC, "limit", "buy", 0.02, round(price * 0.8, 2), {"newClientOrderId": "twice"})
        await refused(ccxt.InvalidOrder, -4116, order(0.02, newClientOrderId="twice"))
        await order(0.02)
        await refused(ccxt.ExchangeError, -4161, client.set_leverage(4, BTC))


async def test_wrong_keys_signatures_and_clocks_are_refused(exchange: Start) -> None:
    venue = exchange(bars=20)
    wrong = [
        ({"apiKey": "nobody"}, ccxt.AuthenticationError, -2015),
        ({"secret": "wrong"}, ccxt.AuthenticationError, -1022),
    ]
    for config, kind, code in wrong:
        client = venue.ccxt(**config)
        try:
            with pytest.raises(kind, match=f'"code":{code}'):
                await client.fapiPrivateV3GetAccount()
        finally:
            await client.close()
    client = venue.ccxt()
    try:
        client.nonce = lambda: client.milliseconds() - 60_000
        with pytest.raises(ccxt.InvalidNonce, match='"code":-1021'):
            await client.fapiPrivateV3GetAccount()
    finally:
        await client.close()


async def test_an_advance_tells_the_account_first_then_closed_klines_then_forming_ones(exchange: Start) -> None:
    venue = exchange(symbols="BTCUSDT,ETHUSDT", timeframe="30m", warmup=201, bars=300, seed=2)
    streams = [(symbol, timeframe) for symbol in (BTC, ETH) for timeframe in ("1h", "30m")]
    async with trading(venue) as client, listening(venue, client, *streams) as frames:
        for symbol in (BTC, ETH):
            await client.create_order(symbol, "market", "buy", 0.1)
            price = float((await client.fetch_positions([symbol]))[0]["entryPrice"])
            params = {"stopLossPrice": round(price * 0.999, 2), "reduceOnly": True}
            await client.create_order(symbol, "market", "sell", 0.1, None, params)
        opened = (await state(venue))["market_time"]
        hour = opened - opened % H1_MS
        assert opened - hour == 1_800_000  # the bar that closes ends its hour, too
        await settled(frames, lambda f: f.get("e") == "ALGO_UPDATE" and f["o"]["s"] == "ETHUSDT")
        frames.clear()
        turned = await venue.turn()
        now = turned["market_time"]
        await settled(frames, lambda f: kline(f) == ("ETHUSDT", "1h", now, False))
        klines = [kline(frame) for frame in frames if kline(frame)]
        assert klines == [
            ("BTCUSDT", "30m", opened, True),
            ("ETHUSDT", "30m", opened, True),
            ("BTCUSDT", "1h", hour, True),
            ("ETHUSDT", "1h", hour, True),
            ("BTCUSDT", "30m", now, False),
            ("ETHUSDT", "30m", now, False),
            ("BTCUSDT", "1h", now, False),
            ("ETHUSDT", "1h", now, False),
        ]
        first_kline = next(i for i, frame in enumerate(frames) if kline(frame))
        assert {f["e"] for f in frames[:first_kline]} <= {"ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ALGO_UPDATE"}
        assert not {f["e"] for f in frames[first_kline:]} - {"kline"}


async def test_the_account_is_heard_before_every_close_through_sixty_bars(exchange: Start) -> None:
    venue = exchange(bars=300, seed=4)
    async with trading(venue) as client, listening(venue, client, (BTC, "1h")) as frames:
        stopped = 0
        for _ in range(60):
            if not (await state(venue))["positions"]:
                entry = await client.create_order(BTC, "market", "buy", 0.05)
                params = {"stopLossPrice": round(entry["average"] * 0.999, 2), "reduceOnly": True}
                with suppress(ccxt.OrderImmediatelyFillable):
                    await client.create_order(BTC, "market", "sell", 0.05, None, params)
            frames.clear()
            now = (await venue.turn())["market_time"]
            await settled(frames, lambda f, now=now: kline(f) == ("BTCUSDT", "1h", now, False))
            kinds = [frame["e"] for frame in frames]
            stopped += "ALGO_UPDATE" in kinds
            assert set(kinds[kinds.index("kline") :]) == {"kline"}
        assert stopped > 5


async def test_an_order_after_a_close_fills_at_the_next_bars_open(exchange: Start) -> None:
    venue = exchange(bars=20, slippage="0")
    async with trading(venue) as client:
        for side in ("buy", "sell", "buy"):
            now = (await venue.turn())["market_time"]
            order = await client.create_order(BTC, "market", side, 0.1)
            (live,) = await client.fetch_ohlcv(BTC, "1h", since=now)
            assert order["average"] == live[1]
            assert int(order["info"]["updateTime"]) == now


async def test_funding_moves_the_wallet_and_is_told_as_funding(exchange: Start) -> None:
    venue = exchange(bars=30)
    async with trading(venue) as client, listening(venue, client, (BTC, "1h")) as frames:
        await client.create_order(BTC, "market", "buy", 0.1)
        frames.clear()
        await venue.turn(9)
        await settled(frames, lambda f: f.get("e") == "ACCOUNT_UPDATE" and f["a"]["m"] == "FUNDING_FEE")
        update = next(f for f in frames if f["e"] == "ACCOUNT_UPDATE" and f["a"]["m"] == "FUNDING_FEE")
        income = (await client.fapiPrivateGetIncome({"incomeType": "FUNDING_FEE", "startTime": 0}))[0]
        assert income["income"] == update["a"]["B"][0]["bc"]
        assert int(income["time"]) % (8 * H1_MS) == 0


async def test_a_listen_key_lives_until_it_is_given_up(exchange: Start) -> None:
    venue = exchange(bars=20)
    async with trading(venue) as client:
        key = (await client.fapiPrivatePostListenKey())["listenKey"]
        assert (await client.fapiPrivatePutListenKey())["listenKey"] == key
        async with listening(venue, client):
            await client.fapiPrivateDeleteListenKey()
            with pytest.raises(ccxt.AuthenticationError, match="-1125"):
                await client.fapiPrivatePutListenKey()

            async def ended() -> bool:
                return not (await state(venue))["user_streams"]

            await until(ended, "see the user stream closed")


async def test_a_running_market_sends_forming_klines_between_two_closes(exchange: Start) -> None:
    venue = exchange(bars=1_000, speed=7200)
    async with trading(venue) as client, listening(venue, client, (BTC, "1h")) as frames:

        def closes() -> list[int]:
            return [i for i, frame in enumerate(frames) if frame.get("e") == "kline" and frame["k"]["x"]]

        async def two() -> bool:
            return len(closes()) >= 2

        await until(two, "see two closes")
        first, second = closes()[:2]
        between = [kline(frame) for frame in frames[first : second + 1]]
        opened = frames[second]["k"]["t"]
        assert between[1:] == [("BTCUSDT", "1h", opened, False)] * 3 + [("BTCUSDT", "1h", opened, True)]
        assert frames[second]["k"]["t"] == frames[first]["k"]["t"] + H1_MS
