"""What the report page is made of, handed over as one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backtest.bars import SymbolFrame
from backtest.engine import Result
from backtest.options import SYNTHETIC
from backtest.sources import Setting
from backtest.statistics import Statistics
from backtest.verdict import Verdict
from models.metrics import Interval
from models.modelset import ModelSet


@dataclass(frozen=True)
class Played:
    """Another set's run over the same history: the champion's."""

    model_set: str
    result: Result
    figures: Statistics


@dataclass(frozen=True)
class Inputs:
    """Everything the page shows; the same inputs give the same bytes.

    Attributes
    ----------
    setting, result, figures :
        The run this page is about, as `backtest.report` prints it.
    frames : sequence of SymbolFrame
        What was played, one a symbol, with the predictions.
    model_set : ModelSet
        The set that was judged.
    command : str
        The command that makes this page again.
    champion : Played or None
        The champion over the same history, if one was played.
    verdict : Verdict or None
        The gate's, if a gate was run.
    sharpe_interval : Interval or None
        Of the Sharpe ratio, if it was computed.
    commit : str or None
        The program's git commit; None where it is not known.
    recorded : bool
        Whether the predictions are a walk-forward record's: each of hours that its members had not seen.
    more : mapping of str to str
        Further lines of the identity, e.g. the deflated Sharpe ratio's number of trials.
    """

    setting: Setting
    result: Result
    figures: Statistics
    frames: tuple[SymbolFrame, ...]
    model_set: ModelSet
    command: str
    champion: Played | None = None
    verdict: Verdict | None = None
    sharpe_interval: Interval | None = None
    commit: str | None = None
    recorded: bool = False
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def hold_bars(self) -> int:
        """Decision candles the rules hold a position for, at most."""
        return self.setting.rules.max_hold_bars or self.model_set.manifest.decision.max_hold_bars

    @property
    def known_market(self) -> bool:
        """Whether the set was fitted on this market: one of its symbols, and both synthetic or both real."""
        made_of, symbols = self.model_set.manifest.data, {i.symbol for i in self.setting.instruments}
        synthetic = self.setting.data.startswith(SYNTHETIC)
        return bool(symbols & set(made_of.symbols)) and synthetic == (made_of.venue == "synthetic")

    def tested(self, frame: SymbolFrame) -> NDArray[np.bool_]:
        """Which of a frame's decision candles close within the range that was played."""
        closes = frame.decision.open_time + frame.decision.timeframe.ms
        return (closes > self.result.start_ms) & (closes <= self.result.end_ms)
