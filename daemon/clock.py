"""The clock that events are dated by: the host's, but it never goes back.

Deadlines are counted by it. Were it to follow a host that is set back by an hour, nothing would be asked, tried again
or closed for that hour; so it goes on at its own pace until it is overtaken, or the daemon starts anew.
"""

from __future__ import annotations

import time


class Clock:
    """Wall time, UTC ms, from which nothing is ever taken back."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Now; ahead of the host's clock once that was set back."""
        since_ns = time.monotonic_ns()
        self._ahead_ns = max(self._ahead_ns, time.time_ns() - since_ns)
        return (since_ns + self._ahead_ns) // 1_000_000


_CLOCK = Clock()


def now_ms() -> int:
    """The daemon's own clock, UTC ms."""
    return _CLOCK.now_ms()
