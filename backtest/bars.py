"""The bars that are played: the base candles in integer ticks, and where there is finer detail, that in their place.

A bar's own path is an assumption (`market.fills.path`); minutes inside the hour say in which order its prices came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Ints
from market.fingerprint import fingerprint
from market.funding import Funding
from market.instruments import Instrument
from models.prediction import PredictionHistory

MOST_ROUNDED = 0.001
"""Share of a price that its grid may take or add; beyond, rounding would trade for more than the costs do."""


class BacktestError(ValueError):
    """The series handed in cannot be tested together."""


@dataclass(frozen=True)
class SymbolFrame:
    """What a backtest needs of one symbol.

    `base` holds the bars to be played, `decision` the candles decisions are made at (those before the first bar are
    ignored), `predictions` what the models say at the close of each of them, found by open time. `detail`, if given,
    holds shorter candles of the same range or of parts of it.
    """

    instrument: Instrument
    base: Candles
    decision: Candles
    funding: Funding | None
    predictions: PredictionHistory
    detail: Candles | None = None


@dataclass(frozen=True)
class Bars:
    """One symbol's bars in time order: `time` and `length` (N,) ms, `ticks` (N, 4) open, high, low, close."""

    time: Ints
    length: Ints
    ticks: Ints

    @property
    def end(self) -> int:
        """When the last bar closes, ms."""
        return int(self.time[-1] + self.length[-1])


def checked(frames: Sequence[SymbolFrame]) -> None:
    """Raise BacktestError if there are no bars, a symbol comes twice, or timeframes differ."""
    if not frames or not all(len(f.base) for f in frames):
        raise BacktestError("no candles to test on; widen --from and --to")
    if len({f.instrument.symbol for f in frames}) != len(frames):
        raise BacktestError("a symbol is given twice")
    if len({(f.base.timeframe, f.decision.timeframe) for f in frames}) != 1:
        raise BacktestError("all symbols need the same base and decision timeframe")
    frames[0].decision.timeframe.ratio(frames[0].base.timeframe)


def bars_of(frames: Sequence[SymbolFrame]) -> list[Bars]:
    """The bars of each frame; a base bar gives way to its detail where every symbol that has the bar has all of it."""
    detailed = detailed_opens(frames)
    return [_bars(frame, detailed) for frame in frames]


def detailed_opens(frames: Sequence[SymbolFrame]) -> Ints:
    """Open times (ms) of the base bars that are played in detail.

    Raises
    ------
    TimeframeError
        If the detail's timeframe does not divide the base's.
    """
    if all(f.detail is None for f in frames):
        return np.empty(0, dtype=np.int64)
    every = np.unique(np.concatenate([f.base.open_time for f in frames]))
    lacking = [np.setdiff1d(f.base.open_time, _covered(f)) for f in frames]
    return np.setdiff1d(every, np.concatenate(lacking))


def _covered(frame: SymbolFrame) -> Ints:
    """Open times of the frame's base bars that its detail covers without a gap."""
    base, detail = frame.base, frame.detail
    if detail is None or not len(detail):
        return np.empty(0, dtype=np.int64)
    parts = base.timeframe.ratio(detail.timeframe)
    owner, count = np.unique(detail.open_time - detail.open_time % base.timeframe.ms, return_counts=True)
    return np.intersect1d(base.open_time, owner[count == parts])


def _bars(frame: SymbolFrame, detailed: Ints) -> Bars:
    base, detail = frame.base, frame.detail
    coarse = _of(base, frame.instrument)
    if detail is None or not len(detailed):
        return coarse
    kept = ~np.isin(base.open_time, detailed)
    # a bar that only other symbols have is a hole in this one, whatever minutes it has there
    own = base.open_time[~kept]
    fine = _of(detail[np.isin(detail.open_time - detail.open_time % base.timeframe.ms, own)], frame.instrument)
    time = np.concatenate([coarse.time[kept], fine.time])
    order = np.argsort(time, kind="stable")
    length = np.concatenate([coarse.length[kept], fine.length])[order]
    return Bars(time[order], length, np.concatenate([coarse.ticks[kept], fine.ticks])[order])


def _of(candles: Candles, instrument: Instrument) -> Bars:
    columns: list[NDArray[np.int64]] = [
        instrument.ticks_column(c) for c in (candles.open, candles.high, candles.low, candles.close)
    ]
    ticks, prices = np.column_stack(columns), np.column_stack([candles.open, candles.high, candles.low, candles.close])
    away = np.abs(ticks * float(instrument.tick) - prices) / prices
    if away.max(initial=0.0) > MOST_ROUNDED:
        price = float(prices.flat[away.argmax()])
        raise BacktestError(
            f"{instrument.symbol}: a price of {price:g} is {away.max():.1%} off its grid of {instrument.tick:f}: the "
            "terms known of this symbol are not those its prices are quoted in; test one whose tick is fine enough"
        )
    length = np.full(len(candles), candles.timeframe.ms, dtype=np.int64)
    return Bars(candles.open_time, length, ticks)


def data_hash(frames: Sequence[SymbolFrame]) -> str:
    """SHA-256 of what was played: symbols, times, values, funding and detail, however a file stores them."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update((frame.instrument.symbol + fingerprint(frame.base, frame.funding)).encode())
        if frame.detail is not None:
            digest.update(fingerprint(frame.detail).encode())
    return digest.hexdigest()
