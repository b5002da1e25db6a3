"""The recipe's record: what walking forward said of rows it had not seen, as arrays, and what trading on it gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.engine import Result
from backtest.statistics import DAY_MS, Statistics, daily_returns, statistics
from market.candles import Candles, Floats, Ints
from models.logits import sigmoid
from models.manifest import REGIMES, Manifest
from models.prediction import PredictionHistory
from models.walkforward import TEST as TEST
from models.walkforward import WalkForward

SIDES = ("long", "short")
CLOSE_WITHIN = 1e-9
"""Relative difference of two closes of one candle."""


@dataclass(frozen=True)
class Recipe:
    """Recorded predictions of n rows, in time order.

    Attributes
    ----------
    open_time : (n,) int64
        UTC ms.
    part : (n,) int64
        Fold from 0, or `TEST`: rows that the finished set answered.
    columns : dict
        Name -> (n,) float64, as `models.walkforward` names them, and ``regime``, the one that came.
    horizons : tuple of int
        Bars ahead.
    weights : dict
        Horizon -> weight in the finished set.
    cost : float
        Return beyond which a trade is profitable.
    """

    open_time: Ints
    part: Ints
    columns: dict[str, Floats]
    horizons: tuple[int, ...]
    weights: dict[int, float]
    cost: float

    @classmethod
    def of(cls, manifest: Manifest, record: WalkForward) -> Recipe:
        """The record of a set."""
        columns = {name: np.asarray(values, dtype=np.float64) for name, values in record.columns().items()}
        return cls(
            record.open_time,
            record.part.astype(np.int64),
            columns | {"regime": record.regimes()},
            manifest.horizons,
            {h: manifest.ensemble.weights[str(h)] for h in manifest.horizons},
            manifest.data.labels.cost,
        )

    def __len__(self) -> int:
        return len(self.open_time)

    def at(self, rows: NDArray[np.bool_] | Ints) -> Recipe:
        """Some of its rows."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Recipe(self.open_time[rows], self.part[rows], columns, self.horizons, self.weights, self.cost)

    def stack(self, head: str) -> Floats:
        """Calibrated logits (n,) of a head such as ``5/long``."""
        return self.columns[f"logit/stack/{head}"]

    def gain(self, horizon: int) -> Floats:
        """Return (n,) to the close `horizon` bars later, NaN where unknown."""
        return self.columns[f"return_{horizon}"]

    def paid(self, horizon: int, side: str) -> Floats:
        """Whether a side paid beyond costs (n,): 1, 0, or NaN."""
        gain = self.gain(horizon) if side == "long" else -self.gain(horizon)
        return np.where(np.isnan(gain), np.nan, (gain > self.cost).astype(np.float64))

    def regime_probabilities(self, who: str) -> Floats:
        """P(low), P(mid), P(high) (n, 3) of ``regime`` (the set's) or ``har`` (the baseline's)."""
        return np.column_stack([self.columns[f"{who}/{name}"] for name in REGIMES])

    def regime_known(self) -> Floats:
        """The regime that came (n,) by the edges each row's fold had, NaN where unknown."""
        return self.columns["regime"]

    def regime_said(self) -> NDArray[np.int8]:
        """The likeliest regime (n,), -1 where the record has none."""
        probabilities = self.regime_probabilities("regime")
        known = np.isfinite(probabilities).all(axis=1)
        likeliest = np.where(np.isfinite(probabilities), probabilities, -1.0).argmax(axis=1)
        return np.where(known, likeliest, -1).astype(np.int8)

    def history(self) -> PredictionHistory:
        """The record as the backtest reads predictions."""
        said = self.regime_said()
        p_long, p_short = self.columns["p_long"], self.columns["p_short"]
        heads = {h: np.column_stack([sigmoid(self.stack(f"{h}/{side}")) for side in SIDES]) for h in self.horizons}
        return PredictionHistory(self.open_time, p_long, p_short, said, heads, {})


@dataclass(frozen=True)
class Match:
    """How a record lies over a history: rows with a candle there (n,) bool, and of those how many closes differ."""

    covered: NDArray[np.bool_]
    other_closes: int

    @property
    def share(self) -> float:
        """Share of the record's rows that the history covers."""
        return float(self.covered.mean()) if len(self.covered) else 0.0


def match(recipe: Recipe, candles: Candles) -> Match:
    """Whether the record speaks of these candles."""
    if not len(candles):
        return Match(np.zeros(len(recipe), dtype=bool), 0)
    at = np.minimum(np.searchsorted(candles.open_time, recipe.open_time), len(candles) - 1)
    covered = candles.open_time[at] == recipe.open_time
    apart = np.abs(recipe.columns["close"] / candles.close[at] - 1) > CLOSE_WITHIN
    return Match(covered, int((covered & apart).sum()))


@dataclass(frozen=True)
class Played:
    """A backtest, its figures, and its daily returns on the days that count.

    Attributes
    ----------
    days : (D,) int64
        UTC days since 1970 with predictions.
    daily : (D,) float64
        Simple returns on them.
    """

    result: Result
    figures: Statistics
    days: Ints
    daily: Floats

    @classmethod
    def of(cls, result: Result, predicted: Ints) -> Played:
        """A result with only the days that `predicted` open times (n,) touch, or that moved the account."""
        equity = result.curve_equity.astype(np.float64)
        returns = daily_returns(result.curve_time, equity, float(result.start_cash))
        days = np.unique((result.curve_time - 1) // DAY_MS)
        counts = np.isin(days, np.unique(predicted // DAY_MS)) | (returns != 0)
        return cls(result, statistics(result), days[counts], returns[counts])

    @property
    def net_return(self) -> float:
        """Final equity over the starting cash, less one."""
        return self.figures.total_return


def on_common_days(one: Played, other: Played) -> tuple[Floats, Floats]:
    """Daily returns of both on the days of either; 0 where one of them had nothing to say."""
    days = np.union1d(one.days, other.days)
    both = []
    for played in (one, other):
        daily = np.zeros(len(days))
        daily[np.searchsorted(days, played.days)] = played.daily
        both.append(daily)
    return both[0], both[1]
