"""Pooling: one distribution over the regimes out of several, by a weighted product of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from market.candles import Floats
from models.logits import softmax

_LEAST = 1e-6
"""A member that calls an outcome impossible must not rule it out."""


@dataclass(frozen=True)
class Pool:
    """A logarithmic opinion pool: P(k) in proportion to exp(bias_k) x the product of each p_m(k) ** weight_m.

    Attributes
    ----------
    weights : (M,) float64
        None below 0.
    bias : (K,) float64

    References
    ----------
    Genest and Zidek (1986), Combining probability distributions.
    """

    weights: Floats
    bias: Floats

    def __call__(self, said: Sequence[Floats]) -> Floats:
        """Probabilities (n, K) of the members' (n, K) each; NaN where a member's are."""
        total = np.tile(self.bias, (len(said[0]), 1))
        for weight, each in zip(self.weights, said, strict=True):
            total = total + weight * np.log(np.maximum(each, _LEAST))
        return softmax(total)


def average(members: int, outcomes: int) -> Pool:
    """The pool that favours none."""
    return Pool(np.full(members, 1 / members), np.zeros(outcomes))


def fit(said: Sequence[Floats], outcome: Floats, l2: float) -> Pool:
    """The pool of least log-loss, drawn towards the plain average.

    Parameters
    ----------
    said : sequence of (n, K) float64
        Probabilities of each member; rows with NaN are left out.
    outcome : (n,) float64
        Class numbers, NaN where unknown.
    l2 : float
        Pull of weights and bias towards the average, as of so many rows.
    """
    members, classes = len(said), said[0].shape[1]
    told = ~np.isnan(outcome) & np.all([np.isfinite(each).all(axis=1) for each in said], axis=0)
    even = average(members, classes)
    if not told.any():
        return even
    logs = np.stack([np.log(np.maximum(each[told], _LEAST)) for each in said])
    came = outcome[told].astype(np.int64)
    hot = np.eye(classes)[came]

    def loss(at: Floats) -> tuple[float, Floats]:
        weights, bias = at[:members], at[members:]
        probability = softmax(np.tensordot(weights, logs, 1) + bias)
        away = weights - even.weights
        value = -np.log(np.maximum(probability[np.arange(len(came)), came], 1e-300)).sum()
        wrong = probability - hot
        slope = np.append((logs * wrong).sum(axis=(1, 2)) + l2 * away, wrong.sum(axis=0) + l2 * bias)
        return float(value + l2 / 2 * (away @ away + bias @ bias)), slope

    bounds = [(0.0, None)] * members + [(None, None)] * classes
    start = np.append(even.weights, even.bias)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-13})
    return Pool(found.x[:members], found.x[members:])
