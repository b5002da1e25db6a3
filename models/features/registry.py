"""The registry of features: what each reads and how far back, and the one function that computes them all.

Training, backtest and live call `compute` alike; row i uses candles up to i, and funding settled before i's close.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from market.funding import Funding
from models.features.series import Series

COMPANION = "companion"
"""What a cross-asset feature needs: the candles of another symbol, by which it is compared."""
DECIMALS = 10
"""Features are rounded to 1e-10: a live row and the same row of a long history then agree to the last bit."""


class FeatureError(ValueError):
    """A feature that does not exist, or a list of them that cannot be used."""


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix.

    Attributes
    ----------
    name : str
        Unique; numbers in it are bars.
    lookback : int
        Rows needed, the current one included.
    needs : tuple of str
        Columns it reads besides the prices: volumes, ``funding``, or the ``companion`` symbol's candles.
    formula : callable
        Series -> (N,) float64.
    version : int
        Raised whenever the formula changes: a set trained on another version is refused.
    """

    name: str
    lookback: int
    needs: tuple[str, ...]
    formula: Callable[[Series], Floats]
    version: int = 1

    def entry(self) -> dict[str, object]:
        """What the schema says of this feature."""
        return {"name": self.name, "lookback": self.lookback, "needs": list(self.needs), "version": self.version}


class Registry:
    """Features in their committed order, found by name."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self._by_name = {f.name: f for f in self.features}
        if len(self._by_name) != len(self.features):
            raise FeatureError("two features share a name")

    def chosen(self, names: Sequence[str] | None = None) -> tuple[Feature, ...]:
        """The features of these names in this order; for None all that one symbol's own market makes.

        Raises
        ------
        FeatureError
            If a name is unknown or twice in the list, or the list is empty.
        """
        if names is None:
            return tuple(f for f in self.features if COMPANION not in f.needs)
        unknown = [n for n in names if n not in self._by_name]
        if unknown:
            raise FeatureError(f"unknown features {', '.join(unknown)}; models/features/schema.json lists all")
        if not names or len(set(names)) != len(names):
            raise FeatureError("a list of features must name at least one, and none twice")
        return tuple(self._by_name[n] for n in names)

    def required_lookback(self, names: Sequence[str] | None = None) -> int:
        """Rows, the current one included, that make the last row of `compute` complete."""
        return max(f.lookback for f in self.chosen(names))

    def schema_hash(self, names: Sequence[str] | None = None) -> str:
        """SHA-256 of the names in order, their lookbacks, needs and versions."""
        entries = [f.entry() for f in self.chosen(names)]
        return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def available(self, candles: Candles, funding: Funding | None, companion: Candles | None = None) -> tuple[str, ...]:
        """Names of the features whose columns this history has at all; without a companion none that compares."""
        if not len(candles):
            return ()
        series = Series(candles, funding, companion)
        there = {n for n, run in series.runs.items() if run.any()} | ({"funding"} if len(series.funding) else set())
        return tuple(f.name for f in self.features if there.issuperset(f.needs))

    def compute(
        self,
        candles: Candles,
        funding: Funding | None,
        names: Sequence[str] | None = None,
        companion: Candles | None = None,
    ) -> Floats:
        """The feature matrix (N, F) float64; NaN where a value cannot be known.

        A value is known when the feature's whole lookback is there, without a hole, with every column it needs. A
        `companion`'s candles are those of another symbol, of the same timeframe; they are met by open time.
        """
        chosen = self.chosen(names)
        if not len(candles):
            return np.empty((0, len(chosen)))
        columns = np.full((len(chosen), len(candles)), np.nan)
        series = Series(candles, funding, companion)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for column, feature in zip(columns, chosen, strict=True):
                if "funding" in feature.needs and not len(series.funding):
                    continue
                known = series.unbroken(feature.needs) >= feature.lookback
                if known.any():
                    column[known] = feature.formula(series)[known]
        columns[~np.isfinite(columns)] = np.nan
        np.round(columns, DECIMALS, out=columns)
        columns += 0.0  # -0.0 becomes 0.0
        return np.ascontiguousarray(columns.T)


def unbroken(candles: Candles) -> Ints:
    """How many sound candles in a row, without a hole between them, end at each row (N,)."""
    return Series(candles, None).unbroken(()) if len(candles) else np.empty(0, dtype=np.int64)


def rows_ready(matrix: Floats, window: int = 1) -> NDArray[np.bool_]:
    """Rows (N,) at which the matrix is complete, and so are the `window - 1` rows before.

    A hole in time within the longest lookback has made values NaN; a window over it is therefore not ready. A window
    longer than every lookback must be checked against the candles' own holes too.
    """
    whole = np.asarray(np.isfinite(matrix).all(axis=1))
    if window == 1:
        return whole
    ready = np.zeros(len(matrix), dtype=bool)
    if len(matrix) >= window:
        ready[window - 1 :] = np.lib.stride_tricks.sliding_window_view(whole, window).all(axis=1)
    return ready
