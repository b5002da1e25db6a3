"""Baselines: what a set must be better than. They are comparators and never trade.

Rules are functions of candles. What needs fitting is a linear score, fitted when the set is made and kept in its
manifest, so that a set can be compared on any later candles without the history it was trained on.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from market.candles import Candles, Floats
from models import features, labels
from models.logits import softmax
from models.parts import Finite, Part, Positive, QuestionName, Share

DAY_HOURS = 24
SPANS_HOURS = (1, 6, 24, 72, 168)
CYCLES_A_WEEK = (1, 2, 3, 7, 14, 21)
"""Three harmonics of the week and three of the day: on real hours they foretell better than a column for each hour."""
COLUMNS = len(SPANS_HOURS) + 2 * len(CYCLES_A_WEEK)
"""Columns of `volatility_and_clock`."""
HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS

Fitted = Literal["logistic", "volatility_and_clock"]
"""Linear scores on the members' features, and on volatility and clock alone."""


class LinearScore(Part):
    """A logit: intercept + sum of coefficient x (column - center) / scale, each scaled column clipped to ±clip."""

    center: tuple[Finite, ...] = Field(min_length=1)
    scale: tuple[Positive, ...]
    clip: Positive = Field(description="Far outliers would rule a straight line.")
    coefficients: tuple[Finite, ...]
    intercept: Finite

    @model_validator(mode="after")
    def _same_length(self) -> LinearScore:
        if not len(self.center) == len(self.scale) == len(self.coefficients):
            raise ValueError("centre, scale and coefficients differ in length")
        return self

    def score(self, matrix: Floats) -> Floats:
        """Logits (n,) for rows (n, K) of the matrix it was fitted on; NaN where a column is."""
        total = np.full(len(matrix), self.intercept)
        # column by column: the same for one row and for many
        for at, weight in enumerate(self.coefficients):
            scaled = (matrix[:, at] - self.center[at]) / self.scale[at]
            total = total + weight * np.clip(scaled, -self.clip, self.clip)
        return total


class RegimeScore(Part):
    """A linear score for each of low, mid and high; their softmax are the probabilities."""

    low: LinearScore
    mid: LinearScore
    high: LinearScore

    def probabilities(self, matrix: Floats) -> Floats:
        """P(low), P(mid), P(high) (n, 3) for rows (n, K) of the matrix it was fitted on; NaN where a column is."""
        return softmax(np.column_stack([each.score(matrix) for each in (self.low, self.mid, self.high)]))


class Baselines(Part):
    """The fitted baselines of a set.

    Keys of `direction` and `base_rate` are ``<horizon>/up`` (the return is above 0), ``<horizon>/long`` and
    ``<horizon>/short`` (that side pays beyond costs).
    """

    direction: dict[QuestionName, dict[Fitted, LinearScore]]
    base_rate: dict[QuestionName, Share] = Field(description="Share of ones on the train slice.")
    regime: dict[Literal["har_and_calendar"], RegimeScore]
    regime_shares: tuple[Share, Share, Share] = Field(description="Of low, mid, high on the train slice.")

    @model_validator(mode="after")
    def _complete(self) -> Baselines:
        if set(self.direction) != set(self.base_rate):
            raise ValueError(f"scores are for {sorted(self.direction)}, base rates for {sorted(self.base_rate)}")
        for key, scores in self.direction.items():
            if set(scores) != {"logistic", "volatility_and_clock"}:
                raise ValueError(f"{key} has the scores {sorted(scores)}, not logistic and volatility_and_clock")
        read = [scores["volatility_and_clock"] for scores in self.direction.values()]
        read += [score for regime in self.regime.values() for score in (regime.low, regime.mid, regime.high)]
        if any(len(score.center) != COLUMNS for score in read):
            raise ValueError(f"a score on volatility and clock does not read their {COLUMNS} columns")
        return self


def minus_24h_return(candles: Candles) -> Floats:
    """The rule to beat (N,): minus the return of the last 24 hours, as a score for *up* and for a long.

    A short's score is its opposite. NaN where the last 24 hours are not whole.
    """
    bars = max(1, DAY_HOURS * HOUR_MS // candles.timeframe.ms)
    past = np.full(len(candles), np.nan)
    past[bars:] = candles.close[bars:] / candles.close[:-bars] - 1
    return np.where(features.unbroken(candles) > bars, -past, np.nan)


def volatility_and_clock(candles: Candles) -> Floats:
    """Log volatility over five spans up to a week, and harmonics of the week and the day (N, COLUMNS).

    Knows how much the price will move and nothing of where to. With a cost in the label that alone gives skill, which a
    direction model must not be credited with. NaN where a span is not whole.
    """
    squares = np.concatenate([[np.nan], np.diff(np.log(candles.close)) ** 2])
    whole = features.unbroken(candles)
    columns = []
    for hours in SPANS_HOURS:
        bars = max(1, hours * HOUR_MS // candles.timeframe.ms)
        mean = np.full(len(candles), np.nan)
        if len(candles) > bars:
            mean[bars:] = np.correlate(squares[1:], np.ones(bars), "valid") / bars
        columns.append(np.where(whole > bars, 0.5 * np.log(mean + 1e-10), np.nan))
    angle = 2 * np.pi * (candles.open_time % WEEK_MS) / WEEK_MS
    for cycles in CYCLES_A_WEEK:
        columns += [np.sin(cycles * angle), np.cos(cycles * angle)]
    return np.column_stack(columns)


def persistence(candles: Candles, horizon: int, edges: tuple[float, float] | Floats) -> Floats:
    """The regime (N,) of the last `horizon` bars by the set's edges: 0, 1, 2, or NaN where they are not whole."""
    past = np.full(len(candles), np.nan)
    past[horizon:] = labels.forward_volatility(candles, horizon)[:-horizon]
    return labels.regimes(past, edges)


def direction_scores(fitted: Baselines, candles: Candles, matrix: Floats) -> dict[str, dict[str, Floats]]:
    """Every baseline's score for every question: ``5/long`` -> ``logistic`` -> (N,); higher is likelier.

    Parameters
    ----------
    fitted : Baselines
        Of the set's manifest.
    candles : Candles
        N candles.
    matrix : (N, F) float64
        Their features, in the manifest's order, unscaled.
    """
    clock, reversal = volatility_and_clock(candles), minus_24h_return(candles)
    return {
        key: {
            "minus_24h_return": -reversal if key.endswith("short") else reversal,
            "volatility_and_clock": scores["volatility_and_clock"].score(clock),
            "logistic": scores["logistic"].score(matrix),
        }
        for key, scores in fitted.direction.items()
    }
