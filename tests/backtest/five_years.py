"""Five years of hourly bars, played with predictions drawn at random: what a report page must be able to carry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtest import page, sources
from backtest.bars import SymbolFrame
from backtest.broker import Costs
from backtest.engine import run
from backtest.statistics import statistics
from market import catalogue, synthetic
from market.instruments import CASH
from market.timeframes import Timeframe
from models import modelset
from models.modelset import ModelSet
from models.prediction import PredictionHistory
from strategy.live_config import NO_HALTS, Entry, Exit, LiveConfig

BARS = 5 * 8_760
RULES = LiveConfig(entry=Entry(long=0.57, short=0.57), exit=Exit(long=0.46, short=0.46), halts=NO_HALTS).rules()


def frame(symbol: str, seed: int, bars: int = BARS, blind: int = 48) -> SymbolFrame:
    """A symbol's synthetic history; the first `blind` candles have no prediction."""
    candles, funding = synthetic.generate(symbol, bars=bars, timeframe=Timeframe.parse("1h"), seed=seed)
    random = np.random.default_rng(seed)
    drift = np.convolve(random.standard_normal(bars), np.full(8, 8**-0.5), "same")
    horizons = {}
    for horizon in (5, 12, 24):
        both = np.column_stack([0.45 + side * 0.06 * drift + 0.02 * random.standard_normal(bars) for side in (1, -1)])
        both[:blind] = np.nan
        horizons[horizon] = np.round(both, 9)
    average = np.mean(list(horizons.values()), axis=0)
    regime = np.repeat(random.integers(0, 3, bars // 12 + 1), 12)[:bars].astype(np.int8)
    regime[:blind] = -1
    told = PredictionHistory(candles.open_time, average[:, 0], average[:, 1], regime, horizons, {"too early": blind})
    return SymbolFrame(catalogue.instrument(symbol), candles, candles, funding, told)


def played(*frames: SymbolFrame) -> page.Inputs:
    """The page's inputs after a run of the starter set's manifest over the frames."""
    starter = ModelSet.load(modelset.resolve(modelset.STARTER))
    hold = starter.manifest.decision.max_hold_bars
    result = run(frames, RULES, Costs(), hold, 10_000 * CASH)
    setting = sources.Setting(
        model_set=starter.id,
        data="synthetic market, seed 5",
        instruments=tuple(f.instrument for f in frames),
        rules=RULES,
        costs=Costs(),
        market_return=sources.market_return(frames[0]),
        refusals=frames[0].predictions.refusals,
    )
    return page.Inputs(setting, result, statistics(result), frames, starter, "python -m backtest …")


def with_champion(inputs: page.Inputs, seed: int) -> page.Inputs:
    """The same, beside a champion that saw other predictions of the same prices."""
    champion = played(
        *(replace(f, predictions=frame(f.instrument.symbol, seed, len(f.base)).predictions) for f in inputs.frames)
    )
    return replace(inputs, champion=page.Played("20260101T000000-0123456789ab", champion.result, champion.figures))
