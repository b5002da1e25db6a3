"""The stage: exchange, daemon and what was planted, in one folder; each is a process of its own, ended by its id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from daemon import control
from tests.lifecycle import recipes
from tests.lifecycle.market import SYMBOL, Served
from tests.lifecycle.planted import QUIET
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

HERE = Path(__file__).resolve().parent
LOOK_S = 0.25
START_S, END_S = 90.0, 60.0


class Unproven(Exception):
    """Something that had to happen did not; the message says what, with the end of the daemon's log."""


class Stage:
    """An exchange at its pace, and a daemon on it.

    Parameters
    ----------
    folder : Path
        Of everything; `models` in it holds the planted sets.
    served : Served
        The market.
    candles_a_second : float
        The exchange's pace.
    retraining, swapping : mapping
        Sections of the daemon's configuration; relative paths are taken from `folder`.
    """

    def __init__(
        self,
        folder: Path,
        served: Served,
        candles_a_second: float,
        retraining: Mapping[str, Any],
        swapping: Mapping[str, Any],
    ) -> None:
        self.folder, self.state = folder, folder / "state"
        self.exchange = LocalExchange(
            data=served.data, funding=served.funding, start_at=served.start_ms, speed=f"{candles_a_second * 3_600:g}"
        )
        self.config, self.log_file = folder / "daemon.yaml", folder / "daemon.log"
        for name in ("rules.yaml", "gate.yaml"):
            shutil.copyfile(HERE / name, folder / name)
        recipes.write(folder, "retrain", recipes.HONEST)
        self.config.write_text(yaml.safe_dump(self._configuration(retraining, swapping), sort_keys=False))
        self.summary: dict[str, Any] = {}
        self.told_to_end_ms = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.exchange.stop()

    def start(self) -> None:
        """Begin to trade, and wait until it does."""
        command = [sys.executable, "-m", "daemon", "run", "--config", str(self.config), "--json"]
        with self.log_file.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.until(lambda: self.status().get("phase") == "trading", "a daemon that trades", START_S)

    def end(self) -> None:
        """Have it come to rest, and keep its summary."""
        assert self._process is not None
        self.told_to_end_ms = time.time_ns() // 1_000_000
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=END_S * PATIENCE)
        if self._process.returncode:
            raise Unproven(f"the daemon ended with {self._process.returncode}; its log ends:\n{self.tail()}")
        self.summary = json.loads(said)

    def ask(self, *words: str) -> str:
        """What a command of the daemon's prints, as an operator types it.

        Raises
        ------
        Unproven
            If it fails.
        """
        command = [sys.executable, "-m", "daemon", *words, "--config", str(self.config)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | QUIET, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unproven(f"`daemon {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself; empty while nobody answers."""
        try:
            return control.request(self.state, "status")
        except (control.NotRunning, control.NoAnswer):
            return {}

    def until(self, true: Callable[[], object], what: str, seconds: float) -> None:
        """Wait until something holds.

        Raises
        ------
        Unproven
            If it does not in time, or the daemon ends first.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        while not true():
            assert self._process is not None
            if self._process.poll() is not None:
                raise Unproven(f"the daemon ended before {what}; its log ends:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise Unproven(f"not within {seconds * PATIENCE:.0f} s: {what}; the daemon's log ends:\n{self.tail()}")
            time.sleep(LOOK_S)

    def tail(self, lines: int = 15) -> str:
        """The end of the daemon's log."""
        return "\n".join(line[:400] for line in self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _configuration(self, retraining: Mapping[str, Any], swapping: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "mode": "sandbox",
            "exchange": {"url": self.exchange.url, "key": "local", "secret": "local"},
            "symbols": [SYMBOL],
            "model_set": "champion",
            "model_sets": "models",
            "rules": "rules.yaml",
            "state_dir": "state",
            "retraining": dict(retraining),
            "swapping": dict(swapping),
        }


def once_in(seconds: float, now: datetime | None = None) -> str:
    """A schedule that fires at the first full minute at least so many seconds ahead, and not again for a day."""
    at = (now or datetime.now(UTC)) + timedelta(seconds=seconds)
    if at.second or at.microsecond:
        at = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return f"{at.minute} {at.hour} * * *"
