"""History: candles and funding in parquet files, read strictly and written whole.

A file has `open_time` (a timestamp with a time zone, or integer milliseconds UTC) and the columns of a kline; optional
ones that are absent are NaN. Damage is refused with every fault's time; gaps are left for the reader to judge.
"""

from __future__ import annotations

import os
from errno import ENOENT
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.candles import VALUES, Candles, Floats, Ints
from market.fills import RATE
from market.funding import Funding
from market.integrity import Problem, Report, check
from market.timeframes import Timeframe, TimeframeError, utc_text

__all__ = [
    "HistoryError",
    "Problem",
    "Report",
    "check",
    "holds_funding",
    "read",
    "read_funding",
    "read_unchecked",
    "write",
]

REQUIRED = VALUES[:5]
EARLIEST_MS, LATEST_MS = 1_230_768_000_000, 4_102_444_800_000
"""2009-01-01 and 2100-01-01: a time beyond them is in another unit."""
SHOWN = 10
_TIMEFRAME_KEY = b"regimen.timeframe"
_MINUTE_MS = 60_000


class HistoryError(Exception):
    """A history that cannot be used.

    Attributes
    ----------
    problems : list of Problem
        The faults found, each with its time; empty if the file could not be read at all.
    """

    exit_code = 7

    def __init__(self, message: str, problems: list[Problem] | None = None) -> None:
        self.problems = problems or []
        lines = [message, *(f"  {problem}" for problem in self.problems[:SHOWN])]
        if len(self.problems) > SHOWN:
            lines.append(f"  and {len(self.problems) - SHOWN} more")
        super().__init__("\n".join(lines))


def read(path: Path | str, timeframe: Timeframe | None = None) -> Candles:
    """The candles of a parquet file, in order and sound; gaps may be in them.

    Parameters
    ----------
    path : Path or str
        The file.
    timeframe : Timeframe, optional
        What the candles must be; without it, the most common spacing says.

    Raises
    ------
    HistoryError
        If the file is missing, is no parquet, lacks a column, is of another timeframe, or holds damaged candles.
    """
    candles = read_unchecked(path, timeframe)
    damage = check(candles).damage
    if damage:
        count = f"{len(damage)} faults" if len(damage) > 1 else "1 fault"
        raise HistoryError(f"{path}: {count} in its {len(candles)} candles; repair or fetch them again", damage)
    return candles


def read_unchecked(path: Path | str, timeframe: Timeframe | None = None) -> Candles:
    """The candles of a parquet file as they stand, damage included, for `check` to look at."""
    table = _table(path)
    times = _times(table, "open_time", path)
    columns: dict[str, Floats] = {}
    for name in VALUES:
        if name in table.column_names:
            columns[name] = _numbers(table, name, path)
        elif name in REQUIRED:
            raise HistoryError(_lacking(name, table, path))
        else:
            columns[name] = np.full(len(times), np.nan)
    return Candles(_timeframe(table, times, timeframe, path), times, **columns)


def read_funding(path: Path | str) -> Funding:
    """The funding instants of a parquet file with `funding_time` and `funding_rate` (a fraction of the notional).

    Instants are taken to the minute they fall in: exchanges stamp them some milliseconds late.

    Raises
    ------
    HistoryError
        If the file cannot be read, or an instant is repeated, out of order, or without a finite rate.
    """
    table = _table(path)
    times = _times(table, "funding_time", path)
    if "funding_rate" not in table.column_names:
        raise HistoryError(_lacking("funding_rate", table, path))
    rates = _numbers(table, "funding_rate", path)
    times = times - times % _MINUTE_MS
    wrong = [Problem(int(times[i]), f"funding rate {rates[i]}") for i in np.flatnonzero(~(np.abs(rates) < 1))]
    wrong += [
        Problem(int(times[i]), "instant is not later than the one before")
        for i in np.flatnonzero(np.diff(times, prepend=times[:1] - 1) <= 0)
    ]
    if wrong:
        raise HistoryError(f"{path}: {len(wrong)} faults in its {len(times)} funding instants", wrong)
    return Funding(times, np.rint(rates * RATE).astype(np.int64))


