"""What a variant of the rules did, and the work of finding out: one prepared history, played once a variant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backtest.broker import Costs
from market.candles import Floats, Ints
from strategy.live_config import Rules

_COUNTS = ("trades", "stops", "liquidations", "fees", "funding", "cash", "equity")


class Outcome(Protocol):
    """What one run left: counts, cash units, the largest drawdown, and the last equity of each UTC day (D,)."""

    trades: int
    stops: int
    liquidations: int
    fees: int
    funding: int
    cash: int
    equity: int
    max_drawdown: float
    daily_equity: Ints


Progress = Callable[[int, int], None]
"""Called with (variants done, variants in all)."""

Simulate = Callable[[Any, Rules, Costs, int, int], Any]
"""Plays a prepared history: (prepared, rules, costs, max_hold_bars, cash) to an `Outcome`."""


@dataclass(frozen=True)
class Played:
    """Outcomes of V variants, a column each.

    Attributes
    ----------
    trades, stops, liquidations : (V,) int64
        How many.
    fees, funding, cash, equity : (V,) int64
        Cash units; equity with open profit.
    max_drawdown : (V,) float64
        As a fraction of the peak.
    daily_equity : (V, D) int64
        Last equity of each UTC day.
    """

    trades: Ints
    stops: Ints
    liquidations: Ints
    fees: Ints
    funding: Ints
    cash: Ints
    equity: Ints
    max_drawdown: Floats
    daily_equity: NDArray[np.int64]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Played:
        """The columns of some outcomes, of which nothing else is kept."""
        counts, drawdowns, daily = [], [], []
        for outcome in outcomes:
            counts.append([getattr(outcome, name) for name in _COUNTS])
            drawdowns.append(outcome.max_drawdown)
            daily.append(outcome.daily_equity)
        columns = dict(zip(_COUNTS, np.array(counts, dtype=np.int64).T, strict=True))
        return cls(**columns, max_drawdown=np.array(drawdowns), daily_equity=np.stack(daily))

    def rows(self, some: slice) -> Played:
        """The columns of some of the variants."""
        return Played(**{f.name: getattr(self, f.name)[some] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Played]) -> Played:
        """The columns of some parts, one after the other."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True)
class Work:
    """A history made ready, the account, and what plays them; the same for every variant."""

    simulate: Simulate
    prepared: Any
    costs: Costs
    max_hold_bars: int
    cash: int

    def play(self, rules: Sequence[Rules]) -> Played:
        """Play the history once for each of the rules."""
        return Played.of(
            self.simulate(self.prepared, each, self.costs, self.max_hold_bars, self.cash) for each in rules
        )
