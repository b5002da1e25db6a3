"""Waiting: a set whose history cannot be had now is judged later, and goes on waiting after a restart.

An exchange that does not answer is no fault of the set, so its tries are bounded by time and not by their number. What
was waited stands in the swap's row.
"""

from __future__ import annotations

import time

from daemon.swapping.rows import Swap
from market.backoff import Backoff
from market.timeframes import utc_text

FIRST_S, LONGEST_S = 60.0, 3_600.0
"""The first pause, and the longest; each is twice the one before."""
PATIENCE_S = 86_400.0
"""So long, pauses and tries together, a set waits while a daemon runs; by then somebody has to look."""
KEY = "history"
"""Where in the row's body it stands."""


def waits(swap: Swap) -> bool:
    """Whether a set waits for its history."""
    return KEY in swap.body


def left_s(swap: Swap) -> float:
    """Until it is tried again; none is left for a set that waits for nothing."""
    until = float(swap.body.get(KEY, {}).get("until_ms", 0))
    # a clock that was set back must not make a longer pause of it
    return min(LONGEST_S, until / 1_000 - time.time())


def postpone(swap: Swap, error: Exception, took_s: float) -> str | None:
    """Have the set wait after a try that took so long; what is told of it, None once it has waited long enough."""
    kept = swap.body.get(KEY, {})
    tries, spent_s = kept.get("tries", 0) + 1, kept.get("spent_s", 0.0) + took_s
    if spent_s >= PATIENCE_S:
        return None
    backoff = Backoff(FIRST_S, LONGEST_S)
    pause_s = [backoff.next() for _ in range(min(tries, 32))][-1]
    until_ms = round((time.time() + pause_s) * 1_000)
    swap.body[KEY] = {"tries": tries, "spent_s": spent_s + pause_s, "until_ms": until_ms}
    return f"it waits for its history until {utc_text(until_ms)}, after {_times(tries)}: {error}"


def given_up(swap: Swap, error: Exception) -> str:
    """Why it waits no longer."""
    tries = swap.body.get(KEY, {}).get("tries", 0) + 1
    return f"it cannot be judged: its history could not be had in {PATIENCE_S / 3_600:g} h, by {_times(tries)}: {error}"


def go_on(swap: Swap) -> None:
    """Its history was had, or it is over: another time is counted anew."""
    swap.body.pop(KEY, None)


def _times(tries: int) -> str:
    return "one try" if tries == 1 else f"{tries} tries"
