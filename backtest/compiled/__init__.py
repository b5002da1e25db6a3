"""The compiled path: `backtest.engine` over arrays, some hundred times as fast, and equal to it to the last unit.

`run` gives the same `Result` as `engine.run`; `simulate` gives a variant's figures without its trades, for sweeps. A
market is prepared once and played as often as there are variants. Where a number would leave int64, the plain loop,
whose integers have no end, plays instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backtest import engine
from backtest.bars import SymbolFrame
from backtest.broker import Closed, Costs, Position
from backtest.compiled import layout as at
from backtest.compiled.kernel import kernel_of
from backtest.compiled.prepared import Prepared, prepare
from backtest.compiled.rules import terms
from backtest.engine import OpenPosition, Restriction, Result
from backtest.statistics import max_drawdown
from market import fills
from market.candles import Ints
from market.instruments import INT64_MAX, MOST
from market.trades import Trade
from models.prediction import Regimes
from strategy.live_config import Rules
from strategy.plan import Reason, TradingState

__all__ = ["Outcome", "Prepared", "daily_times", "prepare", "run", "simulate"]

MOST_CASH = 10**16
"""A hundred million of the quote currency: beyond, the plain loop counts."""


@dataclass(frozen=True)
class Outcome:
    """What came of one variant; cash units.

    Attributes
    ----------
    trades, stops, liquidations, decisions : int
        Closed trades, those by stop and by liquidation, and candles decided.
    start_cash, cash, equity, fees, funding : int
        As in `Result`.
    curve : (D + 1,) int64
        Equity at each decision, and at the end.
    daily_equity : (N,) int64
        The last equity of each UTC day, at `daily_times`.
    """

    trades: int
    stops: int
    liquidations: int
    decisions: int
    start_cash: int
    cash: int
    equity: int
    fees: int
    funding: int
    curve: Ints
    day_ends: Ints

    @cached_property
    def daily_equity(self) -> Ints:
        """The last equity of each UTC day."""
        return self.curve[self.day_ends]

    @cached_property
    def max_drawdown(self) -> float:
        """Largest fall from a peak of equity, as a fraction of the peak."""
        return max_drawdown(np.concatenate([[float(self.start_cash)], self.curve.astype(np.float64)]))


@dataclass
class _State:
    """What the kernel writes to."""

    account: Ints
    positions: Ints
    memories: Ints
    curve_equity: Ints
    curve_regime: Regimes
    trades: Ints
    restrictions: Ints
    reasons: Ints
    restricted: Ints
    refused: Ints

    @classmethod
    def before(cls, prepared: Prepared, cash: int, recorded: bool) -> _State:
        """An account with `cash` and nothing else; room for each trade there can be if they are recorded."""
        market, symbols = prepared.market, len(prepared.instruments)
        decisions = len(market.decision_open)
        account = np.zeros(at.ACCOUNT, dtype=np.int64)
        account[at.CASH] = cash
        account[[at.WHY, at.SINCE, at.DAY, at.WEEK]] = -1
        memories = np.full((symbols, at.MEMORY), -1, dtype=np.int64)
        memories[:, [at.SEEN, at.LIQUIDATED, at.NEXT_BAR]] = 0
        room = decisions if recorded else 0
        return cls(
            account=account,
            positions=np.zeros((symbols, at.POSITION), dtype=np.int64),
            memories=memories,
            curve_equity=np.empty(decisions + 1, dtype=np.int64),
            curve_regime=np.empty(decisions + 1, dtype=np.int8),
            trades=np.empty((room * symbols, at.TRADE), dtype=np.int64),
            restrictions=np.empty((room, at.RESTRICTION), dtype=np.int64),
            reasons=np.zeros(len(at.REASONS), dtype=np.int64),
            restricted=np.zeros(len(at.STATES), dtype=np.int64),
            refused=np.zeros(len(at.REFUSALS), dtype=np.int64),
        )


def run(frames: Sequence[SymbolFrame] | Prepared, rules: Rules, costs: Costs, max_hold_bars: int, cash: int) -> Result:
    """Play the frames as `backtest.engine.run` does, and give the very same `Result`.

    Parameters and errors as there; `frames` may have been prepared before.
    """
    prepared = frames if isinstance(frames, Prepared) else prepare(frames)
    state = _played(prepared, rules, costs, max_hold_bars, cash, recorded=True)
    if state is None:
        return engine.run(prepared.frames, rules, costs, max_hold_bars, cash)
    account = [int(v) for v in state.account]
    left, equity = _left(prepared, state)
    return Result(
        start_ms=prepared.start_ms,
        end_ms=prepared.end_ms,
        bars=prepared.played,
        decisions=len(prepared.market.decision_open),
        start_cash=cash,
        cash=account[at.CASH],
        equity=equity,
        closed=tuple(_closed(prepared, row) for row in state.trades[: account[at.CLOSED]].tolist()),
        open=left,
        curve_time=prepared.curve_time,
        curve_equity=state.curve_equity,
        curve_regime=state.curve_regime,
        reasons=_counts(at.REASONS, state.reasons),
        restrictions=tuple(
            Restriction(since, TradingState(at.STATES[what]), Reason(at.REASONS[why]))
            for since, what, why in state.restrictions[: account[at.RESTRICTIONS]].tolist()
        ),
        restricted=_counts(at.STATES, state.restricted),
        refused=_counts(at.REFUSALS, state.refused),
        fees=account[at.PAID_FEES],
        funding=account[at.PAID_FUNDING],
    )


def simulate(prepared: Prepared, rules: Rules, costs: Costs, max_hold_bars: int, cash: int) -> Outcome:
    """Play a prepared market for its figures alone; safe to call from several threads at once.

    Parameters as `backtest.engine.run`.
    """
    state = _played(prepared, rules, costs, max_hold_bars, cash, recorded=False)
    ends = prepared.day_ends
    if state is None:
        found = engine.run(prepared.frames, rules, costs, max_hold_bars, cash)
        reasons = [t.reason for t in found.trades]
        return Outcome(
            len(reasons), reasons.count(at.REASONS[at.STOPPED]), reasons.count(at.REASONS[at.LIQUIDATION_REASON]),
            found.decisions, cash, found.cash, found.equity, found.fees, found.funding, found.curve_equity, ends,
        )  # fmt: skip
    account = state.account
    _, equity = _left(prepared, state)
    return Outcome(
        trades=int(account[at.CLOSED]),
        stops=int(account[at.STOPS]),
        liquidations=int(account[at.LIQUIDATIONS]),
        decisions=len(prepared.market.decision_open),
        start_cash=cash,
        cash=int(account[at.CASH]),
        equity=equity,
        fees=int(account[at.PAID_FEES]),
        funding=int(account[at.PAID_FUNDING]),
        curve=state.curve_equity,
        day_ends=ends,
    )


def daily_times(prepared: Prepared) -> Ints:
    """When the equities of `Outcome.daily_equity` were taken, UTC ms; each the last of its day."""
    return prepared.curve_time[prepared.day_ends]


def _played(
    prepared: Prepared, rules: Rules, costs: Costs, max_hold_bars: int, cash: int, recorded: bool
) -> _State | None:
    """What the kernel wrote; None where int64 does not suffice."""
    market = prepared.market
    highest = prepared.highest
    fits = (
        cash <= MOST_CASH
        and MOST * costs.taker_ppm <= INT64_MAX
        and highest * (fills.PPM + costs.slippage_ppm) <= INT64_MAX
        and 4 * highest * int(market.contracts[:, at.UNIT].max()) <= INT64_MAX
    )
    if not fits:
        return None
    state = _State.before(prepared, cash, recorded)
    symbols = len(prepared.instruments)
    leave, orders = (np.zeros((symbols, at.DECISION), dtype=np.int64) for _ in range(2))
    kernel_of(symbols)(
        market, terms(rules, costs, max_hold_bars), state.account, state.positions, state.memories,
        state.curve_equity, state.curve_regime, state.trades, state.restrictions, state.reasons, state.restricted,
        state.refused, leave, orders, np.zeros(4, dtype=np.int64),
    )  # fmt: skip
    return state if state.account[at.STATUS] == at.FINE else None


def _left(prepared: Prepared, state: _State) -> tuple[tuple[OpenPosition, ...], int]:
    """The positions the data ended on, and the equity with them; the curve's last row is written."""
    left, equity = [], int(state.account[at.CASH])
    last = prepared.market.bars[-1].tolist()
    for instrument, held, bar in zip(prepared.instruments, state.positions.tolist(), last, strict=True):
        price = bar[at.CLOSE] or bar[at.OPEN]
        if held[at.SIDE]:
            now = instrument.notional(price, held[at.QUANTITY])
            profit = fills.realized_profit(held[at.SIDE], held[at.COST], now)
            equity += profit
            left.append(OpenPosition(instrument.symbol, _position(held), profit))
    state.curve_equity[-1] = equity
    state.curve_regime[-1] = state.memories[0, at.IN_FORCE]
    return tuple(left), equity


