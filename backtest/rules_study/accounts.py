"""What a variant did: an account a symbol, side by side, and all of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest import compiled
from backtest.bars import BacktestError
from backtest.broker import Costs
from backtest.compiled import Prepared
from backtest.engine import Result
from backtest.rules_study.signals import Signals
from backtest.statistics import DAY_MS, max_drawdown
from market.candles import Floats, Ints
from market.instruments import Instrument
from market.trades import LIQUIDATION, STOP
from strategy.live_config import Rules
from strategy.plan import TradingState


@dataclass(frozen=True)
class Player:
    """One symbol made ready: its signals laid out for the compiled loop, the costs, and the cash to begin with."""

    signals: Signals
    prepared: Prepared
    costs: Costs
    cash: int

    @classmethod
    def of(cls, signals: Signals, costs: Costs, cash: int) -> Player:
        """Lay the signals out."""
        return cls(signals, compiled.prepare([signals.frame]), costs, cash)

    @property
    def days(self) -> Ints:
        """UTC days (D,) at whose ends equity is taken, numbers since 1970."""
        return (compiled.daily_times(self.prepared) - 1) // DAY_MS

    def play(self, rules: Rules) -> Account:
        """The account after the signals, with every trade."""
        result = compiled.run(self.prepared, rules, self.costs, self.signals.hold, self.cash)
        return Account.of(result, self.signals.frame.instrument, self.signals.judged_days)

    def daily(self, rules: Rules, costs: Costs | None = None) -> Floats:
        """Equity at the end of each UTC day (D,), without the trades."""
        simulated = compiled.simulate(self.prepared, rules, costs or self.costs, self.signals.hold, self.cash)
        return simulated.daily_equity.astype(np.float64)


@dataclass(frozen=True)
class Account:
    """One symbol's account after a run, or the sum of some.

    Attributes
    ----------
    days : (D,) int64
        UTC days, numbers since 1970.
    equity : (D,) float64
        At the end of each, cash units.
    start : float
        Before the first.
    judged : (D,) bool
        Whether the day counts (`Signals.judged_days`).
    trades, stops, liquidations : int
        Closed trades, those by stop and by liquidation.
    held_ms : int
        Time in the market, summed over trades.
    held_exposure : float
        Notional over equity at entry, times ms held, summed over trades.
    leverages : float
        Leverage, summed over trades.
    accounts : int
        How many accounts this is.
    drawdown : float
        Largest fall by the equity at each decision; of several accounts, by the day.
    halted_ms : int or None
        When a halt ended trading for good.
    by_regime : (3, 4) float64
        By the regime at entry: trades, sum and sum of squares of their gain before fees and funding as a fraction of
        the notional, sum of ms held.
    entries : tuple of (int, int)
        When each position was entered (ms), and its side; of one symbol alone.
    holds_ms : tuple of int
        How long each was held.
    """

    days: Ints
    equity: Floats
    start: float
    judged: NDArray[np.bool_]
    trades: int
    stops: int
    liquidations: int
    held_ms: int
    held_exposure: float
    leverages: float
    accounts: int
    drawdown: float
    halted_ms: int | None
    by_regime: Floats
    entries: tuple[tuple[int, int], ...] = ()
    holds_ms: tuple[int, ...] = ()

    @classmethod
    def of(cls, result: Result, instrument: Instrument, judged_days: Ints) -> Account:
        """The account of one symbol's run."""
        day = (result.curve_time - 1) // DAY_MS  # the close at midnight belongs to the day it ends
        last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
        curve = np.concatenate([[float(result.start_cash)], result.curve_equity.astype(np.float64)])
        held_exposure = 0.0
        by_regime = np.zeros((3, 4))
        for closed in result.closed:
            trade = closed.trade
            before = curve[int(np.searchsorted(result.curve_time, trade.entry_time, side="right"))]
            notional = instrument.notional(trade.entry_price, trade.quantity)
            held = trade.exit_time - trade.entry_time
            held_exposure += notional / before * held
            gain = (trade.profit + trade.fees + trade.funding) / notional
            by_regime[closed.regime] += (1, gain, gain**2, held)
        halts = [r.time for r in result.restrictions if r.state is TradingState.HALTED]
        return cls(
            days=day[last],
            equity=result.curve_equity[last].astype(np.float64),
            start=float(result.start_cash),
            judged=np.isin(day[last], judged_days),
            trades=len(result.trades),
            stops=sum(t.reason == STOP for t in result.trades),
            liquidations=sum(t.reason == LIQUIDATION for t in result.trades),
            held_ms=sum(t.exit_time - t.entry_time for t in result.trades),
            held_exposure=held_exposure,
            leverages=float(sum(t.leverage for t in result.trades)),
            accounts=1,
            drawdown=max_drawdown(curve),
            halted_ms=halts[0] if halts else None,
            by_regime=by_regime,
            entries=tuple((t.entry_time, t.side) for t in result.trades),
            holds_ms=tuple(t.exit_time - t.entry_time for t in result.trades),
        )

    @property
    def daily(self) -> Floats:
        """Simple returns of the judged days; NaN from the day on that the account was lost."""
        return returns(self.equity, self.start)[self.judged]

    @property
    def total_return(self) -> float:
        """Last equity over the first, less one."""
        return float(self.equity[-1]) / self.start - 1

    @property
    def judged_ms(self) -> int:
        """Time judged, summed over the accounts."""
        return int(self.judged.sum()) * DAY_MS * self.accounts

    @property
    def time_in_market(self) -> float:
        """Share of the judged time with a position."""
        return self.held_ms / self.judged_ms

    @property
    def exposure(self) -> float:
        """Notional over equity, averaged over the judged time, time without a position included."""
        return self.held_exposure / self.judged_ms

    @property
    def mean_leverage(self) -> float | None:
        """Over trades; None without one."""
        return self.leverages / self.trades if self.trades else None


