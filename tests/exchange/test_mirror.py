"""The mirror over sockets: a second local exchange, or recorded frames, as its upstream; ccxt as its client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import ccxt
import pytest

from market import fills, synthetic
from market.catalogue import instrument
from market.timeframes import Timeframe
from tests.exchange.recorded_upstream import RecordedUpstream
from tests.exchange.test_through_ccxt import listening, state, trading, until
from tests.local_exchange import PATIENCE, ROOT, LocalExchange
from tests.tcp_proxy import TcpProxy

BTC = "BTC/USDT:USDT"
H1_MS, M1_MS = 3_600_000, 60_000
Start = Callable[..., LocalExchange]
Frames = list[dict[str, Any]]


async def mirror_of(exchange: Start, url: str, **options: object) -> LocalExchange:
    """A mirror, started while this process goes on answering."""
    return await asyncio.to_thread(lambda: exchange(mirror=url, speed=None, **options))


def closed(frames: Frames, timeframe: str) -> list[dict[str, Any]]:
    """The closed klines of BTC in those frames, in order."""
    return [f["k"] for f in frames if f.get("e") == "kline" and f["s"] == "BTCUSDT" and f["k"]["x"]
            and f["k"]["i"] == timeframe]  # fmt: skip


async def moved(mirror: LocalExchange, time: int) -> None:
    """Wait until the mirror's clock stands at `time`."""

    async def there() -> bool:
        return int((await state(mirror))["market_time"]) >= time

    await until(there, f"see the mirror at {time}")


