"""Stacking: one logit out of the members' logits, by logistic regression on out-of-fold answers.

Rows where a member gave none are left out of the fit, never filled with 0.
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


class LogisticStacker(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Intercept + sum of coefficient x member logit, no coefficient below 0.

    Members are much alike, so free coefficients play them against one another: a weak member gets a minus sign out of
    noise. Bounded at 0 and drawn towards the plain average, the stack departs from it only by evidence.

    Parameters
    ----------
    l2 : float
        Pull towards the average (each 1 / M), as of so many rows whose logits are 1.

    Attributes
    ----------
    coefficients_ : (M,) float64
    intercept_ : float

    References
    ----------
    Breiman (1996), Stacked regressions: coefficients that are not negative.
    """

    def __init__(self, l2: float = 10.0) -> None:
        self.l2 = l2

    def __sklearn_tags__(self) -> Any:
        """Two classes only, and rows may lack values in the fit."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # It is for columns that each argue for the second class; arbitrary ones it cannot turn round.
        tags.classifier_tags.poor_score = True
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> LogisticStacker:
        """Fit to members' logits X (N, M) and outcomes y (N,); rows of X with NaN are left out."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        kind = type_of_target(y)
        if kind not in ("binary", "unknown"):
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        told = np.isfinite(X).all(axis=1)
        if not told.any():
            raise ValueError(f"no row of {len(X)} has an answer from every member; none can be stacked")
        self.classes_ = np.unique(y[told])
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        x, one = X[told], (y[told] == self.classes_[1]).astype(np.float64)
        average = np.full(x.shape[1], 1 / x.shape[1])

        def loss(at: Floats) -> tuple[float, Floats]:
            z, away = x @ at[:-1] + at[-1], at[:-1] - average
            wrong = sigmoid(z) - one
            value = np.sum(np.logaddexp(0, z) - one * z) + self.l2 / 2 * away @ away
            return float(value), np.append(x.T @ wrong + self.l2 * away, wrong.sum())

        bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
        fine = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8}
        found = minimize(loss, np.append(average, 0.0), jac=True, method="L-BFGS-B", bounds=bounds, options=fine)
        self.coefficients_ = found.x[:-1]
        self.intercept_ = float(found.x[-1])
        return self

    def decision_function(self, X: Any) -> Floats:
        """Stacked logits (N,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite="allow-nan")
        return stacked(X, self.coefficients_, self.intercept_)

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (N, 2) of the two classes."""
        up = sigmoid(self.decision_function(X))
        return np.column_stack([1 - up, up])

    def predict(self, X: Any) -> Any:
        """The likelier class (N,)."""
        likelier = (self.decision_function(X) > 0).astype(np.int64)
        return self.classes_[likelier]


def stacked(logits: Floats, coefficients: Floats, intercept: float) -> Floats:
    """Intercept + logits (N, M) x coefficients (M,), summed member by member: the same for one row and for many."""
    total = np.full(len(logits), float(intercept))
    for column, coefficient in enumerate(coefficients):
        total = total + coefficient * logits[:, column]
    return total
