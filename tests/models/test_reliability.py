"""Calibration of given probabilities is scikit-learn's, and its intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from models.evaluation import calibration
from models.logits import logit, sigmoid
from models.resampling import Resamples


def said(count: int = 4000, boldness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes, and probabilities whose logits are `boldness` times the true ones."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(-0.2, 0.6, count)
    outcome = (draw.random(count) < sigmoid(truth)).astype(np.float64)
    return outcome, sigmoid(boldness * truth)


def test_the_bins_are_scikit_learns_quantiles() -> None:
    outcome, probability = said()
    bins = calibration.reliability(outcome, probability)
    came, mean = calibration_curve(outcome, probability, n_bins=10, strategy="quantile")
    assert [b["came"] for b in bins] == pytest.approx(came)
    assert [b["said"] for b in bins] == pytest.approx(mean)
    assert sum(b["rows"] for b in bins) == len(outcome)
    error = np.average(np.abs(came - mean), weights=[b["rows"] for b in bins])
    assert calibration.expected_error(bins) == pytest.approx(error)


def test_few_different_probabilities_leave_bins_empty_and_nothing_breaks() -> None:
    outcome = np.array([0.0, 1, 0, 1, 1, 1])
    bins = calibration.reliability(outcome, np.array([0.4, 0.4, 0.4, 0.6, 0.6, 0.6]))
    assert [(b["rows"], round(b["said"], 9), round(b["came"], 3)) for b in bins] == [(3, 0.4, 0.333), (3, 0.6, 1.0)]


@pytest.mark.parametrize("boldness", [0.5, 1.0, 2.0])
def test_slope_and_intercept_are_those_of_an_unpenalised_regression(boldness: float) -> None:
    outcome, probability = said(boldness=boldness)
    slope, intercept = calibration.line(outcome, probability, Resamples(len(outcome), 24, 200))
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(probability)[:, None], outcome)
    assert slope.value == pytest.approx(reference.coef_[0, 0], abs=1e-5)
    assert intercept.value == pytest.approx(reference.intercept_[0], abs=1e-5)
    assert slope.low < 1 / boldness < slope.high
    assert intercept.low < 0 < intercept.high


def test_one_newton_step_a_draw_is_as_good_as_fitting_each_draw() -> None:
    outcome, probability = said(1500)
    resamples = Resamples(len(outcome), 24, 40, seed=2)
    slope, _ = calibration.line(outcome, probability, resamples)
    z = logit(probability)[:, None]
    fits = [
        LogisticRegression(C=np.inf, tol=1e-8).fit(z, outcome, sample_weight=w).coef_[0, 0]
        for w in resamples.weights.T.astype(np.float64)
    ]
    assert [slope.low, slope.high] == pytest.approx(np.quantile(fits, [0.05, 0.95]), abs=0.02)


def test_what_cannot_be_told_is_no_number() -> None:
    resamples = Resamples(100, 10, 20)
    outcome = (np.arange(100) >= 50).astype(np.float64)
    constant, alike, parted = np.full(100, 0.4), np.zeros(100), sigmoid(np.linspace(-3, 3, 100))
    for came, probability in ((outcome, constant), (alike, parted), (outcome, parted)):
        for interval in calibration.line(came, probability, resamples):
            assert np.isnan([interval.value, interval.low, interval.high]).all()
