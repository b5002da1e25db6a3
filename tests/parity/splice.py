"""Cuts: real history has next to no gaps, so they are cut in where a position is sure to be open.

Every price of a symbol from a bar on is scaled, so that the bar opens beyond the stop, or the liquidation price, of the
position that the backtest says is open; life goes on from there. Long and short, stop and liquidation take turns in
every symbol, at a funding instant where the position lives through one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backtest import sources
from market.candles import Candles, Floats
from market.instruments import Instrument
from market.trades import LIQUIDATION, STOP, Trade
from tests.parity.hours import HOUR
from tests.parity.portfolio import Portfolio

GAP = 0.025
"""How far a gap through a stop opens from the entry, as a fraction: beyond any stop of the parity rules."""
BEYOND_LIQUIDATION = 1.1
"""A gap to liquidation opens as far from the entry as the whole margin reaches, times this."""
LONG_LIVED = 3
"""The fewest bars a position must live to be cut into."""
ROUND_BARS = 2_000
"""Bars of a run for each round of cuts beyond the first."""
TAIL = 24
"""The last bars are left as they are, so that what follows a cut is played."""
SETTLING = 300
"""Bars before a cut from which the search for a position to cut into plays: long enough to be in step by then."""


@dataclass(frozen=True)
class Cut:
    """A gap that was cut in: against the position of a symbol entered at `entry_time`, at the open of `time` (ms)."""

    symbol: str
    side: int
    reason: str
    entry_time: int
    time: int

    def hit(self, trade: Trade) -> bool:
        """Whether that trade ended by it."""
        who = (trade.symbol, trade.side, trade.entry_time) == (self.symbol, self.side, self.entry_time)
        return who and (trade.reason, trade.exit_time) == (self.reason, self.time)


def cut_in(portfolio: Portfolio) -> list[Cut]:
    """Cut gaps into every symbol's history, forward in time; gives them in order. The portfolio's series change.

    Each goes into the first position that one is still wanted for; what none was found for is told at the run's end.
    """
    rounds = 1 + portfolio.bars // ROUND_BARS
    numbers = {i.symbol: n for n, i in enumerate(portfolio.instruments)}
    wanted = {(symbol, side): [STOP, LIQUIDATION] * rounds for symbol in numbers for side in (1, -1)}
    slots = sum(map(len, wanted.values()))
    spacing = (portfolio.bars - TAIL) // slots * HOUR.ms
    cuts: list[Cut] = []
    for slot in range(slots):
        after = max([portfolio.start + slot * spacing, *(c.time for c in cuts[-1:])])
        trade = _victim(portfolio, {who for who, kinds in wanted.items() if kinds}, after)
        if trade is None:
            break
        reason = wanted[trade.symbol, trade.side].pop(0)
        number = numbers[trade.symbol]
        one = portfolio.series[number]
        at = _instant(one, trade, slot)
        distance = GAP if reason == STOP else BEYOND_LIQUIDATION / trade.leverage
        base = gap_against(one.base, trade, at, distance, one.instrument)
        portfolio.series[number] = replace(one, base=base)
        cuts.append(Cut(trade.symbol, trade.side, reason, trade.entry_time, int(base.open_time[at])))
    return cuts


def _victim(portfolio: Portfolio, wanted: set[tuple[str, int]], after: int) -> Trade | None:
    """The first position of a wanted symbol and side that is entered after `after` and lives long enough."""
    first, end = max(portfolio.start, after - SETTLING * HOUR.ms), portfolio.end - TAIL * HOUR.ms
    reach = SETTLING
    while after < end:
        until = min(after + reach * HOUR.ms, end)
        found = [
            trade
            for trade in portfolio.plain(first, until).trades
            if (trade.symbol, trade.side) in wanted
            and trade.entry_time > after
            and trade.exit_time - trade.entry_time >= LONG_LIVED * HOUR.ms
        ]
        if found:
            return min(found, key=lambda t: t.entry_time)
        if until == end:
            break
        reach *= 4
    return None


def _instant(series: sources.Series, trade: Trade, turn: int) -> int:
    """The bar to cut at: at a funding instant within the trade's life or, every other time, a bar after it."""
    times = series.base.open_time
    first = int(np.searchsorted(times, trade.entry_time, side="right"))
    last = int(np.searchsorted(times, trade.exit_time, side="left"))
    due = np.empty(0) if series.funding is None else np.searchsorted(times, series.funding.time)
    paid = [int(bar) for bar in due if first <= bar < last]
    if not paid:
        return (first + last) // 2
    return min(paid[0] + turn % 2, last - 1)


def gap_against(candles: Candles, trade: Trade, at: int, distance: float, instrument: Instrument) -> Candles:
    """The candles with a gap at bar `at`, to `distance` (a fraction of the entry price) against a trade."""
    entry = float(trade.entry_price * instrument.tick)
    wanted = entry * (1 - trade.side * distance)
    return shifted(candles, at, wanted / float(candles.open[at]), instrument)


def shifted(candles: Candles, index: int, factor: float, instrument: Instrument) -> Candles:
    """The candles with every price from `index` on scaled by `factor`, on the instrument's grid."""

    def scaled(values: Floats) -> Floats:
        out = values.copy()
        out[index:] = [float(t * instrument.tick) for t in instrument.ticks_column(values[index:] * factor).tolist()]
        return out

    moved = replace(
        candles,
        open=scaled(candles.open),
        high=scaled(candles.high),
        low=scaled(candles.low),
        close=scaled(candles.close),
    )
    top = np.maximum.reduce([moved.open, moved.high, moved.low, moved.close])
    bottom = np.minimum.reduce([moved.open, moved.high, moved.low, moved.close])
    return replace(moved, high=top, low=bottom)
