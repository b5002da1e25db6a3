"""What the tests of retraining stand on: a coordinator on a real book, and jobs that are real processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.lifecycle.book import Book
from daemon.retraining.backend import Backend
from daemon.retraining.coordinator import Coordinator
from daemon.retraining.freshness import Freshness, FreshnessError, Prepared
from daemon.retraining.runs import Run, State, find, newest
from models.jobs.folder import sha256
from tests.daemon.conftest import until
from tests.daemon.retraining.place import Place


class ReadyMade(Freshness):
    """A history that is there already: what prepares the real one has tests of its own, and takes seconds."""

    failing: FreshnessError | None = None
    hanging = False
    prepared = 0

    async def prepare(self, folder: Path) -> Prepared:
        self.prepared += 1
        if self.failing is not None:
            raise self.failing
        if self.hanging:
            await asyncio.Event().wait()
        return await asyncio.to_thread(candles_in, folder)


def candles_in(folder: Path) -> Prepared:
    """A file that is called candles."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "BTCUSDT-um-1h.parquet"
    file.write_bytes(b"candles")
    return Prepared((file,), None, None, {file.name: sha256(file)}, "1 candle")


@dataclass
class Lives:
    """One state directory and its place, and the coordinators that live in it one after another."""

    config: DaemonConfig
    book: Book
    backend: Backend
    freshness: ReadyMade
    alerts: Alerts = field(default_factory=lambda: Alerts((), "info"))
    offered: list[tuple[str, str, str | None]] = field(default_factory=list)
    refusing_offers: int = 0
    coordinator: Coordinator = field(init=False)
    _task: asyncio.Task[None] | None = None

    def start(self) -> Coordinator:
        """Begin a life."""
        self.coordinator = Coordinator(
            self.config, self.book, self.backend, self.freshness, self.alerts, self._take, lambda: "the-champion"
        )
        self._task = asyncio.create_task(self.coordinator.run())
        return self.coordinator

    async def kill(self) -> None:
        """End it wherever it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def run(self, run_id: str) -> Run:
        """The row of a run."""
        found = find(self.book, run_id)
        assert found is not None
        return found

    def runs(self) -> list[Run]:
        """Every row, oldest first."""
        return newest(self.book, 1_000)[::-1]

    async def reaches(self, run_id: str, *states: State) -> Run:
        """The run, once it is in one of the states."""
        await until(lambda: self.run(run_id).state in states, f"{run_id} becomes {' or '.join(states)}", 30)
        return self.run(run_id)

    async def ends(self, run_id: str) -> Run:
        """The run, once it is over."""
        return await self.reaches(run_id, State.DONE, State.FAILED, State.CANCELED)

    def log(self, run_id: str) -> str:
        """What is kept here of a job's log."""
        log = self.coordinator.jobs / run_id / "log"
        return log.read_text() if log.exists() else ""

    def told(self) -> str:
        """Every alert."""
        return "\n".join(text for _, text in self.alerts.recent)

    async def _take(self, set_id: str, who: str, run_id: str | None) -> None:
        if self.refusing_offers:
            self.refusing_offers -= 1
            raise RuntimeError("the swapper stumbles")
        self.offered.append((set_id, who, run_id))


@pytest.fixture
async def lives(tmp_path: Path) -> AsyncIterator[Callable[..., Lives]]:
    """Makes the lives of a state directory: ``lives(attempts=2)`` replaces keys of the section."""
    made: list[Lives] = []
    (tmp_path / "spec.yaml").write_text("name: test\n")

    def make(backend: Backend | None = None, **section: Any) -> Lives:
        keys = {"spec": str(tmp_path / "spec.yaml"), "backoff_first_s": 0.05, "backoff_cap_s": 0.2, "least_hours": 0}
        config = DaemonConfig.model_validate(
            {
                "mode": "sandbox",
                "exchange": {"url": "http://127.0.0.1:1"},
                "symbols": ["BTCUSDT"],
                "state_dir": tmp_path / "state",
                "model_sets": tmp_path / "models",
                "retraining": keys | section,
            }
        )
        (tmp_path / "models" / "sets").mkdir(parents=True, exist_ok=True)
        assert config.retraining is not None
        freshness = ReadyMade(config, config.retraining.history)
        place = backend or Place(tmp_path / "place")
        made.append(Lives(config, Book(config.state_dir), place, freshness))
        return made[-1]

    yield make
    for each in made:
        await each.kill()
        each.book.close()
