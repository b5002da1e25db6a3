"""The update: one history file brought up to date, asking only for what it lacks and never losing what it has.

What is in the file is never changed. The file is replaced whole, every few seconds and at the end, whatever ends it:
a download that was cut goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from market import history
from market.candles import VALUES, Candles
from market.download.api import PAGE, Api
from market.download.archive import Archive
from market.download.spans import DAY_MS, HOUR_MS, MINUTE_MS, Span, days, missing, missing_funding, months
from market.funding import Funding
from market.history import HistoryError
from market.integrity import check
from market.progress import Step, Steps
from market.timeframes import Timeframe, utc_text

SAVE_EVERY_S = 5.0
STRETCH = 20 * PAGE
"""Candles, or hours of funding, that a step of the progress asks the exchange for."""
DAILY_MS = 70 * 86_400_000
"""So far back the archive may still lack a month that it has by the day."""


Rows = TypeVar("Rows", Candles, Funding)


class Source(StrEnum):
    """Where history comes from."""

    AUTO = "auto"
    """Whole months from the archive, where it has them; all else from the exchange's own endpoints."""
    API = "api"
    ARCHIVE = "archive"


@dataclass(frozen=True)
class Outcome:
    """What an update came to: rows added from each source, and the spans nobody could give."""

    archived: int
    asked: int
    missing: tuple[Span, ...]


@dataclass(frozen=True)
class Sources(Generic[Rows]):
    """How to get one kind of rows: by span from the API, by month and by day from the archive; None: not from there.

    A step of the progress asks the API for at most `stretch_ms`.
    """

    stretch_ms: int
    api: Callable[[Span], Iterator[Rows]] | None
    month: Callable[[Span], Rows | None] | None
    day: Callable[[Span], Rows | None] | None


class Update(Generic[Rows]):
    """One file on its way up to date.

    Parameters
    ----------
    what : str
        What it is of, in words.
    path : Path
        The parquet file; it need not exist.
    held : Candles or Funding, optional
        What it holds now.
    lacking : callable
        Gives the spans of the wanted one that the rows lack.
    sources : Sources
        Where rows come from.
    steps : Steps
        Where progress is shown.
    """

    def __init__(
        self,
        what: str,
        path: Path,
        held: Rows | None,
        lacking: Callable[[Rows | None], list[Span]],
        sources: Sources[Rows],
        steps: Steps,
    ) -> None:
        self.rows: Rows | None = held
        self._what, self._path, self._steps = what, path, steps
        self._lacking: Callable[[Rows | None], list[Span]] = lacking
        self._sources: Sources[Rows] = sources
        self._archived = self._asked = 0
        self._unsaved = False
        self._saved_at = time.monotonic()

    def run(self) -> Outcome:
        """Fetch what is missing.

        Raises
        ------
        HistoryError
            If a source refuses or fails; what came before is in the file.
        OSError
            If the file cannot be written.
        """
        pieces = self._pieces()
        try:
            with self._steps.running(len(pieces)):
                for piece, fetch in pieces:
                    fetch(piece)
        finally:
            self._save()
        return Outcome(self._archived, self._asked, tuple(self._lacking(self.rows)))

    def _pieces(self) -> list[tuple[Span, Callable[[Span], None]]]:
        """What to fetch, in order: months that a file can fill whole, and the rest."""
        pieces: list[tuple[Span, Callable[[Span], None]]] = []
        for lack in self._lacking(self.rows):
            asked: list[Span] = []
            for month in months(lack):
                part = Span(max(month.start, lack.start), min(month.end, lack.end))
                if self._sources.month is not None and (self._sources.api is None or part == month):
                    pieces += [(span, self._by_api) for span in self._cut(asked)]
                    pieces.append((part, self._by_archive))
                    asked = []
                else:
                    asked.append(part)
            pieces += [(span, self._by_api) for span in self._cut(asked)]
        return pieces

    def _cut(self, adjoining: list[Span]) -> Iterator[Span]:
        """Adjoining spans together, cut into stretches."""
        if adjoining:
            end = adjoining[-1].end
            for start in range(adjoining[0].start, end, self._sources.stretch_ms):
                yield Span(start, min(end, start + self._sources.stretch_ms))

    def _by_api(self, span: Span) -> None:
        with self._steps.step(f"{self._what} {span} from the exchange") as step:
            step.note(f"{self._ask(span, step):,} new")

    def _by_archive(self, span: Span) -> None:
        assert self._sources.month is not None
        month = next(months(span))
        with self._steps.step(f"{self._what} {month.month} from the archive") as step:
            rows = self._sources.month(month)
            if rows is not None:
                came = self._take(rows, span)
                self._archived += came
                step.note(f"{came:,} new")
            elif self._sources.api is not None:
                step.note(f"not in the archive; {self._ask(span, step):,} new from the exchange")
            elif self._sources.day is not None and time.time() * 1000 - month.end < DAILY_MS:
                came = sum(self._take(day, span) for day in map(self._sources.day, days(span)) if day is not None)
                self._archived += came
                step.note(f"{came:,} new, by the day")
            else:
                step.note("not in the archive")

    def _ask(self, span: Span, step: Step) -> int:
        assert self._sources.api is not None
        came = 0
        for page in self._sources.api(span):
            came += self._take(page, span)
            step.doing(f"{came:,} so far")
        self._asked += came
        return came

    def _take(self, rows: Rows, span: Span) -> int:
        """Merge those rows of `span` that are not there yet; returns how many."""
        before = 0 if self.rows is None else len(self.rows)
        self.rows = merged(self.rows, rows.between(span.start, span.end))
        came = len(self.rows) - before
        self._unsaved |= came > 0
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self._save()
        return came

    def _save(self) -> None:
        if self._unsaved and self.rows is not None:
            history.write(self.rows, self._path)
            self._unsaved = False
        self._saved_at = time.monotonic()


