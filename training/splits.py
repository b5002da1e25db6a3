"""Splits in time: whatever is judged lies after what it was fitted on, with a gap as long as the labels reach.

A label over h bars at row i knows the close of row i + h. Two neighbouring slices therefore keep a purge of at least
the longest horizon between them, or the earlier one has read the later one's prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import TimeSeriesSplit

from market.candles import Ints


class SplitError(ValueError):
    """Too few bars for the slices asked for."""


@dataclass(frozen=True)
class Slices:
    """Half-open ranges of bar positions, in time order, each a purge away from the next.

    Attributes
    ----------
    train : range
        Where members are fitted and out-of-fold predictions are made.
    stop : range
        Where early stopping looks, and nothing else does.
    calibrate : range
        Where the stack is calibrated and the horizons are weighed.
    test : range
        Untouched until the evidence is written.
    """

    train: range
    stop: range
    calibrate: range
    test: range

    def items(self) -> Iterator[tuple[str, range]]:
        """Name and range of each slice, in time order."""
        yield from (("train", self.train), ("stop", self.stop), ("calibrate", self.calibrate), ("test", self.test))


def honest_slices(
    first: int, end: int, shares: tuple[float, float, float, float], purge: int, test_bars: int | None = None
) -> Slices:
    """Cut bars [first, end) into train, early-stop, calibrate and test.

    Parameters
    ----------
    first, end : int
        Bar positions: first bar with features, and one past the last bar.
    shares : tuple of float
        Shares of the four slices; they sum to 1.
    purge : int
        Bars left out between neighbours: the longest horizon.
    test_bars : int, optional
        The test slice is the last so many bars; the other shares then part what lies before it.

    Raises
    ------
    SplitError
        If a slice would hold less than twice the purge.
    """
    if test_bars is None:
        edges = [first + round((end - first) * share) for share in np.cumsum((0.0, *shares))]
    else:
        before = max(0, end - test_bars - first)
        edges = [first + round(before * share / sum(shares[:3])) for share in np.cumsum((0.0, *shares[:3]))]
        # the purge before the test slice comes off what lies before it, so that the slice is as long as asked for
        edges = [*edges[:-1], max(edges[-1] - purge, edges[-2]), end]
    starts = [edges[0], *(edge + purge for edge in edges[1:-1])]
    parts = [range(start, max(start, stop)) for start, stop in zip(starts, edges[1:], strict=True)]
    names = ("train", "early-stop", "calibrate", "test")
    for name, part in zip(names, parts, strict=True):
        if len(part) < 2 * purge:
            raise SplitError(
                f"{end - first} bars with features leave {len(part)} for the {name} slice; "
                f"it needs at least {2 * purge} (twice the longest horizon): give more bars"
            )
    return Slices(*parts)


class PurgedTimeSeriesSplit:
    """Expanding folds over bar positions with a purge between fit and judged, by the scikit-learn contract.

    scikit-learn's `TimeSeriesSplit` counts samples; rows that were dropped (holes, unready features) would shorten its
    gap in time. This one splits the bars' *positions* by it, and then keeps the rows that are there.

    Parameters
    ----------
    folds : int
        Number of splits.
    purge : int
        Bars between the end of the fit and the first judged bar: the longest horizon.
    """

    def __init__(self, folds: int = 4, purge: int = 24) -> None:
        self.folds = folds
        self.purge = purge

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of splits."""
        return self.folds

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Ints, Ints]]:
        """Yield (fit, judged) indices into X.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            The samples, in time order.
        y : ignored
        groups : (n,) int array, optional
            Bar position of each sample, strictly rising; without it the samples are neighbours in time.
        """
        positions = np.arange(len(X)) if groups is None else np.asarray(groups)
        if len(positions) < 2:
            raise SplitError(f"{len(positions)} rows cannot be split in time; give more bars")
        bars = np.arange(positions[0], positions[-1] + 1)
        try:
            folds = list(TimeSeriesSplit(self.folds, gap=self.purge).split(bars))
        except ValueError as error:
            raise SplitError(
                f"{len(bars)} bars cannot be split {self.folds} times {self.purge} bars apart: {error}; give more bars"
            ) from error
        for fit, judged in folds:
            yield (
                np.flatnonzero(positions <= bars[fit[-1]]),
                np.flatnonzero((positions >= bars[judged[0]]) & (positions <= bars[judged[-1]])),
            )


def hold_back(rows: Ints, share: float, purge: int) -> tuple[Ints, Ints]:
    """Split rows (bar positions, rising) into an earlier part to fit on and a later one to stop on, a purge apart.

    Raises
    ------
    SplitError
        If either part would be empty.
    """
    cut = int(rows[0] + round((rows[-1] - rows[0] + 1) * (1 - share))) if len(rows) else 0
    fit, stop = rows[rows < cut - purge], rows[rows >= cut]
    if not len(fit) or not len(stop):
        raise SplitError(
            f"{len(rows)} rows cannot hold back {share:.0%} for early stopping {purge} bars apart; give more bars"
        )
    return fit, stop
