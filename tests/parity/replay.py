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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from daemon.journal import FILE
from market.instruments import cash, cash_text
from market.timeframes import Timeframe
from market.trades import Trade

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
"""Every time-out is multiplied by this; raise it on a slow machine."""
LOOK_EVERY = 200
"""Bars between two looks at the trades made so far."""
CCXT_IDS = {"binance": "binanceusdm", "bybit": "bybit"}
"""What the daemon's configuration calls the venues of the local exchange."""


class ReplayError(Exception):
    """The daemon or the exchange did not do its part; the message holds the end of its log."""


class ParityError(Exception):
    """Two made different trades of the same bars; the run ends there instead of after the last one."""


Standing = dict[str, dict[str, list[str] | str]]
"""Positions by symbol as the exchange writes them, each with the triggers of its stops."""
Progress = Callable[[int, int, int], None]
"""Called with bars settled, bars in all, and trades made so far."""


@dataclass(frozen=True)
class Play:
    """What is played to the daemon, and how it is set up.

    `work` is the folder of state and logs; `data` and `funding` are files, one a symbol; `start` is the open time (ms)
    of the first of the `bars` bars, everything before it history; `cash` is the first deposit, cash units.
    """

    work: Path
    data: Sequence[Path]
    symbols: Sequence[str]
    funding: Sequence[Path]
    timeframe: str
    start: int
    bars: int
    model_set: str
    rules: Path
    cash: int
    venue: str = "binance"
    model_sets: Path = ROOT / "models"


@dataclass(frozen=True)
class Outcome:
    """What the daemon did.

    `trades` and `cash` are its trades and the wallet at the exchange, `reasons` its decisions by reason, `equity` the
    equity (cash units) that it decided with at each close (ms), `standing` what is still open, `summary` what it
    printed, `seconds` how long the bars took, start and end apart.
    """

    trades: list[Trade]
    cash: int
    reasons: dict[str, int]
    equity: list[tuple[int, int]]
    standing: Standing
    summary: dict[str, Any]
    seconds: float


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A child process, ended by its id whatever happens."""
    with log.open("a") as errors:
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


def replay(play: Play, progress: Progress, expected: Sequence[Trade] | None = None) -> Outcome:
    """Play the bars at a venue and return what the daemon made of them.

    Raises
    ------
    ReplayError
        If the daemon or the exchange does not do its part.
    ParityError
        As soon as the daemon's trades are no longer the beginning of the `expected` ones, where those are given.
    """
    work, bars = play.work, play.bars - 1  # the last bar opens, and does not close
    exchange = [sys.executable, "-m", "market.exchange", "--venue", play.venue, "--data", ",".join(map(str, play.data))]
    exchange += ["--symbols", ",".join(play.symbols), "--timeframe", play.timeframe, "--speed", "manual", "--port", "0"]
    exchange += ["--start-at", str(play.start), "--bars", str(play.bars), "--cash", cash_text(play.cash)]
    if play.funding:
        exchange += ["--funding", ",".join(map(str, play.funding))]
    with running(exchange, work / "exchange.log") as serving:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        if not line:
            raise ReplayError(f"the exchange did not start:\n{_tail(work / 'exchange.log')}")
        control = Control(json.loads(line)["port"])
        config = work / "daemon.yaml"
        config.write_text(_config(control.url, play))
        command = [sys.executable, "-m", "daemon", "run", "--config", str(config), "--candles", str(bars), "--json"]
        with running(command, work / "daemon.log") as daemon:
            seconds = _drive(control, work, daemon, bars, progress, expected)
            assert daemon.stdout is not None
            summary = json.loads(daemon.stdout.read())
            if daemon.wait(30 * PATIENCE) != 0:
                raise ReplayError(f"the daemon ended with {daemon.returncode}:\n{_tail(work / 'daemon.log')}")
        state = control.ask("state")
    with _reading(work) as journal:
        return Outcome(
            trades=_trades(journal),
            cash=cash(state["cash"]),
            reasons=dict(journal.execute("SELECT reason, count(*) FROM decisions GROUP BY reason")),
            equity=list(journal.execute(_EQUITY, {"length": Timeframe.parse(play.timeframe).ms})),
            standing=standing(state),
            summary=summary,
            seconds=seconds,
        )


_EQUITY = "SELECT bar + :length, max(equity) FROM decisions GROUP BY bar ORDER BY bar"


class Control:
    """The exchange's control port, over one connection that stays open."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60 * PATIENCE)

    def ask(self, verb: str, **body: object) -> dict[str, Any]:
        """One request, a POST where there is a body."""
        data = json.dumps(body) if body else None
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST" if body else "GET", f"/control/{verb}", data, headers)
        answer: dict[str, Any] = json.load(self._connection.getresponse())
        return answer


