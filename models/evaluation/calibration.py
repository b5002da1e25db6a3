"""Calibration of given probabilities: reliability by bins, expected calibration error, slope and intercept."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.candles import Floats
from models.logits import logit, sigmoid
from models.metrics import Interval
from models.resampling import Drawn, Resamples

BINS = 10
_STEPS, _CLOSE = 50, 1e-10


def reliability(outcome: Floats, probability: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Mean probability and share of ones in bins of about as many rows each; empty bins are left out."""
    edges = np.percentile(probability, np.linspace(0, 100, bins + 1))
    which = np.searchsorted(edges[1:-1], probability)
    found = []
    for number in range(bins):
        inside = which == number
        if inside.any():
            said, came = float(probability[inside].mean()), float(outcome[inside].mean())
            found.append({"rows": int(inside.sum()), "said": said, "came": came})
    return found


def expected_error(bins: list[dict[str, float]]) -> float:
    """Expected calibration error: mean distance of what came from what was said, by the bins' rows.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
    """
    rows = sum(b["rows"] for b in bins)
    return sum(b["rows"] * abs(b["said"] - b["came"]) for b in bins) / rows


def line(outcome: Floats, probability: Floats, resamples: Resamples) -> tuple[Interval, Interval]:
    """Slope and intercept of the outcome's log odds on the logit: 1 and 0 if calibrated; NaN if they have none.

    A slope below 1 says that the probabilities are too bold. The intervals take one Newton step from the whole sample's
    answer in each draw.

    References
    ----------
    Cox (1958), Two further applications of a model for binary regression.
    Davidson and MacKinnon (1999), Bootstrap testing in nonlinear models: one step is enough.
    """
    z = logit(probability)
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    if z.std() < 1e-9 or outcome.min() == outcome.max():
        return nothing, nothing
    at = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        step = _step(*_pull(z, outcome, at).sum(axis=0)[:, None])[0]
        if not np.isfinite(step).all():
            return nothing, nothing
        at = at + np.clip(step, -5, 5)
        if np.abs(step).max() < _CLOSE:
            break
    else:  # the outcomes are parted by the score, or nearly so
        return nothing, nothing
    draws = at + _step(*resamples.sums(_pull(z, outcome, at)).T)
    slope, intercept = (Drawn(float(at[i]), draws[:, i]).interval() for i in (0, 1))
    return slope, intercept


def as_json(outcome: Floats, probability: Floats, resamples: Resamples) -> dict[str, Any]:
    """All of it, as it is written."""
    bins = reliability(outcome, probability)
    slope, intercept = line(outcome, probability, resamples)
    return {
        "expected_error": expected_error(bins),
        "slope": slope.value,
        "slope_ci": [slope.low, slope.high],
        "intercept": intercept.value,
        "intercept_ci": [intercept.low, intercept.high],
        "bins": bins,
    }


def _pull(z: Floats, outcome: Floats, at: Floats) -> Floats:
    """Each row's gradient and curvature of the log-likelihood (N, 5) at (slope, intercept)."""
    p = sigmoid(at[0] * z + at[1])
    wrong, spread = outcome - p, p * (1 - p)
    return np.column_stack([wrong * z, wrong, spread * z * z, spread * z, spread])


def _step(up: Floats, over: Floats, zz: Floats, z: Floats, one: Floats) -> Floats:
    """Newton's steps (B, 2) of slope and intercept."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = zz * one - z * z
        return np.column_stack([(one * up - z * over) / size, (zz * over - z * up) / size])
