"""Stacking: one logit out of the members' logits, by logistic regression on out-of-fold answers.

Rows where a member gave none are left out of the fit, never filled with 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from market.candles import Floats
from models.logits import sigmoid


class LogisticStacker(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Intercept + sum of coefficient x member logit.

    Parameters
    ----------
    l2 : float
        Ridge on the coefficients, counted in rows of evidence; members' logits are small and much alike.

    Attributes
    ----------
    coefficients_ : (M,) float64
    intercept_ : float
    """

    def __init__(self, l2: float = 10.0) -> None:
        self.l2 = l2

    def __sklearn_tags__(self) -> Any:
        """Two classes only, and rows may lack values in the fit."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
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
        regression = LogisticRegression(C=1 / self.l2, max_iter=1000, tol=1e-8).fit(X[told], y[told])
        self.classes_ = regression.classes_
        self.coefficients_ = regression.coef_[0].astype(np.float64)
        self.intercept_ = float(regression.intercept_[0])
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
