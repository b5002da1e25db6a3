"""What swaps are tried on: a store of small real sets, a local exchange, and daemons that live in this process."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daemon.alerts import Alerts
from daemon.app import Daemon
from daemon.config import load_config
from daemon.journal import Journal
from daemon.lifecycle.book import Book
from daemon.swapping.naming import named
from daemon.swapping.rows import Swap, Swaps
from models import promotion, verdicts
from models.golden import with_golden
from models.inference import Predictor
from models.manifest import Manifest, utc
from models.modelset import CHAMPION, ModelSet, pointed, save
from models.verdicts import StoredVerdict, gate_sha256
from strategy.live_config import load_rules
from tests.daemon.conftest import RULES, until
from tests.local_exchange import LocalExchange
from tests.models.small_sets import Made

WARMUP = 150
HOUR_MS = 3_600_000
Change = Callable[[dict[str, Any]], None]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Store:
    """A store of sets made of one small real set by changing its manifest."""

    def __init__(self, root: Path, made: Made) -> None:
        self.root, self.sets = root, root / "sets"
        self.made = made
        self._count = 0

    @property
    def champion(self) -> str | None:
        return pointed(CHAMPION, self.sets)

    def add(self, change: Change | None = None, golden: bool = True, made: Made | None = None) -> ModelSet:
        """Another set of the same models, its manifest changed by `change`; it is the set's own in every byte."""
        made = made or self.made
        self._count += 1
        told = made.manifest.model_dump(mode="json")
        told["identity"]["name"] = f"variant {self._count}"
        if change is not None:
            change(told)
        manifest = Manifest.model_validate(told)
        manifest = with_golden(manifest, made.files) if golden else manifest
        return ModelSet.load(save(manifest, made.files, self.sets))

    def take(self, other: ModelSet) -> ModelSet:
        """A set from elsewhere."""
        shutil.copytree(other.path, self.sets / other.id)
        return ModelSet.load(self.sets / other.id)

    def crown(self, champion: ModelSet) -> ModelSet:
        """Make a set the champion, by force: there has to be a first."""
        promotion.promote(champion, self.sets, "the first", forced=True, who="the test")
        return champion

    def judged(self, challenger: ModelSet, verdict: str = "promote", **changed: Any) -> ModelSet:
        """Leave a verdict on a set against the present champion, as the gate leaves one."""
        code = {"promote": 0, "refuse": 6, "not enough evidence": 7}[verdict]
        says = {0: "pass", 6: "fail", 7: "not enough evidence"}[code]
        told = {
            "made": utc(now_ms()), "challenger": challenger.id, "champion": self.champion, "verdict": verdict,
            "exit_code": code, "gate_sha256": gate_sha256(), "max_age_days": 7, "identity": {},
            "gates": [{"name": "skill/auc/long", "question": "?", "says": says, "threshold": "above .5"}],
        } | changed  # fmt: skip
        verdicts.write(StoredVerdict.model_validate(told), self.sets)
        return challenger


@dataclass
class Life:
    """A daemon that lives in this process."""

    daemon: Daemon
    place: LocalExchange
    state: Path

    @property
    def serving(self) -> str:
        return self.daemon.predictor.id

    @property
    def swap(self) -> Swap:
        """The newest row."""
        return self.rows()[0]

    def rows(self) -> list[Swap]:
        book = Book(self.state)
        try:
            return Swaps(book).newest()
        finally:
            book.close()

    def audit(self) -> list[str]:
        """Every step, the oldest first."""
        book = Book(self.state)
        try:
            return [f"{row['step']}: {row['text']}" for row in reversed(book.audited())]
        finally:
            book.close()

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision, the oldest first."""
        journal = Journal(self.state)
        try:
            return list(reversed(journal.decisions(10_000)))
        finally:
            journal.close()

    async def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        return await self.daemon.verbs[verb](verb, "tester", args)

    async def play(self, bars: int = 1) -> None:
        """Play bars, each once the one before has settled."""
        engine = self.daemon.engine
        assert engine is not None
        state = engine.state
        for _ in range(bars):
            opened = (await asyncio.to_thread(self.place.state))["market_time"]
            await self.place.turn()
            await until(lambda opened=opened: state.settled_bar >= opened, f"candle {opened} settled")
            await asyncio.sleep(0.05)  # what was told of it is dealt with

    async def reach(self, stage: str, bars: int = 30) -> Swap:
        """Play until the newest swap is at a stage, or over."""
        for _ in range(bars):
            for _ in range(40):  # a stage that needs no candle takes its moment
                row = await asyncio.to_thread(lambda: self.swap)
                if str(row.stage) == stage:
                    return row
                if row.over or str(row.stage) in ("shadow", "watched"):
                    break
                await asyncio.sleep(0.05)
            if row.over:
                break
            await self.play()
        raise AssertionError(f"not {stage} but {row.stage}: {row.reason}; {self.audit()}")


class World:
    """One exchange, one state directory, one store."""

    def __init__(self, folder: Path, place: LocalExchange, store: Store) -> None:
        self.folder, self.place, self.store = folder, place, store
        self.state = folder / "state"

    def configure(self, **changes: Any) -> Path:
        """The configuration's file; keywords replace its keys."""
        rules = RULES | changes.pop("rules", {})
        (self.folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        keys = {
            "mode": "sandbox", "exchange": {"url": self.place.url, "key": "local", "secret": "local"},
            "symbols": ["BTCUSDT"], "model_set": "champion", "model_sets": str(self.store.root), "rules": "rules.yaml",
            "state_dir": "state", "swapping": {"shadow": {"candles": 2}, "watch": {"candles": 3}},
        }  # fmt: skip
        path = self.folder / "daemon.yaml"
        path.write_text(yaml.safe_dump(keys | changes))
        return path

    @asynccontextmanager
    async def life(self, **changes: Any) -> AsyncIterator[Life]:
        """A daemon from start to stop."""
        config = load_config(self.configure(**changes))
        predictor = Predictor.load(named(config), config.provider)
        journal = Journal(config.state_dir)
        daemon = Daemon(config, load_rules(config.rules), predictor, journal, Alerts([], "info"))
        task = asyncio.create_task(daemon.run())
        try:
            listening = asyncio.to_thread
            for _ in range(600):
                if task.done() or (await listening(self.place.state))["listening"]:
                    break
                await asyncio.sleep(0.05)
            yield Life(daemon, self.place, config.state_dir)
        finally:
            daemon.stop("the test")
            await task

    def left(self, swap: Swap) -> Swap:
        """A row as a killed daemon left it."""
        self.state.mkdir(parents=True, exist_ok=True)
        book = Book(self.state)
        try:
            return Swaps(book).add(swap, "as a killed daemon left it")
        finally:
            book.close()

    def promotions(self) -> list[dict[str, Any]]:
        """Every line of the log."""
        file = self.store.sets / promotion.LOG
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
