"""Back-off: the one place that says how long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double up to a cap, each shortened by up to half at random so that clients do not march in step."""

    def __init__(self, first_s: float = 0.2, cap_s: float = 30.0) -> None:
        self._first_s, self._cap_s = first_s, cap_s
        self._pause_s = first_s

    def next(self) -> float:
        """The pause before the next try, seconds."""
        pause = self._pause_s
        self._pause_s = min(self._cap_s, 2 * pause)
        return pause * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over, after a success."""
        self._pause_s = self._first_s
