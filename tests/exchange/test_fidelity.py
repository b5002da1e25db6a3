"""The options that make the process more faithful, through unmodified ccxt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import ccxt.async_support as ccxt
import pytest

from market.exchange.fee_coin import FeeCoin
from market.instruments import CASH
from tests.exchange.test_process import run
from tests.local_exchange import PATIENCE, LocalExchange

Start = Callable[..., LocalExchange]
SYMBOL = "BTC/USDT:USDT"


def with_client(local: LocalExchange, deed: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        client = local.ccxt()
        try:
            await client.set_margin_mode("isolated", SYMBOL)
            await deed(client)
        finally:
            await client.close()

    asyncio.run(go())


def test_an_order_fills_in_parts_by_the_clock(exchange: Start) -> None:
    local = exchange(bars=10, fill_at_most="30%", fill_rest="0.2")

    async def trade(client: Any) -> None:
        order = await client.create_order(SYMBOL, "market", "buy", 0.1)
        deadline = time.monotonic() + 20 * PATIENCE
        seen = set()
        while order["status"] != "closed" and time.monotonic() < deadline:
            order = await client.fetch_order(order["id"], SYMBOL)
            seen.add((order["status"], order["filled"] == 0.1))
            await asyncio.sleep(0.02)
        assert seen == {("open", False), ("closed", True)}
        assert len(await client.fetch_my_trades(SYMBOL)) >= 4

    with_client(local, trade)


def test_a_partly_filled_order_can_be_cancelled_between_executions(exchange: Start) -> None:
    local = exchange(bars=10, fill_at_most="0.05", fill_rest="command")

    async def trade(client: Any) -> None:
        order = await client.create_order(SYMBOL, "market", "buy", 0.2)
        await asyncio.to_thread(local.hand, "fill", symbol="BTCUSDT")
        cancelled = await client.cancel_order(order["id"], SYMBOL)
        assert cancelled["status"] == "canceled"
        assert 0.05 <= cancelled["filled"] <= 0.1
        (position,) = await client.fetch_positions([SYMBOL])
        assert position["contracts"] == cancelled["filled"]

    with_client(local, trade)


def test_fees_are_paid_in_the_coin_while_it_lasts(exchange: Start) -> None:
    local = exchange(bars=10, fee_coin="BNB,600,0.003")

    async def trade(client: Any) -> None:
        for _ in range(2):
            await client.create_order(SYMBOL, "market", "buy", 0.1)
        first, second = await client.fetch_my_trades(SYMBOL)
        assert first["fee"]["currency"] == "BNB"
        assert first["fee"]["cost"] == pytest.approx(first["cost"] * 0.00045 / 600, abs=1e-8)
        assert second["fee"]["currency"] == "USDT", "what is left of the coin does not reach"
        assert second["fee"]["cost"] == pytest.approx(second["cost"] * 0.0005, abs=1e-8)
        balance = await client.fetch_balance()
        assert balance["BNB"]["total"] == pytest.approx(0.003 - first["fee"]["cost"], abs=1e-8)
        rows = await client.fapiPrivateGetIncome({"incomeType": "COMMISSION"})
        assert [row["asset"] for row in rows] == ["BNB", "USDT"]

    with_client(local, trade)


def test_the_coin_loses_nothing() -> None:
    coin = FeeCoin.opened_with("BNB", 600 * CASH, CASH // 100)
    taken = [coin.pay(fee * CASH) for fee in (1, 2, 3, 10)]
    assert taken == [150_000, 300_000, 450_000, 0]
    assert coin.balance + coin.paid == coin.deposits
    assert coin.paid == sum(taken)


def test_a_clock_that_is_off_refuses_by_1021_until_it_is_asked_for(exchange: Start) -> None:
    local = exchange(bars=10, clock_offset=-60_000)

    async def ask() -> None:
        client = local.ccxt()
        try:
            with pytest.raises(ccxt.InvalidNonce):
                await client.fetch_balance()
            await client.load_time_difference()
            client.options["adjustForTimeDifference"] = True
            await client.fetch_balance()
            await asyncio.to_thread(local.hand, "clock", offset_ms=0)
            with pytest.raises(ccxt.InvalidNonce):
                await client.fetch_balance()
        finally:
            await client.close()

    asyncio.run(ask())


def test_a_listen_key_dies_unless_it_is_kept_alive(exchange: Start) -> None:
    local = exchange(bars=10, listen_key_lifetime=1.0)
    headers = {"X-MBX-APIKEY": "local"}

    async def live() -> None:
        async with aiohttp.ClientSession(headers=headers) as session:
            url = f"{local.url}/fapi/v1/listenKey"
            key = (await (await session.post(url)).json())["listenKey"]
            async with session.ws_connect(f"{local.url}/private/ws?listenKey={key}") as socket:
                for _ in range(4):
                    await asyncio.sleep(0.4)
                    assert (await session.put(url)).status == 200
                frame = await socket.receive_json(timeout=10 * PATIENCE)
                assert (frame["e"], frame["listenKey"]) == ("listenKeyExpired", key)
                assert (await socket.receive(timeout=10 * PATIENCE)).type is aiohttp.WSMsgType.CLOSE
            assert (await (await session.put(url)).json())["code"] == -1125

    asyncio.run(live())


def test_a_connection_ends_at_its_age(exchange: Start) -> None:
    local = exchange(bars=10, connection_lifetime=0.5)

    async def live() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{local.url}/market/ws") as socket:
            before = time.monotonic()
            assert (await socket.receive(timeout=10 * PATIENCE)).type is aiohttp.WSMsgType.CLOSE
            assert time.monotonic() - before > 0.3

    asyncio.run(live())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--fill-at-most", "much", "a share such as 40%"),
        ("--fill-rest", "never", "a number of seconds"),
        ("--fee-coin", "BNB", "such as BNB,600,10"),
        ("--fee-coin", "BNB,0,1", "must be positive"),
    ],
)
def test_an_option_that_cannot_be_read_says_what_to_write(option: str, value: str, told: str) -> None:
    done = run(option, value)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
