"""The signals that every variant plays: a set's walk-forward record, or its predictions on candles it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backtest import sources
from backtest.bars import BacktestError, SymbolFrame
from backtest.predictions import Remembering
from backtest.sources import Progress, Series
from backtest.statistics import DAY_MS
from market.aggregate import aggregate
from market.candles import Ints
from market.timeframes import Timeframe
from models import walkforward
from models.manifest import utc, utc_ms
from models.modelset import ModelSet, resolve
from models.prediction import PredictionHistory
from strategy.live_config import PPB, Rules


@dataclass(frozen=True)
class Signals:
    """One symbol's frame with the predictions, the set they are of, and the longest holding in candles."""

    frame: SymbolFrame
    model_set: ModelSet
    hold: int

    @property
    def symbol(self) -> str:
        """The instrument's name."""
        return self.frame.instrument.symbol

    @property
    def judged_days(self) -> Ints:
        """UTC days (numbers since 1970) on which a prediction, or a position it may have opened, is in force.

        Between the record's folds and its test slice lie days that members and calibration were fitted on: nothing is
        foretold there, nothing is traded, and the days are left out of every figure.
        """
        length = self.frame.decision.timeframe.ms
        told = self.frame.predictions.open_time[self.frame.predictions.regime >= 0]
        days = np.concatenate([(told + length * k) // DAY_MS for k in (1, self.hold + 1)])
        return np.unique(days)


def load(name: str) -> ModelSet:
    """A verified set by name, or by the path of its folder."""
    return ModelSet.load(Path(name) if "/" in name else resolve(name))


def recorded(model_set: ModelSet, series: Series, start: int | None, end: int | None) -> Signals:
    """What the set's recipe said, fold by fold, and the finished set on its test slice.

    Raises
    ------
    ModelSetError
        If the set has no record.
    BacktestError
        If the record is of another symbol or of other candles, or has no row in [start, end).
    """
    manifest, symbol = model_set.manifest, series.instrument.symbol
    if symbol not in manifest.data.symbols:
        raise BacktestError(
            f"{model_set.id} recorded {', '.join(manifest.data.symbols)}, not {symbol}: give each --data a set trained "
            "on its symbol, or play predictions with --unseen"
        )
    decision = Timeframe.parse(manifest.data.timeframe)
    record = walkforward.read(model_set)
    candles = aggregate(series.base, decision)
    rows = np.ones(len(record), dtype=np.bool_)
    if start is not None:
        rows &= record.open_time >= start
    if end is not None:
        rows &= record.open_time < end
    at = record.open_time[rows]
    if not len(at):
        raise BacktestError(f"{model_set.id}: no recorded candle in the range; widen --from and --to")
    where = np.minimum(np.searchsorted(candles.open_time, at), len(candles) - 1)
    same = (candles.open_time[where] == at) & (candles.close[where] == record.close[rows])
    if not same.all():
        first = utc(int(at[np.flatnonzero(~same)[0]]))
        raise BacktestError(
            f"{symbol}: {int((~same).sum())} of {len(at)} recorded candles are others in --data, the first at {first}; "
            "give the file the set was trained on"
        )
    told = PredictionHistory(
        open_time=at,
        p_long=record.p_long[rows],
        p_short=record.p_short[rows],
        regime=record.regime[rows].argmax(axis=1).astype(np.int8),
        horizons={},
        refusals={},
    )
    hold = manifest.decision.max_hold_bars
    last = int(at[-1]) + (hold + 2) * decision.ms
    base = series.base.between(int(at[0]) + decision.ms, last if end is None else min(last, end))
    return Signals(SymbolFrame(series.instrument, base, candles, series.funding, told), model_set, hold)


def unseen(
    model_set: ModelSet, series: Series, start: int | None, end: int | None, progress: Progress | None = None
) -> Signals:
    """What the finished set says of candles after everything it was made and tested on."""
    manifest = model_set.manifest
    after = max(utc_ms(r.end) for r in manifest.data.splits.values())
    begin = after if start is None else max(after, start)
    decision = Timeframe.parse(manifest.data.timeframe)
    if not len(series.base.between(begin, end)):
        raise BacktestError(
            f"{series.instrument.symbol}: no candle after {utc(begin)}, where {model_set.id} has seen nothing; "
            "give a longer history, or leave out --unseen"
        )
    frames, _ = sources.frames([series], Remembering(model_set), decision, begin, end, progress)
    told = frames[0].predictions
    kept = told.open_time >= begin - decision.ms  # the first decision falls at the first bar's open
    told = replace(
        told,
        open_time=told.open_time[kept],
        p_long=told.p_long[kept],
        p_short=told.p_short[kept],
        regime=told.regime[kept],
        horizons={},
    )
    return Signals(replace(frames[0], predictions=told), model_set, manifest.decision.max_hold_bars)


def own_thresholds(signals: Sequence[Signals], rules: Rules) -> list[Rules]:
    """The rules for each set with thresholds from its own quantiles, by the rule of configs/live_config.yaml.

    Entry at the 90th percentile of a side's probability on the calibration slice, exit below its median. The slice lies
    after the folds, so the level of the thresholds, though nothing of the profit, is known too early.

    Raises
    ------
    BacktestError
        If a set does not tell them.
    """
    return [_own(s, rules) for s in signals]


def _own(signals: Signals, rules: Rules) -> Rules:
    found: dict[str, int] = {}
    for side in ("long", "short"):
        for name, level in (("entry", "0.9"), ("exit", "0.5")):
            value: object = signals.model_set.manifest.evidence
            for key in ("outputs", "calibrate", f"p_{side}", level):
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, float):
                raise BacktestError(
                    f"{signals.model_set.id} does not tell the {level} quantile of its P({side}); train it again"
                )
            found[f"{side}_{name}"] = round(round(value, 4) * PPB)
    return replace(
        rules,
        name=f"{rules.name}, own thresholds",
        long_entry=found["long_entry"],
        long_exit=found["long_exit"],
        short_entry=found["short_entry"],
        short_exit=found["short_exit"],
    )