def _position(held: list[int]) -> Position:
    return Position(
        side=held[at.SIDE],
        quantity=held[at.QUANTITY],
        cost=held[at.COST],
        margin=held[at.MARGIN],
        leverage=held[at.LEVERAGE],
        entry_time=held[at.ENTRY_TIME],
        entry_bar=held[at.ENTRY_BAR],
        regime=held[at.REGIME],
        stop=held[at.STOP],
        stop_bps=held[at.STOP_BPS],
        liquidation=held[at.LIQUIDATION],
        fees=held[at.FEES],
        funding=held[at.FUNDING],
    )


def _closed(prepared: Prepared, row: list[int]) -> Closed:
    trade = Trade(
        symbol=prepared.instruments[row[at.T_SYMBOL]].symbol,
        side=row[at.T_SIDE],
        quantity=row[at.T_QUANTITY],
        leverage=row[at.T_LEVERAGE],
        entry_time=row[at.T_ENTRY_TIME],
        entry_price=row[at.T_ENTRY_PRICE],
        exit_time=row[at.T_EXIT_TIME],
        exit_price=row[at.T_EXIT_PRICE],
        reason=at.REASONS[row[at.T_REASON]],
        fees=row[at.T_FEES],
        funding=row[at.T_FUNDING],
        profit=row[at.T_PROFIT],
        cash_after=row[at.T_CASH_AFTER],
    )
    return Closed(trade, row[at.T_REGIME])


def _counts(names: Sequence[str], counted: Ints) -> dict[str, int]:
    """Those that happened, the most frequent first."""
    there = [(name, count) for name, count in zip(names, counted.tolist(), strict=True) if count]
    return dict(sorted(there, key=lambda pair: -pair[1]))
