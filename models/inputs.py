"""Inputs: what a set may read of a symbol's market up to a close, and how a finer timeframe meets the decision's rows.

A decision at the close of a candle reads the finer candles up to the one that closes with it, and the companion's
candles up to the one of the same open time; nothing that ends later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.aggregate import aggregate
from market.candles import Candles, Floats, Ints
from market.funding import Funding
from market.timeframes import Timeframe


@dataclass(frozen=True)
class Inputs:
    """What a set may read of one symbol's market.

    Attributes
    ----------
    candles : Candles
        Of the decision's timeframe.
    funding : Funding, optional
        Funding instants.
    finer : Candles, optional
        Of the same symbol, at the set's finer timeframe.
    companion : Candles, optional
        Of the companion symbol, at the decision's timeframe.
    """

    candles: Candles
    funding: Funding | None = None
    finer: Candles | None = None
    companion: Candles | None = None

    def between(self, start: int | None, end: int | None = None) -> Inputs:
        """The candles that open in [start, end), UTC ms, and all funding before the end."""
        return Inputs(
            self.candles.between(start, end),
            None if self.funding is None else self.funding.between(None, end),
            None if self.finer is None else self.finer.between(start, end),
            None if self.companion is None else self.companion.between(start, end),
        )

    def known_at(self, close: int) -> Inputs:
        """What was known at the instant `close` (UTC ms), the candles that close at it included."""

        def closed(candles: Candles | None) -> Candles | None:
            return None if candles is None else candles.between(None, close - candles.timeframe.ms + 1)

        return Inputs(
            self.candles.between(None, close - self.candles.timeframe.ms + 1),
            None if self.funding is None else self.funding.between(None, close),
            closed(self.finer),
            closed(self.companion),
        )

    def last(self, count: int, finer: int) -> Inputs:
        """The last `count` candles with the companion's since the first of them, and the last `finer` finer ones."""
        candles = self.candles[-count:]
        start = int(candles.open_time[0])
        return Inputs(
            candles,
            self.funding,
            None if self.finer is None else self.finer[len(self.finer) - min(finer, len(self.finer)) :],
            None if self.companion is None else self.companion.between(start),
        )


@dataclass(frozen=True)
class FinerRows:
    """The matrix of a finer timeframe, and which of its rows belongs to which decision row.

    Attributes
    ----------
    matrix : (M, G) float64
        Unscaled features of the finer candles.
    at : (N,) int64
        For each decision row the row of `matrix` whose candle closes with it and whose whole window is there; -1: none.
    """

    matrix: Floats
    at: Ints

    def of(self, rows: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Which of the given decision rows (n,) have a finer row, and the finer rows of those that have one."""
        found = self.at[rows]
        return found >= 0, found[found >= 0]


def closing_with(candles: Candles, finer: Candles) -> Ints:
    """For each candle (N,) the position of the finer one that closes at the same instant, -1 where it is missing."""
    if not len(finer):
        return np.full(len(candles), -1, dtype=np.int64)
    last = candles.open_time + candles.timeframe.ms - finer.timeframe.ms
    at = np.minimum(np.searchsorted(finer.open_time, last), len(finer) - 1)
    return np.where(finer.open_time[at] == last, at, -1).astype(np.int64)


def made_finer(base: Candles, timeframe: Timeframe) -> Candles | None:
    """Candles of `timeframe` made of a base that is as fine or finer; None where they cannot be made of it."""
    if base.timeframe > timeframe or timeframe.ms % base.timeframe.ms:
        return None
    return aggregate(base, timeframe)


def companion_of(pair: tuple[str, str] | None, symbol: str) -> str | None:
    """Whose candles a symbol is compared with: the other's of a pair, the first's for a third; None without a pair."""
    if pair is None:
        return None
    return pair[1] if symbol == pair[0] else pair[0]
