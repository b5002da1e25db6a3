"""A market made ready for the kernel: everything that no variant of the rules changes, in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars, SymbolFrame, bars_of, checked
from backtest.statistics import DAY_MS
from market.candles import Floats, Ints
from market.instruments import MOST, Instrument
from strategy.signals import PPB

TIER = np.dtype([(name, np.int64) for name in ("floor", "cap", "max_leverage", "maintenance_bps", "cum")], align=True)
"""`market.tiers.Bracket`, as records the kernel reads by the same names."""


Whole = NDArray[np.signedinteger[Any]]


class Market(NamedTuple):
    """Bars, decisions and terms of S symbols; int64, but int32 for bars and said where their numbers fit.

    A quiet bar costs what it takes to read it, so what is read at each is kept small.

    Attributes
    ----------
    time, length : (N,)
        Instants at which a bar of any symbol opens, and how long it is, ms.
    decision_of : (N,) int32
        Which decision is made when the bars of an instant have closed, -1 for none.
    bars : (N, S, 4)
        Open, high, low, close in ticks. Where a symbol has no bar at the instant, the open is where its price stands,
        and the rest is 0.
    decision_open : (D,)
        Open time (ms) of the candle decided at.
    said : (D, S, 4)
        Its closing price (ticks), P(long) and P(short) in 1e-9 (-1 where missing), the classifier's regime (-1 none).
    funding : (F, 2)
        Instant's number and rate (1e-8), in the symbols' order; `contracts` says which part is whose.
    contracts : (S, 8)
        Terms of each symbol, columns as in `layout`.
    tiers : (K,)
        Records of `TIER`, in the symbols' order.
    bar_ms : int
        Length of a decision candle.
    """

    time: Ints
    length: Ints
    decision_of: Whole
    bars: Whole
    decision_open: Ints
    said: Whole
    funding: Ints
    contracts: Ints
    tiers: Any
    bar_ms: int


@dataclass(frozen=True)
class Prepared:
    """A market ready to be played again and again.

    Attributes
    ----------
    frames : tuple of SymbolFrame
        What it was made of; the plain loop plays these where int64 does not suffice.
    instruments : tuple of Instrument
    market : Market
    played : int
        Bars in all, over the symbols.
    """

    frames: tuple[SymbolFrame, ...]
    instruments: tuple[Instrument, ...]
    market: Market
    played: int

    @property
    def start_ms(self) -> int:
        """The first bar's open."""
        return int(self.market.time[0])

    @property
    def end_ms(self) -> int:
        """The last bar's close."""
        return int(self.market.time[-1] + self.market.length[-1])

    @cached_property
    def highest(self) -> int:
        """The highest price, ticks."""
        return int(self.market.bars.max())

    @cached_property
    def curve_time(self) -> Ints:
        """When equity is taken (D + 1,): each decided candle's close, and the data's end; ms."""
        return np.append(self.market.decision_open + self.market.bar_ms, self.end_ms)

    @cached_property
    def day_ends(self) -> Ints:
        """Which of those are the last of their UTC day."""
        day = (self.curve_time - 1) // DAY_MS  # the close at midnight belongs to the day it ends
        return np.flatnonzero(np.diff(day, append=day[-1] + 1))


def prepare(frames: Sequence[SymbolFrame]) -> Prepared:
    """Lay the frames out for the kernel.

    Raises
    ------
    BacktestError
        If the frames cannot be tested together.
    """
    checked(frames)
    every = bars_of(frames)
    time, first = np.unique(np.concatenate([b.time for b in every]), return_index=True)
    length = np.concatenate([b.length for b in every])[first]
    ticks = np.zeros((len(time), len(frames), 4), dtype=np.int64)
    for s, bars in enumerate(every):
        rows = np.searchsorted(time, bars.time)
        before = np.searchsorted(bars.time, time, side="right") - 1
        ticks[:, s, 0] = np.where(before >= 0, bars.ticks[before, 3], 0)
        ticks[rows, s] = bars.ticks
    bar_ms = frames[0].decision.timeframe.ms
    closed_at = time + length
    at_close = np.flatnonzero(closed_at[:-1] % bar_ms == 0)
    opens = closed_at[at_close] - bar_ms
    known = np.zeros(len(opens), dtype=np.bool_)
    columns = [_decisions(frame, bars, opens, known) for frame, bars in zip(frames, every, strict=True)]
    decision_of = np.full(len(time), -1, dtype=np.int32)
    decision_of[at_close[known]] = np.arange(int(known.sum()))
    said = np.ascontiguousarray(np.stack([np.column_stack(c) for c in columns], axis=1)[known])
    instruments = tuple(f.instrument for f in frames)
    funding, starts = _funding(frames, every, time)
    contracts, brackets = _contracts(instruments, starts)
    kind: type[np.int32] | type[np.int64] = (
        np.int32 if max(int(ticks.max()), int(said.max(initial=0))) < 2**31 else np.int64
    )
    market = Market(
        time, length, decision_of, ticks.astype(kind), opens[known], said.astype(kind), funding, contracts, brackets,
        bar_ms,
    )  # fmt: skip
    return Prepared(tuple(frames), instruments, market, sum(len(b.time) for b in every))


