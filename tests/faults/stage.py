"""The stage: one local exchange and the daemons that trade on it, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from daemon import control
from daemon.journal import FILE
from market import history, synthetic
from models.modelset import save
from tests.daemon.conftest import FEATURES, RULES
from tests.faults.scenario import Fault, Scenario
from tests.local_exchange import PATIENCE, ROOT, LocalExchange
from tests.models.small_sets import HOUR, Market, make_set

WARMUP, BARS = 150, 200
SYMBOL = "BTCUSDT"
SPIKE = 0.04
"""Beyond every stop of the rules, and short of a liquidation."""
WAIT_S = 45.0
LOOK_S = 0.02
MAIN = "daemon"


class NotSurvived(Exception):
    """Something that had to happen did not; the message says what."""


def small_models(folder: Path) -> Path:
    """A folder with one small trained set in its store."""
    market = Market(*synthetic.generate(SYMBOL, bars=1000, timeframe=HOUR, seed=7))
    made = make_set(market, FEATURES)
    save(made.manifest, made.files, folder / "sets")
    return folder


def spiked(file: Path, bar: int, seed: int) -> Path:
    """A history whose candle `bar` after the warm-up reaches far enough, up and down, to fire any stop."""
    candles, _ = synthetic.generate(SYMBOL, bars=WARMUP + BARS, timeframe=HOUR, seed=seed)
    at = WARMUP + bar
    high, low = candles.high.copy(), candles.low.copy()
    high[at], low[at] = candles.open[at] * (1 + SPIKE), candles.open[at] * (1 - SPIKE)
    file.parent.mkdir(parents=True, exist_ok=True)
    history.write(replace(candles, high=high.round(2), low=low.round(2)), file)
    return file


def until(true: Callable[[], object], what: Callable[[], str], seconds: float = WAIT_S) -> None:
    """Wait until something holds; `what` says what was waited for, once it was in vain.

    Raises
    ------
    NotSurvived
        If it does not in time.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise NotSurvived(f"not within {seconds * PATIENCE:.0f} s: {what()}")
        time.sleep(LOOK_S)


