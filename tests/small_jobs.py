"""Small jobs for tests: a training of some seconds, one that would take days, and one that is over already."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from market import history, synthetic
from market.timeframes import Timeframe
from models.jobs.folder import now, prepare, write_result
from models.jobs.request import SETS, Result, Training
from models.modelset import digest, save
from models.trials import Trial
from tests.models.small_sets import HOUR, Market, make_set
from tests.ssh_server import PATIENCE

DATA, SPEC = "BTCUSDT-1h.parquet", "small.yaml"
QUICK = """\
name: quick
data: {bars: 1600, venue: synthetic, synthetic_seed: 3}
features: {max_lookback: 26}
labels: {horizons: [5]}
lightgbm: {rounds: 10, patience: 5}
lstm: null
splits: {folds: 2}
evidence: {draws: 100, canary: false}
"""
ENDLESS = QUICK.replace("lstm: null", "lstm: {window: 8, hidden: 6, epochs: 1000000, patience: 1000000}")
"""A network that goes on for days."""


class Jobs:
    """A folder of jobs here, and the files they are made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "jobs"
        self._files = folder / "files"
        self._files.mkdir(parents=True)
        candles, _ = synthetic.generate("BTCUSDT", bars=1600, timeframe=Timeframe.parse("1h"), seed=3)
        history.write(candles, self._files / DATA)

    def training(self, run_id: str, spec: str = QUICK, timeout_s: int = 600, **told: object) -> Path:
        """The folder of a training that was asked for and not begun."""
        (self._files / SPEC).write_text(spec)
        work = Training.model_validate({"spec": SPEC, "data": (DATA,), "executor": "serial", "device": "cpu"} | told)
        files = {name: self._files / name for name in (DATA, SPEC)}
        return prepare(self.folder, run_id, "test", work, files, timeout_s)

    def over(self, run_id: str, made: Path, jobs: Path) -> Path:
        """The folder of a training in `jobs` that is over, and made the set in the folder `made`."""
        folder = self.training(run_id)
        jobs.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, jobs / run_id)
        shutil.copytree(made, jobs / run_id / SETS / made.name)
        files = {file.name: digest(file.read_bytes()) for file in made.iterdir()}
        tried = Trial(time=now(), what="training", name="quick", trials=1, set_id=made.name)
        ended = Result(
            id=run_id,
            outcome="done",
            code=0,
            started=now(),
            ended=now(),
            set_id=made.name,
            files=files,
            trials=(tried,),
        )
        write_result(jobs / run_id, ended)
        return jobs / run_id


def made_set(folder: Path) -> Path:
    """A small real set in a store of its own."""
    made = make_set(Market(*synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=7)))
    return save(made.manifest, made.files, folder / "made")


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not true after {seconds * PATIENCE:.0f} s")
        time.sleep(0.02)
