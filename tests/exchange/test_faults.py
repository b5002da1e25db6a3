"""The fault layer of the local exchange: each action strikes the exact message it was armed for, and no other."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from configs import load, schema_is_current
from market.__main__ import SCHEMA
from market.exchange.faults.arming import Arsenal, Message, matches
from market.exchange.faults.paths import edited, look
from market.exchange.faults.scenario import Match, On, Rule, Scenario
from tests.local_exchange import PATIENCE, LocalExchange

KLINE = "btcusdt@kline_1h"
TIME, ORDER, KLINES = "/fapi/v1/time", "/fapi/v1/order", "/fapi/v1/klines"


@pytest.fixture(scope="module")
def served() -> Iterator[LocalExchange]:
    exchange = LocalExchange(warmup=50, bars=1000)
    exchange.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    yield exchange
    exchange.stop()


@pytest.fixture
def place(served: LocalExchange) -> LocalExchange:
    served.disarm()
    return served


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10 * PATIENCE)) as opened:
        yield opened


def rule(on: str, do: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"name": f"{do['action']} on {on}", "on": on, "do": do} | rest


async def listen(session: aiohttp.ClientSession, place: LocalExchange) -> aiohttp.ClientWebSocketResponse:
    """A kline subscription; its acknowledgement and the frame that greets it are read."""
    socket = await session.ws_connect(f"{place.url}/market/ws")
    await socket.send_json({"method": "SUBSCRIBE", "params": [KLINE], "id": 1})
    assert (await socket.receive_json(timeout=5 * PATIENCE))["id"] == 1
    assert not (await socket.receive_json(timeout=5 * PATIENCE))["k"]["x"]
    return socket


async def hears(socket: aiohttp.ClientWebSocketResponse, seconds: float = 0.3) -> list[Any]:
    """What arrives until it is quiet for so long."""
    heard = []
    try:
        while True:
            message = await socket.receive(timeout=seconds * PATIENCE)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return [*heard, message.type.name]
            heard.append(message.data)
    except TimeoutError:
        return heard


def flags(heard: list[Any]) -> list[bool]:
    return [json.loads(text)["k"]["x"] for text in heard]


async def test_a_rule_strikes_after_every_and_count(place: LocalExchange, session: aiohttp.ClientSession) -> None:
    place.arm(rule("request", {"action": "answer", "status": 503, "code": -1000}, after=1, every=2, count=2))
    statuses = [(await session.get(place.url + TIME)).status for _ in range(7)]
    assert statuses == [200, 503, 200, 503, 200, 200, 200]
    (told,) = place.faults()["faults"]
    assert (told["seen"], told["hits"]) == (7, 2)
    assert [(s["action"], s["message"]) for s in place.faults()["strikes"][-2:]] == [("answer", f"GET {TIME}")] * 2


async def test_an_answer_before_the_deed_leaves_it_undone_and_one_after_does_not(place: LocalExchange) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    match = {"method": "POST", "path": ORDER, "params": {"side": "BUY"}}
    place.arm(
        rule("request", {"action": "answer", "status": 503, "code": -1000}, match=match),
        rule("reply", {"action": "answer", "status": 408, "code": -1007, "message": "Timeout"}, match=match),
    )
    before = place.state()["fills"]
    for status, code, fills in ((503, -1000, before), (408, -1007, before + 1)):
        with pytest.raises(HTTPError) as refused:
            await asyncio.to_thread(place.ask, "POST", ORDER, **order)
        assert (refused.value.code, json.load(refused.value)["code"]) == (status, code)
        assert place.state()["fills"] == fills
    place.ask("POST", ORDER, **order | {"side": "SELL"})


async def test_a_request_can_be_carried_out_twice(place: LocalExchange) -> None:
    place.arm(rule("request", {"action": "twice"}, match={"path": ORDER, "method": "POST"}))
    before = place.state()["fills"]
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    await asyncio.to_thread(place.ask, "POST", ORDER, **order)
    assert place.state()["fills"] == before + 2
    place.ask("POST", ORDER, **order | {"side": "SELL", "quantity": "0.02"})


async def test_a_dropped_request_or_reply_is_never_answered(
    place: LocalExchange, session: aiohttp.ClientSession
) -> None:
    place.arm(rule("request", {"action": "drop"}), rule("reply", {"action": "drop"}))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await session.get(place.url + TIME, timeout=aiohttp.ClientTimeout(total=0.3))
    assert (await session.get(place.url + TIME)).status == 200


@pytest.mark.parametrize("on", ["request", "reply"])
async def test_a_connection_is_cut_without_an_answer(
    place: LocalExchange, session: aiohttp.ClientSession, on: str
) -> None:
    place.arm(rule(on, {"action": "cut"}))
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.post(place.url + TIME)  # aiohttp itself would ask again for a GET


async def test_replies_are_edited_garbled_and_banned(place: LocalExchange, session: aiohttp.ClientSession) -> None:
    banned = {"action": "answer", "status": 418, "code": -1003, "message": "banned until {until}"}
    place.arm(
        rule("reply", {"action": "edit", "set": {"serverTime": "NaN"}}),
        rule("reply", {"action": "garble", "keep": 0.5}),
        rule("reply", {"action": "answer", "status": 502, "body": "<html>Bad Gateway</html>"}),
        rule("request", banned, after=3, count=None, for_s=0.3),
    )
    assert await (await session.get(place.url + TIME)).json() == {"serverTime": "NaN"}
    with pytest.raises(json.JSONDecodeError):
        json.loads(await (await session.get(place.url + TIME)).text())
    page = await session.get(place.url + TIME)
    assert (page.status, page.content_type) == (502, "text/html")
    told = [await session.get(place.url + TIME) for _ in range(3)]
    assert [reply.status for reply in told] == [418] * 3
    (until,) = {(await reply.json())["msg"].rsplit(" ", 1)[1] for reply in told}
    assert abs(int(until) - place.faults()["strikes"][-1]["at_ms"]) <= 300
    await asyncio.sleep(0.4)
    assert (await session.get(place.url + TIME)).status == 200


async def test_frames_are_doubled_edited_and_broken(place: LocalExchange, session: aiohttp.ClientSession) -> None:
    closing = {"fields": {"e": "kline", "k.x": True}}
    place.arm(
        rule("frame", {"action": "twice", "set": {"k.c": "1"}}, match=closing),
        rule("frame", {"action": "edit", "set": {"k.c": "NaN"}}, match=closing, after=1),
        rule("frame", {"action": "garble", "text": "{not json"}, match=closing, after=2),
        rule("frame", {"action": "insert", "frames": [{"e": "odd"}]}, match=closing, after=3),
        rule("frame", {"action": "edit", "set": {"k.x": True}}, match={"stream": KLINE, "fields": {"k.x": False}}),
    )
    socket = await listen_quietly(session, place)
    heard = []
    for _ in range(4):
        await place.turn()
        heard += await hears(socket)
    await socket.close()
    frames = [json.loads(text) if text.endswith("}") else text for text in heard]
    assert [f["k"]["c"] for f in frames[:2]][1] == "1"
    assert flags([heard[2]]) == [False]
    assert frames[3]["k"]["c"] == "NaN"
    assert "{not json" in heard
    assert {"e": "odd"} in frames


async def listen_quietly(session: aiohttp.ClientSession, place: LocalExchange) -> aiohttp.ClientWebSocketResponse:
    socket = await session.ws_connect(f"{place.url}/market/ws")
    await socket.send_json({"method": "SUBSCRIBE", "params": [KLINE], "id": 1})
    await socket.receive_json(timeout=5 * PATIENCE)
    greeting = await socket.receive_json(timeout=5 * PATIENCE)
    assert greeting["k"]["x"], "the forming candle was marked closed"
    return socket


async def test_a_frame_is_overtaken_by_the_next_of_its_stream(
    place: LocalExchange, session: aiohttp.ClientSession
) -> None:
    socket = await listen(session, place)
    place.arm(rule("frame", {"action": "hold", "frames": 1}, match={"fields": {"k.x": True}}))
    await place.turn()
    assert flags(await hears(socket)) == [False, True]
    place.arm(rule("frame", {"action": "delay", "seconds": 0.2}, match={"fields": {"k.x": True}}))
    await place.turn()
    assert flags(await hears(socket, 0.5)) == [False, True]
    place.arm(rule("frame", {"action": "hold", "frames": 99, "seconds": 60}, match={"fields": {"k.x": True}}))
    await place.turn()
    assert flags(await hears(socket)) == [False]
    place.disarm()
    assert flags(await hears(socket)) == [True], "what was kept back comes once the faults are cleared"
    await socket.close()


@pytest.mark.parametrize("pongs", [True, False])
async def test_a_muted_socket_brings_nothing_and_pongs_as_told(
    place: LocalExchange, session: aiohttp.ClientSession, pongs: bool
) -> None:
    socket = await listen(session, place)
    place.arm(rule("frame", {"action": "mute", "pongs": pongs}))
    await place.turn()
    assert await hears(socket) == []
    pinging = await session.ws_connect(f"{place.url}/market/ws", autoping=False)
    await socket.ping(b"there?")
    await pinging.ping(b"there?")
    answered = await pinging.receive(timeout=5 * PATIENCE)
    assert answered.type is aiohttp.WSMsgType.PONG, "other connections go on"
    if not pongs:
        assert await hears(socket) == []
    await place.turn()
    assert await hears(socket) == []
    await socket.close()
    await pinging.close()


async def test_handshakes_are_refused_cut_or_accepted_in_silence(
    place: LocalExchange, session: aiohttp.ClientSession
) -> None:
    place.arm(
        rule("connection", {"action": "answer", "status": 503}, match={"path": "/market/*"}),
        rule("connection", {"action": "cut"}, after=1, count=2),  # aiohttp dials once more by itself
        rule("connection", {"action": "mute"}, after=3),
    )
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{place.url}/market/ws")
    assert refused.value.status == 503
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.ws_connect(f"{place.url}/market/ws")
    silent = await session.ws_connect(f"{place.url}/market/ws")
    await silent.send_json({"method": "SUBSCRIBE", "params": [KLINE], "id": 1})
    assert await hears(silent) == []
    await silent.close()
    await (await listen(session, place)).close()


@pytest.mark.parametrize(("when", "heard"), [("before", 0), ("after", 1)])
async def test_a_socket_is_cut_around_a_frame(
    place: LocalExchange, session: aiohttp.ClientSession, when: str, heard: int
) -> None:
    socket = await listen(session, place)
    place.arm(rule("frame", {"action": "cut", "when": when}, match={"fields": {"k.x": True}}))
    await place.turn()
    *texts, end = await hears(socket)
    assert (len(texts), end) == (heard, "CLOSED")


async def test_the_exchange_stands_still_and_then_does_what_waited(
    place: LocalExchange, session: aiohttp.ClientSession
) -> None:
    place.arm(rule("request", {"action": "freeze", "seconds": 0.5}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    replies = await asyncio.gather(*(session.get(place.url + TIME) for _ in range(3)))
    assert [reply.status for reply in replies] == [200] * 3
    assert loop.time() - began >= 0.45


def test_a_process_is_killed_at_an_exact_message(place: LocalExchange) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    place.arm(rule("reply", {"action": "signal", "pid": victim.pid}, match={"path": TIME}, after=1))
    place.ask("GET", TIME)
    assert victim.poll() is None
    place.ask("GET", TIME)
    assert victim.wait(10 * PATIENCE) == -9


def test_the_control_port_refuses_what_is_no_fault(place: LocalExchange) -> None:
    with pytest.raises(HTTPError) as refused:
        place.arm(rule("frame", {"action": "answer"}))
    assert "answer cannot be done on a frame" in json.load(refused.value)["error"]
    with pytest.raises(HTTPError) as refused:
        place.arm(rule("request", {"action": "drop"}, match={"stream": "private"}))
    assert "stream tells nothing of a request" in json.load(refused.value)["error"]
    assert place.faults()["faults"] == []


def test_a_scenario_file_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("faults:\n  - name: x\n    on: request\n    do: {action: delay, secnds: 1}\n")
    command = [sys.executable, "-m", "market.exchange", "--faults", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)
    assert ended.returncode == 4
    assert f"{file}:4:" in ended.stderr
    assert "unknown key, did you mean 'seconds'?" in ended.stderr


def test_the_example_is_valid_and_its_schema_current() -> None:
    assert load(SCHEMA.with_name("faults.yaml"), Scenario).faults
    assert schema_is_current(Scenario, SCHEMA), "run `make schema`"


def test_the_same_seed_strikes_the_same_messages() -> None:
    def struck(seed: int) -> list[bool]:
        arsenal = Arsenal(seed, lambda: 0)
        told = rule("request", {"action": "drop"}, probability=0.3, count=None)
        arsenal.arm([Rule.model_validate_json(json.dumps(told))])
        return [arsenal.strike(Message(On.REQUEST)) is not None for _ in range(200)]

    assert struck(1) == struck(1) != struck(2)
    assert 30 < sum(struck(1)) < 90


def test_a_rule_matches_params_fields_and_their_absence() -> None:
    message = Message(On.REQUEST, "POST", ORDER, {"side": "BUY", "reduceOnly": "true"}, body={"k": [{"x": True}]})
    assert matches(Match(params={"side": ("SELL", "BUY"), "reduceOnly": True, "closePosition": None}), message)
    assert matches(Match(path="/fapi/*/order", fields={"k.0.x": True, "k.1.x": None}), message)
    assert not matches(Match(params={"side": None}), message)
    assert not matches(Match(params={"side": "S*"}), message)


def test_paths_into_json_change_a_copy() -> None:
    tree = {"a": [{"b": 1}], "c": 2}
    assert edited(tree, {"a.0.b": "NaN", "x.y": 1}, ["c", "no.where"]) == {"a": [{"b": "NaN"}]}
    assert (look(tree, "a.0.b"), look(tree, "a.7.b"), look(tree, "c.d")) == (1, None, None)


def test_the_exchange_tells_for_how_long_a_position_was_naked(place: LocalExchange) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    before = len(place.state()["exposure"]["spans"])
    place.ask("POST", ORDER, **order)
    assert place.state()["exposure"]["naked_now"]["BTCUSDT"] > 0
    price = round(float(place.state()["prices"]["BTCUSDT"]) * 0.9, 1)
    stop = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET"}
    place.ask("POST", "/fapi/v1/algoOrder", **stop, triggerPrice=price, quantity="0.005", reduceOnly="true")
    assert "BTCUSDT" in place.state()["exposure"]["naked_now"], "half a stop protects half a position"
    place.ask("POST", "/fapi/v1/algoOrder", **stop, triggerPrice=price, quantity="0.01", reduceOnly="true")
    exposure = place.state()["exposure"]
    assert exposure["naked_now"] == {}
    (span,) = exposure["spans"][before:]
    assert span[0] == "BTCUSDT"
    assert 0 < span[2] - span[1] < 10 * PATIENCE
    place.ask("POST", ORDER, **order | {"side": "SELL"})
    place.ask("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")
