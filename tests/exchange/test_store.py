"""The exchange's own memory: killed and started again, it goes on exactly where it was."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from market.catalogue import instrument
from market.exchange import snapshot
from market.exchange.account import Costs
from market.exchange.depth import Depth, Rest
from market.exchange.fee_coin import FeeCoin
from market.exchange.hand.actions import Hand
from market.exchange.hand.wants import HandError
from market.exchange.refusals import Refusal
from market.exchange.store import Store, StoreError, keep_in
from market.exchange.venue import Venue
from market.instruments import CASH, cash
from market.synthetic import generate
from market.timeframes import Timeframe
from tests.exchange.test_process import run
from tests.local_exchange import LocalExchange

Start = Callable[..., LocalExchange]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SYMBOL = "BTC/USDT:USDT"


def fresh(seed: int = 1, symbols: tuple[str, ...] = SYMBOLS) -> Venue:
    histories = []
    for symbol in symbols:
        candles, funding = generate(symbol, bars=200, timeframe=Timeframe.parse("1h"), seed=seed)
        histories.append((instrument(symbol), candles, funding))
    start = int(histories[0][1].open_time[50])
    venue = Venue.replaying(histories, start=start, bars=None, cash=cash(10_000), costs=Costs(), wall_ms=lambda: 10**12)
    venue.engine.depth = Depth.parse("50%", Rest.PRICE)
    venue.engine.fee_coin = FeeCoin.opened_with("BNB", 600 * CASH, CASH // 50)
    return venue


def kept(path: Path, **options: Any) -> tuple[Venue, Store]:
    venue = fresh(**options)
    return venue, keep_in(path, venue)


def whole(venue: Venue) -> dict[str, Any]:
    """Everything that can be seen of a venue."""
    engine = venue.engine
    return {
        "account": orjson.loads(orjson.dumps(snapshot.account(venue))),
        "orders": list(engine.orders.values()),
        "open": [[order.id for order in engine.orders.open()], [stop.id for stop in engine.stops.open()]],
        "stops": list(engine.stops.values()),
        "fills": engine.fills,
        "incomes": engine.incomes,
    }


def something(draw: Random, venue: Venue) -> None:
    """One random deed of a trader, a hand, or the market."""
    symbol = draw.choice(SYMBOLS)
    price = venue.engine.prices[symbol]
    side, quantity = draw.choice(("BUY", "SELL")), f"{draw.randint(1, 200)}e-3"
    near = venue.engine.instruments[symbol].price_text(price * draw.randint(9_800, 10_200) // 10_000)
    far = draw.choice(
        (
            {"action": "trade", "symbol": symbol, "side": side, "quantity": quantity},
            {"action": "limit", "symbol": symbol, "side": side, "quantity": quantity, "price": near},
            {"action": "stop", "symbol": symbol, "side": side, "quantity": quantity, "trigger": near},
            {"action": "stop", "symbol": symbol, "side": side, "trigger": near},
            {"action": "cancel", "symbol": symbol},
            {"action": "adl", "symbol": symbol},
            {"action": "deposit", "amount": f"{draw.randint(1, 99)}.5"},
            {"action": "withdraw", "amount": draw.randint(1, 99)},
            {"action": "leverage", "symbol": symbol, "leverage": draw.randint(2, 50)},
            {"action": "next_stop_trigger", "symbol": symbol, "fate": draw.choice(("stuck", "rejected", "expired"))},
            {"action": "release_stops", "symbol": symbol},
            {"action": "terms", "symbol": symbol, "funding_hours": draw.choice((1, 4, 8))},
            {"action": "clock", "offset_ms": draw.randint(-9, 9)},
        )
    )
    if draw.random() < 0.5:
        venue.replay.turn() if draw.random() < 0.5 else venue.replay.visit()
        return
    with suppress(Refusal, HandError):
        Hand(venue).do(far)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_story_a_restart_finds_everything_and_goes_on_alike(tmp_path: Path, seed: int) -> None:
    venue, store = kept(tmp_path / "state.db")
    draw = Random(seed)
    for symbol in SYMBOLS:
        venue.desk.set_margin_mode(symbol, isolated=True)
    for _ in range(120):
        something(draw, venue)
        venue.drain()
    before = whole(venue)
    assert venue.engine.ledger.imbalance() == 0
    store.close()
    again, store = kept(tmp_path / "state.db")
    assert whole(again) == before
    first, second = Random(99), Random(99)
    for _ in range(40):
        something(first, venue)
        something(second, again)
    assert whole(again) == whole(venue)
    store.close()


def test_a_killed_exchange_goes_on_where_it_was(exchange: Start, tmp_path: Path) -> None:
    options = {"state": tmp_path / "state.db", "symbols": SYMBOLS, "bars": 50, "seed": 5}
    local = exchange(**options)

    async def trade(client: Any) -> dict[str, Any]:
        await client.set_margin_mode("isolated", SYMBOL)
        await client.set_leverage(7, SYMBOL)
        order = await client.create_order(SYMBOL, "market", "buy", 0.1, params={"clientOrderId": "mine"})
        price = (await client.fetch_ticker(SYMBOL))["last"]
        params = {"stopLossPrice": round(price * 0.9, 2), "reduceOnly": True, "clientAlgoId": "guard"}
        await client.create_order(SYMBOL, "market", "sell", 0.1, params=params)
        return dict(order)

    async def ask(client: Any) -> list[Any]:
        return [
            (await client.fetch_balance())["USDT"],
            (await client.fetch_positions([SYMBOL]))[0]["info"],
            [order["info"] for order in await client.fetch_open_orders(SYMBOL, params={"trigger": True})],
            [trade["info"] for trade in await client.fetch_my_trades(SYMBOL)],
            await client.fapiPrivateGetSymbolConfig(),
            await client.fapiPrivatePostListenKey(),
        ]

    order = through(local, trade)
    local.advance(3)
    seen, state = through(local, ask), local.state()
    os.kill(local.pid, signal.SIGKILL)
    local.wait()

    again = exchange(**options)
    assert again.ready["market_time"] == state["market_time"]
    assert through(again, ask) == seen
    assert {key: again.state()[key] for key in ("cash", "positions", "stops", "fills", "bars_left")} == {
        key: state[key] for key in ("cash", "positions", "stops", "fills", "bars_left")
    }
    found = through(again, lambda client: client.fetch_order(order["id"], SYMBOL))
    assert (found["clientOrderId"], found["status"]) == ("mine", "closed")
    assert again.advance(2)["market_time"] == state["market_time"] + 2 * 3_600_000


def through(local: LocalExchange, deed: Callable[[Any], Any]) -> Any:
    async def go() -> Any:
        client = local.ccxt()
        try:
            return await deed(client)
        finally:
            await client.close()

    return asyncio.run(go())


def test_what_was_acknowledged_before_a_kill_is_there_after_it(exchange: Start, tmp_path: Path) -> None:
    options = {"state": tmp_path / "state.db", "bars": 50, "fill_at_most": "60%"}
    local = exchange(**options)
    acknowledged: list[str] = []

    async def trade(client: Any) -> None:
        await client.set_margin_mode("isolated", SYMBOL)
        await client.load_markets()

        async def one(number: int) -> None:
            side = "buy" if number % 2 else "sell"
            with suppress(ccxt.NetworkError):  # it was killed while this one was on its way
                await client.create_order(SYMBOL, "market", side, 0.01, params={"clientOrderId": f"n{number}"})
                acknowledged.append(f"n{number}")
                if len(acknowledged) == 20:
                    os.kill(local.pid, signal.SIGKILL)

        await asyncio.gather(*(one(number) for number in range(60)))

    through(local, trade)
    local.wait()
    again = exchange(**options)

    async def ask(client: Any) -> tuple[list[Any], list[Any], list[Any]]:
        orders = await client.fetch_orders(SYMBOL)
        return orders, await client.fetch_my_trades(SYMBOL), await client.fetch_positions([SYMBOL])

    orders, trades, positions = through(again, ask)
    assert {order["clientOrderId"] for order in orders} >= set(acknowledged)
    assert all(order["status"] == "closed" for order in orders)
    signed = {"buy": 1, "sell": -1, "long": 1, "short": -1}
    held = sum(signed[p["side"]] * p["contracts"] for p in positions)
    assert held == pytest.approx(sum(signed[t["side"]] * t["amount"] for t in trades))
    assert held == pytest.approx(sum(signed[o["side"]] * o["filled"] for o in orders))
    assert again.state()["imbalance"] == "0.00000000"


def test_two_exchanges_do_not_share_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    with pytest.raises(StoreError, match="locked"):
        Store(tmp_path / "state.db")
    store.close()
    Store(tmp_path / "state.db").close()


def test_a_state_of_another_market_is_refused_with_what_to_do(tmp_path: Path) -> None:
    venue, store = kept(tmp_path / "state.db")
    venue.replay.turn()
    venue.drain()
    store.close()
    with pytest.raises(StoreError, match="start with the same data"):
        kept(tmp_path / "state.db", seed=2)


def test_amounts_counted_in_other_steps_are_refused(tmp_path: Path) -> None:
    _, store = kept(tmp_path / "state.db")
    store.close()
    venue = fresh()
    instruments = venue.engine.instruments
    instruments["ETHUSDT"] = replace(instruments["ETHUSDT"], step=Decimal("0.01"))
    with pytest.raises(StoreError, match="ETHUSDT has another tick or step"):
        keep_in(tmp_path / "state.db", venue)


def test_other_symbols_are_refused_by_name(tmp_path: Path) -> None:
    _, store = kept(tmp_path / "state.db")
    store.close()
    with pytest.raises(StoreError, match="of BTCUSDT, ETHUSDT, not of BTCUSDT"):
        kept(tmp_path / "state.db", symbols=("BTCUSDT",))


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "journal.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE events (id INTEGER)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match="no state of this exchange"):
        Store(other)
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look like something" * 50)
    done = run("--state", tmp_path / "notes.txt", "--bars", "5")
    assert (done.returncode, "not a database" in done.stderr) == (7, True)
    assert other.read_bytes()[100:] == before[100:]
