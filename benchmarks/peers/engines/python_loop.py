"""The rule as a plain loop over lists: the floor that a small event loop in Python stands on."""

from __future__ import annotations

import platform

from benchmarks.peers.frame import Frame
from benchmarks.peers.measured import Measured, timed, timed_often
from benchmarks.peers.rule import CASH, play


def measure(frame: Frame) -> Measured:
    """Play the frame's columns as lists."""
    lists, setup = timed(frame.lists)
    (trades, stops, equity, _), run = timed_often(lambda: play(*lists, CASH))
    return Measured(platform.python_version(), setup, run, trades, stops, equity)
