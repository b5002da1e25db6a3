"""Calibration: a probability that says .6 comes true six times in ten.

Platt's two numbers on the logit; fitted where neither members nor stacker were, and kept in the manifest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from market.candles import Floats
from models.logits import sigmoid


class PlattCalibrator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """P = sigmoid(slope x logit + intercept), with Platt's smoothed targets.

    Parameters
    ----------
    least_slope : float
        The slope never falls below this: a calibrator that turns a score upside down has learned noise.

    Attributes
    ----------
    slope_, intercept_ : float
        The two numbers.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines.
    """

    def __init__(self, least_slope: float = 0.0) -> None:
        self.least_slope = least_slope

    def __sklearn_tags__(self) -> Any:
        """Two classes only."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any) -> PlattCalibrator:
        """Fit to logits X (N, 1) and outcomes y (N,) of two classes."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        if type_of_target(y) != "binary" or X.shape[1] != 1:
            if X.shape[1] != 1:
                raise ValueError(f"a calibrator takes one column of logits, X has {X.shape[1]} features")
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        ones = y == self.classes_[1]
        up, down = int(ones.sum()), int((~ones).sum())
        target = np.where(ones, (up + 1) / (up + 2), 1 / (down + 2))
        column = X[:, 0]

        def loss(at: Floats) -> tuple[float, Floats]:
            z = at[0] * column + at[1]
            wrong = sigmoid(z) - target
            value = np.logaddexp(0, z) - target * z
            return float(value.mean()), np.array([(wrong * column).mean(), wrong.mean()])

        found = minimize(
            loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(self.least_slope, None), (None, None)]
        )
        self.slope_, self.intercept_ = float(found.x[0]), float(found.x[1])
        return self

    def decision_function(self, X: Any) -> Floats:
        """Calibrated logits (N,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.slope_ * X[:, 0] + self.intercept_)

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (N, 2) of the two classes."""
        up = sigmoid(self.decision_function(X))
        return np.column_stack([1 - up, up])

    def predict(self, X: Any) -> Any:
        """The likelier class (N,)."""
        likelier = (self.decision_function(X) > 0).astype(np.int64)
        return self.classes_[likelier]
