"""Spans: which stretches of time a history lacks, and the calendar that an archive cuts them by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from market.candles import Candles
from market.funding import Funding
from market.timeframes import utc_text

DAY_MS = 86_400_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
LONGEST_MS = 8 * HOUR_MS
"""No perpetual leaves more than eight hours between two funding instants."""


@dataclass(frozen=True, order=True)
class Span:
    """The instants from `start` to before `end`, UTC ms."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{utc_text(self.start)} to {utc_text(self.end)}"

    @property
    def month(self) -> str:
        """Year and month of its start: ``2024-06``."""
        return f"{_utc(self.start):%Y-%m}"

    @property
    def day(self) -> str:
        """Date of its start: ``2024-06-01``."""
        return f"{_utc(self.start):%Y-%m-%d}"


def missing(candles: Candles | None, wanted: Span, step_ms: int) -> list[Span]:
    """The stretches of `wanted` without a candle, in order; its ends stand on the grid of `step_ms`."""
    times = [] if candles is None else candles.between(wanted.start, wanted.end).open_time.tolist()
    edges = [wanted.start - step_ms, *times, wanted.end]
    pairs = itertools.pairwise(edges)
    return [Span(before + step_ms, after) for before, after in pairs if after - before > step_ms]


def missing_funding(funding: Funding | None, wanted: Span) -> list[Span]:
    """The stretches of `wanted` in which an instant must have passed that is not there, in order.

    Instants come every eight hours at the most; at the ends, at the spacing of the two that are nearest.
    """
    times: list[int] = [] if funding is None else funding.between(wanted.start, wanted.end).time.tolist()
    if not times:
        return [wanted]
    first, last = (times[1] - times[0], times[-1] - times[-2]) if len(times) > 1 else (LONGEST_MS, LONGEST_MS)
    lacking = [Span(wanted.start, times[0])] if times[0] - min(first, LONGEST_MS) >= wanted.start else []
    for before, after in itertools.pairwise(times):
        if after - before > LONGEST_MS:
            lacking.append(Span(before + MINUTE_MS, after))
    if times[-1] + min(last, LONGEST_MS) < wanted.end:
        lacking.append(Span(times[-1] + MINUTE_MS, wanted.end))
    return lacking


def months(span: Span) -> Iterator[Span]:
    """The calendar months (UTC) that a span touches, each whole."""
    start = _utc(span.start).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while _ms(start) < span.end:
        following = (start + timedelta(days=32)).replace(day=1)
        yield Span(_ms(start), _ms(following))
        start = following


def days(span: Span) -> Iterator[Span]:
    """The days (UTC) that a span touches, each whole."""
    for start in range(span.start - span.start % DAY_MS, span.end, DAY_MS):
        yield Span(start, start + DAY_MS)


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(when: datetime) -> int:
    return round(when.timestamp() * 1000)
