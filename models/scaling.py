"""Scaling: features as networks read them: centred, divided by their spread, clipped, float32.

Follows scikit-learn's contract. Fitted on the training split alone; its numbers are kept in the manifest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from market.candles import Floats


def scale(matrix: Floats, center: Floats, spread: Floats, clip: float) -> NDArray[np.float32]:
    """(matrix - center) / spread, clipped to [-clip, clip]; NaN stays NaN."""
    return np.clip((matrix - center) / spread, -clip, clip).astype(np.float32)


class FeatureScaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Centre on the mean, divide by the standard deviation (1 for a constant column), clip.

    Parameters
    ----------
    clip : float
        Scaled values beyond this are drawn to it: one flash crash must not saturate a network.

    Attributes
    ----------
    center_, scale_ : (F,) float64
        Mean and standard deviation of each column.
    """

    def __init__(self, clip: float = 8.0) -> None:
        self.clip = clip

    def fit(self, X: Any, y: Any = None) -> FeatureScaler:
        """Learn centre and spread of each column of X (N, F)."""
        X = validate_data(self, X, dtype=np.float64)
        self.center_ = X.mean(axis=0)
        spread = X.std(axis=0)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Scaled float32 (N, F)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return scale(X, self.center_, self.scale_, self.clip)
