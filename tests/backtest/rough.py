"""Rough markets: gaps through stops and liquidations, holes, funding both ways, missing predictions; and busy rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from backtest.bars import SymbolFrame
from backtest.broker import Costs
from market import catalogue
from market.aggregate import aggregate
from market.candles import Candles
from market.funding import Funding
from market.instruments import CASH
from market.tiers import brackets
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy import live_config
from strategy.live_config import NO_HALTS, Entry, HaltLimits, LiveConfig
from strategy.plan import TradingState

HOUR = 3_600_000
START = 1_704_067_200_000
COSTS = Costs(500, 100)
HOURLY, QUARTER = Timeframe.parse("1h"), Timeframe.parse("15m")
THRESHOLDS = LiveConfig(
    entry=Entry(long=0.55, short=0.55), exit=live_config.Exit(long=0.40, short=0.48), halts=NO_HALTS
)
BUSY = replace(THRESHOLDS.rules(), max_hold_bars=4, liquidation_cooldown=3)
STEEP = brackets((1_500 * CASH, 20, 40), (4_500 * CASH, 6, 300), (12_000 * CASH, 3, 900))
"""Tiers that bind at the sizes traded here."""
HALTING = replace(
    BUSY,
    halts=HaltLimits(
        daily_loss_bps=300,
        daily_loss_then=TradingState.REDUCING,
        weekly_loss_bps=1_200,
        weekly_loss_then=TradingState.REDUCING,
        drawdown_bps=3_000,
        drawdown_then=TradingState.HALTED,
        losing_streak=0,
        losing_streak_then=TradingState.ACTIVE,
    ),
)


def rough_market(
    random: Generator,
    bars: int,
    timeframe: Timeframe,
    price: float,
    gapped: float = 0.02,
    gaps: tuple[float, ...] = (-0.12, -0.04, 0.04, 0.12),
) -> Candles:
    """A random walk with gaps, some through stops and liquidations, and a few holes."""
    move = random.normal(0, 0.008 * (timeframe.ms / HOUR) ** 0.5, bars)
    gap = random.normal(0, 0.001, bars) + (random.random(bars) < gapped) * random.choice(gaps, bars)
    walk = price * np.exp(np.cumsum(move + gap))
    close, open_ = walk, walk * np.exp(-move)
    high = np.maximum(open_, close) * (1 + random.exponential(0.003, bars))
    low = np.minimum(open_, close) * (1 - random.exponential(0.003, bars))
    columns = [np.round(c, 2) for c in (open_, high, low, close)]
    nothing = np.full(bars, np.nan)
    times = START + np.arange(bars, dtype=np.int64) * timeframe.ms
    whole = Candles(timeframe, times, *columns, np.ones(bars), nothing, nothing, nothing, nothing)
    kept = random.random(bars) > 0.01
    kept[0] = True
    return whole[kept]


def frame(symbol: str, random: Generator, bars: int, base: Timeframe, price: float) -> SymbolFrame:
    candles = rough_market(random, bars, base, price)
    hours = aggregate(candles, HOURLY)
    instants = START + np.arange(0, bars * base.ms // HOUR, 8, dtype=np.int64) * HOUR
    rates = random.integers(-80_000, 80_000, len(instants))
    p_long, p_short = random.uniform(0.3, 0.7, (2, len(hours)))
    missing = random.random(len(hours)) < 0.05
    told = PredictionHistory(
        open_time=hours.open_time,
        p_long=np.where(missing, np.nan, p_long),
        p_short=np.where(missing, np.nan, p_short),
        regime=np.where(missing, -1, np.repeat(random.integers(0, 3, len(hours)), 5)[: len(hours)]).astype(np.int8),
        horizons={},
        refusals={},
    )
    return SymbolFrame(catalogue.instrument(symbol), candles, hours, Funding(instants, rates), told)


def market(seed: int, base: Timeframe) -> list[SymbolFrame]:
    random = np.random.default_rng(seed)
    bars = 500 * (HOUR // base.ms)
    return [frame("BTCUSDT", random, bars, base, 40_000.0), frame("ETHUSDT", random, bars, base, 2_500.0)]
