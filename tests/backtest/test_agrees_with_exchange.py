"""The backtest against the local exchange's own engine, order desk and replay: the same trades, field by field.

No sockets here: a minimal trader asks the same `plan` at each closed candle and sends its orders to the desk. The
market is rough on purpose: gaps, holes, funding, two symbols on one wallet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from backtest.bars import SymbolFrame
from backtest.engine import Result, run
from market import fills, trades
from market.exchange import account
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.feed import Feed
from market.exchange.orders import AccountEvent, Execution, Fill, OrderEvent, OrderRequest, StopRequest
from market.exchange.refusals import Code, Refusal
from market.exchange.replay import Replay
from market.instruments import CASH
from market.timeframes import Timeframe
from market.trades import Trade
from strategy.decide import plan
from strategy.live_config import Rules
from strategy.plan import (
    AccountMemory,
    Enter,
    Exit,
    Holding,
    Memory,
    Outlook,
    Reason,
    Situation,
    SymbolState,
    Tighten,
)
from tests.backtest.rough import BUSY, COSTS, HALTING, HOUR, HOURLY, QUARTER, START, STEEP, market

SEEDS = range(6)


@dataclass
class Lot:
    """What the trader knows of an open position."""

    entry: Fill
    entry_bar: int
    leverage: int
    stop: int
    stop_bps: int
    stop_id: int
    funding: int = 0


@dataclass
class Trader:
    """Asks `plan` and does what it says at the exchange, one order after the other."""

    engine: Engine
    frames: list[SymbolFrame]
    rules: Rules
    trades: list[Trade] = field(default_factory=list)
    lots: dict[str, Lot] = field(default_factory=dict)
    cash: int = 0
    account: AccountMemory = field(default_factory=AccountMemory)

    def __post_init__(self) -> None:
        self.desk = Desk(self.engine)
        self.symbols = [f.instrument.symbol for f in self.frames]
        self.memories = {s: Memory() for s in self.symbols}
        self.closes = {f.instrument.symbol: 0 for f in self.frames}
        for symbol in self.symbols:
            self.desk.set_margin_mode(symbol, True)

    def listen(self) -> None:
        """Take in the user stream: entries, and trades of what was closed."""
        for event in self.engine.drain():
            if isinstance(event, AccountEvent):  # it precedes the execution that changed the wallet
                self.cash = event.cash
            if isinstance(event, OrderEvent) and event.execution in (Execution.TRADE, Execution.CALCULATED):
                assert event.fill is not None
                if event.order.symbol in self.lots:
                    self._closed(event.fill, event.order.client_id)

    def _closed(self, fill: Fill, client_id: str) -> None:
        lot, funding = self.lots.pop(fill.symbol), self._funding(fill.symbol)
        reason = client_id.partition("|")[2] or trades.STOP
        if client_id.startswith("autoclose-"):
            reason = trades.LIQUIDATION
        if reason in (trades.STOP, trades.LIQUIDATION):
            bar = HOURLY.floor(fill.time)
            liquidated = reason == trades.LIQUIDATION
            self.memories[fill.symbol] = replace(self.memories[fill.symbol], stopped_bar=bar, liquidated=liquidated)
        paid = lot.entry.fee + fill.fee
        entry, funded = lot.entry, funding - lot.funding
        when = (entry.time, entry.price, fill.time, fill.price)
        self.trades.append(
            Trade(fill.symbol, entry.side, fill.quantity, lot.leverage, *when, reason, paid, funded, 0, self.cash)
        )

    def _funding(self, symbol: str) -> int:
        return -sum(i.amount for i in self.engine.incomes if i.symbol == symbol and i.kind == "FUNDING_FEE")

    def decide(self, bar: int) -> None:
        states, there = [], False
        for f in self.frames:
            symbol = f.instrument.symbol
            row = int(np.searchsorted(f.decision.open_time, bar))
            known = row < len(f.decision) and f.decision.open_time[row] == bar
            outlook = None
            if known:
                there = True
                self.closes[symbol] = f.instrument.nearest_ticks(float(f.decision.close[row]))
                said = f.predictions
                if not np.isnan(said.p_long[row]):
                    outlook = Outlook(float(said.p_long[row]), float(said.p_short[row]), int(said.regime[row]))
            close = self.closes[symbol] or f.instrument.nearest_ticks(float(f.base.open[0]))
            states.append(SymbolState(f.instrument, close, outlook, self._holding(symbol), self.memories[symbol]))
        if not there:
            return
        situation = Situation(bar, HOUR, self.engine.ledger.cash, tuple(states), account=self.account)
        answer = plan(situation, self.rules, 12)
        self.account = answer.account
        self.memories = dict(zip(self.symbols, answer.memories, strict=True))
        for action in answer.actions:
            match action:
                case Exit():
                    self._close(action.symbol, str(action.reason))
                case Tighten():
                    self._tighten(action)
                case Enter() if self._may_send(action):
                    self._enter(action)
            self.listen()

    def _holding(self, symbol: str) -> Holding | None:
        position, lot = self.engine.ledger.positions.get(symbol), self.lots.get(symbol)
        if position is None or lot is None:
            return None
        return Holding(
            position.side, position.quantity, position.cost, position.margin, lot.entry_bar, lot.stop, lot.stop_bps
        )

    def _order(self, symbol: str, side: int, quantity: int, client_id: str, reduce_only: bool) -> OrderRequest:
        return OrderRequest(symbol, client_id, side, "MARKET", quantity, 0, "GTC", reduce_only)

    def _close(self, symbol: str, reason: str) -> None:
        position = self.engine.ledger.positions[symbol]
        self.desk.place(self._order(symbol, -position.side, position.quantity, f"exit|{reason}", True))
        self.desk.cancel_all_stops(symbol)

    def _stop(self, symbol: str, side: int, quantity: int, trigger: int) -> int:
        request = StopRequest(
            symbol, "", -side, "STOP_MARKET", quantity, trigger, "GTC", True, False, "CONTRACT_PRICE", False
        )
        return self.desk.place_stop(request).id

    def _enter(self, action: Enter) -> None:
        symbol, engine = action.symbol, self.engine
        self.desk.set_leverage(symbol, action.leverage)
        funding = self._funding(symbol)
        try:
            order = self.desk.place(self._order(symbol, action.side, action.quantity, "entry", False))
        except Refusal as refusal:
            if refusal.code not in (Code.NO_MARGIN, Code.TOO_SMALL, Code.ABOVE_LEVERAGE_CAP):
                raise
            return
        engine.drain()
        fill, position = engine.fills[-1], engine.ledger.positions[symbol]
        unit = engine.instruments[symbol].unit
        stop = fills.stop_price(position.cost, position.quantity, unit, position.side, action.stop_bps)
        bar = HOURLY.floor(fill.time)
        stop_id = self._stop(symbol, action.side, order.quantity, stop)
        self.lots[symbol] = Lot(fill, bar, action.leverage, stop, action.stop_bps, stop_id, funding)

    def _may_send(self, action: Enter) -> bool:
        """Price band and reserve at the moment of sending, by the exchange's own books."""
        ledger, rules = self.engine.ledger, self.rules
        close, unit = self.closes[action.symbol], self.engine.instruments[action.symbol].unit
        margins, equity = sum(p.margin for p in ledger.positions.values()), ledger.cash
        for symbol, p in ledger.positions.items():
            value = self.closes[symbol] * p.quantity * self.engine.instruments[symbol].unit
            equity += p.side * (value - p.cost)
        margins += fills.initial_margin(close * action.quantity * unit, action.leverage)
        left = abs(self.engine.prices[action.symbol] - close) * 10_000
        within = not rules.price_band_bps or left <= close * rules.price_band_bps
        return within and margins * 10_000 <= equity * (10_000 - rules.reserve_bps)

    def _tighten(self, action: Tighten) -> None:
        lot, position = self.lots[action.symbol], self.engine.ledger.positions[action.symbol]
        try:
            new = self._stop(action.symbol, position.side, position.quantity, action.stop)
        except Refusal as refusal:
            if refusal.code is not Code.WOULD_TRIGGER:
                raise
            self._close(action.symbol, trades.UNPROTECTED)
            return
        self.desk.cancel_stop(lot.stop_id, None)
        lot.stop, lot.stop_bps, lot.stop_id = action.stop, action.stop_bps, new


