"""kill -9 at every instant of a swap: the next life goes on from there, and pointer and reference tell one truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import control
from daemon.swapping.rows import Swap
from tests.daemon.running import Running
from tests.daemon.swapping.world import World
from tests.local_exchange import PATIENCE, ROOT

IN, OUT = (
    ("verified", "judging", "loading", "shadow", "swapping", "pointed", "before watched", "watched"),
    (
        "before rolling back",
        "rolling back",
        "pointed back",
        "before rolled back",
    ),
)


class Doomed:
    """The process that forks lives."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "tests.daemon.swapping.doomed", str(config)]
        self.log = (config.parent / "doomed.log").open("w")
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self._status: list[int] = []

    def live(self, instant: str) -> Callable[[], int | None]:
        """Begin a life that ends at an instant; asked for its exit status, None while it lives."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(instant + "\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())
        status: list[int] = []
        lines = self.process.stdout
        threading.Thread(target=lambda: status.append(int(lines.readline() or 99)), daemon=True).start()
        return lambda: status[0] if status else None

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


@pytest.fixture
def doomed(world: World) -> Iterator[Doomed]:
    made = Doomed(world.configure())
    yield made
    made.end()


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds * PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def die_at(world: World, doomed: Doomed, instant: str, ask: Callable[[], object] | None = None) -> None:
    """One life, played candle by candle until it is killed at the instant."""
    over = doomed.live(instant)
    settled = Running.settled
    seen = type("Seen", (), {"folder": world.state})()
    until(lambda: over() is not None or world.place.state()["listening"], "a life that listens")
    if ask is not None and over() is None:
        ask()
    for _ in range(20):
        waited = time.monotonic() + 0.5
        while over() is None and time.monotonic() < waited:  # what needs no candle takes its moment
            time.sleep(0.02)
        if over() is not None:
            break
        opened = world.place.state()["market_time"]
        world.place.advance()
        until(lambda opened=opened: over() is not None or settled(seen) >= opened, f"{instant}: {opened} settled")  # type: ignore[arg-type,misc]
    else:
        os.kill(doomed.pid, signal.SIGKILL)
        raise AssertionError(f"it was never killed at {instant}")
    assert over() == -signal.SIGKILL
    until(lambda: not world.place.state()["listening"], "its sockets closed")


async def test_killed_at_every_instant_on_the_way_in_it_goes_on(world: World, doomed: Doomed) -> None:
    second = world.store.judged(world.store.add())
    world.left(Swap(0, second.id, "somebody"))
    for instant in IN:
        die_at(world, doomed, instant)
    async with world.life() as life:
        assert life.serving == second.id == world.store.champion
        await life.play(1)
        await life.reach("kept")
        assert life.daemon.engine is not None
        assert life.daemon.engine.state.counts.missed_candles == 0
    made = [line["model_set"] for line in world.promotions()]
    assert made.count(second.id) == 1, "promoted once, however often it was begun"


async def test_killed_at_every_instant_on_the_way_out_it_goes_on(world: World, doomed: Doomed) -> None:
    first = world.store.champion
    second = world.store.judged(world.store.add())
    async with world.life(swapping={"shadow": {"candles": 1}, "watch": {"candles": 50}}) as life:
        await life.play(1)
        await life.ask("swap", set=second.id)
        await life.reach("watched")
    world.configure(swapping={"shadow": {"candles": 1}, "watch": {"candles": 50}})

    def ask() -> None:
        if control.request(world.state, "status")["swap"]["stage"] == "watched":
            control.request(world.state, "rollback")

    for instant in OUT:
        die_at(world, doomed, instant, ask if instant in OUT[:2] else None)
    async with world.life() as life:
        assert world.store.champion == first
        await life.play(1)
        await life.reach("rolled back")
        assert life.serving == first
    backs = [line for line in world.promotions() if line["by"] == "rollback"]
    assert len(backs) == 1, "the pointer went back once"