def standing(state: Mapping[str, Any]) -> Standing:
    """The exchange's positions, each with the stops that rest for its symbol."""
    told: Standing = {symbol: dict(position) for symbol, position in state["positions"].items()}
    for stop in state["stops"]:
        of = told.setdefault(stop["symbol"], {})
        of["stops"] = [*of.get("stops", []), stop["trigger"]]
    return told


def _drive(
    control: Control,
    work: Path,
    daemon: subprocess.Popen[str],
    bars: int,
    progress: Progress,
    expected: Sequence[Trade] | None,
) -> float:
    """Advance bar by bar, each time the daemon has settled the one before; gives the seconds that took."""
    _until(lambda: control.ask("state").get("listening", False), work, daemon, "listen to the exchange")
    opened = int(control.ask("state")["market_time"])
    began, made = time.monotonic(), 0
    with _reading(work) as journal:
        for done in range(1, bars + 1):
            following = int(control.ask("advance", bars=1)["market_time"])
            _until(partial(_settled, journal, opened), work, daemon, f"settle the candle of {opened} ms")
            opened = following
            if done % LOOK_EVERY == 0 or done == bars:
                for trade in _trades(journal, made):
                    made += 1
                    if expected is not None and (made > len(expected) or trade != expected[made - 1]):
                        other = expected[made - 1] if made <= len(expected) else "none"
                        raise ParityError(
                            f"trade {made}, within {done:,} bars:\n  daemon   {trade}\n  backtest {other}"
                        )
            progress(done, bars, made)
    return time.monotonic() - began


@contextmanager
def _reading(work: Path) -> Iterator[sqlite3.Connection]:
    journal = sqlite3.connect(f"file:{work / 'state' / FILE}?mode=ro", uri=True)
    try:
        yield journal
    finally:
        journal.close()


def _settled(journal: sqlite3.Connection, bar: int) -> bool:
    (newest,) = journal.execute("SELECT max(bar) FROM settled").fetchone()
    return newest is not None and newest >= bar


def _trades(journal: sqlite3.Connection, after: int = 0) -> list[Trade]:
    """Closed trades in the order they closed, without the first `after`."""
    names = ", ".join(f.name for f in fields(Trade))
    rows = journal.execute(f"SELECT {names} FROM trades ORDER BY id LIMIT -1 OFFSET ?", (after,))
    return [Trade(*values) for values in rows]


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


def _config(url: str, play: Play) -> str:
    """`configs/parity.yaml` with this run's addresses."""
    text = (ROOT / "configs" / "parity.yaml").read_text()
    told = {"url": url, "symbols": f"[{', '.join(play.symbols)}]", "model_set": play.model_set, "rules": play.rules}
    told |= {"state_dir": play.work / "state", "model_sets": play.model_sets, "id": CCXT_IDS[play.venue]}
    lines = []
    for line in text.splitlines():
        key = line.strip().partition(":")[0]
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(f"{indent}{key}: {told[key]}" if key in told else line)
    return "\n".join(lines) + "\n"
