"""The live configuration, end to end over TLS: production addresses untouched, keys from the environment.

The certificate names the production hosts: that it is accepted shows that they are whom the daemon meant to reach.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from daemon.journal import Journal
from tests.daemon.conftest import RULES
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

HOSTS = ("fapi.binance.com", "fstream.binance.com", "api.binance.com")
KEY, SECRET = "a-live-key", "a-live-secret"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with a certificate authority, and a certificate of the production hosts that it signed."""
    made = trustme.CA()
    issued = made.issue_cert(*HOSTS, "127.0.0.1")
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(tmp_path / "cert.pem", append=True)
    return tmp_path


@pytest.fixture
def place(authority: Path, exchange: Callable[..., LocalExchange]) -> LocalExchange:
    files = {"tls_cert": authority / "cert.pem", "tls_key": authority / "key.pem"}
    served = exchange(warmup=150, bars=100, key=KEY, secret=SECRET, **files)
    served.trust(authority / "ca.pem")
    return served


@pytest.fixture
def live_config(tmp_path: Path, model_root: Path) -> Path:
    """The live configuration: no address, no key."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    keys: dict[str, Any] = {
        "mode": "live", "symbols": ["BTCUSDT"], "model_set": "latest", "model_sets": str(model_root),
        "rules": "rules.yaml", "state_dir": "state",
    }  # fmt: skip
    path = tmp_path / "live.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


@pytest.fixture
def start(place: LocalExchange, authority: Path, live_config: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(*options: str, key: str = KEY) -> subprocess.Popen[str]:
        command = [sys.executable, "tests/daemon/live_over_tls.py", str(place.port), str(authority / "ca.pem")]
        command += ["run", "--config", str(live_config), "--live", "--json", *options]
        keys = {"REGIMEN_API_KEY": key, "REGIMEN_API_SECRET": SECRET, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | keys, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_the_live_daemon_trades_over_tls_at_the_production_addresses(
    place: LocalExchange, start: Callable[..., subprocess.Popen[str]], live_config: Path
) -> None:
    daemon = start("--candles", "6")
    deadline = time.monotonic() + 90 * PATIENCE
    journal = live_config.parent / "state"
    while not place.state()["listening"]:
        assert daemon.poll() is None, daemon.communicate()[1]
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.05)
    for candle in range(1, 7):
        place.advance()
        while (
            len({row["bar"] for row in Journal(journal).decisions(99)}) < candle
            or place.state()["exposure"]["naked_now"]
        ):
            assert daemon.poll() is None or candle == 6, daemon.communicate()[1]
            assert time.monotonic() < deadline, f"candle {candle} was not decided"
            time.sleep(0.05)
    out, logged = daemon.communicate(timeout=60 * PATIENCE)
    assert daemon.returncode == 0, logged
    said, state = json.loads(out), place.state()
    assert (said["candles"], said["missed_candles"]) == (6, 0)
    assert said["orders"] >= 3
    assert said["cash"] == state["cash"]
    assert [s["quantity"] for s in state["stops"]] == [p["quantity"].lstrip("-") for p in state["positions"].values()]
    assert SECRET not in logged
    assert KEY not in logged


def test_a_live_daemon_with_a_wrong_key_ends_and_says_so(start: Callable[..., subprocess.Popen[str]]) -> None:
    daemon = start(key="another-key")
    _, logged = daemon.communicate(timeout=60 * PATIENCE)
    assert daemon.returncode == 4
    assert "Invalid API-key" in logged


def test_an_exchange_with_a_certificate_of_nobody_is_not_spoken_to(
    place: LocalExchange, start: Callable[..., subprocess.Popen[str]], authority: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(authority / "ca.pem")  # another authority is trusted than the one that signed
    daemon = start()
    deadline = time.monotonic() + 60 * PATIENCE
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if "cannot be reached" in line:
            break
        assert time.monotonic() < deadline
    assert daemon.poll() is None, "it waits"
    assert place.state()["orders"] == 0
