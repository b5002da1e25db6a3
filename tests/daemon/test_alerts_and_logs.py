"""Alerts to a real HTTP receiver, and logs that keep secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from daemon import logs
from daemon.alerts import QUEUE, Alerts, AlertsError
from tests.daemon.conftest import until
from tests.local_exchange import PATIENCE


class Receiver:
    """An HTTP endpoint that keeps what it is told, and can be made to fail."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.status = 200
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((await request.json())["message"])
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


async def test_an_alert_of_the_level_reaches_the_channel_and_a_lesser_one_does_not(receiver: Receiver) -> None:
    alerts = Alerts([f"json://127.0.0.1:{receiver.port}"], "warning")
    task = asyncio.create_task(alerts.run())
    alerts.tell("info", "all is well")
    alerts.tell("critical", "naked")
    await until(lambda: receiver.got == ["naked"], "the alert")
    assert [text for _, text in alerts.recent] == ["all is well", "naked"]
    task.cancel()


async def test_a_channel_that_fails_is_counted_and_the_next_alert_still_goes_out(receiver: Receiver) -> None:
    alerts = Alerts([f"json://127.0.0.1:{receiver.port}"], "info")
    task = asyncio.create_task(alerts.run())
    receiver.status = 500
    alerts.tell("info", "first")
    await until(lambda: alerts.failed == 1, "the failure counted")
    receiver.status = 200
    alerts.tell("info", "second")
    await alerts.drain(10)
    assert (receiver.got[-1], alerts.failed) == ("second", 1)
    task.cancel()


def test_a_full_queue_drops_and_counts() -> None:
    alerts = Alerts(["json://127.0.0.1:9"], "info")
    for number in range(QUEUE + 5):
        alerts.tell("info", f"alert {'x' * number}")
    assert alerts.dropped == 5


def test_a_channel_that_is_not_known_is_refused_without_repeating_it() -> None:
    with pytest.raises(AlertsError, match="number 1") as error:
        Alerts(["carrier-pigeon://secret-token"], "info")
    assert "secret-token" not in str(error.value)


async def test_what_repeats_is_told_at_once_and_then_counted(receiver: Receiver) -> None:
    alerts = Alerts([f"json://127.0.0.1:{receiver.port}"], "info", quiet_s=0.5)
    task = asyncio.create_task(alerts.run())
    for number in range(1, 201):
        alerts.tell("warning", f"BTCUSDT: stop refused by the exchange: -2021 no (try {number})")
    alerts.tell("warning", "ETHUSDT: stop refused by the exchange: -2021 no (try 1)")
    await until(lambda: len(receiver.got) == 3, "two kinds, and one count")
    assert receiver.got[0].endswith("(try 1)")
    assert receiver.got[1].startswith("ETHUSDT")
    assert re.search(r"\(try 200\) \(the last of 199 of this kind within \d+ s\)$", receiver.got[2])
    assert (alerts.grouped, alerts.dropped) == (199, 0)
    await asyncio.sleep(1.2)  # silence ends the counting
    alerts.tell("warning", "BTCUSDT: stop refused by the exchange: -2021 no (try 1)")
    await until(lambda: len(receiver.got) == 4, "told at once again")
    task.cancel()


async def test_open_counts_are_told_before_the_end() -> None:
    alerts = Alerts([], "info")
    for _ in range(3):
        alerts.tell("critical", "naked")
    assert [text for _, text in alerts.recent] == ["naked"]
    await alerts.drain(1)
    assert [text for _, text in alerts.recent] == ["naked", "naked (the last of 2 of this kind within 0 s)"]


def written(log_file: Path) -> str:
    """The log, once its thread has written it."""
    logs.flush()
    return log_file.read_text()


def test_a_log_that_nobody_reads_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES", 50)
    reading, writing = os.pipe()
    handler = logs.Written(os.fdopen(writing, "w"))
    log = logging.Logger("nobody reads it")
    log.addHandler(handler)
    began = time.monotonic()
    for _ in range(2_000):
        log.warning("x" * 1_000)  # far more than a pipe holds
    assert time.monotonic() - began < 2 * PATIENCE
    assert handler.lost > 0
    got = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 65_536):
            got.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    deadline = time.monotonic() + 10 * PATIENCE
    while (b"log lines were lost" not in got or handler.lost) and time.monotonic() < deadline:
        log.warning("is anybody there?")
        handler.flush()
    assert b"log lines were lost" in got
    assert handler.lost == 0
    handler.close()
    handler._stream.close()
    reader.join(10 * PATIENCE)
    os.close(reading)


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up("debug", tmp_path / "log")
    yield tmp_path / "log"
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_log_line_is_one_json_object(log_file: Path) -> None:
    logging.getLogger("daemon.x").warning("hello %s", "world", extra={"symbol": "BTCUSDT"})
    (line,) = written(log_file).splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["logger"], entry["symbol"]) == (
        "hello world", "warning", "daemon.x", "BTCUSDT",
    )  # fmt: skip


def test_secrets_are_hidden_by_key_and_in_texts(log_file: Path) -> None:
    log = logging.getLogger("daemon.x")
    log.info("GET /fapi/v1/order?symbol=BTCUSDT&signature=deadbeef&timestamp=1", extra={"secret": "s3cret"})
    log.info("headers", extra={"headers": {"X-MBX-APIKEY": "k3y", "listenKey": "l1sten"}})
    text = written(log_file)
    assert not {s for s in ("deadbeef", "s3cret", "k3y", "l1sten") if s in text}
    assert text.count(logs.HIDDEN) == 4
    assert "timestamp=1" in text


def test_an_error_is_logged_with_its_trace(log_file: Path) -> None:
    try:
        sys.intern(1)  # type: ignore[arg-type]
    except TypeError:
        logging.getLogger("daemon.x").exception("failed")
    assert "TypeError" in json.loads(written(log_file))["exception"]
