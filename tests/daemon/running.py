"""A daemon as a process, for tests: started, played candle by candle, asked by its commands, and ended."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from daemon.__main__ import main
from tests.crash.truth import settled
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

Exchange = Callable[..., LocalExchange]
Configure = Callable[..., Path]
WARMUP = 150
VENUES = [("binance", "binanceusdm"), ("bybit", "bybit")]
"""What the local exchange speaks, and what the daemon's configuration calls it."""


class Running:
    """A daemon process."""

    def __init__(self, config: Path, *options: str) -> None:
        self.folder = config.parent / "state"
        self.log = (config.parent / "daemon.log").open("a")
        command = [sys.executable, "-m", "daemon", "run", "--config", str(config), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def settled(self) -> int:
        """Open time of the newest settled candle, -1 for none."""
        return settled(self.folder)

    def wait(self, seconds: float = 60) -> tuple[int, str]:
        """Its exit code and standard output, once it ends."""
        out, _ = self.process.communicate(timeout=seconds * PATIENCE)
        return self.process.returncode, out

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.log.close()


Start = Callable[..., Running]


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds * PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds * PATIENCE:.0f} s: {what}"
        time.sleep(0.01)


def play(place: LocalExchange, daemon: Running, bars: int) -> None:
    """Play bars, each once the daemon has settled the one before."""
    until(lambda: place.state()["listening"], "the daemon listening")
    for _ in range(bars):
        opened = place.state()["market_time"]
        place.advance()
        until(lambda opened=opened: daemon.settled() >= opened, f"the candle of {opened} settled")


def command(verb: str, config: Path, *options: str) -> Result:
    """A command of the daemon, in this process: starting one anew for each would take most of the tests' time."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        return CliRunner().invoke(main, [verb, "--config", str(config), *options], catch_exceptions=False)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
