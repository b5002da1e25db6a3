"""Baselines: what every set must be compared with. They are comparators and never trade.

Each is fitted, where it needs fitting, on the same rows as the members, and scored on the same test slice.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from market.candles import Candles, Floats, Ints
from training import boosting
from training.problem import Problem
from training.spec import TrainingSpec

DAY_HOURS = 24
SPANS_HOURS = (1, 6, 24, 72, 168)
HOUR_MS = 3_600_000


def reversal(candles: Candles, side: int) -> Floats:
    """The rule to beat: minus the return (N,) of the last 24 hours, for a long; its opposite for a short."""
    bars = max(1, DAY_HOURS * HOUR_MS // candles.timeframe.ms)
    past = np.full(len(candles), np.nan)
    past[bars:] = candles.close[bars:] / candles.close[:-bars] - 1
    return -side * past


def volatility_and_clock(candles: Candles) -> Floats:
    """Log volatility over five spans up to a week, hour of the day and day of the week (N, 9).

    Knows how much the price will move and nothing of where to. With a cost in the label that alone gives skill, which a
    direction model must not be credited with.
    """
    squares = np.concatenate([[np.nan], np.diff(np.log(candles.close)) ** 2])
    columns = []
    for hours in SPANS_HOURS:
        bars = max(1, hours * HOUR_MS // candles.timeframe.ms)
        mean = np.full(len(candles), np.nan)
        if len(candles) > bars:
            mean[bars:] = np.correlate(squares[1:], np.ones(bars), "valid") / bars
        columns.append(0.5 * np.log(mean + 1e-10))
    hour = candles.open_time / HOUR_MS % 24
    day = candles.open_time / HOUR_MS / 24 % 7
    columns += [np.sin(2 * np.pi * hour / 24), np.cos(2 * np.pi * hour / 24)]
    columns += [np.sin(2 * np.pi * day / 7), np.cos(2 * np.pi * day / 7)]
    return np.column_stack(columns)


def volatility_only(problem: Problem, known: Floats, spec: TrainingSpec, rows: Ints, threads: int) -> Floats:
    """Scores (n,) for `rows` of a booster that sees volatility and clock alone."""
    matrix = volatility_and_clock(problem.bars.candles)
    names = tuple(f"c{i}" for i in range(matrix.shape[1]))
    grow, stop = problem.rows_in(problem.slices.train), problem.rows_in(problem.slices.stop)
    booster = boosting.grow_binary(boosting.Rows(matrix, known, grow, stop, names), spec.lightgbm, spec.seed, threads)
    return boosting.raw_scores(booster, matrix[rows], threads)


def logistic(problem: Problem, known: Floats, rows: Ints) -> Floats:
    """Scores (n,) for `rows` of a ridge logistic regression on the members' own features."""
    fit = problem.rows_in(problem.slices.train)
    fit = fit[~np.isnan(known[fit])]
    scaler = StandardScaler().fit(problem.matrix[fit])
    # Far outliers would rule a straight line.
    inputs = np.clip(scaler.transform(problem.matrix), -5, 5)
    regression = LogisticRegression(C=0.01, max_iter=200).fit(inputs[fit], known[fit])
    scores: Floats = regression.decision_function(inputs[rows])
    return scores


def har_and_calendar(problem: Problem, rows: Ints) -> Floats:
    """Regime probabilities (n, 3) for `rows`: logistic on log volatilities (as HAR has them), hour and weekday."""
    matrix = volatility_and_clock(problem.bars.candles)
    fit = problem.rows_in(problem.slices.train)
    fit = fit[~np.isnan(problem.regimes[fit]) & np.isfinite(matrix[fit]).all(axis=1)]
    scaler = StandardScaler().fit(matrix[fit])
    regression = LogisticRegression(C=1.0, max_iter=300).fit(scaler.transform(matrix[fit]), problem.regimes[fit])
    probabilities: Floats = regression.predict_proba(scaler.transform(matrix[rows]))
    return probabilities


def persistence(problem: Problem, rows: Ints, horizon: int) -> Floats:
    """Regime (n,) that the last `horizon` bars had, NaN where unknown."""
    past = np.full(len(problem.volatility), np.nan)
    past[horizon:] = problem.volatility[:-horizon]
    regime = np.where(np.isnan(past), np.nan, np.searchsorted(np.array(problem.edges), past, side="right"))
    return regime[rows]
