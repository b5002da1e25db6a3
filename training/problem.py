"""The problem a set is fitted to: features, labels, and which rows each step may look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from market.timeframes import utc_text
from models import features, labels
from models.baselines import volatility_and_clock
from models.inputs import closing_with
from models.manifest import head
from training.data import Bars, DataError
from training.member_spec import FeatureSpec
from training.spec import TrainingSpec
from training.splits import Slices, SplitError, honest_slices

SIDES = (labels.LONG, labels.SHORT)
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Finer:
    """What the member on shorter candles is fitted to, row by row of those, and how they meet the decision candles.

    Attributes
    ----------
    candles : Candles
        M shorter candles.
    names : tuple of str
        G features.
    matrix : (M, G) float64
        Raw features; NaN where a value cannot be known.
    ready : (M,) bool
        Rows at which the member's window is complete.
    heads : tuple of str
        ``3/long``, ``3/short``: bars ahead, in shorter candles.
    targets : (M, 2) float64
        Their labels, 1, 0 or NaN.
    ends : (N,) int64
        The shorter candle that closes with each decision candle; where there is none, the last one before.
    lookback : int
        Shorter candles one row needs, the window included.
    """

    candles: Candles
    names: tuple[str, ...]
    matrix: Floats
    ready: NDArray[np.bool_]
    heads: tuple[str, ...]
    targets: Floats
    ends: Ints
    lookback: int


@dataclass(frozen=True)
class Problem:
    """Everything that members are fitted to, in bars' positions.

    Attributes
    ----------
    bars : Bars
        N decision candles and their funding.
    names : tuple of str
        F features.
    matrix : (N, F) float64
        Raw features; NaN where a value cannot be known.
    rows : (n,) int64
        Positions at which the longest window is complete.
    heads : dict
        Head name -> labels (N,), 1, 0 or NaN.
    volatility : (N,) float64
        That of the bars to come.
    edges : (2,) or (N, 2) float64
        Regime edges, from the train slice; or each row's own, from the year before it.
    slices : Slices
        The four parts of time.
    left_out : dict
        Feature that was wanted -> why it is not used.
    lookback : int
        Candles one row needs, the longest window included.
    finer : Finer or None
        Shorter candles, where a member reads them.
    """

    bars: Bars
    names: tuple[str, ...]
    matrix: Floats
    rows: Ints
    heads: dict[str, Floats]
    volatility: Floats
    edges: Floats
    slices: Slices
    left_out: dict[str, str]
    lookback: int
    finer: Finer | None = None

    def rows_in(self, part: range) -> Ints:
        """Usable positions within a slice."""
        return self.rows[(self.rows >= part.start) & (self.rows < part.stop)]

    @cached_property
    def targets(self) -> Floats:
        """Labels of all heads (N, H), in the heads' order."""
        return np.column_stack(list(self.heads.values()))

    @cached_property
    def questions(self) -> dict[str, Floats]:
        """What baselines are fitted to -> outcomes (N,): the heads', and the plain direction ``<horizon>/up``."""
        horizons = dict.fromkeys(int(key.partition("/")[0]) for key in self.heads)
        return {f"{h}/up": labels.up(self.bars.candles, h) for h in horizons} | self.heads

    @cached_property
    def clock(self) -> Floats:
        """What the volatility-only baselines read (N, K)."""
        return volatility_and_clock(self.bars.candles)

    def edges_of(self, rows: Ints) -> Floats:
        """Regime edges by the volatility to come of these rows alone; trailing ones need no rows, and stay as they are.

        Raises
        ------
        DataError
            If they part nothing.
        """
        return self.edges if self.edges.ndim == 2 else _edges(self.bars, self.volatility, rows)

    @property
    def last_edges(self) -> tuple[float, float]:
        """The two regime edges of the train slice; of trailing ones the last row's."""
        low, high = self.edges if self.edges.ndim == 1 else self.edges[-1]
        return float(low), float(high)

    @cached_property
    def regimes(self) -> Floats:
        """Regime to come (N,): 0, 1, 2 or NaN."""
        return labels.regimes(self.volatility, self.edges)


def pose(bars: Bars, spec: TrainingSpec) -> Problem:
    """Compute features and labels and divide time.

    Raises
    ------
    DataError
        If no feature or too few rows are left, naming what of the history is to blame.
    """
    names, left_out = choose_features(bars, spec.features)
    matrix = features.compute(bars.candles, bars.funding, names, bars.companion)
    window = max([1, *(network.window for network in spec.networks.values())])
    lookback = features.required_lookback(names) + window - 1
    # What inference demands of a row, so that both speak of the same rows.
    ready = features.rows_ready(matrix, window) & (features.unbroken(bars.candles) >= lookback)
    finer = _finer(bars, spec)
    if finer is not None:
        ready &= (closing_with(bars.candles, finer.candles) == finer.ends) & finer.ready[finer.ends]
    trailing = None
    if spec.labels.regime_edges == "trailing":
        trailing = labels.trailing_edges(bars.candles, spec.labels.regime_horizon)
        ready &= np.isfinite(trailing).all(axis=1)
    rows = np.flatnonzero(ready)
    count = len(bars.candles)
    if not len(rows):
        raise DataError(_why_none_ready(bars, names, matrix, lookback))
    purge = spec.labels.purge
    test_bars = None if spec.splits.test_days is None else spec.splits.test_days * DAY_MS // bars.candles.timeframe.ms
    try:
        slices = honest_slices(int(rows[0]), count, spec.splits.shares, purge, test_bars)
    except SplitError as error:
        raise DataError(f"{bars.source}: {error}") from error
    volatility = labels.forward_volatility(bars.candles, spec.labels.regime_horizon)
    heads = {
        head(h, side): labels.profitable(bars.candles, h, side, spec.labels.cost)
        for h in spec.labels.horizons
        for side in SIDES
    }
    edges = trailing
    if edges is None:
        edges = _edges(bars, volatility, rows[(rows >= slices.train.start) & (rows < slices.train.stop)])
    problem = Problem(bars, names, matrix, rows, heads, volatility, edges, slices, left_out, lookback, finer)
    _check_slices(problem)
    return problem


