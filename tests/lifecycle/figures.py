"""The figures: what the journal and the onlooker say of the candles while sets came and went."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from daemon.journal import FILE


@dataclass(frozen=True)
class Candles:
    """Candles from the first that was decided on to the last before the daemon was told to end.

    Attributes
    ----------
    decided, missed : int
        With a decision (or a reason for none) in the journal, and without; holes that were filled late count as missed.
    delays_ms : tuple of int
        From the closing frame on the wire to the decision in the journal, sorted.
    """

    decided: int
    missed: int
    delays_ms: tuple[int, ...]

    @property
    def longest_ms(self) -> int | None:
        return self.delays_ms[-1] if self.delays_ms else None

    def delay_ms(self, share: float) -> int | None:
        """The delay that `share` of all do not exceed."""
        return (
            self.delays_ms[min(len(self.delays_ms) - 1, int(share * len(self.delays_ms)))] if self.delays_ms else None
        )


def candles(state: Path, closed: Mapping[int, int], told_to_end_ms: int) -> Candles:
    """Count and time the decisions in a state directory against the closing frames that were heard from outside.

    What closes after the daemon was told to end is not asked of it.
    """
    with closing(sqlite3.connect(f"file:{state / FILE}?mode=ro", uri=True)) as journal:
        decided = dict(journal.execute("SELECT bar, min(at_ms) FROM decisions GROUP BY bar"))
        counted = "SELECT count(*) FROM events WHERE kind = 'GapFound'"
        holes = journal.execute(counted).fetchone()[0]
    first = min(decided, default=0)
    heard = [bar for bar, at in closed.items() if bar >= first and at < told_to_end_ms]
    absent = [bar for bar in heard if bar not in decided]
    delays = sorted(decided[bar] - closed[bar] for bar in heard if bar in decided)
    return Candles(len(decided), len(absent) + holes, tuple(delays))
