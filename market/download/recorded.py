"""Recorded candles: what a daemon heard itself, joined to a history file and compared with it, value by value.

The daemon keeps each closed candle in `candles.sqlite` of its state directory, as it arrived. Where the file has the
candle too, the file's is kept, for it is the exchange's final word; every difference is told.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market.candles import VALUES, Candles
from market.download.update import merged
from market.history import HistoryError
from market.integrity import check
from market.timeframes import Timeframe, utc_text

FILE = "candles.sqlite"
TOLERATED = 3


@dataclass(frozen=True)
class Difference:
    """One value that the file and the recording do not agree on."""

    time: int
    field: str
    in_file: float
    recorded: float
    live: bool
    """Whether it came by the stream; else the daemon fetched it later."""

    def __str__(self) -> str:
        came = "heard live" if self.live else "fetched by the daemon"
        return (
            f"{utc_text(self.time)}  {self.field}: {self.in_file!r} in the file is kept, "
            f"{self.recorded!r} ({came}) is not"
        )


@dataclass(frozen=True)
class Joined:
    """What a recording adds to a file: the candles together, how many are new, and what did not agree.

    `partial` counts values that one side knows and the other does not; the file's candle is kept as it is.
    """

    candles: Candles
    added: int
    compared: int
    partial: int
    differences: tuple[Difference, ...]

    @property
    def differing(self) -> int:
        """How many candles differ."""
        return len({difference.time for difference in self.differences})


def read(state_dir: Path, symbol: str, timeframe: Timeframe) -> tuple[Candles, set[int]]:
    """A daemon's recorded candles in order, and the open times (ms) of those that came by the stream.

    Raises
    ------
    HistoryError
        If there is no recording, it cannot be read, holds nothing of the symbol, or holds damaged candles.
    """
    file = state_dir / FILE
    if not file.is_file():
        raise HistoryError(f"{file}: no such file; --join takes the state directory of a daemon that has run")
    columns = ", ".join(VALUES)
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            rows = database.execute(
                f"SELECT open_time, live, {columns} FROM candles WHERE symbol = ? AND timeframe = ? ORDER BY open_time",
                (symbol, str(timeframe)),
            ).fetchall()
            kinds = database.execute("SELECT DISTINCT symbol, timeframe FROM candles ORDER BY 1, 2").fetchall()
    except sqlite3.Error as error:
        raise HistoryError(f"{file}: cannot be read: {error}") from error
    if not rows:
        held = ", ".join(f"{s} {t}" for s, t in kinds) or "nothing"
        raise HistoryError(f"{file}: holds no {timeframe} candles of {symbol}, but {held}")
    values = np.array([row[2:] for row in rows], dtype=np.float64)  # None becomes NaN
    times = np.array([row[0] for row in rows], dtype=np.int64)
    candles = Candles(timeframe, times, *(values[:, i] for i in range(len(VALUES))))
    if damage := check(candles).damage:
        raise HistoryError(f"{file}: {len(damage)} faults in its {timeframe} candles of {symbol}; not joined", damage)
    return candles, {int(row[0]) for row in rows if row[1]}


def holds(state_dir: Path, symbol: str, timeframe: Timeframe) -> bool:
    """Whether a daemon recorded any candle of the kind; raises HistoryError if its file cannot be read."""
    file = state_dir / FILE
    if not file.is_file():
        return False
    query = "SELECT 1 FROM candles WHERE symbol = ? AND timeframe = ? LIMIT 1"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(query, (symbol, str(timeframe))).fetchone() is not None
    except sqlite3.Error as error:
        raise HistoryError(f"{file}: cannot be read: {error}") from error


def join(held: Candles | None, recorded: Candles, live: set[int]) -> Joined:
    """Both together; where both have a candle, every value is compared, with no tolerance."""
    if held is None:
        return Joined(recorded, len(recorded), 0, 0, ())
    _, ours, theirs = np.intersect1d(held.open_time, recorded.open_time, return_indices=True)
    differences: list[Difference] = []
    partial = 0
    for field in VALUES:
        mine, heard = getattr(held, field)[ours], getattr(recorded, field)[theirs]
        known = np.isfinite(mine) & np.isfinite(heard)
        partial += int(np.sum(np.isfinite(mine) != np.isfinite(heard)))
        for i in np.flatnonzero(known & (mine != heard)):
            time = int(held.open_time[ours[i]])
            differences.append(Difference(time, field, float(mine[i]), float(heard[i]), time in live))
    differences.sort(key=lambda difference: difference.time)
    together = merged(held, recorded)
    return Joined(together, len(together) - len(held), len(ours), partial, tuple(differences))
