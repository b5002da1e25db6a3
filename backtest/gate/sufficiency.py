"""Sufficiency: whether there is evidence enough to conclude anything. Too little never fails; it keeps the champion."""

from __future__ import annotations

from backtest.gate.evidence import Evidence, judge_start
from backtest.gate.ruling import enough, holds
from backtest.gate.sample import Sample
from backtest.statistics import DAY_MS
from backtest.verdict import Gate, Says

WEEK_MS = 7 * DAY_MS


def gates(evidence: Evidence, rows: Sample | None) -> list[Gate]:
    """The family."""
    least = evidence.terms.config.sufficiency
    start = judge_start(evidence.market, evidence.unseen_ms, least.judge_days)
    days = max(0.0, (evidence.market.end_ms - start) / DAY_MS)
    played = evidence.challenger.walked
    found = [
        enough(
            "sufficiency/judge_days",
            "Are there days enough that neither side has seen?",
            days,
            least.judge_days - 1,  # the first day is whole, the last need not be
            "days",
        ),
        *_record(evidence),
    ]
    count = 0 if rows is None else len(rows.challenger)
    times = None if rows is None else rows.challenger.open_time
    weeks = 0.0 if times is None else float(times[-1] - times[0]) / WEEK_MS
    shared = "" if evidence.champion is None else " that both sides recorded"
    found += [
        enough("sufficiency/rows", f"Are there walk-forward rows enough{shared}?", count, least.rows, "rows"),
        enough("sufficiency/weeks", "Do they span weeks enough?", weeks, least.weeks, "weeks"),
        enough(
            "sufficiency/trades",
            "Did the recipe trade often enough to be judged by its money?",
            0 if played is None else played.figures.all.trades,
            least.trades,
            "trades",
        ),
    ]
    return found


def _record(evidence: Evidence) -> list[Gate]:
    """Whether each side has a record, and whether it speaks of these candles."""
    found = []
    for name, side in (("challenger", evidence.challenger), ("champion", evidence.champion)):
        if side is None:
            continue
        question = f"Is there a walk-forward record of the {name}, over the candles given?"
        cover = evidence.terms.config.sufficiency.cover
        if side.matched is None:
            why = "it recorded none: made by an earlier version; train it again"
            found.append(Gate(f"sufficiency/record/{name}", question, Says.UNCLEAR, "a record", why=why))
            continue
        found.append(
            enough(
                f"sufficiency/record/{name}", question, side.matched.share, cover, "of the recorded candles in the data"
            )
        )
        other = side.matched.other_closes
        found.append(
            holds(
                f"integrity/record/{name}",
                f"Are the {name}'s recorded closing prices those of the data?",
                "the same",
                other == 0,
                f"{other} differ: recorded on another market" if other else "the same",
            )
        )
    return found
