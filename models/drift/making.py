"""Making a reference: bins, how heads did on unseen rows, and limits; called once, when a set is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from market.candles import Floats, Ints
from models.drift import stability
from models.drift.limits import Plan, Scores, Stability, Statistics, limits
from models.drift.reference import EVERY, PERIOD, RATE, WINDOWS, Column, Limits, Reference, Scored, Span
from models.manifest import utc

DRAWS = 500
PARTS = 4
"""A column must forget itself in such a part of a block. One that is slower has only a few values in all of training,
each held for weeks; a new one is then no evidence of anything, and shuffled blocks would pretend it were.
"""
FORGOTTEN = 0.05
"""Autocorrelation that counts as none."""
CAUTION = 0.5
"""Share of the stated rate that limits are drawn for: blocks break what lasts longer than they do."""
SAMPLED = 3
"""Groups whose limits are drawn; each has its part of the rate."""
DIGITS = 5
"""Significant digits that are kept: the file is small, and nobody judges by the next."""


@dataclass(frozen=True)
class Rows:
    """Columns of one group over n rows in time order.

    Attributes
    ----------
    open_time : (n,) int64
        UTC ms.
    names : tuple of str
        J columns.
    values : (n, J) float64
        NaN where missing.
    """

    open_time: Ints
    names: tuple[str, ...]
    values: Floats


@dataclass(frozen=True)
class Outcomes:
    """What heads said of rows their recipe had not seen, and what came (n, H), NaN where it is not known."""

    open_time: Ints
    said: Mapping[str, Floats]
    came: Mapping[str, Floats]


def make(
    features: Rows,
    predictions: Rows,
    outcomes: Outcomes,
    *,
    block: int,
    seed: int = 0,
    draws: int = DRAWS,
    windows: tuple[int, ...] = WINDOWS,
    every: int = EVERY,
    period: int = PERIOD,
    rate: float = RATE,
) -> Reference:
    """The reference of a set.

    Parameters
    ----------
    features : Rows
        Every candle of the train slice, those with missing values included.
    predictions : Rows
        What the finished set says of rows that its members were not fitted on.
    outcomes : Outcomes
        The walk-forward record's.
    block : int
        Candles in a block of the bootstrap.
    rate : float
        Probability of any false alarm in `period` candles.

    Raises
    ------
    ValueError
        If a group has no rows.
    """
    plan = Plan(windows, every, period, block, draws, seed)
    columns = {name: _columns(rows) for name, rows in (("features", features), ("predictions", predictions))}
    heads = tuple(outcomes.said)
    known = np.flatnonzero(
        np.all([np.isfinite(outcomes.came[h]) & np.isfinite(outcomes.said[h]) for h in heads], axis=0)
    )
    if not len(known):
        raise ValueError("no outcome is known, so nothing can be said of calibration")
    said, came = (np.column_stack([told[h][known] for h in heads]) for told in (outcomes.said, outcomes.came))
    loss, gap = (said - came) ** 2, came - said
    scores = Scores(heads, loss, gap)
    groups: dict[str, Statistics] = {
        name: _stability(name, rows, columns[name], block)
        for name, rows in (("features", features), ("predictions", predictions))
    }
    groups["outcomes"] = scores
    made = {name: limits(told, plan, CAUTION * rate / SAMPLED) for name, told in groups.items()}
    return Reference(
        block=block,
        draws=draws,
        every=every,
        period=period,
        rate=rate,
        spans={
            "features": _span(features.open_time),
            "predictions": _span(predictions.open_time),
            "outcomes": _span(outcomes.open_time[known]),
        },
        features=columns["features"],
        predictions=columns["predictions"],
        scores={
            h: Scored(brier=_short(b), gap=_short(g))
            for h, b, g in zip(heads, loss.mean(axis=0), gap.mean(axis=0), strict=True)
        },
        limits=tuple(
            Limits(
                window=window,
                of={
                    name: _short(limit)
                    for group, told in groups.items()
                    if window in made[group]
                    for name, limit in zip(told.names, made[group][window], strict=True)
                },
                lacking={
                    group: f"{told.rows} rows are too few for windows of {window} candles and blocks of {block}"
                    for group, told in groups.items()
                    if window not in made[group]
                },
            )
            for window in windows
        ),
    )  # fmt: skip


def memory(values: Floats) -> int:
    """How many candles of a column (n,) are worth one that knows nothing of the others; n where it never forgets.

    Its integrated autocorrelation time, 1 + 2 Σ r, of its ranks, up to the first lag at which r is below 5 %.
    """
    known = np.isfinite(values)
    if known.sum() < 2 or np.ptp(values[known]) == 0:
        return 1
    ranks = np.zeros(len(values))
    ranks[known] = rankdata(values[known])
    ranks[known] -= ranks[known].mean()
    size = 2 ** int(np.ceil(np.log2(2 * len(ranks))))
    spectrum = np.fft.rfft(ranks, size)
    together = np.fft.irfft(spectrum * spectrum.conj(), size)[: len(ranks)]
    alike = together / together[0]
    below = np.flatnonzero(alike < FORGOTTEN)
    return round(1 + 2 * float(alike[1 : below[0]].sum())) if len(below) else len(values)


def unchanged(column: Floats) -> Ints:
    """For each value (n,), how many in a row up to it are the same; 0 where it is missing."""
    same = np.zeros(len(column), dtype=np.int64)
    run = 0
    for at, value in enumerate(column.tolist()):
        run = run + 1 if at and value == column[at - 1] else int(np.isfinite(value))
        same[at] = run
    return same


def standing(column: Floats) -> int:
    """How many values in a row, up to the last of them (n,), are the same: the last of `unchanged`."""
    if not len(column) or not np.isfinite(column[-1]):
        return 0
    changes = np.flatnonzero(column[1:] != column[:-1])
    return len(column) - (int(changes[-1]) + 1 if len(changes) else 0)


def _columns(rows: Rows) -> dict[str, Column]:
    if not len(rows.open_time):
        raise ValueError("no rows to make a reference of")
    return {name: _column(values) for name, values in zip(rows.names, rows.values.T, strict=True)}


def _column(values: Floats) -> Column:
    cuts = stability.edges(values)
    counts = stability.counted(stability.binned(values, cuts), stability.bins_of(cuts))
    shares = tuple(_short(s) for s in stability.expected(counts))
    return Column(edges=cuts, shares=shares, longest=int(unchanged(values).max()), memory=memory(values))


def _stability(group: str, rows: Rows, columns: Mapping[str, Column], block: int) -> Stability:
    """What the limits of a group are drawn from: the columns that forget themselves well within a block."""
    fast = [at for at, name in enumerate(rows.names) if columns[name].memory <= block // PARTS]
    told = [(f"{group}/{rows.names[at]}", columns[rows.names[at]], rows.values[:, at]) for at in fast]
    codes = [stability.binned(values, column.edges) for _, column, values in told]
    bins = tuple(len(column.shares) for _, column, _ in told)
    table = np.column_stack(codes) if codes else np.empty((0, 0), dtype=np.int16)
    return Stability(tuple(name for name, _, _ in told), table, bins)


def _span(times: Ints) -> Span:
    return Span(start=utc(int(times[0])), end=utc(int(times[-1])), rows=len(times))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
