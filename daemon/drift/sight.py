"""Sight: which groups of statistics are judged, and what becomes of a level whose groups no longer are.

A level is held by the groups that were beyond a limit under it. While one of them cannot be judged, no look is calm:
what is not seen has not got better. What cannot be judged for as long as the window lasts holds nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.drift.reference import Group


@dataclass
class Sight:
    """What is seen, look by look.

    Attributes
    ----------
    held_by : set
        Groups that were beyond a limit since the level was last `none`.
    missing : dict
        Group that counts and cannot be judged -> open time (ms) of the first look that missed it; never 0 for unknown.
    """

    held_by: set[Group] = field(default_factory=set)
    missing: dict[Group, int] = field(default_factory=dict)
    _told: set[Group] = field(default_factory=set)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Sight:
        """As a look's row kept it."""
        return cls(set(body.get("held_by", ())), dict(body.get("missing", {})))

    def as_dict(self) -> dict[str, Any]:
        """For the row."""
        return {"held_by": sorted(self.held_by), "missing": self.missing}

    def look(self, bar: int, seen: set[Group], beyond: set[Group], counting: set[Group], lasts_ms: int) -> Found:
        """Take in one more look.

        Parameters
        ----------
        bar : int
            The candle's open time, ms.
        seen, beyond : set
            Groups that were judged, and those of them with something beyond a limit.
        counting : set
            Groups that count.
        lasts_ms : int
            How long a group that is not judged holds a level.
        """
        self.missing = {group: self.missing.get(group, bar) for group in sorted(counting - seen)}
        self.held_by |= beyond
        lapsed = self.lapsed(bar, lasts_ms)
        # what raised it may count no more, by another configuration: then whatever is seen decides
        needed = self.held_by & counting or (set() if seen & counting else counting)
        blind = (needed & self.missing.keys()) - lapsed
        ends = bool(needed) and needed <= lapsed
        fresh, self._told = lapsed - self._told, lapsed
        return Found(not blind and not ends, ends, fresh)

    def lapsed(self, bar: int, lasts_ms: int) -> set[Group]:
        """Groups that have not been judged for so long."""
        return {group for group, since in self.missing.items() if bar - since >= lasts_ms}


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a look without anything beyond a limit is calm, or ends the level; and what has just lapsed."""

    calm: bool
    ends: bool
    lapsed: set[Group]
