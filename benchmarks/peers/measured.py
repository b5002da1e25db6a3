"""What one engine says of one frame, and how its time is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")

_ENOUGH_S, _MOST = 0.5, 15


@dataclass(frozen=True)
class Measured:
    """One engine's run in a process of its own.

    Attributes
    ----------
    version : str
        Of the engine.
    setup_cpu : float
        CPU seconds to turn the frame into what the engine reads.
    run_cpu, run_wall : float
        Seconds of the simulation with trade count and final equity, warm; the median where it was repeated.
    repeats : int
        How often it was repeated within the process.
    trades, stops : int
        Trades closed, and those among them that a stop closed.
    equity : float
        At the last close.
    jit_seconds : float or None
        Wall seconds of the first call in the process, on a few bars; None where nothing is compiled.
    """

    version: str
    setup_cpu: float
    run_cpu: float
    run_wall: float
    repeats: int
    trades: int
    stops: int
    equity: float
    jit_seconds: float | None = None


@dataclass(frozen=True)
class Lap:
    """CPU and wall seconds, and over how many runs they are the median."""

    cpu: float
    wall: float
    repeats: int = 1


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
    cpu, wall = (statistics.median(getattr(lap, what) for lap in laps) for what in ("cpu", "wall"))
    return answer, Lap(cpu, wall, len(laps))
