"""Acts on model sets: what lies in the daemon's store, what is asked of it, and how far a swap or a run has come."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from daemon.lifecycle.schema import FILE
from market import synthetic
from models import promotion
from models.manifest import Manifest
from models.modelset import CHAMPION, MANIFEST, ModelSet, identify, pointed, save, to_bytes
from tests.daemon.conftest import FEATURES
from tests.faults.acts import Blocked, Play
from tests.faults.stage import MAIN, SYMBOL, WAIT_S, NotSurvived, Stage, until
from tests.local_exchange import ROOT
from tests.models.small_sets import HOUR, Market, make_set

STORE = {"model_sets": "models", "model_set": "champion"}
"""Keys of a configuration whose daemon has a store of its own, and follows its champion."""
LONG_ALONE = {"entry": {"long": 0.01, "short": 0.99, "edge": 0.0}, "exit": {"long": 0.0, "short": 0.0}}
"""Rules under which a position is ended by its time alone."""
REASON = "a fault is played"
SEEDS = {"first": 7, "second": 8}
_RUNS = (
    "SELECT state, coalesce(error, '') FROM runs WHERE coalesce(error, '') NOT LIKE 'refused:%' ORDER BY asked_ms DESC"
)
_made: dict[str, tuple[Manifest, dict[str, bytes]]] = {}


@dataclass(frozen=True)
class Stored:
    """A set is put into the daemon's store, harmed by `harm` if given, and promoted if `champion`.

    `holds` is its longest holding in candles.
    """

    name: str
    champion: bool = False
    holds: int = 11
    harm: Callable[[Path], Path] | None = None

    def __call__(self, stage: Stage) -> None:
        store = stage.host.folder / "models" / "sets"
        manifest, files = _small(self.name)
        rules = manifest.decision.model_copy(update={"max_hold_bars": self.holds})
        path = save(manifest.model_copy(update={"decision": rules}), files, store)
        if self.champion:
            promotion.promote(ModelSet.load(path), store, REASON, forced=True)
        stage.sets[self.name] = (self.harm(path) if self.harm else path).name


def half_copied(path: Path) -> Path:
    """A copy that broke off: the last file is half there, and the manifest is not."""
    (path / MANIFEST).unlink()
    return path


def cut_short(path: Path) -> Path:
    """One file is half of what it was."""
    file = path / "lstm.onnx"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return path


def one_bit_off(path: Path) -> Path:
    """One bit of one file differs, as a bad disk leaves it."""
    file = path / "lstm.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return path


def of_other_features(path: Path) -> Path:
    """A set whose features were defined otherwise: whole by every hash, its id its manifest's own."""
    manifest = ModelSet.load(path).manifest
    other = manifest.features.model_copy(update={"schema_hash": "0" * 64})
    return _rewritten(path, manifest.model_copy(update={"features": other}))


def of_another_venue(path: Path) -> Path:
    """A set that was trained on another exchange's candles."""
    manifest = ModelSet.load(path).manifest
    return _rewritten(path, manifest.model_copy(update={"data": manifest.data.model_copy(update={"venue": "bybit"})}))


@dataclass(frozen=True)
class Swap:
    """Somebody wants a set in service; `force` does without the gate."""

    name: str
    force: bool = True

    def __call__(self, stage: Stage) -> None:
        forced = ["--force", "--reason", REASON] if self.force else []
        _ask(stage, "swap", stage.sets[self.name], *forced)


@dataclass(frozen=True)
class Rollback:
    """Somebody wants the set before."""

    def __call__(self, stage: Stage) -> None:
        _ask(stage, "rollback", "--reason", REASON)


@dataclass(frozen=True)
class Reaches:
    """A set's way comes to a stage, for a reason that holds these words; candles are played until it does."""

    name: str
    stage: str
    words: str = ""
    bars: int = 0

    def __call__(self, stage: Stage) -> None:
        for _ in range(self.bars):
            if self._there(stage):
                break
            Play()(stage)
        until(
            lambda: self._there(stage), lambda: f"{self.name} {self.stage}, but {self._now(stage)}; {stage.host.tail()}"
        )
        if self.words not in (reason := self._now(stage)[1]):
            raise NotSurvived(f"{self.name} is {self.stage}, but not for {self.words!r}: {reason}")

    def _there(self, stage: Stage) -> bool:
        return self._now(stage)[0] == self.stage

    def _now(self, stage: Stage) -> tuple[str, str]:
        query = f"SELECT stage, reason FROM swaps WHERE set_id = '{stage.sets[self.name]}' ORDER BY id DESC LIMIT 1"
        rows = _book(stage, query)
        return (str(rows[0][0]), str(rows[0][1])) if rows else ("unknown", "")


@dataclass(frozen=True)
class Serves:
    """The daemon trades with this set, and the champion is it."""

    name: str

    def __call__(self, stage: Stage) -> None:
        wanted = stage.sets[self.name]
        until(lambda: stage.host.status().get("model_set") == wanted, lambda: f"{self.name} in service")
        champion = pointed(CHAMPION, stage.host.folder / "models" / "sets")
        if champion != wanted:
            raise NotSurvived(f"{self.name} ({wanted}) answers, and the champion is {champion}")


