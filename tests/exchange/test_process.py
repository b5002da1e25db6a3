"""The exchange as a process: what it prints, how it plays, how it ends, and what it says to bad input."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest

from market.history import write
from market.synthetic import generate
from market.timeframes import Timeframe
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

Start = Callable[..., LocalExchange]
H1 = Timeframe.parse("1h")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    candles, _ = generate("BTCUSDT", bars=120, timeframe=H1, seed=1)
    write(candles, tmp_path / "btc.parquet")
    return tmp_path / "btc.parquet"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "market.exchange", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)


def test_it_says_where_it_serves_and_ends_on_a_signal(exchange: Start) -> None:
    venue = exchange(bars=10)
    assert venue.url == f"http://127.0.0.1:{venue.port}"
    assert venue.state()["market_time"] == venue.ready["market_time"]
    assert venue.stop() == 0


def test_it_plays_to_the_end_of_the_data_and_goes_on_serving(exchange: Start, data: Path) -> None:
    venue = exchange(data=data, warmup=100, bars=15)
    assert venue.advance(10) == {"market_time": venue.ready["market_time"] + 10 * H1.ms, "done": False, "bars": 10}
    assert venue.advance(10)["bars"] == 5
    assert venue.state()["done"]
    assert venue.advance() == {"market_time": venue.ready["market_time"] + 15 * H1.ms, "done": True, "bars": 0}


def test_it_ends_with_the_data_when_asked_to(exchange: Start, data: Path) -> None:
    assert exchange(data=data, speed=360_000, exit_at_end=True).wait() == 0


def test_the_start_is_a_date_or_a_warm_up(exchange: Start, data: Path) -> None:
    candles, _ = generate("BTCUSDT", bars=120, timeframe=H1, seed=1)
    when = np.datetime64(int(candles.open_time[70]), "ms")
    for options in ({"start_at": f"{when}Z"}, {"start_at": int(candles.open_time[70])}, {"warmup": 70}):
        venue = exchange(data=data, **options)
        assert venue.ready["market_time"] == candles.open_time[70]
        venue.stop()


def test_two_runs_of_one_seed_are_the_same_market(exchange: Start) -> None:
    first, second = exchange(bars=50, seed=9), exchange(bars=50, seed=9)
    first.advance(20)
    second.advance(20)
    assert first.state()["prices"] == second.state()["prices"]


def test_a_running_market_refuses_to_be_advanced(exchange: Start) -> None:
    venue = exchange(bars=50, speed="real")
    with pytest.raises(HTTPError) as caught:
        venue.advance()
    assert caught.value.code == 409
    assert "--speed manual" in json.load(caught.value)["error"]


def test_a_taken_port_is_said_and_ends_with_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run("--bars", 10, "--port", taken.getsockname()[1])
    assert ended.returncode == 1
    assert "choose another --port" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "nowhere.parquet"], 7, "nowhere.parquet"),
        (["--symbols", "doge"], 2, "write a base currency followed by USDT"),
        (["--symbols", "BTCUSDT,ETHUSDT", "--data", "one.parquet"], 2, "1 files for 2 symbols"),
        (["--timeframe", "7h"], 2, "does not divide a day"),
        (["--speed", "fast"], 2, "times real pace"),
        (["--taker-fee", "0.00000001"], 2, "at most six digits"),
        (["--cash", "lots"], 2, "not an amount"),
        (["--start-at", "soon"], 2, "write a date"),
        (["--start-at", "2024-01-01", "--warmup", "5"], 2, "give one"),
    ],
)
def test_bad_input_is_named_and_ends_with_its_code(arguments: list[str], code: int, words: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code
    assert words in " ".join(ended.stderr.split())


def test_a_warm_up_longer_than_the_data_is_named(data: Path) -> None:
    ended = run("--data", data, "--warmup", 500)
    assert ended.returncode == 7
    assert "lower --warmup" in ended.stderr


def test_an_interrupt_ends_it_cleanly() -> None:
    command = [sys.executable, "-m", "market.exchange", "--bars", "10"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in errors
