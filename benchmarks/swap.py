"""What swaps and a retraining cost the daemon that trades meanwhile: decision latency and memory, in one run.

A whole daemon in this process, on a local exchange in another, over sockets; the starter set and copies of it under
other ids. Candles with and without are interleaved, so that a shared machine slows both alike.

    python benchmarks/swap.py                      # all three
    python benchmarks/swap.py --only retrain --json

``swaps``: candles during a swap (verifying, opening, shadow, reference, first of the watch) against those between
two. ``memory``: resident memory behind the last swap against before the first. ``retrain``: `python -m training run`
beside, a session of its own, stopped and let go on by turns. A target that is missed is shown, and is no failure.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daemon.alerts import Alerts
from daemon.app import Daemon
from daemon.config import load_config
from daemon.journal import Journal
from daemon.summary import percentile_ms
from daemon.swapping.naming import named
from models.inference import Predictor
from models.manifest import canonical, derive_id
from models.modelset import MANIFEST, ROOT, resolve
from strategy.live_config import load_rules
from tests.local_exchange import LocalExchange

HERE = Path(__file__).resolve().parent.parent
BETWEEN = 20
"""Quiet candles between two swaps."""
STRETCH = 50
"""Candles with the training running, then as many with it stopped."""
AS_A_JOB = "import os, sys\nfrom market.priority import give_way\ngive_way()\nos.execv(sys.argv[1], sys.argv[1:])"
BESIDE = {"job": (sys.executable, "-c", AS_A_JOB), "nice": ("nice", "-n", "19")}
"""How a training runs beside: as the daemon's jobs on this machine do, and at nice 19, as is common."""
PAUSE_S = 0.03
TARGETS = {"swaps": 1.5, "memory": 1.05, "retrain": 1.1}


def prepare(root: Path, count: int) -> list[str]:
    """Copies of the starter set under other ids; the first becomes the champion."""
    source = resolve("starter", ROOT)
    told = json.loads((source / MANIFEST).read_bytes())
    made = []
    for number in range(count + 1):
        told["identity"]["name"] = f"copy {number}"
        told["id"] = derive_id(told)
        folder = root / "sets" / told["id"]
        shutil.copytree(source, folder)
        (folder / MANIFEST).write_bytes(canonical(told))
        made.append(told["id"])
    (root / "sets" / "champion").write_text(made[0] + "\n")
    return made


class Season:
    """A daemon that is played candle by candle, and what each decision took."""

    def __init__(self, daemon: Daemon, place: LocalExchange) -> None:
        self.daemon, self.place = daemon, place

    async def candle(self) -> int:
        """Play one; from its closing frame's arrival to its decision, ns."""
        engine, decisions = self.daemon.engine, self.daemon.stopwatch.decisions_ns
        assert engine is not None
        before, bar = len(decisions), engine.state.settled_bar
        await self.place.turn()
        async with asyncio.timeout(60):
            while engine.state.settled_bar == bar:  # noqa: ASYNC110 (moved by the engine alone)
                await asyncio.sleep(0.002)
        await asyncio.sleep(PAUSE_S)
        if len(decisions) != before + 1:
            raise click.ClickException("a candle was not decided as it closed")
        return decisions[-1]

    async def stretch(self, candles: int) -> list[int]:
        return [await self.candle() for _ in range(candles)]

    async def swap(self, set_id: str) -> list[int]:
        """Swap a set in, and keep it; the decisions meanwhile."""
        lifecycle = self.daemon.lifecycle
        assert lifecycle is not None
        made = await lifecycle.swapper.ask(set_id, "benchmark", force="a benchmark")
        taken: list[int] = []
        while True:
            newest = (await lifecycle.swapper.newest(1))[0]
            if newest["id"] == made.id and newest["stage"] == "kept":
                return taken
            if newest["ended_ms"] and newest["stage"] != "kept":
                raise click.ClickException(f"{newest['stage']}: {newest['reason']}")
            taken.append(await self.candle())


def resident() -> int:
    """Resident memory of this process, bytes, behind a collection."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def compared(without: list[int], during: list[int]) -> dict[str, Any]:
    """p50 and p99 of both, ms, and their ratios, each with the interval that 95 of 100 bootstrap samples give."""
    random = np.random.default_rng(0)
    drawn = [random.choice(np.array(taken), (1_000, len(taken))) for taken in (without, during)]
    told: dict[str, Any] = {"candles_without": len(without), "candles_during": len(during)}
    for name, share in (("p50", 0.50), ("p99", 0.99)):
        one, other = percentile_ms(without, share), percentile_ms(during, share)
        assert one is not None
        assert other is not None
        told |= {f"{name}_ms_without": one, f"{name}_ms_during": other, f"{name}_ratio": round(other / one, 3)}
        quiet, busy = (np.quantile(of, share, axis=1) for of in drawn)
        told[f"{name}_interval"] = [round(float(q), 3) for q in np.quantile(busy / quiet, (0.025, 0.975))]
    return told


async def swapped(season: Season, sets: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latency with and without swaps, and memory before and after them."""
    without, during = await season.stretch(2 * BETWEEN), []
    before, grown = resident(), 0
    for number, set_id in enumerate(sets, start=1):
        during += await season.swap(set_id)
        without += await season.stretch(BETWEEN)
        grown = resident() if number == 1 else grown
        click.echo(f"swap {number} of {len(sets)}: {resident() / 2**20:.1f} MiB", err=True)
    after = resident()
    memory = {
        "swaps": len(sets),
        "mb_before": round(before / 2**20, 1),
        "mb_after_first": round(grown / 2**20, 1),
        "mb_after": round(after / 2**20, 1),
        "ratio": round(after / before, 4),
    }
    return compared(without, during), memory