@dataclass(frozen=True)
class KeepsItsPosition:
    """Over so many candles the position stays as it is, and its stop is tightened at most."""

    bars: int

    def __call__(self, stage: Stage) -> None:
        before = _position(stage)
        for _ in range(self.bars):
            Play()(stage)
            now = _position(stage)
            looser = (now[2] - before[2]) * (1 if float(before[0]) > 0 else -1) < 0
            if now[:2] != before[:2] or looser:
                raise NotSurvived(f"the position (quantity, cost, stop) was {before} and is {now}")
            before = now


@dataclass(frozen=True)
class Until:
    """Candles are played until a position is open."""

    most: int = 20

    def __call__(self, stage: Stage) -> None:
        for _ in range(self.most):
            if stage.exchange.state()["positions"]:
                return
            Play()(stage)
        raise NotSurvived(f"no position after {self.most} candles")


@dataclass(frozen=True)
class Retrain:
    """Somebody wants a new set; `refused` holds the words by which that is refused, where it must be."""

    refused: str = ""

    def __call__(self, stage: Stage) -> None:
        if not self.refused:
            _ask(stage, "retrain")
            return
        try:
            _ask(stage, "retrain")
        except NotSurvived as error:
            if self.refused not in str(error):
                raise
        else:
            raise NotSurvived(f"a retraining was taken that should have been refused for {self.refused!r}")


@dataclass(frozen=True)
class Scheduled:
    """The configuration's schedule is set to the first full minute at least so many seconds ahead."""

    seconds: float

    def __call__(self, stage: Stage) -> None:
        due = (datetime.now(UTC) + timedelta(seconds=self.seconds + 59)).replace(second=0, microsecond=0)
        stage.due = due.timestamp()
        config = yaml.safe_load(stage.host.config.read_text())
        config["retraining"]["schedule"] = f"{due.minute} {due.hour} * * *"
        stage.host.config.write_text(yaml.safe_dump(config))


@dataclass(frozen=True)
class PastDue:
    """The schedule's minute comes and goes."""

    def __call__(self, stage: Stage) -> None:
        time.sleep(max(0.0, stage.due + 1.5 - time.time()))


@dataclass(frozen=True)
class Suspended:
    """The daemon's process stands still across the schedule's minute; a candle closes meanwhile."""

    def __call__(self, stage: Stage) -> None:
        Blocked(max(0.0, stage.due + 1.5 - time.time()))(stage)


@dataclass(frozen=True)
class Runs:
    """So many runs come to stand in the book, refused ones apart; the newest in this state, with this error."""

    count: int
    state: str
    words: str = ""
    seconds: float = 4 * WAIT_S

    def __call__(self, stage: Stage) -> None:
        def found() -> list[tuple[Any, ...]]:
            return _book(stage, _RUNS)

        def there() -> bool:
            rows = found()
            return bool(rows) and rows[0][0] == self.state

        until(there, lambda: f"a run {self.state}, but {found()}; {stage.host.tail()}", self.seconds)
        rows = found()
        if len(rows) != self.count or self.words not in rows[0][1]:
            raise NotSurvived(f"{self.count} runs, {self.state} for {self.words!r}, were expected: {rows}")


@dataclass(frozen=True)
class Noted:
    """The audit holds a line with these words."""

    words: str

    def __call__(self, stage: Stage) -> None:
        def there() -> bool:
            return any(self.words in row[0] for row in _book(stage, "SELECT text FROM audit"))

        until(there, lambda: f"a line of the audit with {self.words!r}; {stage.host.tail()}")


def _small(name: str) -> tuple[Manifest, dict[str, bytes]]:
    """A small set, made once."""
    if name not in _made:
        market = Market(*synthetic.generate(SYMBOL, bars=1000, timeframe=HOUR, seed=SEEDS[name]))
        made = make_set(market, FEATURES)
        _made[name] = (made.manifest, made.files)
    return _made[name]


def _rewritten(path: Path, manifest: Manifest) -> Path:
    """The set under the id of another manifest."""
    changed = identify(manifest.model_copy(update={"id": ""}))
    (path / MANIFEST).write_bytes(to_bytes(changed))
    return path.rename(path.with_name(changed.id))


def _position(stage: Stage) -> tuple[str, str, float]:
    """Quantity, cost and trigger of the one stop, by the exchange's books."""
    state = stage.exchange.state()
    if len(state["positions"]) != 1 or len(state["stops"]) != 1:
        raise NotSurvived(f"one position and one stop were expected: {state['positions']}, {state['stops']}")
    (position,), (stop,) = state["positions"].values(), state["stops"]
    return str(position["quantity"]), str(position["cost"]), float(stop["trigger"])


def _ask(stage: Stage, *words: str) -> dict[str, Any]:
    """What a command of the daemon's says, as an operator types it."""
    command = [sys.executable, "-m", "daemon", *words, "--config", str(stage.host_named(MAIN).config), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotSurvived(f"`daemon {' '.join(words)}` ended with {done.returncode}: {done.stderr[-400:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _book(stage: Stage, query: str) -> list[tuple[Any, ...]]:
    """Rows of the lifecycle's book; none while there is none."""
    try:
        with closing(sqlite3.connect(f"file:{stage.host.state / FILE}?mode=ro", uri=True, timeout=10)) as book:
            return book.execute(query).fetchall()
    except sqlite3.DatabaseError:
        return []