class Host:
    """A daemon's state directory, and the process that lives in it now.

    Attributes
    ----------
    downs : list
        (down, up) in monotonic seconds: from when a process was killed until the next one knew the truth.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.state = folder, folder / "state"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.yaml").write_text(yaml.safe_dump(RULES | dict(config.get("_rules", {}))))
        keys = {key: value for key, value in config.items() if not key.startswith("_")}
        self.config = folder / "daemon.yaml"
        self.config.write_text(yaml.safe_dump(keys))
        self.log_file = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.downs: list[tuple[float, float]] = []
        self._down_at: float | None = None
        self._began_at = 0

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Begin a life."""
        command = [sys.executable, "-m", "daemon", "run", "--config", str(self.config)]
        environment = os.environ | {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
        self._began_at = len(self.log())
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log)

    def up(self) -> None:
        """Wait until it knows the exchange's truth, and note for how long nobody did."""
        until(
            lambda: self.status().get("phase") == "trading" or self.over(),
            lambda: f"a daemon that trades; {self.tail()}",
        )
        if self._down_at is not None:
            self.downs.append((self._down_at, time.monotonic()))
            self._down_at = None

    def over(self) -> bool:
        """Whether the process has ended."""
        return self.process is None or self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send its process a signal, unless it has ended."""
        if not self.over():
            os.kill(self.pid, number)

    def ended(self, seconds: float = WAIT_S) -> int:
        """Wait for its end; gives the exit code."""
        assert self.process is not None
        until(self.over, lambda: f"the daemon's end; its log ends:\n{self.tail()}", seconds)
        self._down_at = self._down_at or time.monotonic()
        return int(self.process.returncode)

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty while nobody answers."""
        try:
            return control.request(self.state, "status")
        except (control.NotRunning, control.NoAnswer):
            return {}

    def settled(self) -> int:
        """Open time of the newest settled candle, -1 for none."""
        rows = self.rows("SELECT max(bar) FROM settled")
        return int(rows[0][0]) if rows and rows[0][0] is not None else -1

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of its journal; none while there is no journal that can be read."""
        try:
            with closing(sqlite3.connect(f"file:{self.state / FILE}?mode=ro", uri=True)) as journal:
                return journal.execute(query).fetchall()
        except sqlite3.DatabaseError:
            return []

    def hearing(self) -> bool:
        """Whether it says that its market stream is live."""
        said = self.log()[self._began_at :]
        return said.rfind("market stream is live") > max(
            said.rfind(w) for w in ("market stream fell", "market stream is stale")
        )

    def log(self) -> str:
        """Everything it has logged, all lives together."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def tail(self, lines: int = 12) -> str:
        """The end of its log, one event a line."""
        return "\n".join(_plain(line) for line in self.log().splitlines()[-lines:])

    def close(self) -> None:
        """End the process, by its id."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        if self.process is not None:
            self.process.wait()


class Stage:
    """An exchange, its daemons, and what was played; ends every process it started."""

    def __init__(self, folder: Path, models: Path, scenario: Scenario, seed: int) -> None:
        self.folder, self._models, self._scenario, self._seed = folder, models, scenario, seed
        self.hosts: dict[str, Host] = {}
        self.armed: list[int] = []
        self.sets: dict[str, str] = {}
        """Model sets that acts have put into the daemon's store, by their name in the scenario: their ids."""
        self.due = 0.0
        """When the daemon's schedule fires, seconds since 1970."""
        self.closers: list[Callable[[], object]] = []
        """What ends what acts have started."""
        options: dict[str, Any] = {"warmup": WARMUP, "seed": seed, "fault_seed": seed, "bars": BARS}
        if scenario.spike is not None:
            options["data"] = spiked(folder / "history.parquet", scenario.spike, seed)
        self.exchange = LocalExchange(**options | dict(scenario.exchange))

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *failure: object) -> None:
        for host in self.hosts.values():
            host.close()
        for close in self.closers:
            close()
        self.exchange.stop()

    @property
    def host(self) -> Host:
        """The daemon the scenario is about."""
        return self.host_named(MAIN)

    def host_named(self, name: str, **changes: Any) -> Host:
        """A daemon on a host of its own; `changes` are keys of its configuration."""
        if name not in self.hosts:
            keys = {
                "mode": "sandbox",
                "exchange": {"url": self.exchange.url, "key": "local", "secret": "local"},
                "symbols": [SYMBOL],
                "model_set": "latest",
                "model_sets": str(self._models),
                "rules": "rules.yaml",
                "state_dir": "state",
            }
            self.hosts[name] = Host(self.folder / name, keys | dict(self._scenario.daemon) | changes)
        return self.hosts[name]

    def arm(self, faults: tuple[Fault, ...]) -> None:
        """Add faults; a signal without a process strikes the daemon."""
        for fault in faults:
            if fault["do"]["action"] == "signal":
                fault = fault | {"do": {"pid": self.host.pid} | fault["do"]}
            self.armed += self.exchange.arm(fault)

    def strikes(self) -> dict[int, int]:
        """How often each fault has struck, by its id."""
        return {told["id"]: told["hits"] for told in self.exchange.faults()["faults"]}

    def last_closed(self) -> int:
        """Open time of the candle that closed last at the exchange."""
        return int(self.exchange.state()["market_time"]) - HOUR.ms

    def listening(self) -> None:
        """Wait until the daemon is subscribed, has its history, and says so."""

        def hears() -> bool:
            return self.host.over() or (self.host.hearing() and bool(self.exchange.state()["listening"]))

        until(hears, lambda: f"a daemon that hears; its log ends:\n{self.host.tail()}")

    def await_settled(self, seconds: float = WAIT_S) -> None:
        """Wait until the candle that closed last was decided, done, and its position protected."""
        last = self.last_closed()
        until(
            lambda: self.host.settled() >= last or self.host.over(),
            lambda: f"the candle of {last} settled; the log ends:\n{self.host.tail()}",
            seconds,
        )
        if self.host.over():
            raise NotSurvived(f"the daemon ended with {self.host.ended()}; the log ends:\n{self.host.tail()}")


def _plain(line: str) -> str:
    try:
        told = json.loads(line)
    except ValueError:
        return line[:300]
    return f"{told.get('timestamp', '')[11:23]} {told.get('level', '')} {told.get('event', '')}"[:300]
