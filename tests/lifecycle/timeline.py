"""The timeline: what the audit says that happened, with the market's candle and the seconds since the start."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daemon.lifecycle.schema import FILE
from market.timeframes import utc_text

LONGEST = 240


@dataclass(frozen=True)
class Moment:
    """One line of the audit.

    Attributes
    ----------
    seconds : float
        Since the daemon's first line.
    candle : str
        The market's hour that had closed last, UTC; empty before the first.
    """

    seconds: float
    candle: str
    step: str
    set_id: str | None
    run_id: str | None
    verdict: str | None
    who: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def read(state: Path, closed: Mapping[int, int]) -> list[Moment]:
    """The audit of a state directory; `closed` maps candles to when their closing frame was heard (ms)."""
    with closing(sqlite3.connect(f"file:{state / FILE}?mode=ro", uri=True)) as book:
        rows = book.execute("SELECT at_ms, who, step, set_id, run_id, verdict, text FROM audit ORDER BY id").fetchall()
    bars = sorted(closed)
    heard = [closed[bar] for bar in bars]
    first = rows[0][0] if rows else 0
    moments = []
    for at, who, step, set_id, run_id, verdict, text in rows:
        behind = bisect_right(heard, at)
        candle = utc_text(bars[behind - 1]) if behind else ""
        moments.append(Moment((at - first) / 1_000, candle, step, set_id, run_id, verdict, who, text or ""))
    return moments


def line(moment: Moment) -> str:
    """A moment as a line of text."""
    told = moment.text.splitlines()[0] if moment.text else ""
    told = told if len(told) <= LONGEST else f"{told[: LONGEST - 1]}…"
    subject = moment.set_id or moment.run_id or ""
    return (
        f"{moment.seconds:7.1f} s  {moment.candle:17}  {moment.step:18}  {subject:28}  {moment.who:10}  {told}".rstrip()
    )
