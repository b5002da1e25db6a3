"""Fresh history: from a local exchange over HTTP, an archive and the daemon's own recording, checked and hashed."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from daemon.config import DaemonConfig
from daemon.recorder import Recorder
from daemon.retraining.freshness import Freshness, FreshnessError
from market import history, synthetic
from market.candles import VALUES, Candles
from market.timeframes import Timeframe
from tests.archive_server import ArchiveServer
from tests.daemon.conftest import until
from tests.local_exchange import LocalExchange

Exchange = Callable[..., LocalExchange]
HOUR, QUARTER = Timeframe.parse("1h"), Timeframe.parse("15m")


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


def record(folder: Path, candles: Candles, symbol: str = "BTCUSDT") -> None:
    """As the daemon does it."""
    recorder = Recorder(folder / "state")
    for i in range(len(candles)):
        recorder.take((symbol, str(candles.timeframe)), candles.row(i), True)
    recorder.close()


def with_value(candles: Candles, index: int, name: str, value: float) -> Candles:
    columns = {v: getattr(candles, v).copy() for v in VALUES}
    columns[name][index] = value
    return Candles(candles.timeframe, candles.open_time, **columns)


def kept(folder: Path, name: str, candles: Candles) -> Path:
    (folder / "history").mkdir(exist_ok=True)
    history.write(candles, folder / "history" / name)
    return folder / "history" / name


@pytest.fixture(scope="module")
def hours() -> Candles:
    return synthetic.generate(bars=300, timeframe=HOUR)[0]


async def test_history_comes_from_the_exchange_and_only_what_is_new_is_asked_for(
    exchange: Exchange, tmp_path: Path
) -> None:
    local = exchange(bars=600, timeframe="15m", warmup=400)
    fresh = freshness(tmp_path, local.url, timeframes=["1h", "15m"], funding=True)
    first = await fresh.prepare(tmp_path / "first")
    assert [path.name for path in first.data] == ["BTCUSDT-um-1h.parquet", "BTCUSDT-um-15m.parquet"]
    assert "100 candles of 1h agree with BTCUSDT-um-15m.parquet, 0 not" in first.text
    assert len(history.read(first.data[1], QUARTER)) == 400
    assert first.funding is not None
    assert len(history.read_funding(first.funding)) > 10
    files = (*first.data, first.funding)
    assert first.hashes == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    await local.turn(8)
    second = await fresh.prepare(tmp_path / "second")
    assert "BTCUSDT 15m: 408 candles" in second.text
    assert "8 downloaded" in second.text
    assert first.hashes["BTCUSDT-um-15m.parquet"] != second.hashes["BTCUSDT-um-15m.parquet"]


async def test_what_the_daemon_heard_joins_the_inputs_and_never_the_history(exchange: Exchange, tmp_path: Path) -> None:
    local = exchange(bars=100, timeframe="1h", warmup=200)
    heard = synthetic.generate(bars=220, timeframe=HOUR)[0]
    record(tmp_path, heard[150:220])
    made = await freshness(tmp_path, local.url).prepare(tmp_path / "job")
    assert "20 of the daemon's own joined, 50 compared and 0 differ" in made.text
    assert len(history.read(made.data[0])) == 220
    assert len(history.read(tmp_path / "history" / "BTCUSDT-um-1h.parquet")) == 200


async def test_months_come_from_the_archive_and_a_companion_goes_along(hours: Candles, tmp_path: Path) -> None:
    other = synthetic.generate("ETHUSDT", bars=31 * 24, timeframe=HOUR)[0]
    with ArchiveServer() as archive:
        archive.put_candles("BTCUSDT", synthetic.generate(bars=31 * 24, timeframe=HOUR)[0])
        archive.put_candles("ETHUSDT", other)
        fresh = freshness(tmp_path, source="archive", archive_url=archive.url, since="2024-01-01", companion="ETHUSDT")
        made = await fresh.prepare(tmp_path / "job")
    assert made.companion is not None
    assert np.array_equal(history.read(made.companion).close, other.close)
    assert set(made.hashes) == {"BTCUSDT-um-1h.parquet", "ETHUSDT-um-1h.parquet"}


async def test_a_recording_that_differs_beyond_the_tolerance_stops_the_run_with_the_differences(
    hours: Candles, tmp_path: Path
) -> None:
    kept(tmp_path, "BTCUSDT-um-1h.parquet", hours)
    heard = hours
    for index in (3, 4, 5):
        heard = with_value(heard, index, "volume", float(hours.volume[index]) * 2)
    record(tmp_path, heard)
    tolerant = await freshness(tmp_path, source="none").prepare(tmp_path / "job")
    assert "300 compared and 3 differ" in tolerant.text
    with pytest.raises(FreshnessError) as told:
        await freshness(tmp_path, source="none", tolerate=2).prepare(tmp_path / "job")
    assert told.value.lasting
    assert "2024-01-01T03:00Z  volume" in str(told.value)
    assert "3 of 300 candles that both have differ, and 2 are tolerated" in str(told.value)


async def test_timeframes_that_contradict_one_another_stop_the_run(tmp_path: Path) -> None:
    quarters = synthetic.generate(bars=400, timeframe=QUARTER)[0]
    from market.aggregate import aggregate

    kept(tmp_path, "BTCUSDT-um-15m.parquet", quarters)
    kept(tmp_path, "BTCUSDT-um-1h.parquet", with_value(aggregate(quarters, HOUR), 7, "taker_base", 0.0))
    fresh = freshness(tmp_path, source="none", timeframes=["1h", "15m"], tolerate=0)
    with pytest.raises(FreshnessError) as told:
        await fresh.prepare(tmp_path / "job")
    assert told.value.lasting
    assert "2024-01-01T07:00Z  taker_base: 0.0, but its shorter candles give" in str(told.value)


async def test_damage_and_nothing_at_all_are_refused_with_what_to_do(hours: Candles, tmp_path: Path) -> None:
    with pytest.raises(FreshnessError, match=r"no 1h candles of BTCUSDT.*download them") as nothing:
        await freshness(tmp_path, source="none").prepare(tmp_path / "job")
    file = kept(tmp_path, "BTCUSDT-um-1h.parquet", hours)
    history.write(with_value(hours, 5, "low", 0.0), file)
    with pytest.raises(FreshnessError, match=r"impossible|price") as damaged:
        await freshness(tmp_path, source="none").prepare(tmp_path / "job")
    assert (nothing.value.lasting, damaged.value.lasting) == (True, True)


async def test_what_is_canceled_leaves_no_process_and_who_is_at_it_is_waited_for(
    hours: Candles, tmp_path: Path
) -> None:
    kept(tmp_path, "BTCUSDT-um-1h.parquet", hours)
    fresh = freshness(tmp_path, source="none")
    with (tmp_path / "history" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        preparing = asyncio.create_task(fresh.prepare(tmp_path / "job"))
        await asyncio.sleep(0.5)
        assert not (tmp_path / "job" / "BTCUSDT-um-1h.parquet").exists()
    me = psutil.Process()
    await until(lambda: [p for p in me.children() if "market" in p.cmdline()], "a process is at it")
    (child,) = me.children()
    assert child.nice() == 19
    preparing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)
    assert not psutil.pid_exists(child.pid)
    assert (await fresh.prepare(tmp_path / "job")).hashes
