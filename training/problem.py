"""The problem a set is fitted to: features, labels, and which rows each step may look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from market.candles import Floats, Ints
from market.timeframes import utc_text
from models import features, labels
from models.baselines import volatility_and_clock
from models.manifest import head
from training.data import Bars, DataError
from training.spec import FeatureSpec, TrainingSpec
from training.splits import Slices, SplitError, honest_slices

SIDES = (labels.LONG, labels.SHORT)


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
    edges : tuple of float
        Regime edges, from the train slice.
    slices : Slices
        The four parts of time.
    left_out : dict
        Feature that was wanted -> why it is not used.
    lookback : int
        Candles one row needs, the longest window included.
    """

    bars: Bars
    names: tuple[str, ...]
    matrix: Floats
    rows: Ints
    heads: dict[str, Floats]
    volatility: Floats
    edges: tuple[float, float]
    slices: Slices
    left_out: dict[str, str]
    lookback: int

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

    def edges_of(self, rows: Ints) -> tuple[float, float]:
        """Regime edges by the volatility to come of these rows alone.

        Raises
        ------
        DataError
            If they part nothing.
        """
        return _edges(self.bars, self.volatility, rows)

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
    matrix = features.compute(bars.candles, bars.funding, names)
    window = spec.lstm.window if spec.lstm else 1
    lookback = features.required_lookback(names) + window - 1
    # What inference demands of a row, so that both speak of the same rows.
    rows = np.flatnonzero(features.rows_ready(matrix, window) & (features.unbroken(bars.candles) >= lookback))
    count = len(bars.candles)
    if not len(rows):
        raise DataError(_why_none_ready(bars, names, matrix, lookback))
    purge = spec.labels.purge
    try:
        slices = honest_slices(int(rows[0]), count, spec.splits.shares, purge)
    except SplitError as error:
        raise DataError(f"{bars.source}: {error}") from error
    volatility = labels.forward_volatility(bars.candles, spec.labels.regime_horizon)
    problem = Problem(
        bars,
        names,
        matrix,
        rows,
        {
            head(h, side): labels.profitable(bars.candles, h, side, spec.labels.cost)
            for h in spec.labels.horizons
            for side in SIDES
        },
        volatility,
        _edges(bars, volatility, rows[(rows >= slices.train.start) & (rows < slices.train.stop)]),
        slices,
        left_out,
        lookback,
    )
    _check_slices(problem)
    return problem


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
    there = set(features.available(bars.candles, bars.funding))
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


def _edges(bars: Bars, volatility: Floats, rows: Ints) -> tuple[float, float]:
    try:
        return labels.regime_edges(volatility[rows])
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
