"""The same loop compiled by numba: about as fast as one pass over the bars gets."""

from __future__ import annotations

import numba

from benchmarks.peers.frame import Frame
from benchmarks.peers.measured import NOTHING, Measured, timed, timed_often
from benchmarks.peers.rule import CASH, play

_compiled = numba.njit(cache=True)(play)


def measure(frame: Frame) -> Measured:
    """Play the frame's columns as arrays."""
    few, columns = frame[:300].columns(), frame.columns()
    _, jit = timed(lambda: _compiled(*few, float(CASH)))
    (trades, stops, equity, _), run = timed_often(lambda: _compiled(*columns, float(CASH)))
    return Measured(numba.__version__, NOTHING, run, trades, stops, equity, jit)
