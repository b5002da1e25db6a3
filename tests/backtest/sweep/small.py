"""A small history to sweep over: hourly bars of the synthetic market, and predictions drawn at random."""

from __future__ import annotations

import numpy as np

from backtest import compiled
from backtest.bars import SymbolFrame
from backtest.broker import Costs
from backtest.sweep.work import Work
from market import catalogue, synthetic
from market.instruments import CASH
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy.live_config import Entry, Exit, LiveConfig, Rules

WALLET = 10_000 * CASH
BASE = LiveConfig(entry=Entry(long=0.52, short=0.52), exit=Exit(long=0.48, short=0.48))


def frame(bars: int = 1_200, seed: int = 3) -> SymbolFrame:
    candles, funding = synthetic.generate("BTCUSDT", bars=bars, timeframe=Timeframe.parse("1h"), seed=seed)
    random = np.random.default_rng(seed)
    told = PredictionHistory(
        open_time=candles.open_time,
        p_long=random.uniform(0.4, 0.6, bars),
        p_short=random.uniform(0.4, 0.6, bars),
        regime=np.repeat(random.integers(0, 3, bars // 10), 10).astype(np.int8),
        horizons={},
        refusals={},
    )
    return SymbolFrame(catalogue.instrument("BTCUSDT"), candles, candles, funding, told)


def work() -> Work:
    return Work(compiled.simulate, compiled.prepare([frame()]), Costs(), 12, WALLET)


def some_rules(count: int = 9) -> list[Rules]:
    return [
        LiveConfig(entry=Entry(long=0.50 + at / 100, short=0.52), exit=Exit(long=0.48, short=0.48)).rules()
        for at in range(count)
    ]
