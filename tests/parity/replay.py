"""The replay: real daemon, real local exchange, real sockets, one bar at a time.

The exchange's clock stands still until the daemon's journal says that the candle is settled (decided, every command
acknowledged, the stop read back); then the control port lets it play one more bar. The daemon knows nothing of it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from daemon.journal import FILE, Journal
from market.instruments import cash
from market.trades import Trade

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
"""Every time-out is multiplied by this; raise it on a slow machine."""


CCXT_IDS = {"binance": "binanceusdm", "bybit": "bybit"}
"""What the daemon's configuration calls the venues of the local exchange."""


class ReplayError(Exception):
    """The daemon or the exchange did not do its part; the message holds the end of its log."""


@dataclass(frozen=True)
class Outcome:
    """What the daemon did: its trades, its wallet, and the summary it printed."""

    trades: list[Trade]
    cash: int
    summary: dict[str, Any]
    seconds: float


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A child process, ended by its id whatever happens."""
    with log.open("w") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(20 * PATIENCE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def replay(
    work: Path, data: list[Path], symbols: list[str], funding: list[Path], timeframe: str, warmup: int, bars: int,
    model_set: str, rules: Path, progress: Callable[[int, int], None], *, venue: str = "binance",
    model_sets: Path = ROOT / "models",
) -> Outcome:  # fmt: skip
    """Play `bars` bars of the data after `warmup` ones at a venue and return what the daemon made of them."""
    began = time.monotonic()
    exchange = [sys.executable, "-m", "market.exchange", "--venue", venue, "--data", ",".join(map(str, data))]
    exchange += ["--symbols", ",".join(symbols), "--timeframe", timeframe, "--speed", "manual", "--port", "0"]
    exchange += ["--warmup", str(warmup), "--bars", str(bars)]
    if funding:
        exchange += ["--funding", ",".join(map(str, funding))]
    with running(exchange, work / "exchange.log") as serving:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        if not line:
            raise ReplayError(f"the exchange did not start:\n{_tail(work / 'exchange.log')}")
        url = f"http://127.0.0.1:{json.loads(line)['port']}"
        config = work / "daemon.yaml"
        config.write_text(_config(url, symbols, venue, model_set, model_sets, rules, work / "state"))
        command = [sys.executable, "-m", "daemon", "run", "--config", str(config), "--candles", str(bars - 1), "--json"]
        with running(command, work / "daemon.log") as daemon:
            _drive(url, work, daemon, bars - 1, progress)
            assert daemon.stdout is not None
            summary = json.loads(daemon.stdout.read())
            if daemon.wait(30 * PATIENCE) != 0:
                raise ReplayError(f"the daemon ended with {daemon.returncode}:\n{_tail(work / 'daemon.log')}")
        state = control(url, "state")
    journal = Journal(work / "state")
    return Outcome(journal.trades(), cash(state["cash"]), summary, time.monotonic() - began)


def control(url: str, verb: str, **body: object) -> dict[str, Any]:
    """One request to the exchange's control port."""
    data = json.dumps(body).encode() if body else None
    request = Request(f"{url}/control/{verb}", data=data, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=60 * PATIENCE) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


def _drive(
    url: str, work: Path, daemon: subprocess.Popen[str], bars: int, progress: Callable[[int, int], None]
) -> None:
    """Advance bar by bar, each time the daemon has settled the one before."""
    _until(lambda: control(url, "state").get("listening", False), work, daemon, "listen to the exchange")
    opened = int(control(url, "state")["market_time"])
    with sqlite3.connect(f"file:{work / 'state' / FILE}?mode=ro", uri=True) as journal:
        for done in range(bars):
            control(url, "advance", bars=1)
            _until(lambda bar=opened: _settled(journal) >= bar, work, daemon, f"settle the candle of {opened} ms")
            opened = int(control(url, "state")["market_time"])
            progress(done + 1, bars)


def _settled(journal: sqlite3.Connection) -> int:
    (bar,) = journal.execute("SELECT max(bar) FROM settled").fetchone()
    return -1 if bar is None else int(bar)


def _until(done: Callable[[], bool], work: Path, daemon: subprocess.Popen[str], what: str) -> None:
    deadline = time.monotonic() + 60 * PATIENCE
    while not done():
        if daemon.poll() is not None:
            raise ReplayError(
                f"the daemon ended ({daemon.returncode}) and did not {what}:\n{_tail(work / 'daemon.log')}"
            )
        if time.monotonic() > deadline:
            raise ReplayError(f"the daemon did not {what} in time:\n{_tail(work / 'daemon.log')}")
        time.sleep(0.001)


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:])


def _config(
    url: str, symbols: list[str], venue: str, model_set: str, model_sets: Path, rules: Path, state: Path
) -> str:
    """`configs/parity.yaml` with this run's addresses."""
    text = (ROOT / "configs" / "parity.yaml").read_text()
    told = {"url": url, "symbols": "[" + ", ".join(symbols) + "]", "model_set": model_set, "rules": str(rules)}
    told |= {"state_dir": str(state), "model_sets": str(model_sets), "id": CCXT_IDS[venue]}
    lines = []
    for line in text.splitlines():
        key = line.strip().partition(":")[0]
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(f"{indent}{key}: {told[key]}" if key in told else line)
    return "\n".join(lines) + "\n"
