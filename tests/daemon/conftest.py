"""What the daemon's tests stand on: a small real model set, configurations that use it, and venues to trade at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.venues.binance.venue import Binance
from daemon.venues.venue import Venue
from market import synthetic
from models.modelset import save
from tests.daemon.engine_play import Play
from tests.daemon.running import Running
from tests.local_exchange import PATIENCE
from tests.models.conftest import HOUR, Market, make_set

FEATURES = ("return_1", "return_2", "return_3", "return_5", "return_12", "volatility_6", "cci_20")
LOOKBACK = 40
"""Candles that are more than the set below looks back on."""
RULES = {
    "name": "TEST",
    "entry": {"long": 0.01, "short": 0.01, "edge": 0.0},
    "exit": {"long": 0.0, "short": 0.0, "max_hold_bars": 3},
    "regimes": {"confirm": 1},
    "cooldown": {"stop": 0, "liquidation": 0},
    "halts": {"daily_loss": None, "weekly_loss": None, "drawdown": None, "losing_streak": None},
    "orders": {"price_band": None},
}
"""Always in the market, whatever is lost: an entry at the first candle, out by time after three."""


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small trained set in its store."""
    root = tmp_path_factory.mktemp("models")
    market = Market(*synthetic.generate("BTCUSDT", bars=1000, timeframe=HOUR, seed=7))
    made = make_set(market, FEATURES)
    save(made.manifest, made.files, root / "sets")
    return root


@pytest.fixture
def configure(tmp_path: Path, model_root: Path) -> Callable[..., Path]:
    """Writes a sandbox configuration for an exchange's URL; keywords replace its keys."""

    def write(url: str, **changes: Any) -> Path:
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
        keys = {
            "mode": "sandbox",
            "exchange": {"url": url, "key": "local", "secret": "local"},
            "symbols": ["BTCUSDT"],
            "model_set": "latest",
            "model_sets": str(model_root),
            "rules": "rules.yaml",
            "state_dir": "state",
        }
        path = tmp_path / "daemon.yaml"
        path.write_text(yaml.safe_dump(keys | changes))
        return path

    return write


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts daemons as processes, each with its configuration and options; whatever still runs is ended."""
    started: list[Running] = []

    def run(config: Path, *options: str) -> Running:
        started.append(Running(config, *options))
        return started[-1]

    yield run
    for daemon in started:
        daemon.end()


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """An engine that has not read the account yet."""
    return Play(tmp_path)


@pytest.fixture
def booted(play: Play) -> None:
    """The same, once it has: for files whose tests all begin there."""
    play.boot()


Frames = list[tuple[bool, Any]]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[tuple[Venue, Frames]]]]:
    """Opens venues at an exchange's URL, on isolated margin, each with the list that its frames are kept in."""
    opened: list[Venue] = []

    async def open_venue(
        url: str, symbols: tuple[str, ...] = ("BTCUSDT",), kind: type[Venue] = Binance
    ) -> tuple[Venue, Frames]:
        frames: Frames = []
        venue = kind("local", "local", url, 2 * PATIENCE, lambda private, frame: frames.append((private, frame)))
        opened.append(venue)
        await venue.open(symbols)
        for symbol in symbols:
            await venue.set_leverage(symbol, 20)
        return venue, frames

    yield open_venue
    for venue in opened:
        await venue.close()


async def until(true: Callable[[], object], what: str, seconds: float = 15) -> None:
    """Wait until something holds."""
    try:
        async with asyncio.timeout(seconds * PATIENCE):
            while not true():  # noqa: ASYNC110 (what is waited for is outside this process)
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {seconds * PATIENCE:.0f} s: {what}")
