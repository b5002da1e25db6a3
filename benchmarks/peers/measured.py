"""What one engine says of one frame, and how its time is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_ENOUGH_S, _MOST = 0.5, 15


@dataclass(frozen=True)
class Lap:
    """CPU and wall seconds of some work: the medians, where it was repeated."""

    cpu: float
    wall: float
    repeats: int = 1


NOTHING = Lap(0.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """One engine's run in a process of its own.

    Attributes
    ----------
    version : str
        Of the engine.
    setup : Lap
        To turn the frame into what the engine reads.
    run : Lap
        The simulation with trade count and final equity, warm.
    trades, stops : int
        Trades closed, and those among them that a stop closed.
    equity : float
        At the last close.
    jit : Lap or None
        The first call in the process, on a few bars; None where nothing is compiled.
    """

    version: str
    setup: Lap
    run: Lap
    trades: int
    stops: int
    equity: float
    jit: Lap | None = None

    def written(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, told: dict[str, Any]) -> Measured:
        """From what `written` gave."""
        laps = {name: Lap(**told[name]) if told[name] else None for name in ("setup", "run", "jit")}
        return cls(**(told | laps))


def timed(work: Callable[[], Answer]) -> tuple[Answer, Lap]:
    """Do the work once, and take its time. On a shared machine CPU time is the steadier of the two."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return answer, Lap(time.process_time() - cpu, time.perf_counter() - wall)


def timed_often(work: Callable[[], Answer]) -> tuple[Answer, Lap]:
    """The same for work that can be repeated: again and again for half a second, and the median."""
    answer, lap = timed(work)
    laps = [lap]
    while sum(lap.wall for lap in laps) < _ENOUGH_S and len(laps) < _MOST:
        answer, lap = timed(work)
        laps.append(lap)
    cpu, wall = statistics.median(lap.cpu for lap in laps), statistics.median(lap.wall for lap in laps)
    return answer, Lap(cpu, wall, len(laps))
