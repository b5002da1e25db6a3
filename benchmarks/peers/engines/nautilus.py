"""nautilus_trader: a margin account, market entries, and a reduce-only stop order that rests at its simulated venue."""

from __future__ import annotations

from decimal import Decimal

import nautilus_trader
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TriggerType
from nautilus_trader.model.events import PositionClosed, PositionOpened
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

from benchmarks.peers.frame import Frame
from benchmarks.peers.measured import Measured, timed
from benchmarks.peers.rule import CASH, DIGITS, ENTER, EXIT, FEE, LEVERAGE, SCALE

VENUE = Venue("PEERS")
PERPETUAL = InstrumentId(Symbol("PEER-PERP"), VENUE)
BARS = BarType.from_str(f"{PERPETUAL}-1-HOUR-LAST-EXTERNAL")


def instrument() -> CryptoPerpetual:
    """One linear perpetual in whole units, priced to 1e-4."""
    return CryptoPerpetual(
        instrument_id=PERPETUAL,
        raw_symbol=Symbol("PEER"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=DIGITS,
        size_precision=0,
        price_increment=Price(1 / SCALE, DIGITS),
        size_increment=Quantity(1, 0),
        min_quantity=Quantity(1, 0),
        margin_init=Decimal(1),
        margin_maint=Decimal("0.5"),
        maker_fee=Decimal(str(FEE)),
        taker_fee=Decimal(str(FEE)),
        ts_event=0,
        ts_init=0,
    )


class Rule(Strategy):  # type: ignore[misc]
    """The rule on closed bars; the position's own events say when a stop is due, and that it fired."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(StrategyConfig())
        self.signals, self.quantities = frame.signal.tolist(), frame.quantity.tolist()
        self.stop_prices = frame.stop.tolist()
        self.bar = -1
        self.resting = None
        self.held = self.stopped = False
        self.trades = self.stops = 0

    def on_start(self) -> None:
        """Ask for the bars."""
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        """Decide at the close."""
        self.bar += 1
        signal, stopped = self.signals[self.bar], self.stopped
        self.stopped = False
        if self.held:
            if signal < EXIT:
                self.cancel_order(self.resting)
                self.close_position(self.cache.positions_open(instrument_id=PERPETUAL)[0])
        elif signal > ENTER and not stopped:
            quantity = Quantity(self.quantities[self.bar], 0)
            self.submit_order(self.order_factory.market(PERPETUAL, OrderSide.BUY, quantity))

    def on_position_opened(self, event: PositionOpened) -> None:
        """Rest the stop."""
        self.held = True
        self.resting = self.order_factory.stop_market(
            PERPETUAL,
            OrderSide.SELL,
            event.quantity,
            trigger_price=Price(self.stop_prices[self.bar], DIGITS),
            trigger_type=TriggerType.LAST_PRICE,
            reduce_only=True,
        )
        self.submit_order(self.resting)

    def on_position_closed(self, event: PositionClosed) -> None:
        """Count it; a stop fires inside the bar whose `on_bar` comes next."""
        self.held = False
        self.trades += 1
        if event.closing_order_id == self.resting.client_order_id:
            self.stops += 1
            self.stopped = True


def measure(frame: Frame) -> Measured:
    """`engine.run()`; making the bars and the engine is the set-up."""

    def prepared() -> tuple[BacktestEngine, Rule]:
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
        engine.add_venue(
            VENUE,
            OmsType.NETTING,
            AccountType.MARGIN,
            [Money(CASH, USDT)],
            default_leverage=Decimal(LEVERAGE),
            bar_adaptive_high_low_ordering=False,
        )
        perpetual, strategy = instrument(), Rule(frame)
        engine.add_instrument(perpetual)
        columns = {name: getattr(frame, name) for name in ("open", "high", "low", "close")} | {"volume": 1e9}
        table = pd.DataFrame(columns, index=pd.to_datetime(frame.time_ms, unit="ms", utc=True))
        engine.add_data(BarDataWrangler(BARS, perpetual).process(table))
        engine.add_strategy(strategy)
        return engine, strategy

    (engine, strategy), setup = timed(prepared)
    _, run = timed(engine.run)
    open_profit = engine.portfolio.unrealized_pnl(PERPETUAL)
    equity = engine.portfolio.account(VENUE).balance_total(USDT).as_double()
    equity += open_profit.as_double() if open_profit else 0.0
    return Measured(nautilus_trader.__version__, setup, run, strategy.trades, strategy.stops, equity)
