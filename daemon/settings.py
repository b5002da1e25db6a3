"""Settings: what an engine is built for; all that a run does not change."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.desk import Foreign, Patience
from market.instruments import Instrument
from market.timeframes import Timeframe
from strategy.live_config import Rules


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is built for; `instruments` in configuration order, `batch_ms` how long late candles are awaited.

    `leaving` are symbols that are no longer configured: their positions are looked after until they are closed.
    `max_hold_bars` is the model set's longest holding in decision candles. `predict_ms` is how long inference may take,
    `entry_ms` how old a decided entry may be when it is sent, and `settle_ms` how long a candle may hold up the next.
    """

    deployment: str
    instruments: tuple[Instrument, ...]
    timeframes: tuple[Timeframe, ...]
    decision: Timeframe
    rules: Rules
    max_hold_bars: int
    batch_ms: int = 10_000
    predict_ms: int = 30_000
    entry_ms: int = 30_000
    settle_ms: int = 60_000
    patience: Patience = field(default_factory=Patience)
    foreign: Foreign = Foreign.ADOPT
    leaving: frozenset[str] = frozenset()
