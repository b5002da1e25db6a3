"""What every test may ask for: the real data beside the checkout, where there is some, and a local exchange."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local_exchange import LocalExchange

ROOT = Path(__file__).resolve().parent.parent

# A Ray that tests start runs what anyone who reaches it sends, unless it asks for a token: one of these tests' own.
# It must stand here before Ray is imported, and be the same for its head, its workers and the tests' processes.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real klines and recorded payloads; a checkout without one runs fewer tests."""
    folder = Path(os.environ.get("REGIMEN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set REGIMEN_SHARED to its folder to run this test")
    return folder


@pytest.fixture
def exchange() -> Iterator[Callable[..., LocalExchange]]:
    """Starts local exchanges, each a process of its own on a free port, and ends them after the test.

    ``exchange(symbols="BTCUSDT,ETHUSDT", timeframe="15m", speed="manual")``: every keyword is an option of
    ``python -m market.exchange``.
    """
    started: list[LocalExchange] = []

    def start(**options: object) -> LocalExchange:
        started.append(LocalExchange(**options))
        return started[-1]

    yield start
    for each in started:
        each.stop()
