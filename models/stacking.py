"""Stacking: one logit out of the members' logits, by logistic regression on out-of-fold answers.

Rows where a member gave none are left out of the fit, never filled with 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from market.candles import Floats
from models.logits import sigmoid

VOLATILITY = "volatility_24"
"""The feature that says how much the price moves: log of the root mean square return of a day of hours."""


class LogisticStacker(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Intercept + sum of coefficient x member logit, no coefficient below 0.

    Members are much alike, so free coefficients play them against one another: a weak member gets a minus sign out of
    noise. Bounded at 0 and drawn towards the plain average, the stack departs from it only by evidence.

    Parameters
    ----------
    l2 : float
        Pull towards the average (each 1 / M), as of so many rows whose logits are 1.
    context : int
        The last so many columns are no members' logits but what the stack reads beside them; their coefficients may
        have either sign.
    context_l2 : float
        Pull of those coefficients towards 0.

    Attributes
    ----------
    coefficients_ : (M,) float64
        Of every column, the context's last.
    intercept_ : float

    References
    ----------
    Breiman (1996), Stacked regressions: coefficients that are not negative.
    """

    def __init__(self, l2: float = 10.0, context: int = 0, context_l2: float = 1000.0) -> None:
        self.l2 = l2
        self.context = context
        self.context_l2 = context_l2

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
        members = x.shape[1] - self.context
        if members < 1:
            raise ValueError(f"{x.shape[1]} columns, of which {self.context} are context, leave no member")
        average = np.append(np.full(members, 1 / members), np.zeros(self.context))
        pull = np.append(np.full(members, self.l2), np.full(self.context, self.context_l2))

        def loss(at: Floats) -> tuple[float, Floats]:
            z, away = x @ at[:-1] + at[-1], at[:-1] - average
            wrong = sigmoid(z) - one
            value = np.sum(np.logaddexp(0, z) - one * z) + (pull * away) @ away / 2
            return float(value), np.append(x.T @ wrong + pull * away, wrong.sum())

        bounds = [(0.0, None)] * members + [(None, None)] * (self.context + 1)
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


def context_columns(names: Sequence[str], logits: Floats, volatility: Floats | None) -> Floats:
    """What a stack reads beside the members' logits (n, M): the named columns (n, C), unscaled.

    ``volatility`` is the feature `VOLATILITY` (n,), ``disagreement`` the standard deviation of the members' logits.
    """
    columns = []
    for name in names:
        if name == "disagreement":
            columns.append(logits.std(axis=1))
        elif volatility is None:
            raise ValueError(f"a stack that reads volatility needs the feature {VOLATILITY}")
        else:
            columns.append(volatility)
    return np.column_stack(columns) if columns else np.empty((len(logits), 0))


def stacked(logits: Floats, coefficients: Floats, intercept: float) -> Floats:
    """Intercept + logits (N, M) x coefficients (M,), summed member by member: the same for one row and for many."""
    total = np.full(len(logits), float(intercept))
    for column, coefficient in enumerate(coefficients):
        total = total + coefficient * logits[:, column]
    return total
