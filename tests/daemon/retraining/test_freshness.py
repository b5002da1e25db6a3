"""Fresh history, as the daemon has it made: by a process of low priority that leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from daemon.config import DaemonConfig
from daemon.recorder import Recorder
from daemon.retraining.freshness import Freshness, FreshnessError
from market import history, synthetic
from market.candles import Candles
from market.timeframes import Timeframe
from models.jobs.folder import sha256
from tests.daemon.conftest import until
from tests.local_exchange import LocalExchange
from tests.market.test_recorded import with_value

HOUR = Timeframe.parse("1h")


def freshness(folder: Path, url: str = "http://127.0.0.1:1", **keys: Any) -> Freshness:
    config = DaemonConfig.model_validate(
        {
            "mode": "sandbox",
            "exchange": {"url": url},
            "symbols": ["BTCUSDT"],
            "state_dir": folder / "state",
            "retraining": {
                "spec": "spec.yaml",
                "history": {"folder": folder / "history", "since": "2023-01-01", "funding": False} | keys,
            },
        }
    )
    assert config.retraining is not None
    return Freshness(config, config.retraining.history)


def record(folder: Path, candles: Candles) -> None:
    """As the daemon does it."""
    recorder = Recorder(folder / "state")
    for i in range(len(candles)):
        recorder.take(("BTCUSDT", str(candles.timeframe)), candles.row(i), True)
    recorder.close()


async def test_history_comes_from_the_local_exchange_and_what_the_daemon_heard_goes_along(
    exchange: Callable[..., LocalExchange], tmp_path: Path
) -> None:
    local = exchange(bars=100, timeframe="1h", warmup=200)
    record(tmp_path, synthetic.generate(bars=220, timeframe=HOUR)[0][150:220])
    made = await freshness(tmp_path, local.url, funding=True).prepare(tmp_path / "job")
    assert "200 downloaded, 0 gaps, 20 of the daemon's own joined, 50 compared and 0 differ" in made.text
    assert len(history.read(made.data[0])) == 220
    assert made.funding is not None
    assert made.hashes == {file.name: sha256(file) for file in (tmp_path / "job").iterdir()}


async def test_differences_beyond_the_tolerance_are_lasting_and_told(tmp_path: Path) -> None:
    hours = synthetic.generate(bars=300, timeframe=HOUR)[0]
    (tmp_path / "history").mkdir()
    history.write(hours, tmp_path / "history" / "BTCUSDT-um-1h.parquet")
    record(tmp_path, with_value(hours, 7, "volume", float(hours.volume[7]) * 2))
    with pytest.raises(FreshnessError) as told:
        await freshness(tmp_path, source="none", tolerate=0).prepare(tmp_path / "job")
    assert told.value.lasting
    assert str(told.value).startswith("1 of 300 1h candles of BTCUSDT that history and the daemon's recording both")
    assert "2024-01-01T07:00Z  volume" in str(told.value)


async def test_what_is_canceled_leaves_no_process_and_who_is_at_it_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    history.write(synthetic.generate(bars=300, timeframe=HOUR)[0], tmp_path / "history" / "BTCUSDT-um-1h.parquet")
    fresh = freshness(tmp_path, source="none")
    me = psutil.Process()
    others = me.children()
    with (tmp_path / "history" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        preparing = asyncio.create_task(fresh.prepare(tmp_path / "job"))
        await until(lambda: (tmp_path / "job").exists(), "a process is at it", 60)
        (child,) = (child for child in me.children() if child not in others)
        assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
    assert not psutil.pid_exists(child.pid)
    assert not list((tmp_path / "job").iterdir())
    assert (await fresh.prepare(tmp_path / "job")).hashes