async def retrained(season: Season, folder: Path, rounds: int, policy: str) -> dict[str, Any]:
    """Latency with and without a training beside, by turns."""
    child = await fitting(folder, policy)
    without: list[int] = []
    during: list[int] = []
    try:
        for number in range(rounds):
            if child.poll() == 0:
                child = await fitting(folder, policy)
            if child.poll() is not None:
                raise click.ClickException(f"the training failed; see {folder / 'training.log'}")
            os.killpg(child.pid, signal.SIGCONT)
            during += await season.stretch(STRETCH)
            os.killpg(child.pid, signal.SIGSTOP)
            without += await season.stretch(STRETCH)
            click.echo(f"training beside, turn {number + 1} of {rounds}", err=True)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return compared(without, during)


async def fitting(folder: Path, policy: str) -> subprocess.Popen[bytes]:
    """A training that is past its imports."""
    child = beside(folder, policy)
    await asyncio.sleep(8)
    return child


def beside(folder: Path, policy: str) -> subprocess.Popen[bytes]:
    """A training that has begun, leader of a session of its own."""
    command = [*BESIDE[policy], sys.executable, "-m", "training", "run", "--spec", "configs/training/small.yaml"]
    command += ["--synthetic", "--out", str(folder / "trained"), "--quiet", "--fresh"]
    quiet = os.environ | {"OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(HERE)}
    with (folder / "training.log").open("wb") as log:
        return subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log, env=quiet, start_new_session=True)


def copies(folder: Path, swaps: int) -> list[str]:
    """The sets, made by another process: what it needs for that is not this one's memory."""
    made = subprocess.run(
        [sys.executable, __file__, "--prepare", str(folder / "models"), "--swaps", str(swaps)],
        cwd=HERE, env=os.environ | {"PYTHONPATH": str(HERE)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return list(json.loads(made.stdout))


async def measure(
    folder: Path, sets: list[str], only: str | None, swaps: int, rounds: int, policy: str
) -> dict[str, Any]:
    """All figures that are asked for."""
    (folder / "rules.yaml").write_text("name: benchmark\n")
    candles = 3 * BETWEEN + swaps * (BETWEEN + 12) + 2 * STRETCH * rounds
    predictor = Predictor.load(folder / "models" / "sets" / sets[0])
    place = LocalExchange(warmup=predictor.lookback + 70, bars=candles + 100)
    keys = {
        "mode": "sandbox", "exchange": {"url": place.url, "key": "local", "secret": "local"}, "symbols": ["BTCUSDT"],
        "model_set": "champion", "model_sets": str(folder / "models"), "rules": "rules.yaml", "state_dir": "state",
        "swapping": {"shadow": {"candles": 3}, "watch": {"candles": 2}},
    }  # fmt: skip
    (folder / "daemon.yaml").write_text(yaml.safe_dump(keys))
    config = load_config(folder / "daemon.yaml")
    predictor = Predictor.load(named(config))
    daemon = Daemon(config, load_rules(config.rules), predictor, Journal(config.state_dir), Alerts([], "critical"))
    del predictor
    task = asyncio.create_task(daemon.run())
    found: dict[str, Any] = {}
    try:
        while not (await asyncio.to_thread(place.state))["listening"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
        season = Season(daemon, place)
        if only != "retrain":
            found["swaps"], found["memory"] = await swapped(season, sets[1:])
        if only in (None, "retrain"):
            found["retrain"] = await retrained(season, folder, rounds, policy)
        assert daemon.engine is not None
        found["missed_candles"] = daemon.engine.state.counts.missed_candles
    finally:
        daemon.stop("the benchmark is over")
        await task
        place.stop()
    return found if only is None else {k: v for k, v in found.items() if k in (only, "missed_candles")}


@click.command()
@click.option("--only", type=click.Choice(sorted(TARGETS)), help="One of the three; memory and swaps are one run.")
@click.option("--swaps", type=click.IntRange(1), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=12, show_default=True, help="Turns beside a training.")
@click.option("--beside", "policy", type=click.Choice(list(BESIDE)), default="job", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--prepare", "root", type=click.Path(path_type=Path), hidden=True)
def main(only: str | None, swaps: int, rounds: int, as_json: bool, root: Path | None, policy: str) -> None:
    """Measure, and show each figure beside its target."""
    if root is not None:
        click.echo(json.dumps(prepare(root, swaps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), copies(Path(folder), swaps), only, swaps, rounds, policy))
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, figures in found.items():
        if not isinstance(figures, dict):
            click.echo(f"{name.replace('_', ' ')}: {figures}")
            continue
        ratio = figures.get("ratio", figures.get("p99_ratio"))
        click.echo(f"{name}: x {ratio:g} (target x {TARGETS[name]:g}); {json.dumps(figures)}")


if __name__ == "__main__":
    main()