def _finer(bars: Bars, spec: TrainingSpec) -> Finer | None:
    """The problem of the member on shorter candles, if the spec has one.

    Raises
    ------
    DataError
        If the bars came without shorter candles.
    """
    told = spec.lstm15m
    if told is None:
        return None
    if bars.finer is None:
        raise DataError(
            f"{bars.source}: the spec's lstm15m reads {told.timeframe} candles; give them as a second file after a "
            f"comma, --data 1h.parquet,{told.timeframe}.parquet, or leave lstm15m out of the spec"
        )
    candles = bars.finer
    names, _ = choose_features(replace(bars, candles=candles, companion=None, funding=None), told.features)
    matrix = features.compute(candles, None, names)
    lookback = features.required_lookback(names) + told.window - 1
    ready = features.rows_ready(matrix, told.window) & (features.unbroken(candles) >= lookback)
    targets = [labels.profitable(candles, told.bars_ahead, side, spec.labels.cost) for side in SIDES]
    closes = bars.candles.open_time + bars.candles.timeframe.ms
    ends = np.searchsorted(candles.open_time + candles.timeframe.ms, closes, side="right") - 1
    return Finer(
        candles,
        names,
        matrix,
        np.asarray(ready),
        tuple(head(told.bars_ahead, side) for side in SIDES),
        np.column_stack(targets),
        np.maximum(ends, 0),
        lookback,
    )


def _check_slices(problem: Problem) -> None:
    """Each slice must have rows enough, and both outcomes of each head where something is fitted or judged."""
    bars = problem.bars
    for name, part in problem.slices.items():
        rows = problem.rows_in(part)
        since = f"the {name} slice (from {utc_text(int(bars.candles.open_time[part.start]))})"
        if len(rows) < len(part) // 2:
            raise DataError(
                f"{bars.source}: {len(part) - len(rows)} of {len(part)} bars of {since} lack features, because of "
                f"holes or missing values before them; fill the gaps, or lower features.max_lookback"
            )
        for key, known in problem.heads.items():
            outcomes = known[rows]
            if name != "stop" and len(np.unique(outcomes[~np.isnan(outcomes)])) < 2:
                raise DataError(
                    f"{bars.source}: {key} trades have one outcome alone in {since}; "
                    f"give more bars, or lower labels.cost"
                )


def choose_features(bars: Bars, spec: FeatureSpec) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names to use, and why each other wanted one is left out.

    Raises
    ------
    DataError
        If none is left.
    """
    wanted = features.REGISTRY.chosen(spec.include)
    if spec.include is None and bars.companion is not None:
        wanted += features.REGISTRY.chosen(features.CROSS)
    there = set(features.available(bars.candles, bars.funding, bars.companion))
    longest = spec.max_lookback or max(f.lookback for f in wanted)
    left_out = {f.name: f"needs {', '.join(f.needs)}" for f in wanted if f.name not in there}
    left_out |= {f.name: f"lookback {f.lookback}" for f in wanted if f.lookback > longest}
    left_out |= dict.fromkeys(features_named(spec.exclude), "excluded")
    names = tuple(f.name for f in wanted if f.name not in left_out)
    if not names:
        raise DataError(f"{bars.source}: no feature is left; the spec leaves out {len(left_out)}")
    return names, left_out


def features_named(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, if each is a registered feature."""
    return tuple(f.name for f in features.REGISTRY.chosen(names)) if names else ()


def _edges(bars: Bars, volatility: Floats, rows: Ints) -> Floats:
    try:
        return np.array(labels.regime_edges(volatility[rows]))
    except ValueError as error:
        raise DataError(f"{bars.source}: {error}") from error


def _why_none_ready(bars: Bars, names: tuple[str, ...], matrix: Floats, lookback: int) -> str:
    if len(bars.candles) < lookback:
        return f"{bars.source}: {len(bars.candles)} bars, the features need {lookback} for one row; give more bars"
    if features.unbroken(bars.candles).max() < lookback:
        holes = bars.candles.holes()
        return (
            f"{bars.source}: no stretch of {lookback} bars without a hole ({len(holes)} holes, the first from "
            f"{utc_text(holes[0][0])} to {utc_text(holes[0][1])}); fill the gaps, or lower features.max_lookback"
        )
    never = [name for name, column in zip(names, matrix.T, strict=True) if not np.isfinite(column).any()]
    if never:
        return f"{bars.source}: {', '.join(never[:5])} can be computed at no bar; leave them out (features.exclude)"
    return f"{bars.source}: no bar has a value of every feature; leave out those with gaps (features.exclude)"
