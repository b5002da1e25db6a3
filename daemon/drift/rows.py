"""What drift is judged on, in the lifecycle's book: rows of features and answers, candle by candle, across restarts.

Blocking: called in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa

from daemon.inference import Seen
from daemon.lifecycle.book import Book
from daemon.lifecycle.schema import drift, observed, runs
from market.candles import Floats
from models.drift.judging import Watched
from models.drift.reference import outputs_of, stacked
from models.manifest import Manifest

Listed = list[float | None]


@dataclass(slots=True)
class Windows:
    """The rows that a set is judged on, symbol by symbol: read from the book once, then kept in memory row by row.

    Reading a window from the book parses some 1,500 rows of JSON, and the trading loop waits meanwhile.
    """

    book: Book
    manifest: Manifest
    count: int
    """Rows of a symbol, at most."""
    span_ms: int
    """Rows older than that, seen from the newest, do not count."""
    of: dict[str, Watched] = field(default_factory=dict)

    def take(self, bar: int, seen: Mapping[str, Seen]) -> None:
        """Take in what was read and said at one candle, which the book has by now."""
        since = bar - self.span_ms
        for symbol, each in seen.items():
            if symbol in self.of:
                said = np.array(_outputs(self.manifest, each), dtype=np.float64)
                row = np.where(np.isfinite(each.row), each.row, np.nan)
                self.of[symbol] = _with(self.of[symbol], bar, each.close, row, said, self.count, since)
            else:
                self.of[symbol] = load(self.book, self.manifest, symbol, self.count, since)


def _with(
    rows: Watched, bar: int, close: float, features: Floats, outputs: Floats, count: int, since: int
) -> Watched:  # fmt: skip
    """Some rows and one more; one that is told again takes the place of its first telling."""
    at = int(np.searchsorted(rows.open_time, bar))
    again = int(at < len(rows) and rows.open_time[at] == bar)
    start = len(rows) - rows.own
    # an older row than this set's first is not its own: another's stands between
    own = rows.own + 1 - again if at >= start else rows.own + int(again and at == start - 1)

    def put(table: Any, row: Any) -> Any:
        return np.concatenate([table[:at], np.asarray([row], dtype=table.dtype), table[at + again :]])

    times = put(rows.open_time, bar)
    first = max(len(times) - count, int(np.searchsorted(times, since)))
    return Watched(
        times[first:], put(rows.close, close)[first:], put(rows.features, features)[first:],
        put(rows.outputs, outputs)[first:], min(own, len(times) - first),
    )  # fmt: skip


def keep(book: Book, manifest: Manifest, bar: int, seen: Mapping[str, Seen]) -> None:
    """Write what was read and said at one candle; told again, it is written over."""
    for symbol, each in seen.items():
        row = {
            "set_id": manifest.id,
            "schema": manifest.features.schema_hash,
            "close": each.close,
            "features": json.dumps(_listed(each.row)),
            "outputs": json.dumps(_outputs(manifest, each)),
        }
        book.replace(observed, {"symbol": symbol, "bar": bar}, row)


def load(book: Book, manifest: Manifest, symbol: str, count: int, since: int) -> Watched:
    """The last `count` rows of a symbol that the set's features can be judged on, none older than `since` (ms)."""
    of = observed.c
    query = (
        sa.select(of.bar, of.set_id, of.close, of.features, of.outputs)
        .where(of.symbol == symbol, of.schema == manifest.features.schema_hash, of.bar >= since)
        .order_by(of.bar.desc())
        .limit(count)
    )
    rows = book.rows(query)[::-1]
    own = 0
    while own < len(rows) and rows[-1 - own]["set_id"] == manifest.id:
        own += 1
    width = len(outputs_of(manifest))
    silent: Listed = [None] * width  # what another set said is not asked about
    outputs = [json.loads(r["outputs"]) if at >= len(rows) - own else silent for at, r in enumerate(rows)]
    return Watched(
        open_time=np.array([r["bar"] for r in rows], dtype=np.int64),
        close=np.array([r["close"] for r in rows], dtype=np.float64),
        features=_table([json.loads(r["features"]) for r in rows], len(manifest.features.names)),
        outputs=_table(outputs, width),
        own=own,
    )


def forget(book: Book, before: int) -> None:
    """Drop rows of candles that opened before `before` (ms)."""
    book.delete(observed, observed.c.bar < before)


def forget_looks(book: Book, before: int) -> None:
    """Drop looks at candles that opened before `before` (ms); what was done about drift stays in the audit."""
    book.delete(drift, drift.c.bar < before)


def newest(book: Book, count: int = 1) -> list[dict[str, object]]:
    """The newest looks, newest first, their bodies read."""
    query = sa.select(drift).order_by(drift.c.id.desc()).limit(count)
    return [row | {"body": json.loads(row["body"])} for row in book.rows(query)]


def turned_away(book: Book, run_id: str) -> bool:
    """Whether a run ended as it was asked for: its row says why, and nothing will come of it."""
    of = runs.c
    asked = book.rows(sa.select(of.state, of.asked_ms, of.ended_ms).where(of.id == run_id))
    return any(row["state"] == "canceled" and row["ended_ms"] == row["asked_ms"] for row in asked)


def _outputs(manifest: Manifest, seen: Seen) -> Listed:
    if (said := seen.said) is None:
        return [None] * len(outputs_of(manifest))
    return _listed(stacked(manifest, said.horizons, (said.p_long, said.p_short), said.regime_probabilities))


def _listed(values: Floats) -> Listed:
    return [float(v) if np.isfinite(v) else None for v in values]


def _table(rows: list[Listed], width: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
