"""Telling: drift, a swap and retraining in a line each, from a status's plain values; for `status` and the view."""

from __future__ import annotations

from typing import Any

from daemon.events import DriftLevel

Values = dict[str, Any]


def drift(told: Values) -> str:
    """What is done about drift, and why: ``shrink since 2026-11-24T10:00Z: entries at 50% of their size; …``."""
    level = DriftLevel(told["level"])
    if level is DriftLevel.NONE:
        return f"not watched: {told['unwatched']}" if told.get("unwatched") else "none, entries at their full size"
    done = f"entries at {told['size']:.0%} of their size"
    if level.stops:
        done = f"{done}, as an operator resumed" if told["accepted"] else "no entries"
    return f"{level} since {told['since']}: {done}; {told['text']}"


def swap(told: Values | None) -> str:
    """The way under way: ``20261124T135602-… shadow, 3 of 12 candles, asked by alice; …``."""
    if told is None:
        return "none under way"
    candles = f", {told['candles']} candles" if told["candles"] else ""
    return f"{told['set']} {told['stage']}{candles}, asked by {told['who']}" + (
        f"; {told['why']}" if told["why"] else ""
    )


def retraining(told: Values) -> str:
    """The run under way, and when the schedule fires next."""
    run = f"{told['run']} {told['state']}" if told["run"] else "no run under way"
    return f"{run}; the next by schedule {told['next']}" if told["next"] else f"{run}; no schedule"


LINES = {"drift": drift, "swap": swap, "retraining": retraining}
"""Keys of a status that are told so."""
