"""The ladder: from looks beyond limits to what is done, a step at a time, and down again likewise."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.events import DriftLevel

LEVELS = tuple(DriftLevel)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where we stand: the level, and how many looks in a row were beyond a limit, or calm, since it was reached."""

    level: DriftLevel = DriftLevel.NONE
    beyond: int = 0
    calm: int = 0

    def look(self, beyond: bool, in_a_row: int, calm_in_a_row: int, top: DriftLevel = DriftLevel.RETRAIN) -> Ladder:
        """Where we stand after one more look; one that saw nothing of what counts is no look."""
        if beyond:
            at = replace(self, beyond=self.beyond + 1, calm=0)
            if at.beyond >= in_a_row and self.level.rank < top.rank:
                return Ladder(LEVELS[self.level.rank + 1])
            return at
        at = replace(self, calm=self.calm + 1, beyond=0)
        if at.calm >= calm_in_a_row and self.level is not DriftLevel.NONE:
            return Ladder(LEVELS[self.level.rank - 1])
        return at
