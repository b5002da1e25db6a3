"""What is played: hours of several symbols, real ones beside the checkout or synthetic, cut to one range of time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backtest import sources
from market import catalogue
from market.aggregate import aggregate
from market.candles import Candles
from market.synthetic import generate
from market.timeframes import Timeframe, utc_text
from tests.parity.replay import ROOT

HOUR = Timeframe.parse("1h")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class HoursError(Exception):
    """The history asked for is not there, or too short; the message says what to do."""


@dataclass(frozen=True)
class Hours:
    """Histories of some symbols, all from the first candle of warm-up to the last one played.

    `start` is the open time (ms) of the first bar played, `whence` says where the candles are from.
    """

    series: tuple[sources.Series, ...]
    start: int
    whence: str

    @property
    def symbols(self) -> list[str]:
        """Their names, in order."""
        return [s.instrument.symbol for s in self.series]

    def __str__(self) -> str:
        last = max(int(s.base.open_time[-1]) for s in self.series)
        return f"{', '.join(self.symbols)} ({self.whence}), {utc_text(self.start)} to {utc_text(last)}"


def beside_the_checkout(symbols: Sequence[str]) -> tuple[list[Path], list[Path]] | None:
    """Klines and funding of each symbol in the folder of real data, None unless all are there."""
    folder = Path(os.environ.get("REGIMEN_SHARED", ROOT.parent / "shared")) / "data"
    data = [folder / f"{s}-spot-1h.parquet" for s in symbols]
    funding = [folder / f"{s}-um-funding.parquet" for s in symbols]
    return (data, funding) if all(f.is_file() for f in (*data, *funding)) else None


def recorded(data: Sequence[Path], funding: Sequence[Path], symbols: Sequence[str]) -> list[sources.Series]:
    """Hours from files, one a symbol, made of shorter candles where the file has those."""
    hours = []
    for one in sources.from_files(data, funding, symbols):
        base = one.base if one.base.timeframe == HOUR else aggregate(one.base, HOUR)
        hours.append(replace(one, base=base))
    return hours


def synthetic(symbols: Sequence[str], rows: int, seed: int) -> list[sources.Series]:
    """So many hours of the synthetic market; symbols of one seed move together, as coins do."""
    made = []
    for symbol in symbols:
        base, rates = generate(symbol, bars=rows, timeframe=HOUR, seed=seed)
        made.append(sources.Series(catalogue.instrument(symbol), base, rates))
    return made


def last(series: Sequence[sources.Series], warmup: int, bars: int, whence: str, to: int | None = None) -> Hours:
    """The last `bars` hours that all have, behind `warmup` ones of history.

    `to` (ms, exclusive) ends them earlier. A candle that a symbol lacks is no reason to stop: it is played without.

    Raises
    ------
    HoursError
        If a history is too short, or a symbol has no bar at the start.
    """
    end = min(int(s.base.open_time[-1]) for s in series) + HOUR.ms
    end = end if to is None else min(end, to)
    times = np.unique(np.concatenate([s.base.between(end_ms=end).open_time for s in series]))
    if len(times) < bars:
        raise HoursError(f"{whence}: {len(times):,} hours, {bars:,} are to be played; lower --bars")
    start = int(times[-bars])
    cut = []
    for one in series:
        before: Candles = one.base.between(end_ms=start)[-warmup:]
        played = one.base.between(start, end)
        if len(before) < warmup or not len(played) or int(played.open_time[0]) != start:
            raise HoursError(
                f"{one.instrument.symbol}: {len(before):,} hours before {utc_text(start)}; {warmup:,} are needed, one "
                "that opens then: change --bars or --to"
            )
        whole = one.base.between(int(before.open_time[0]), end)
        cut.append(replace(one, base=whole))
    return Hours(tuple(cut), start, whence)