def returns(equity: Floats, start: float) -> Floats:
    """Simple returns (D,) of equity at the days' ends (D,); NaN from the day on that it was lost."""
    levels = np.concatenate([[start], equity])
    levels[np.maximum.accumulate(levels <= 0)] = np.nan
    return np.asarray(levels[1:] / levels[:-1] - 1, dtype=np.float64)


def together(accounts: Sequence[Account]) -> Account:
    """Accounts side by side as one, on the days they share; nothing moves between them.

    Raises
    ------
    BacktestError
        If they share no day.
    """
    if len(accounts) == 1:
        return accounts[0]
    days = shared_days([a.days for a in accounts])
    cut = [np.searchsorted(a.days, days) for a in accounts]
    equity = np.asarray(sum(a.equity[at] for a, at in zip(accounts, cut, strict=True)), dtype=np.float64)
    judged = np.logical_or.reduce([a.judged[at] for a, at in zip(accounts, cut, strict=True)])
    start = sum(a.start for a in accounts)
    halts = [a.halted_ms for a in accounts]
    return Account(
        days=days,
        equity=equity,
        start=start,
        judged=judged,
        trades=sum(a.trades for a in accounts),
        stops=sum(a.stops for a in accounts),
        liquidations=sum(a.liquidations for a in accounts),
        held_ms=sum(a.held_ms for a in accounts),
        held_exposure=sum(a.held_exposure for a in accounts),
        leverages=sum(a.leverages for a in accounts),
        accounts=len(accounts),
        drawdown=max_drawdown(np.concatenate([[start], equity])),
        halted_ms=max((h for h in halts if h is not None), default=None) if all(halts) else None,
        by_regime=np.asarray(sum(a.by_regime for a in accounts), dtype=np.float64),
    )


def shared_days(days: Sequence[Ints]) -> Ints:
    """The days that all have.

    Raises
    ------
    BacktestError
        If there are none.
    """
    shared = days[0]
    for more in days[1:]:
        shared = np.intersect1d(shared, more)
    if not len(shared):
        raise BacktestError("the symbols share no day; give sets whose records cover the same time")
    return shared
