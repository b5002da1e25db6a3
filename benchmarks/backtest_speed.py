"""Bars a CPU second of the backtest's loop, predictions given: the synthetic market, a decision at every hourly bar."""

from __future__ import annotations

import time

import numpy as np

from backtest.bars import SymbolFrame
from backtest.broker import Costs
from backtest.engine import run
from market import catalogue, synthetic
from market.instruments import CASH
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy.live_config import NO_HALTS, Entry, Exit, LiveConfig

BARS = 50_000


def main() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=BARS, timeframe=Timeframe.parse("1h"), seed=3)
    random = np.random.default_rng(3)
    rules = LiveConfig(entry=Entry(long=0.55, short=0.55), exit=Exit(long=0.48, short=0.48), halts=NO_HALTS).rules()
    for name, highest in (("no signal", 0.54), ("a trade every few bars", 0.70)):
        told = PredictionHistory(
            open_time=candles.open_time,
            p_long=random.uniform(0.3, highest, BARS),
            p_short=random.uniform(0.3, highest, BARS),
            regime=np.repeat(random.integers(0, 3, BARS // 10), 10).astype(np.int8),
            horizons={},
            refusals={},
        )
        frame = SymbolFrame(catalogue.instrument("BTCUSDT"), candles, candles, funding, told)
        began = time.process_time()
        result = run([frame], rules, Costs(), 12, 1_000_000 * CASH)
        rate = result.bars / (time.process_time() - began)
        print(f"backtest, {name}: {rate:,.0f} bars a CPU second, {len(result.closed)} trades in {result.bars:,} bars")


if __name__ == "__main__":
    main()
