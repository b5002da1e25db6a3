"""Lives: the launcher's other end; each life is a daemon process, and what is heard of it is dated as it comes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.crash.points import Plan
from tests.local_exchange import PATIENCE, ROOT


class HarnessError(Exception):
    """The harness itself cannot go on; the message says what to look at."""


@dataclass
class Life:
    """One daemon process; instants are monotonic seconds.

    `struck` is the point that ended it, `trading_at` when its market stream came to life, `code` its exit code
    (negative: the signal), None while it lives.
    """

    pid: int
    began_at: float
    crossed: Path
    struck: str = ""
    trading_at: float | None = None
    code: int | None = None

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Ask it to end in good order."""
        os.kill(self.pid, signal.SIGTERM)

    def points(self) -> dict[str, int]:
        """How often it crossed each point; once it has ended by plan or in good order."""
        counts: dict[str, int] = json.loads(self.crossed.read_text())
        return counts


class Launcher:
    """The fork server as a child process; `close` ends it and everything it forked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        environment = os.environ | {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._unread, self._lives = b"", dict[int, Life]()
        self._told: list[dict[str, Any]] = []
        self._await("ready")

    def begin(self, config: Path, plan: Plan | None) -> Life:
        """Fork a life that ends where planned."""
        crossed = self._folder / "crossed.json"
        crossed.unlink(missing_ok=True)
        asked = {"config": str(config), "log": str(self._folder / "daemon.log"), "crossed": str(crossed)}
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.write(json.dumps(asked | {"plan": asdict(plan) if plan else None}).encode() + b"\n")
        self._process.stdin.flush()
        life = Life(self._await("pid")["pid"], began, crossed)
        self._lives[life.pid] = life
        return life

    def listen(self, seconds: float = 0.0) -> None:
        """Take in what was told, waiting so long for a first word."""
        while self._selector.select(seconds):
            more = os.read(self._out, 65_536)
            if not more:
                raise HarnessError(f"the launcher ended with {self._process.wait()}; see its standard error")
            *lines, self._unread = (self._unread + more).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
            seconds = 0.0

    def close(self) -> None:
        """End the launcher and whatever it forked, by closing its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20 * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _hear(self, told: dict[str, Any]) -> None:
        life = self._lives.get(told.get("pid", told.get("ended", 0)))
        if life is None:
            self._told.append(told)
        elif "trading" in told:
            life.trading_at = time.monotonic()
        elif "struck" in told:
            life.struck = told["struck"]
        elif "ended" in told:
            life.code = told["code"]
            del self._lives[life.pid]

    def _await(self, word: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60 * PATIENCE
        while not self._told:
            if time.monotonic() > deadline:
                raise HarnessError(f"the launcher did not say {word!r} in {60 * PATIENCE:.0f} s")
            self.listen(1.0)
        told = self._told.pop(0)
        if word not in told:
            raise HarnessError(f"the launcher said {told} where {word!r} was expected")
        return told
