"""The soak: one daemon process, a market that goes as fast as it is read, and a storm over all of it.

The harness walks the exchange a few bars at a time, waits while nobody listens (the storm has cut the streams), and
notes the daemon's memory. Frames are counted by the exchange: every one of them passes a rule of the storm.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from daemon import control
from market.instruments import CASH
from strategy.live_config import Rules, load_rules
from tests.crash.campaign import store
from tests.crash.invariants import broken
from tests.crash.truth import Account, settled
from tests.daemon.conftest import RULES
from tests.local_exchange import PATIENCE, ROOT, LocalExchange
from tests.soak.storm import rules as storm

MADE_UP = ["BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "AVAX", "LINK", "DOT", "LTC", "BCH", "TRX", "ATOM", "UNI"]
WARMUP_HOURS = 120
TELLS = 7
"""Frames a bar brings of a symbol: two timeframes, each at three prices on the way, and the close of the shorter."""
PACE = 5
"""Bars between two looks at the daemon."""
SAMPLES = 100
REST_S = 60.0
DEPOSIT = 100_000


class SoakError(Exception):
    """The soak cannot go on; the message says what to look at."""


@dataclass
class Soaked:
    """What a soak has seen: `memory` holds (frames, MB) pairs, `strikes` how often each fault struck."""

    frames: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)
    strikes: dict[str, int] = field(default_factory=dict)
    exit_code: int | None = None
    unrest: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


class Soak:
    """One daemon on one exchange in `folder`; `close` ends both."""

    def __init__(self, folder: Path, symbols: int, frames: int, seed: int) -> None:
        self.folder, self.frames = folder, frames
        self.symbols = tuple(f"{name}USDT" for name in MADE_UP[:symbols])
        folder.mkdir(parents=True, exist_ok=True)
        bars = 4 * frames // (TELLS * symbols) + 2_000  # what is played while a stream is cut or silent tells nobody
        self.place = LocalExchange(
            symbols=self.symbols, timeframe="1m", warmup=WARMUP_HOURS * 60, bars=bars, seed=seed, cash=DEPOSIT,
            fault_seed=seed,
        )  # fmt: skip
        self.account = Account(self.place)
        self.state = folder / "state"
        (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
        self.rules: Rules = load_rules(folder / "rules.yaml")
        self.config = folder / "daemon.yaml"
        self.config.write_text(yaml.safe_dump(self._keys(store(folder / "models"))))
        self.log = folder / "daemon.log"
        environment = os.environ | {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
        with self.log.open("w") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "daemon", "run", "--config", str(self.config), "--json"],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            )  # fmt: skip

    def close(self) -> None:
        """End daemon and exchange, by their ids."""
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.communicate()
        self.place.stop()

    def run(self, told: Callable[[Soaked], None]) -> Soaked:
        """Play until the frames are sent, let the storm pass, and bring the daemon to rest and to its end."""
        self._until(lambda: self.place.state()["listening"], "the daemon listens")
        self.place.arm(*storm())
        seen, began, memory = Soaked(), time.monotonic(), psutil.Process(self.daemon.pid)
        played, look = 0, max(1, self.frames // (TELLS * len(self.symbols) * SAMPLES * PACE)) * PACE
        while seen.frames < self.frames:
            if not self.place.state()["listening"]:
                self._alive()
                time.sleep(0.02)
                continue
            if self.place.walk(PACE)["done"]:
                raise SoakError(f"the market ended after {seen.frames:,} frames: the daemon was seldom listening")
            played += PACE
            if played % look == 0:
                seen.frames, seen.seconds = self._frames(), time.monotonic() - began
                seen.memory.append((seen.frames, round(memory.memory_info().rss / 1e6, 2)))
                told(seen)
        faults = self.place.faults()["faults"]
        seen.strikes = {f["name"]: f["hits"] for f in faults}
        self.place.disarm()
        self._rest(seen)
        self.daemon.send_signal(signal.SIGTERM)
        out, _ = self.daemon.communicate(timeout=REST_S * PATIENCE)
        seen.exit_code = self.daemon.returncode
        seen.summary = json.loads(out) if out.strip() else {}
        return seen

    def _frames(self) -> int:
        """How many kline frames were sent: all of them were shown to the storm's first rule."""
        return int(self.place.faults()["faults"][0]["seen"])

    def _rest(self, seen: Soaked) -> None:
        """Play on to the next hour in good weather, and see that daemon and exchange agree."""
        hour = 3_600_000
        self._until(lambda: self.place.state()["listening"], "the daemon listens again")
        while self.place.state()["market_time"] % hour:
            self.place.walk(1)
        deadline = time.monotonic() + REST_S * PATIENCE
        last = self.place.state()["market_time"] - hour
        seen.unrest = ["never looked"]
        while seen.unrest and time.monotonic() < deadline:
            self._alive()
            time.sleep(0.2)
            self.account.count(self.symbols)
            status = control.request(self.state, "status")
            seen.unrest = broken(self.place.state(), status, self.state, self.account, self.rules, DEPOSIT * CASH)
            # at this pace a lost word about funding is asked for only after its position is closed
            seen.unrest = [told for told in seen.unrest if not told.startswith("funding:")]
            if settled(self.state) < last:
                seen.unrest.append("the last hour was not settled")

    def _until(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + REST_S * PATIENCE
        while not true():
            self._alive()
            if time.monotonic() > deadline:
                raise SoakError(f"not within {REST_S * PATIENCE:.0f} s: {what}; see {self.log}")
            time.sleep(0.02)

    def _alive(self) -> None:
        if self.daemon.poll() is not None:
            raise SoakError(f"the daemon ended with {self.daemon.returncode}; see {self.log}")

    def _keys(self, models: Path) -> dict[str, Any]:
        return {
            "mode": "sandbox",
            "exchange": {"url": self.place.url, "key": "local", "secret": "local"},
            "symbols": list(self.symbols),
            "timeframes": ["1m", "1h"],
            "model_set": "latest",
            "model_sets": str(models.resolve()),
            "rules": "rules.yaml",
            "state_dir": "state",
            "deadlines": {"data_s": 5, "first_data_s": 10},
        }
