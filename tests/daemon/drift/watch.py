"""A monitor in one life, told of candles as inference tells it, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from daemon.alerts import Alerts
from daemon.drift.config import Drift
from daemon.drift.monitor import Monitor
from daemon.events import DriftJudged, DriftLevel
from daemon.inference import Seen
from daemon.lifecycle.book import Book
from daemon.state import Drifted
from models.modelset import ModelSet
from models.prediction import Prediction
from tests.models.drift_world import HOUR, World

BTC, ETH = "BTCUSDT", "ETHUSDT"
Change = Callable[[np.ndarray, np.ndarray], None]
CONFIG = Drift(window=168, in_a_row=2, calm_in_a_row=3, retrain_again=48)


class Watch:
    """A monitor in one life, and what it has said; the engine is whoever keeps the last level."""

    def __init__(
        self,
        world: World,
        model_set: ModelSet,
        folder: Path,
        config: Drift,
        ask: object = None,
        symbols: Sequence[str] = (BTC,),
    ) -> None:
        self.world, self.model_set = world, model_set
        self.book = Book(folder)
        self.alerts = Alerts((), "info")
        self.said: list[DriftJudged] = []
        self.force = Drifted()
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.monitor = Monitor(
            config, HOUR, symbols, self.book, self.alerts, self.take, lambda: self.force, lambda: self.model_set,
            ask, self.calm,  # type: ignore[arg-type]
        )  # fmt: skip
        self.at = world.first + 3_200

    def take(self, event: DriftJudged) -> None:
        self.said.append(event)
        self.force = Drifted(event.level, event.size_bps, event.text, event.model_set)

    @property
    def level(self) -> DriftLevel:
        return self.force.level

    async def calm(self) -> None:
        await self.quiet.wait()

    async def candles(
        self, many: int, change: Change | None = None, of: Mapping[str, Change | None] | None = None
    ) -> None:
        """Tell it of the next candles, as inference does, and wait until they are worked through.

        What they are changed by is said for one symbol, or of each that has a candle.
        """
        of = {BTC: change} if of is None else of
        for at in range(self.at, self.at + many):
            told = {symbol: self.told(symbol, at, changed) for symbol, changed in of.items()}
            self.monitor.seen(self.model_set.id, int(self.world.candles.open_time[at]), told)
        self.at += many
        await self.done()

    def told(self, symbol: str, at: int, change: Change | None) -> Seen:
        row, outputs = self.world.matrix[at].copy(), self.world.outputs[at].copy()
        if change is not None:
            change(row, outputs)
        said = None if np.isnan(outputs).any() else self.prediction(symbol, at, outputs)
        return Seen(float(self.world.candles.close[at]), row, said)

    def prediction(self, symbol: str, at: int, outputs: np.ndarray) -> Prediction:
        told = dict(zip(self.world.names, map(float, outputs), strict=True))
        low, high = told["regime/low"], told["regime/high"]
        horizons = {h: (told[f"{h}/long"], told[f"{h}/short"]) for h in self.world.manifest.horizons}
        at_ms = int(self.world.candles.open_time[at])
        sides = told["p_long"], told["p_short"]
        return Prediction(symbol, at_ms, *sides, 1, (low, 1 - low - high, high), horizons, {})

    async def done(self) -> None:
        async with asyncio.timeout(60):
            await self.monitor.idle()


@asynccontextmanager
async def watching(
    world: World, model_set: ModelSet, folder: Path, config: Drift = CONFIG,
    ask: Callable[[str, str], Awaitable[str]] | None = None, force: Drifted | None = None,
    symbols: Sequence[str] = (BTC,),
) -> AsyncIterator[Watch]:  # fmt: skip
    watch = Watch(world, model_set, folder, config, ask, symbols)
    watch.force = force or watch.force
    task = asyncio.create_task(watch.monitor.run())
    watch.monitor.swapped(model_set)
    await watch.done()
    yield watch
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    watch.book.close()


def stuck(row: np.ndarray, outputs: np.ndarray) -> None:
    outputs[:] = 0.4


def silent(row: np.ndarray, outputs: np.ndarray) -> None:
    outputs[:] = np.nan


def sure(row: np.ndarray, outputs: np.ndarray) -> None:
    """Wrong more often than not, and moving, so that its outcomes alone say so."""
    outputs[:] = 0.9 + 0.05 * outputs
