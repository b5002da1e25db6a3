"""The findings: what a soak left behind, read from journal, log and exchange once the daemon has ended."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from daemon.journal import FILE
from market.timeframes import Timeframe

UNHANDLED = re.compile(
    r"ended in an error|never retrieved|exception in callback|unhandled|Traceback|control request .* failed", re.I
)
HANDLED = ("could not read a frame",)
"""Words of an exception that was caught where it belongs, and is logged with its trace."""
WARM = 0.25
"""Share of a soak after which memory is taken to be warmed up."""
PAGE = 1_000


def unhandled(log: Path) -> list[str]:
    """Lines of the daemon's log that tell of an exception nobody meant to catch."""
    found = []
    for line in log.read_text().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            said = {"event": line}  # what is no log line was printed by Python itself
        event = str(said.get("event", ""))
        if not any(word in event for word in HANDLED) and UNHANDLED.search(f"{event} {said.get('exception', '')}"):
            found.append(line[:500])
    return found


def candles(state: Path, url: str) -> Iterator[str]:
    """What is wrong with the candles the engine was given, in words: out of order, missing, or not the exchange's own.

    A candle that is missing is no finding where the journal's ledger of gaps says that it was refused.
    """
    with closing(sqlite3.connect(f"file:{state / FILE}?mode=ro", uri=True)) as db:
        told: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for (body,) in db.execute("SELECT body FROM events WHERE kind = 'CandleClosed' ORDER BY seq"):
            event = json.loads(body)
            told[event["symbol"], event["timeframe"]].append(event["candle"])
        gaps = db.execute("SELECT symbol, timeframe, start, end FROM gaps WHERE how LIKE 'refused%'").fetchall()
    for (symbol, timeframe), rows in sorted(told.items()):
        step = Timeframe.parse(timeframe).ms
        times = [row["open_time"] for row in rows]
        if times != sorted(set(times)):
            yield f"{symbol} {timeframe}: told twice or out of order"
        refused = {t for s, f, start, end in gaps if (s, f) == (symbol, timeframe) for t in range(start, end, step)}
        missing = set(range(times[0], times[-1], step)) - set(times) - refused
        if missing:
            yield f"{symbol} {timeframe}: {len(missing)} candles missing, the first at {min(missing)} ms"
        true = _exchange_has(url, symbol, timeframe, times[0])
        if times[-1] != max(true):
            yield f"{symbol} {timeframe}: the newest told opened at {times[-1]} ms, the exchange's at {max(true)} ms"
        if wrong := [row["open_time"] for row in rows if _plain(row) != true.get(row["open_time"])]:
            yield f"{symbol} {timeframe}: {len(wrong)} candles differ from the exchange's, the first at {wrong[0]} ms"


def counts(state: Path) -> dict[str, int]:
    """How many events of each kind the journal holds."""
    with closing(sqlite3.connect(f"file:{state / FILE}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())


def growth(memory: Sequence[tuple[int, float]]) -> float:
    """By how much memory grew after the warm-up, as a fraction: the last tenth against the first tenth after it."""
    warm = [mb for frames, mb in memory if frames >= WARM * memory[-1][0]]
    tenth = max(1, len(warm) // 10)
    return median(warm[-tenth:]) / median(warm[:tenth]) - 1


def curve(memory: Sequence[tuple[int, float]], width: int = 860, height: int = 300) -> str:
    """The memory curve as an SVG: MB over frames, from zero."""
    most, last = max(mb for _, mb in memory) * 1.15, memory[-1][0]
    left, bottom, top = 60, height - 40, 30

    def x(frames: float) -> float:
        return round(left + (width - left - 20) * frames / last, 1)

    def y(mb: float) -> float:
        return round(bottom - (bottom - top) * mb / most, 1)

    line = " ".join(f"{x(frames)},{y(mb)}" for frames, mb in memory)
    marks = "".join(
        f'<text x="{left - 8}" y="{y(mb) + 4}" text-anchor="end">{mb:.0f}</text>'
        f'<line x1="{left}" x2="{width - 20}" y1="{y(mb)}" y2="{y(mb)}" class="grid"/>'
        for mb in (0, most / 4, most / 2, most * 3 / 4)
    )
    feet = "".join(
        f'<text x="{x(last * part)}" y="{bottom + 18}" text-anchor="middle">{last * part / 1000:,.0f}k</text>'
        for part in (0, 0.25, 0.5, 0.75, 1)
    )
    warm = x(WARM * last)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="#57606a"><style>.grid{{stroke:#d0d7de;stroke-width:1}}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{left}" y="18" fill="#24292f">memory of the daemon (MB) over frames; '
        f"{growth(memory):+.1%} after the warm-up</text>{marks}{feet}"
        f'<line x1="{warm}" x2="{warm}" y1="{top}" y2="{bottom}" stroke="#bf8700" stroke-dasharray="4 4"/>'
        f'<polyline points="{line}" fill="none" stroke="#0969da" stroke-width="2"/></svg>\n'
    )


def _plain(row: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float(row[name]) for name in ("open", "high", "low", "close", "volume"))


def _exchange_has(url: str, symbol: str, timeframe: str, start: int) -> dict[int, tuple[float, ...]]:
    """The exchange's closed candles by open time, over REST; its last row is the one that forms."""
    found: dict[int, tuple[float, ...]] = {}
    while True:
        query = f"symbol={symbol}&interval={timeframe}&startTime={start}&limit={PAGE}"
        with urlopen(f"{url}/fapi/v1/klines?{query}", timeout=60) as reply:
            rows = json.load(reply)
        found |= {int(row[0]): tuple(float(v) for v in row[1:6]) for row in rows}
        if len(rows) < PAGE:
            found.pop(max(found))
            return found
        start = int(rows[-1][0]) + 1
