"""The portfolio: several symbols' histories on one account, the rules that trade them, and the backtests of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import configs
from backtest import compiled, engine, sources
from backtest.bars import BacktestError, SymbolFrame
from backtest.broker import Costs
from backtest.engine import Result
from backtest.inputs import inputs_of
from market.instruments import Instrument, cash
from models.inference import Predictor
from strategy.live_config import Halts, LiveConfig, Rules
from tests.parity.hours import HOUR, Hours
from tests.parity.replay import ParityError

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
        others = {s.instrument.symbol: s.base for s in self.series}  # as they are played, gaps cut in and all
        series = [replace(s, others=others) for s in self.series]
        return sources.frames(series, self.predictor, HOUR, start or self.start, end)[0]

    def plain(self, start: int | None = None, end: int | None = None) -> Result:
        """The plain engine's backtest of a range, the whole one by default."""
        return engine.run(self.frames(start, end), self.rules, COSTS, self.predictor.max_hold_bars, CASH)

    def both(self, cash: int = CASH) -> tuple[Result, Result]:
        """The whole range by the plain engine and by the compiled one, from the same frames.

        Raises
        ------
        ParityError
            If the compiled path does not play this itself.
        """
        frames = self.frames()
        terms = (self.rules, COSTS, self.predictor.max_hold_bars, cash)
        plain = engine.run(frames, *terms)
        # It hands over to the plain engine where int64 does not suffice, which would prove nothing here; without
        # frames that one has nothing to play.
        alone = replace(compiled.prepare(frames), frames=())
        try:
            return plain, compiled.run(alone, *terms)
        except BacktestError as error:
            raise ParityError("int64 does not suffice: the compiled path would have the plain one play this") from error


def lively(rules: Path, series: Sequence[sources.Series], predictor: Predictor) -> LiveConfig:
    """The parity rules with thresholds amid what this set says of this data, so that both sides come and go.

    Raises
    ------
    QuietError
        If the set predicts nothing of a symbol.
    """
    told = []
    for one in series:
        symbol = one.instrument.symbol
        read = inputs_of(predictor.manifest, symbol, one.base, one.funding, one.finer, one.others)
        said = predictor.predict_history(symbol, read.candles, read.funding, finer=read.finer, companion=read.companion)
        if not np.isfinite(said.p_long).any():
            raise QuietError(f"the set predicts nothing of {one.instrument.symbol}: {said.refusals}")
        told.append(said)
    config = configs.load(rules, LiveConfig).model_dump()
    for name, columns in (("long", [t.p_long for t in told]), ("short", [t.p_short for t in told])):
        enter, leave = np.nanquantile(np.concatenate(columns), ENTER_AND_LEAVE)
        config["entry"][name], config["exit"][name] = round(float(enter), 4), round(float(leave), 4)
    return LiveConfig.model_validate(config)
