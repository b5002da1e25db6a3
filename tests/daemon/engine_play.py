"""An engine that is told event by event, for tests: what it asks for, and a real journal of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from daemon.commands import (
    Command,
    PlaceStop,
    Predict,
    SetLeverage,
    Submit,
)
from daemon.engine import Engine
from daemon.events import (
    CandleClosed,
    Event,
    Filled,
    LeverageRead,
    Opinion,
    OrderStatus,
    PredictionReady,
    Reconciled,
    RestingStop,
    StopUpdated,
    SymbolTruth,
)
from daemon.journal import Journal
from daemon.settings import Settings
from daemon.state import DaemonState
from market.candles import Candle
from market.instruments import CASH, Instrument
from market.timeframes import Timeframe
from strategy.live_config import LiveConfig
from strategy.plan import Outlook

HOUR = 3_600_000
START = 1_700_000_000_000 // HOUR * HOUR
BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.1"))
SETTINGS = Settings(
    deployment="test",
    instruments=(BTC,),
    timeframes=(Timeframe.parse("1h"),),
    decision=Timeframe.parse("1h"),
    rules=LiveConfig.model_validate({"regimes": {"confirm": 1}, "cooldown": {"stop": 0}}).rules(),
    max_hold_bars=12,
)
PRICE = 300_000  # ticks: 30,000.0


class Play:
    """Feeds an engine and keeps what it answered; the journal is real."""

    def __init__(self, folder: Path, state: DaemonState | None = None) -> None:
        self.journal = Journal(folder)
        self.engine = Engine(SETTINGS, state)
        self.at = START
        self.trade_id = 0

    def tell(self, event: Event, after: int = 1) -> list[Command]:
        self.at += after
        commands = self.engine.step(event, self.at)
        self.journal.write(event, self.at, commands, self.engine.state)
        return commands

    def boot(self, quantity: int = 0, cost: int = 0, stops: tuple[RestingStop, ...] = ()) -> list[Command]:
        truth = SymbolTruth("BTCUSDT", quantity, cost, 0, 20, True, stops)
        return self.tell(Reconciled(10_000 * CASH, (truth,)))

    def candle(self, index: int, p_long: float = 0.5, p_short: float = 0.5, regime: int = 1) -> list[Command]:
        bar = START + index * HOUR
        candle = Candle(bar, 30_000.0, 30_000.0, 30_000.0, 30_000.0, 1.0)
        assert self.tell(CandleClosed("BTCUSDT", "1h", candle)) == [Predict(bar, ("BTCUSDT",))]
        opinion = Opinion("BTCUSDT", Outlook(p_long, p_short, regime))
        return self.tell(PredictionReady(bar, (opinion,), "set-1"))

    def fill(self, client_id: str, side: int, quantity: int, price: int = PRICE, fee: int = 5) -> list[Command]:
        self.trade_id += 1
        return self.tell(Filled("BTCUSDT", client_id, self.trade_id, side, price, quantity, fee, START + HOUR))

    def enter(self) -> StopUpdated:
        """A long entry up to the point where its stop was placed; gives the read-back that is still to come."""
        (leverage,) = of(self.candle(0, p_long=0.7), SetLeverage)
        (submit,) = of(self.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit)
        order = submit.approved.order
        (place,) = of(self.fill(order.client_id, order.side, order.quantity), PlaceStop)
        stop = place.approved.order
        return StopUpdated(
            "BTCUSDT", stop.client_id, OrderStatus.ACCEPTED, stop.side, stop.trigger, stop.quantity, read_back=True
        )


def of(commands: list[Command], kind: type) -> list:
    return [c for c in commands if isinstance(c, kind)]
