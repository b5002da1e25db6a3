"""The way of a set, as one table: what is done at each stage, and where it can lead.

A stage is written down before its work begins, and each stage's work may be begun again: a daemon that was killed takes
up the row where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a set is."""

    INCOMING = "incoming"
    VERIFIED = "verified"
    JUDGING = "judging"
    LOADING = "loading"
    SHADOW = "shadow"
    SWAPPING = "swapping"
    WATCHED = "watched"
    RETURNING = "rolling back"
    KEPT = "kept"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: what is done in it, and the stages it can lead to; none of them where the way ends."""

    stage: Stage
    work: str
    leads_to: tuple[Stage, ...] = ()
    in_service: bool = False
    """Whether the set answers, or is about to."""


INCOMING, VERIFIED, JUDGING, LOADING, SHADOW, SWAPPING, WATCHED, RETURNING = tuple(Stage)[:8]
KEPT, ROLLED_BACK, REFUSED, SUPERSEDED, LEFT = tuple(Stage)[8:]

WAY = (
    Row(INCOMING, "every file against its hash, format and schema", (VERIFIED, REFUSED, SUPERSEDED)),
    Row(VERIFIED, "venue, symbol, timeframes, costs and age against the configuration", (JUDGING, REFUSED)),
    # superseded only while it waits for its history: then the newest has its turn, as among those that are incoming
    Row(
        JUDGING,
        "the gate, in a process of its own; a fresh passing verdict is taken as it is",
        (LOADING, REFUSED, SUPERSEDED),
    ),
    Row(LOADING, "opened off the loop, golden vectors answered", (SHADOW, REFUSED)),
    # refused also where an operator rolls back meanwhile: what he means is in service, not what is on its way
    Row(SHADOW, "asked beside the set in service, never traded on", (SWAPPING, REFUSED)),
    # the pointer first, then the reference: a kill between them ends in the set that the pointer names
    Row(SWAPPING, "champion pointer, then the reference, between two candles", (WATCHED, REFUSED), True),
    # left: a restart loaded another set, because model_set pins one or somebody promoted one meanwhile
    Row(WATCHED, "its answers, labels and trades against its record", (KEPT, RETURNING, LEFT), True),
    # an operator rolls back what was kept long ago
    Row(KEPT, "nothing: it is in service", (RETURNING,), True),
    # kept: the set before is gone or broken, and a set that answers is better than none
    Row(RETURNING, "the set before, between two candles, and its pointer", (ROLLED_BACK, KEPT, LEFT), True),
    Row(ROLLED_BACK, "nothing"),
    Row(REFUSED, "nothing: the set in service was never touched"),
    Row(SUPERSEDED, "nothing: a newer set was offered before its turn came"),
    Row(LEFT, "nothing: another set is in service"),
)
TABLE = {row.stage: row for row in WAY}
OVER = (KEPT, ROLLED_BACK, REFUSED, SUPERSEDED, LEFT)
"""Stages at which nothing is being done any more."""


class WayError(Exception):
    """A step that the table does not have: a fault of the program."""


def step(now: Stage, then: Stage) -> Stage:
    """`then`, if the way leads there.

    Raises
    ------
    WayError
        If it does not.
    """
    if then not in TABLE[now].leads_to:
        raise WayError(f"from {now} there is no way to {then}")
    return then
