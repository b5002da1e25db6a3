"""Ctrl-C while a command still loads ends it without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local_exchange import PATIENCE, ROOT


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has loaded is read from /proc")
@pytest.mark.parametrize("loaded", ["pydantic_core", "sqlalchemy", "talib", "lightgbm"])
def test_an_interrupted_start_is_quiet_at_whatever_it_loads(configure: Callable[..., Path], loaded: str) -> None:
    command = [sys.executable, "-m", "daemon", "run", "--config", str(configure("http://127.0.0.1:9"))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60 * PATIENCE
        while loaded not in Path(f"/proc/{process.pid}/maps").read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline, f"{loaded} was not loaded"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60 * PATIENCE)
    assert (process.returncode, said) == (130, ("", ""))