def merged(held: Rows | None, new: Rows) -> Rows:
    """Both in order of time; of two rows of one instant, the one that was held."""
    if held is None:
        return new
    if isinstance(held, Candles):
        assert isinstance(new, Candles)
        times = np.concatenate((held.open_time, new.open_time))
        _, first = np.unique(times, return_index=True)
        columns = {v: np.concatenate((getattr(held, v), getattr(new, v)))[first] for v in VALUES}
        return Candles(held.timeframe, times[first], **columns)
    assert isinstance(new, Funding)
    times = np.concatenate((held.time, new.time))
    _, first = np.unique(times, return_index=True)
    return Funding(times[first], np.concatenate((held.rate, new.rate))[first])


def whole_span(symbol: str, timeframe: Timeframe, start: int | None, end: int | None, api: Api | None) -> Span:
    """What can be had of the stretch, on the grid: from the first candle there is, never the one that is forming.

    Raises
    ------
    HistoryError
        If the exchange does not answer or refuses, or no closed candle is in the stretch.
    """
    if api is None:  # the archive has whole days, and does not say where it starts
        today = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
        first, last = start or 0, today if end is None else min(end, today)
    else:
        first, last = api.first(symbol, timeframe), api.newest(symbol, timeframe)
        first = first if start is None else max(first, start)
        last = last if end is None else min(last, end)
    first, last = -(-first // timeframe.ms) * timeframe.ms, -(-last // timeframe.ms) * timeframe.ms
    if first >= last:
        raise HistoryError(f"no closed {timeframe} candle of {symbol} from {utc_text(first)} to {utc_text(last)}")
    return Span(first, last)


def update_candles(
    path: Path, symbol: str, timeframe: Timeframe, span: Span, api: Api | None, archive: Archive | None, steps: Steps
) -> tuple[Candles | None, Outcome]:
    """Bring a candle file up to date over `span`; returns what it holds then, and what came of it.

    Raises
    ------
    HistoryError
        If the file is damaged or of another timeframe, or a source fails.
    """
    held = history.read(path, timeframe) if path.exists() else None

    def checked(span: Span) -> Iterator[Candles]:
        assert api is not None
        for page in api.klines(symbol, timeframe, span):
            if damage := check(page).damage:
                raise HistoryError(f"{api.name}: {len(damage)} faults in klines of {symbol}; not taken", damage)
            yield page

    sources: Sources[Candles] = Sources(
        STRETCH * timeframe.ms,
        None if api is None else checked,
        None if archive is None else lambda month: archive.month(symbol, timeframe, month),
        None if archive is None else lambda day: archive.day(symbol, timeframe, day),
    )
    update = Update(f"{symbol} {timeframe}", path, held, lambda rows: missing(rows, span, timeframe.ms), sources, steps)
    outcome = update.run()
    return update.rows, outcome


def update_funding(
    path: Path, symbol: str, span: Span, api: Api | None, archive: Archive | None, steps: Steps
) -> tuple[Funding | None, Outcome]:
    """Bring a funding file up to date over `span`; as `update_candles`."""
    held = history.read_funding(path) if path.exists() else None

    def on_the_minute(rows: Funding) -> Funding:
        return Funding(rows.time - rows.time % MINUTE_MS, rows.rate)

    sources: Sources[Funding] = Sources(
        STRETCH * HOUR_MS,
        None if api is None else lambda part: map(on_the_minute, api.funding(symbol, part)),
        None
        if archive is None
        else lambda month: None if (rows := archive.funding(symbol, month)) is None else on_the_minute(rows),
        None,
    )
    update = Update(f"{symbol} funding", path, held, lambda rows: missing_funding(rows, span), sources, steps)
    outcome = update.run()
    return update.rows, outcome
