"""One symbol's history as the loop reads it: bars in integer ticks, predictions by candle, funding by bar."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from backtest.bars import Bars, SymbolFrame
from market.candles import Ints
from market.funding import Funding
from market.instruments import Instrument
from strategy.plan import Outlook


@dataclass
class Tape:
    """A reading position in one symbol's history.

    `open` … `close` are the current bar's prices in ticks, `price` where the market stands, `live` whether the current
    instant has a bar of this symbol, `outlook` and `decision_close` what is known at the last closed candle. `funding`
    holds the rates (1e-8) to be paid at a bar's open, by its open time.
    """

    instrument: Instrument
    decision_ms: int
    open_times: Ints
    bars: list[tuple[int, int, int, int]]
    candles: dict[int, tuple[int, Outlook | None]]
    funding: dict[int, list[int]]
    times: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    at: int = -1
    live: bool = False
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    price: int = 0
    decision_close: int = 0
    outlook: Outlook | None = None

    @classmethod
    def of(cls, frame: SymbolFrame, bars: Bars) -> Tape:
        """The tape of a frame and its bars, before the first of them."""
        return cls(
            instrument=frame.instrument,
            decision_ms=frame.decision.timeframe.ms,
            open_times=bars.time,
            bars=[tuple(row) for row in bars.ticks.tolist()],
            candles=_candles(frame, int(bars.time[0])),
            funding=_funding(frame.funding, bars.time) if frame.funding else {},
            times=bars.time.tolist(),
            lengths=bars.length.tolist(),
            decision_close=int(bars.ticks[0, 0]),
        )

    @property
    def count(self) -> int:
        """Bars in all."""
        return len(self.bars)

    def open_bar(self, time: int) -> bool:
        """Move to the bar that opens at `time`; False (and not `live`) if this symbol has none."""
        following = self.at + 1
        self.live = following < len(self.times) and self.times[following] == time
        if self.live:
            self.at = following
            self.open, self.high, self.low, self.close = self.bars[following]
            self.price = self.open
        return self.live

    def close_candle(self, bar: int) -> bool:
        """Take in the decision candle that opened at `bar`; without one there is no outlook, and False."""
        known = self.candles.get(bar)
        if known is None:
            self.outlook = None
            return False
        self.decision_close, self.outlook = known
        return True


def _candles(frame: SymbolFrame, start: int) -> dict[int, tuple[int, Outlook | None]]:
    """Closing price (ticks) and outlook of each decision candle that closes after the first bar's open."""
    decision = frame.decision.between(start - frame.decision.timeframe.ms + 1)
    said, rows = frame.predictions, decision.open_time
    closes = frame.instrument.ticks_column(decision.close).tolist()
    if not len(said.open_time):
        return {time: (close, None) for time, close in zip(rows.tolist(), closes, strict=True)}
    where = np.minimum(np.searchsorted(said.open_time, rows), len(said.open_time) - 1)
    known = (said.open_time[where] == rows) & np.isfinite(said.p_long[where]) & np.isfinite(said.p_short[where])
    outlooks = (
        Outlook(p_long, p_short, regime) if there else None
        for there, p_long, p_short, regime in zip(
            known.tolist(),
            said.p_long[where].tolist(),
            said.p_short[where].tolist(),
            said.regime[where].tolist(),
            strict=True,
        )
    )
    return {t: (close, outlook) for t, close, outlook in zip(rows.tolist(), closes, outlooks, strict=True)}


def _funding(funding: Funding, open_times: Ints) -> dict[int, list[int]]:
    """Rates (1e-8) by the open time of the bar at whose open they are paid: the first at or after their instant."""
    due: dict[int, list[int]] = {}
    bars = np.searchsorted(open_times, funding.time).tolist()
    opens = open_times.tolist()
    for bar, rate in zip(bars, funding.rate.tolist(), strict=True):
        if bar < len(opens):
            due.setdefault(opens[bar], []).append(rate)
    return due