def through_the_exchange(frames: list[SymbolFrame], rules: Rules) -> tuple[list[Trade], Engine]:
    engine = Engine([f.instrument for f in frames], 10_000 * CASH, account.Costs(500, 200, 100))
    replay = Replay(engine, [Feed(f.instrument, f.base, f.funding) for f in frames], START)
    trader = Trader(engine, frames, rules)
    engine.drain()
    while True:
        opened = replay.time
        replay.turn()
        trader.listen()
        if replay.done:
            break
        closed = opened - opened % replay.timeframe.ms + replay.timeframe.ms
        if closed % HOUR == 0:
            trader.decide(closed - HOUR)
    return trader.trades, engine


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("base", [HOURLY, QUARTER], ids=["1h bars", "15m bars"])
def test_the_backtest_makes_the_exchanges_trades_to_the_last_unit(seed: int, base: Timeframe) -> None:
    result = alike(market(seed, base), BUSY)
    assert len(result.closed) > 40


@pytest.mark.parametrize("seed", SEEDS)
def test_margin_tiers_bind_alike_at_the_exchange_and_in_the_backtest(seed: int) -> None:
    tiered = [replace(f, instrument=replace(f.instrument, brackets=STEEP)) for f in market(seed, HOURLY)]
    result = alike(tiered, BUSY)
    leverages = {closed.trade.leverage for closed in result.closed}
    assert leverages & {tier.max_leverage for tier in STEEP}, "a tier clipped what the regime asked for"
    assert result.closed != alike(market(seed, HOURLY), BUSY).closed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_halt_strikes_alike_at_the_exchange_and_in_the_backtest(seed: int) -> None:
    alike(market(seed, HOURLY), HALTING)


