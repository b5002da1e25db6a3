"""The portfolio: several symbols' histories on one account, the rules that trade them, and the backtests of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import configs
from backtest import engine, sources
from backtest.broker import Costs
from backtest.engine import Result
from backtest.tape import SymbolFrame
from market.aggregate import aggregate
from market.instruments import Instrument, cash
from models.inference import Predictor
from strategy.live_config import Halts, LiveConfig, Rules
from tests.parity.hours import HOUR, Hours

COSTS = Costs(taker_ppm=500, slippage_ppm=100)
CASH = cash(1_000_000)
"""Much, since rules that force activity pay their costs on every trade: a small wallet would not last a long run."""
ENTER_AND_LEAVE = (0.6, 0.3)
"""Quantiles of what a set says at which a position is opened and closed."""
NARROW = Halts.model_validate(
    {
        "daily_loss": {"limit": 0.002, "then": "reducing"},
        "weekly_loss": None,
        "drawdown": {"limit": 0.004, "then": "halted"},
        "losing_streak": {"trades": 3, "then": "reducing"},
    }
)


class QuietError(Exception):
    """The set says nothing of this data."""


class Portfolio:
    """Histories, the set that predicts them, and the rules; `series` may be changed before the backtests.

    Attributes
    ----------
    series : list of Series
        One a symbol, in configuration order.
    start, end : int
        Open time of the first bar played, and close of the last, ms.
    bars : int
        How many are played.
    """

    def __init__(self, hours: Hours, predictor: Predictor, rules: Rules) -> None:
        self.series = list(hours.series)
        self.predictor, self.rules, self.start = predictor, rules, hours.start
        times = np.unique(np.concatenate([s.base.between(self.start).open_time for s in self.series]))
        self.end, self.bars = int(times[-1]) + HOUR.ms, len(times)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """In configuration order."""
        return tuple(s.instrument for s in self.series)

    def frames(self, start: int | None = None, end: int | None = None) -> list[SymbolFrame]:
        """The frames of a range, the whole one by default."""
        return sources.frames(self.series, self.predictor, HOUR, start or self.start, end)[0]

    def plain(self, start: int | None = None, end: int | None = None) -> Result:
        """The plain engine's backtest of a range, the whole one by default."""
        return engine.run(self.frames(start, end), self.rules, COSTS, self.predictor.max_hold_bars, CASH)

    def both(self) -> tuple[Result, Result | None]:
        """The whole range by the plain engine and by the compiled one, from the same frames."""
        frames, longest = self.frames(), self.predictor.max_hold_bars
        compiled = compiled_engine()
        plain = engine.run(frames, self.rules, COSTS, longest, CASH)
        return plain, compiled and compiled(frames, self.rules, COSTS, longest, CASH)


def compiled_engine() -> Callable[..., Result] | None:
    """The compiled path's `run`, None while there is none."""
    if find_spec("backtest.compiled") is None:
        return None
    module: Any = import_module("backtest.compiled")
    run: Callable[..., Result] = module.run
    return run


def lively(rules: Path, series: Sequence[sources.Series], predictor: Predictor) -> LiveConfig:
    """The parity rules with thresholds amid what this set says of this data, so that both sides come and go.

    Raises
    ------
    QuietError
        If the set predicts nothing of a symbol.
    """
    told = []
    for one in series:
        said = predictor.predict_history(one.instrument.symbol, aggregate(one.base, HOUR), one.funding)
        if not np.isfinite(said.p_long).any():
            raise QuietError(f"the set predicts nothing of {one.instrument.symbol}: {said.refusals}")
        told.append(said)
    config = configs.load(rules, LiveConfig).model_dump()
    for name, columns in (("long", [t.p_long for t in told]), ("short", [t.p_short for t in told])):
        enter, leave = np.nanquantile(np.concatenate(columns), ENTER_AND_LEAVE)
        config["entry"][name], config["exit"][name] = round(float(enter), 4), round(float(leave), 4)
    return LiveConfig.model_validate(config)