def holds_funding(path: Path | str) -> bool:
    """Whether the file is one of funding instants rather than of candles."""
    return "funding_time" in _table(path).column_names


def write(history: Candles | Funding, path: Path | str) -> None:
    """Write candles or funding to a parquet file, replacing it whole or not at all."""
    if isinstance(history, Funding):
        table = pa.table({"funding_time": _timestamps(history.time), "funding_rate": history.fractions()})
    else:
        columns = {"open_time": _timestamps(history.open_time)} | {v: getattr(history, v) for v in VALUES}
        table = pa.table(columns).replace_schema_metadata({_TIMEFRAME_KEY: str(history.timeframe)})
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "no such folder", str(path.parent))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _table(path: Path | str) -> pa.Table:
    if not Path(path).is_file():
        raise HistoryError(f"{path}: no such file; give a parquet file of klines")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise HistoryError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from error
    if not table.num_rows:
        raise HistoryError(f"{path}: holds no rows")
    return table


def _times(table: pa.Table, name: str, path: Path | str) -> Ints:
    """A column of instants in UTC ms, from timestamps or integers."""
    if name not in table.column_names:
        raise HistoryError(_lacking(name, table, path))
    column = table[name]
    if column.null_count:
        raise HistoryError(f"{path}: {column.null_count} rows without {name}; remove them")
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise HistoryError(f"{path}: {name} has no time zone; write it as UTC")
        column = column.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
    elif pa.types.is_integer(column.type):
        column = column.cast(pa.int64())
    else:
        raise HistoryError(f"{path}: {name} is {column.type}; write a timestamp in UTC, or integer milliseconds")
    times: Ints = column.to_numpy().astype(np.int64)
    if times.min() < EARLIEST_MS or times.max() >= LATEST_MS:
        raise HistoryError(
            f"{path}: {name} runs from {times.min()} to {times.max()}, which are no milliseconds of 2009 to 2100; "
            f"convert seconds or microseconds to milliseconds"
        )
    return times


def _numbers(table: pa.Table, name: str, path: Path | str) -> Floats:
    column = table[name]
    if pa.types.is_null(column.type):
        return np.full(table.num_rows, np.nan)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise HistoryError(f"{path}: column {name} is {column.type}; write it as float64")
    values: Floats = column.cast(pa.float64()).to_numpy().astype(np.float64)
    return values


def _timeframe(table: pa.Table, times: Ints, wanted: Timeframe | None, path: Path | str) -> Timeframe:
    """What the file itself says, else its most common spacing; it must be the one wanted."""
    said = (table.schema.metadata or {}).get(_TIMEFRAME_KEY)
    spacings, counts = np.unique(np.diff(np.unique(times)), return_counts=True)
    try:
        if said is not None:
            found = Timeframe.parse(said.decode())
        elif len(spacings):
            found = _spaced(int(spacings[counts.argmax()]))
        elif wanted is not None:
            found = wanted
        else:
            raise HistoryError(
                f"{path}: one candle, at {utc_text(int(times[0]))}, does not show its timeframe; name it"
            )
    except TimeframeError as error:
        raise HistoryError(f"{path}: {error}") from error
    if wanted is not None and found != wanted:
        raise HistoryError(f"{path}: holds {found} candles, not {wanted}; aggregate them, or give a file of {wanted}")
    return found


def _spaced(spacing_ms: int) -> Timeframe:
    if spacing_ms % _MINUTE_MS:
        raise TimeframeError(f"candles {spacing_ms / 1000:g} s apart are of no known timeframe")
    return Timeframe.parse(f"{spacing_ms // _MINUTE_MS}m")


def _lacking(name: str, table: pa.Table, path: Path | str) -> str:
    return f"{path}: no column {name}; it has {', '.join(table.column_names)}"


def _timestamps(times: Ints) -> pa.Array:
    return pa.array(times, pa.timestamp("ms", tz="UTC"))
