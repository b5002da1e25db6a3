"""Acts on the places where sets are trained: this machine, a box behind a real sshd, and one that nobody answers at."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

import yaml

from models.jobs.request import RESULT, SETS
from tests import ssh_server
from tests.faults.stage import WAIT_S, NotSurvived, Stage, until
from tests.local_exchange import ROOT
from tests.ssh_server import SshServer

SPEC: dict[str, Any] = {
    "name": "tiny",
    "data": {"bars": 3_000, "venue": "synthetic", "symbol": "BTCUSDT"},
    "features": {"include": ["return_1", "return_3", "volatility_6", "volatility_24"]},
    "labels": {"horizons": [5], "regime_horizon": 12},
    "lightgbm": {"rounds": 10, "patience": 5},
    "lstm": None,
    "splits": {"folds": 2},
    "evidence": {"draws": 100, "canary": False},
}
"""Seconds of work."""
RETRAINING: dict[str, Any] = {
    "spec": "spec.yaml",
    "expiry_days": None,
    "history": {"folder": "history", "since": "2024-01-01", "source": "api"},
    "executor": "serial",
    "device": "cpu",
    "attempts": 2,
    "backoff_first_s": 0.2,
    "backoff_cap_s": 0.4,
    "timeout_s": 300,
}


@dataclass(frozen=True)
class Trains:
    """The daemon has sets trained: ``here``, on a ``box`` that is set up for it, or where there is ``nobody``."""

    where: str = "here"

    def __call__(self, stage: Stage) -> None:
        folder = stage.host.folder
        (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))
        (folder / "history").mkdir()
        section = RETRAINING | ({"backend": "local"} if self.where == "here" else self._box(stage))
        config = yaml.safe_load(stage.host.config.read_text())
        stage.host.config.write_text(yaml.safe_dump(config | {"retraining": section}))

    def _box(self, stage: Stage) -> dict[str, Any]:
        if reason := ssh_server.why_not():
            raise NotSurvived(f"nothing was proven: {reason}")
        server = SshServer(stage.folder / "box", {"REGIMEN_CACHE": str(stage.folder / "cache")})
        if self.where == "box":
            server.start()
            stage.closers.append(server.stop)
        told = server.ssh(checkout=str(ROOT), python=sys.executable, connect_s=2.0).model_dump(mode="json")
        return {"backend": "ssh", "ssh": told}


@dataclass(frozen=True)
class Spoiled:
    """What the box made is changed there before it is fetched; the daemon stands still meanwhile."""

    def __call__(self, stage: Stage) -> None:
        jobs = stage.folder / "box" / "jobs"
        until(lambda: list(jobs.glob("*/log")), lambda: f"a job on the box; {stage.host.tail()}")
        began = time.monotonic()
        stage.host.signal(signal.SIGSTOP)
        try:
            until(lambda: list(jobs.glob(f"*/{RESULT}")), lambda: "the end of the job on the box", 2 * WAIT_S)
            models = [file for file in jobs.glob(f"*/{SETS}/*/*.txt") if os.access(file, os.W_OK)]
            if not models:
                raise NotSurvived("the job on the box made no set")
            content = bytearray(models[0].read_bytes())
            content[len(content) // 2] ^= 1
            models[0].write_bytes(content)
        finally:
            stage.host.signal(signal.SIGCONT)
        stage.host.downs.append((began, time.monotonic()))