def _decisions(frame: SymbolFrame, bars: Bars, opens: Ints, known: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    """Closing price, P(long), P(short) and regime at each of `opens`; marks in `known` which candles are there."""
    decision = frame.decision.between(int(bars.time[0]) - frame.decision.timeframe.ms + 1)
    where, there = _found(decision.open_time, opens)
    known |= there
    # A candle that is not there leaves the price of the one before, at first that of the first bar's open.
    prices = np.concatenate([bars.ticks[:1, 0], frame.instrument.ticks_column(decision.close)])
    last = np.maximum.accumulate(np.where(there, where + 1, 0)) if len(opens) else np.empty(0, dtype=np.int64)
    said = frame.predictions
    where, told = _found(said.open_time, opens)
    if not len(said.open_time):
        nothing = np.full(len(opens), -1, dtype=np.int64)
        return prices[last], nothing, nothing, nothing
    long, short = said.p_long[where], said.p_short[where]
    told &= there & np.isfinite(long) & np.isfinite(short)
    observed = np.where(told & (said.regime[where] >= 0) & (said.regime[where] <= 2), said.regime[where], -1)
    both = told & _is_probability(long) & _is_probability(short)
    return prices[last], _ppb(long, both), _ppb(short, both), observed.astype(np.int64)


def _found(times: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Positions of `wanted` in `times` (rising), and whether each is there."""
    if not len(times):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
    where = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return where, times[where] == wanted


def _is_probability(values: Floats) -> NDArray[np.bool_]:
    return (values >= 0.0) & (values <= 1.0)


def _ppb(values: Floats, known: NDArray[np.bool_]) -> Ints:
    """As `strategy.signals.probability`, for a column."""
    return np.where(known, np.rint(np.where(known, values, 0.0) * PPB), -1).astype(np.int64)


def _funding(frames: Sequence[SymbolFrame], every: Sequence[Bars], time: Ints) -> tuple[Ints, list[int]]:
    """Each symbol's rates (F, 2) by the instant at which they are paid, its first bar's at or after their own, and
    where each symbol's part begins.
    """
    parts, starts = [np.empty((0, 2), dtype=np.int64)], [0]
    for frame, own in zip(frames, every, strict=True):
        if frame.funding is not None:
            at = np.searchsorted(own.time, frame.funding.time)
            paid = at < len(own.time)
            parts.append(np.column_stack([np.searchsorted(time, own.time[at[paid]]), frame.funding.rate[paid]]))
        starts.append(sum(map(len, parts)))
    return np.concatenate(parts).astype(np.int64), starts


def _contracts(instruments: Sequence[Instrument], funding: list[int]) -> tuple[Ints, Any]:
    """Terms (S, 8) in the columns of `layout`, and all tiers; only so many can liquidate what int64 counts."""
    rows, brackets = [], list[tuple[int, ...]]()
    for s, i in enumerate(instruments):
        first = len(brackets)
        brackets += [(b.floor, b.cap, b.max_leverage, b.maintenance_bps, b.cum) for b in i.brackets]
        reached = first + sum(b.floor <= MOST for b in i.brackets)
        tiers = (first, len(brackets), reached)
        rows.append((i.unit, i.min_quantity, i.min_notional, *tiers, funding[s], funding[s + 1]))
    return np.array(rows, dtype=np.int64), np.array(brackets, dtype=TIER)
