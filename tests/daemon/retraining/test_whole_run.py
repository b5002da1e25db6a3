"""A whole run with nothing stood in for: history over HTTP, a real training beside the daemon, and the commands."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from daemon.__main__ import main
from daemon.alerts import Alerts
from daemon.config import load_config
from daemon.control import ControlServer
from daemon.lifecycle.book import Book
from daemon.retraining.freshness import Freshness
from daemon.retraining.retrainer import Retrainer
from daemon.retraining.runs import State, find
from models.modelset import ModelSet
from tests.daemon.conftest import until
from tests.local_exchange import ROOT, LocalExchange
from tests.small_jobs import ENDLESS, QUICK

Taken = tuple[str, str, str | None]


class Host:
    """What a daemon is to retraining: a book, a control socket, and somebody who takes sets."""

    def __init__(self, file: Path) -> None:
        self.file, self.config = file, load_config(file)
        self.book = Book(self.config.state_dir)
        self.offered: list[Taken] = []
        self.control = ControlServer(self.config.state_dir, self._answer)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """A life of retraining."""
        assert self.config.retraining is not None
        freshness, self.alerts = Freshness(self.config, self.config.retraining.history), Alerts((), "info")
        self.retrainer = Retrainer(
            self.config, self.book, freshness, self.alerts, self._take, lambda: None, lambda: None
        )
        self._task = asyncio.create_task(self.retrainer.run())

    async def kill(self) -> None:
        """Its end, wherever it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def command(self, *words: str) -> Result:
        """``python -m daemon`` as somebody else runs it."""
        told = [*words, "--config", str(self.file)]
        return await asyncio.to_thread(CliRunner().invoke, main, told)

    def state(self, run_id: str) -> State:
        run = find(self.book, run_id)
        assert run is not None
        return run.state

    async def _take(self, set_id: str, who: str, run_id: str | None) -> None:
        self.offered.append((set_id, who, run_id))

    async def _answer(self, verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        return await self.retrainer.verbs[verb](verb, who, args)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Host]]:
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "cache"))
    made: list[Host] = []

    def make(url: str, spec: str = QUICK) -> Host:
        (tmp_path / "spec.yaml").write_text(spec)
        keys = {
            "mode": "sandbox",
            "exchange": {"url": url},
            "symbols": ["BTCUSDT"],
            "state_dir": "state",
            "model_sets": "models",
            "retraining": {
                "spec": "spec.yaml",
                "executor": "serial",
                "device": "cpu",
                "history": {"folder": "history", "since": "2023-01-01", "funding": False},
            },
        }
        (tmp_path / "daemon.yaml").write_text(yaml.safe_dump(keys))
        made.append(Host(tmp_path / "daemon.yaml"))
        return made[-1]

    yield make
    for each in made:
        await each.kill()
        await each.control.close()
        each.book.close()


async def test_a_set_is_made_of_fresh_data_while_its_daemon_is_killed_and_comes_back(
    exchange: Callable[..., LocalExchange], host: Callable[..., Host], tmp_path: Path
) -> None:
    life = host(exchange(bars=10, timeframe="1h", warmup=1600).url)
    assert (await life.command("retrain")).exit_code == 3, "nobody is there to ask"
    await life.control.open()
    life.begin()
    asked = await life.command("retrain", "--who", "alice", "--json")
    assert asked.exit_code == 0, asked.stderr
    run_id = json.loads(asked.stdout)["id"]
    refused = await life.command("retrain")
    assert (refused.exit_code, "is under way" in refused.stderr) == (1, True)

    await until(lambda: life.state(run_id) is State.RUNNING, "it trains", 120)
    await life.retrainer.close()
    assert life.state(run_id) is State.RUNNING, "a daemon that ends leaves its run as it is"
    life.begin()
    await until(lambda: life.state(run_id).over, "it is over", 180)

    rows = json.loads((await life.command("runs", "--json")).stdout)
    run = next(row for row in rows if row["id"] == run_id)
    assert (run["state"], run["who"], run["cause"], run["attempt"]) == ("done", "alice", "command", 1)
    assert life.offered == [(run["set_id"], "alice", run_id)]
    made = ModelSet.load(tmp_path / "models" / "sets" / run["set_id"])
    assert made.manifest.data.rows > 1000
    assert not (tmp_path / "models" / "sets" / "latest").exists(), "nobody has judged it"
    assert set(run["inputs"]) == {"BTCUSDT-um-1h.parquet", "spec.yaml"}

    said = await life.command("runs", "logs", run_id)
    log = (tmp_path / "state" / "jobs" / "training" / run_id / "log").read_text()
    assert said.stdout == log
    assert run["log_offset"] == len(log.encode()) > 0
    unknown = await life.command("runs", "cancel", "20260101t000000-0000")
    assert (unknown.exit_code, "there is no run 2026" in unknown.stderr) == (7, True)
    late = await life.command("runs", "cancel", run_id)
    assert (late.exit_code, "is done and cannot become canceling" in late.stderr) == (1, True)


async def test_a_training_that_goes_on_for_days_is_canceled(
    exchange: Callable[..., LocalExchange], host: Callable[..., Host]
) -> None:
    life = host(exchange(bars=10, timeframe="1h", warmup=1600).url, ENDLESS)
    await life.control.open()
    life.begin()
    run_id = (await life.command("retrain")).stdout.strip()
    await until(lambda: life.state(run_id) is State.RUNNING, "it trains", 120)
    words = ("-m", "daemon", "runs", "logs", "-f", run_id, "--config", str(life.file))
    following = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told = await life.command("runs", "cancel", run_id)
    assert (told.exit_code, told.stdout.strip()) == (0, f"{run_id}: canceling")
    await until(lambda: life.state(run_id) is State.CANCELED, "it is canceled", 60)
    said, _ = await following.communicate()
    assert (following.returncode, b"asked for by" in said) == (0, True), "the log ends with its run"
    shown = (await life.command("runs")).stdout
    assert run_id in shown
    assert "canceled" in shown


async def test_a_spec_that_cannot_be_trained_is_told_at_the_start_and_refused_by_a_reload(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    life = host("http://127.0.0.1:1", QUICK + "lstn: null\n")
    life.begin()
    await until(lambda: life.alerts.recent, "somebody was told")
    level, text = life.alerts.recent[0]
    wrong = f"{tmp_path / 'spec.yaml'}:9:1: lstn: unknown key, did you mean 'lstm'?"
    assert (level, text) == ("warning", f"no set can be trained: {wrong}; trading goes on")
    assert life.retrainer.refuses(life.config) == [wrong]


async def test_without_a_book_there_are_no_runs_and_options_stand_where_they_count(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    life = host("http://127.0.0.1:1")
    assert "no runs yet" in (await life.command("runs")).stdout
    misplaced = await asyncio.to_thread(CliRunner().invoke, main, ["runs", "--json", "logs", "x"])
    assert (misplaced.exit_code, "write the options after `runs logs`" in misplaced.stderr) == (2, True)
    assert (await life.command("runs", "logs", "x")).exit_code == 7
    life.book.path.unlink()
    nowhere = await life.command("runs")
    assert (nowhere.exit_code, "no daemon ever ran there" in nowhere.stderr) == (7, True)