def test_each_kind_of_halt_struck_in_those_markets() -> None:
    seen = [r for seed in SEEDS for r in run(market(seed, HOURLY), HALTING, COSTS, 12, 10_000 * CASH).restrictions]
    assert {r.reason for r in seen} == {Reason.DAILY_LOSS, Reason.WEEKLY_LOSS, Reason.DRAWDOWN}


def alike(frames: list[SymbolFrame], rules: Rules) -> Result:
    """The backtest's result, once the exchange has made the same trades."""
    result = run(frames, rules, COSTS, 12, 10_000 * CASH)
    theirs, engine = through_the_exchange(frames, rules)
    ours = [replace(t, profit=0) for t in result.trades]
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        assert mine.difference(other) is None, f"trade {number}: {mine.difference(other)}\n{mine}\n{other}"
    assert len(ours) == len(theirs)
    assert result.cash == engine.ledger.cash
    assert result.fees == engine.ledger.fees
    assert result.funding == engine.ledger.funding
    assert engine.ledger.imbalance() == 0
    return result


def test_the_rough_market_has_every_kind_of_exit() -> None:
    seen = {t.reason for seed in SEEDS for t in run(market(seed, HOURLY), BUSY, COSTS, 12, 10_000 * CASH).trades}
    assert seen >= {
        trades.STOP,
        trades.LIQUIDATION,
        trades.UNPROTECTED,
        str(Reason.SIGNAL_GONE),
        str(Reason.OPPOSITE_SIGNAL),
        str(Reason.TIME),
    }