async def test_a_client_of_the_mirror_is_told_what_a_client_of_the_upstream_is(exchange: Start) -> None:
    upstream = exchange(symbols="BTCUSDT,XYZUSDT", timeframe="15m", warmup=300)
    mirror = await mirror_of(
        exchange, upstream.url, symbols="BTCUSDT,XYZUSDT", timeframe="15m", quiet_after=600, taker_fee="0.0004"
    )
    async with AsyncExitStack() as stack:
        original = await stack.enter_async_context(trading(upstream))
        client = await stack.enter_async_context(trading(mirror))
        pairs = ((BTC, "15m"), (BTC, "1h"), ("XYZ/USDT:USDT", "15m"))
        told = await stack.enter_async_context(listening(upstream, original, *pairs))
        heard = await stack.enter_async_context(listening(mirror, client, *pairs))
        for _ in range(24):
            await upstream.turn()

        async def all_came() -> bool:
            return all([len(closed(frames, t)) for t in ("15m", "1h")] == [24, 6] for frames in (told, heard))

        await until(all_came, "hear every close")
        for timeframe in ("15m", "1h"):
            assert closed(heard, timeframe) == closed(told, timeframe)
        for name, asked in (
            ("Klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 50}),
            ("Klines", {"symbol": "BTCUSDT", "interval": "15m", "startTime": 1_704_150_000_000, "limit": 7}),
            ("FundingRate", {"symbol": "BTCUSDT", "limit": 2}),
            ("PremiumIndex", {"symbol": "XYZUSDT"}),
            ("TickerBookTicker", {"symbol": "BTCUSDT"}),
            ("FundingInfo", {}),
        ):
            questions = [getattr(c, f"fapiPublicGet{name}") for c in (original, client)]

            async def alike(questions: Any = questions, asked: Any = asked) -> bool:
                ours, theirs = [await question(dict(asked)) for question in questions]
                return bool(ours == theirs)

            await until(alike, f"be answered alike: {name}")
        markets = [c.markets[BTC]["info"]["filters"] for c in (original, client)]
        assert markets[0] == markets[1]
        assert (await client.fapiPrivateGetCommissionRate({"symbol": "BTCUSDT"}))["takerCommissionRate"] == "0.0004"
        tiers = {row["symbol"]: row["brackets"] for row in await client.fapiPrivateGetLeverageBracket()}
        leverages = [int(tier["initialLeverage"]) for tier in tiers["BTCUSDT"]]
        assert leverages == [150, 100, 75, 50, 25, 20, 10, 5, 4, 3, 2, 1]
        assert float(tiers["BTCUSDT"][-1]["cum"]) == 421_482_000
        assert int(tiers["XYZUSDT"][0]["initialLeverage"]) == 50
    assert await asyncio.to_thread(mirror.stop) == 0


async def test_orders_fill_at_best_bid_and_ask_and_stops_go_by_the_mark(exchange: Start) -> None:
    upstream = exchange(timeframe="1h", warmup=100, slippage="0.001")
    mirror = await mirror_of(exchange, upstream.url, timeframe="1h", quiet_after=600)
    async with trading(mirror) as client, listening(mirror, client, (BTC, "1h")) as frames:
        quotes = [await client.fapiPublicGetTickerBookTicker({"symbol": "BTCUSDT"})]
        order = await client.create_order(BTC, "market", "buy", 0.1)
        assert order["average"] == float(quotes[0]["askPrice"])
        trigger = client.price_to_precision(BTC, float(quotes[0]["bidPrice"]) * 0.995)
        await client.create_order(
            BTC, "market", "sell", 0.1, None,
            {"stopLossPrice": trigger, "reduceOnly": True, "workingType": "MARK_PRICE"},
        )  # fmt: skip
        for _ in range(200):
            before = (await state(upstream))["market_time"]
            await upstream.turn()
            await moved(mirror, before + H1_MS)
            quotes.append(await client.fapiPublicGetTickerBookTicker({"symbol": "BTCUSDT"}))
            if not (await state(mirror))["positions"]:
                break
        mark = float((await client.fapiPublicGetPremiumIndex({"symbol": "BTCUSDT"}))["markPrice"])
        assert mark <= float(trigger)
        sold = [f["o"] for f in frames if f.get("e") == "ORDER_TRADE_UPDATE" and f["o"]["x"] == "TRADE"][-1]
        # mark and quote come on two sockets: the bid is the one before or after
        assert float(sold["L"]) in {float(quote["bidPrice"]) for quote in quotes[-3:]}


async def test_funding_is_charged_at_the_upstreams_rate_on_its_mark(exchange: Start) -> None:
    upstream = exchange(timeframe="1h", warmup=97)
    mirror = await mirror_of(exchange, upstream.url, timeframe="1h", quiet_after=600)
    candles, funding = synthetic.generate(bars=200, timeframe=Timeframe.parse("1h"))
    btc = instrument("BTCUSDT")
    async with trading(mirror) as client:
        await client.create_order(BTC, "market", "buy", 0.1)
        for _ in range(17):
            await upstream.turn()
        due = [t for t in funding.time.tolist() if 97 * H1_MS < t - int(candles.open_time[0]) <= 114 * H1_MS]
        marks = {t: btc.nearest_ticks(float(candles.between(t, t + 1).open[0])) for t in due}
        paid = sum(fills.funding_payment(btc.notional(marks[t], 100), 1, int(funding.at(t) or 0)) for t in due)

        async def charged() -> bool:
            return round(float((await state(mirror))["funding"]) * 1e8) == paid

        assert (len(due), paid != 0) == (2, True)
        await until(charged, f"pay {paid} in funding")
        incomes = await client.fapiPrivateGetIncome({"incomeType": "FUNDING_FEE"})
        assert [int(row["time"]) for row in incomes] == due


async def test_an_upstream_that_falls_leaves_silence_and_then_no_hole(exchange: Start) -> None:
    upstream = exchange(timeframe="1m", warmup=200, speed=60)
    async with TcpProxy(upstream.port) as proxy:
        mirror = await mirror_of(exchange, proxy.url, timeframe="1m", quiet_after=1.5 * PATIENCE, late_by=10**6)
        async with trading(mirror) as client, listening(mirror, client, (BTC, "1m")) as frames:

            async def two_closed() -> bool:
                return len(closed(frames, "1m")) >= 2

            await until(two_closed, "hear two closes")
            proxy.refuse()

            async def dark() -> bool:
                return (await state(mirror))["upstream"]["dark"] == ["BTCUSDT"]

            await until(dark, "notice the silence")
            count, time = len(frames), (await state(mirror))["market_time"]
            with pytest.raises(ccxt.OperationFailed, match="-1001"):
                await client.create_order(BTC, "market", "buy", 0.1)
            with pytest.raises(ccxt.OperationFailed, match="-1001"):
                await client.fetch_ohlcv(BTC, "1m", limit=3)
            await asyncio.sleep(3)  # three bars pass upstream
            assert (len(frames), (await state(mirror))["market_time"]) == (count, time)
            await proxy.listen()
            missed = [k["t"] for k in closed(frames, "1m")][-1] + 5 * M1_MS

            async def caught_up() -> bool:
                return closed(frames, "1m")[-1]["t"] >= missed

            await until(caught_up, "hear of the bars that passed")
            told = closed(frames, "1m")
            times = [k["t"] for k in told]

            async def light() -> bool:
                return not (await state(mirror))["upstream"]["dark"]

            await until(light, "see prices again")
            assert times == list(range(times[0], times[-1] + 1, M1_MS))
            original = upstream.ccxt()
            try:
                rows = await original.fapiPublicGetKlines(
                    {"symbol": "BTCUSDT", "interval": "1m", "startTime": times[0], "limit": len(times)}
                )
            finally:
                await original.close()
            assert [(k["o"], k["h"], k["l"], k["c"], k["v"], k["V"]) for k in told] == [
                (row[1], row[2], row[3], row[4], row[5], row[9]) for row in rows
            ]
            await client.create_order(BTC, "market", "buy", 0.1)


async def test_a_killed_mirror_goes_on_with_its_account_and_pays_what_fell_due(exchange: Start, tmp_path: Path) -> None:
    symbols, hour = "BTCUSDT,XYZUSDT", Timeframe.parse("1h")
    upstream = exchange(symbols=symbols, timeframe="1h", warmup=97)
    options = {"symbols": symbols, "timeframe": "1h", "quiet_after": 600, "state": tmp_path / "account.sqlite"}
    mirror = await mirror_of(exchange, upstream.url, **options)
    async with trading(mirror) as client:
        for symbol in client.symbols:
            await client.create_order(symbol, "market", "buy", 0.1)
        mark = float((await client.fapiPublicGetPremiumIndex({"symbol": "BTCUSDT"}))["markPrice"])
        trigger = float(client.price_to_precision(BTC, mark * 0.999))
        stop = {"stopLossPrice": trigger, "reduceOnly": True, "workingType": "MARK_PRICE"}
        await client.create_order(BTC, "market", "sell", 0.1, None, stop)
    os.kill(mirror.pid, signal.SIGKILL)
    for played in range(1, 200):
        await upstream.turn()
        if played >= 9 and float((await state(upstream))["prices"]["BTCUSDT"]) < trigger:
            break
    again = await mirror_of(exchange, upstream.url, **options)
    now = await state(again)
    assert (list(now["positions"]), now["stops"]) == (["XYZUSDT"], [])  # the mark had passed the stop meanwhile
    candles, funding = synthetic.generate("XYZUSDT", bars=400, timeframe=hour)
    start = int(candles.open_time[97])
    xyz = instrument("XYZUSDT")
    paid = [
        fills.funding_payment(xyz.notional(xyz.nearest_ticks(float(candles.between(t, t + 1).open[0])), 100), 1, rate)
        for t, rate in zip(funding.time.tolist(), funding.rate.tolist(), strict=True)
        if start < t <= start + played * H1_MS
    ]
    client = again.ccxt()
    try:
        rows = await client.fapiPrivateGetIncome({"incomeType": "FUNDING_FEE", "symbol": "XYZUSDT"})
    finally:
        await client.close()
    assert [-round(float(row["income"]) * 1e8) for row in rows] == paid
    assert len(paid) >= 1


async def test_recorded_frames_of_the_real_exchange_are_mirrored(exchange: Start, shared: Path) -> None:
    ticks = {"CTKUSDT": "0.001", "SUSHIUSDT": "0.0001"}
    async with RecordedUpstream(shared / "fixtures", ticks) as upstream:
        mirror = await mirror_of(exchange, upstream.url, symbols=",".join(ticks), quiet_after=600)
        client = mirror.ccxt()
        pair = ("CTK/USDT:USDT", "1m")
        try:
            await client.load_markets()
            async with listening(mirror, client, pair) as frames, asyncio.timeout(20 * PATIENCE):
                for name in ("ctkusdt@kline_1m", "ctkusdt@markPrice@1s", "ctkusdt@bookTicker"):
                    await upstream.subscribed(name)
                recorded = [frame for frame in upstream.klines if frame["s"] == "CTKUSDT"]
                now = recorded[-1]["E"]
                await upstream.say(*recorded)
                await upstream.say('{"e":"kline","s":"CTKUSDT","k":{"t":1}}', "[]", '{"e":"kline","s":"CTKUSDT"}')
                await upstream.say(upstream.mark("CTKUSDT", "1.01234567", now))
                await upstream.say(upstream.quote("CTKUSDT", "1.012", "1.013", now))

                async def quoted() -> bool:
                    rows = await client.fapiPublicGetTickerBookTicker({"symbol": "CTKUSDT"})
                    return (rows["bidPrice"], rows["askPrice"]) == ("1.012", "1.013")

                await until(quoted, "see the quote")
                premium = await client.fapiPublicGetPremiumIndex({"symbol": "CTKUSDT"})
                assert (premium["markPrice"], premium["lastFundingRate"]) == ("1.012", "0.00038167")
                assert (await state(mirror))["upstream"]["unreadable"] == 2 * 3  # each said on three sockets
                (close,) = [frame["k"] for frame in recorded if frame["k"]["x"]]
                (heard,) = [f["k"] for f in frames if f.get("e") == "kline" and f["k"]["x"]]
                for name in ("t", "T", "i", "x", "n"):
                    assert heard[name] == close[name], name
                for name in "ohlcvqVQ":
                    assert float(heard[name]) == float(close[name]), name
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--mirror", "binanceusdm", "--data", "x.parquet"), 2, "--data does not go with it"),
        (("--mirror", "bybit"), 2, "write binanceusdm, or an address"),
        (("--mirror", "http://127.0.0.1:9", "--symbols", "BTCUSDT"), 1, "is it up, and is this host online?"),
    ],
)
def test_what_cannot_be_mirrored_is_said(options: tuple[str, ...], code: int, words: str) -> None:
    command = [sys.executable, "-m", "market.exchange", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr


async def test_a_symbol_that_is_not_traded_upstream_is_said(exchange: Start) -> None:
    upstream = exchange(timeframe="1h", warmup=50)
    command = [sys.executable, "-m", "market.exchange", "--mirror", upstream.url, "--symbols", "DOGEUSDT"]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "DOGEUSDT is not traded there (not listed)" in ended.stderr
