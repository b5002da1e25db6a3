"""Scaler, stacker and calibrator keep scikit-learn's contract, and what they learn is what inference applies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.calibration import PlattCalibrator
from models.logits import LIMIT, logit, sigmoid
from models.scaling import FeatureScaler, scale
from models.stacking import LogisticStacker, context_columns, stacked

FLOAT32 = "float32 is what networks read"


def _expected_failures(estimator: Any) -> dict[str, str]:
    if isinstance(estimator, FeatureScaler):
        return {"check_transformer_preserve_dtypes": FLOAT32}
    return {}


@parametrize_with_checks([FeatureScaler(), LogisticStacker()], expected_failed_checks=_expected_failures)
def test_the_estimator_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def sample(rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three members, of which two know something, and outcomes drawn by the true odds."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(rows)
    x = np.column_stack(
        [truth + rng.standard_normal(rows), truth + rng.standard_normal(rows), rng.standard_normal(rows)]
    )
    return x, (rng.random(rows) < sigmoid(truth)).astype(float)


def test_the_stacker_trusts_members_that_know_something() -> None:
    x, y = sample()
    found = LogisticStacker(l2=1.0).fit(x, y)
    assert (found.coefficients_[:2] > 0.2).all()
    assert abs(found.coefficients_[2]) < 0.1


def test_no_member_is_turned_against_itself_and_little_evidence_leaves_the_average() -> None:
    x, y = sample()
    x[:, 2] = x[:, 0] + 0.3 * x[:, 2] - y  # argues with another member's voice, against the outcome
    assert LogisticStacker().fit(x, y).coefficients_.min() == 0
    few = LogisticStacker(l2=10.0).fit(0.05 * x[:40, :2], y[:40])
    np.testing.assert_allclose(few.coefficients_, 0.5, atol=0.05)


def test_rows_without_an_answer_are_left_out_and_not_taken_for_even_odds() -> None:
    x, y = sample()
    whole = LogisticStacker().fit(x[:3000], y[:3000])
    holed = x.copy()
    holed[3000:, 1] = np.nan
    part = LogisticStacker().fit(holed, y)
    np.testing.assert_allclose(part.coefficients_, whole.coefficients_, rtol=1e-6)
    with pytest.raises(ValueError, match="answer from every member"):
        LogisticStacker().fit(np.full((5, 2), np.nan), np.array([0, 1, 0, 1, 0]))


def test_what_the_stacker_learned_is_what_inference_applies() -> None:
    x, y = sample()
    found = LogisticStacker().fit(x, y)
    by_hand = sigmoid(stacked(x, found.coefficients_, found.intercept_))
    np.testing.assert_array_equal(found.predict_proba(x)[:, 1], by_hand)
    one = [stacked(row[None], found.coefficients_, found.intercept_)[0] for row in x[:50]]
    np.testing.assert_array_equal(one, stacked(x, found.coefficients_, found.intercept_)[:50])


def test_calibration_takes_overconfidence_back() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(20_000)
    y = (rng.random(20_000) < sigmoid(truth)).astype(float)
    found = PlattCalibrator().fit(3 * truth[:, None] + 1, y)
    assert found.slope_ == pytest.approx(1 / 3, abs=0.03)
    assert found.intercept_ == pytest.approx(-1 / 3, abs=0.05)
    said = found.predict_proba(3 * truth[:, None] + 1)[:, 1]
    for low in np.arange(0.1, 0.9, 0.1):
        there = (said >= low) & (said < low + 0.1)
        assert y[there].mean() == pytest.approx(said[there].mean(), abs=0.03)


def test_a_score_that_is_upside_down_is_silenced_and_not_turned_round() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(4000)
    y = (rng.random(4000) < sigmoid(-truth)).astype(float)
    found = PlattCalibrator().fit(truth[:, None], y)
    assert found.slope_ == 0
    assert found.predict_proba([[5.0]])[0, 1] == pytest.approx(y.mean(), abs=0.01)


def test_one_outcome_alone_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="one class"):
        PlattCalibrator().fit(np.zeros((5, 1)), np.ones(5))


def test_the_parts_work_in_a_pipeline_and_can_be_cloned() -> None:
    x, y = sample()
    scores = cross_val_score(make_pipeline(FeatureScaler(), LogisticStacker()), x, y, scoring="roc_auc", cv=3)
    assert (scores > 0.6).all()
    assert clone(PlattCalibrator(least_slope=0.1)).least_slope == 0.1


def test_the_scaler_centres_spreads_and_clips_in_float32() -> None:
    x = np.column_stack([np.arange(100.0), np.full(100, 5.0), np.r_[np.zeros(99), 1e9]])
    found = FeatureScaler(clip=4).fit(x)
    scaled = found.transform(x)
    assert scaled.dtype == np.float32
    assert scaled[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert (scaled[:, 1] == 0).all()
    assert scaled[:, 2].max() == 4
    np.testing.assert_array_equal(scaled, scale(x, found.center_, found.scale_, found.clip))


def test_a_missing_feature_is_not_scaled_into_a_number() -> None:
    assert np.isnan(scale(np.array([[np.nan]]), np.zeros(1), np.ones(1), 8.0)).all()


def test_logit_and_sigmoid_undo_one_another_and_survive_certainty() -> None:
    p = np.array([0.0, 1e-300, 0.1, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(sigmoid(logit(p)), p, atol=1e-12)
    assert logit(p)[0] == -LIMIT
    assert logit(p)[-1] == LIMIT
    assert np.isnan(sigmoid(np.array([np.nan])))[0]
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]


def test_a_stack_reads_its_context_with_either_sign_and_members_with_one() -> None:
    draws = np.random.default_rng(5)
    member, beside = draws.standard_normal(4000), draws.standard_normal(4000)
    outcome = (draws.random(4000) < sigmoid(member - 0.8 * beside)).astype(np.float64)
    columns = np.column_stack([member, -member, beside])
    free = LogisticStacker(1.0, context=1, context_l2=1.0).fit(columns, outcome)
    assert free.coefficients_[2] == pytest.approx(-0.8, abs=0.1)
    assert free.coefficients_[1] == 0, "a member that argues the wrong way is left out"
    held = LogisticStacker(1.0, context=1, context_l2=1e6).fit(columns, outcome)
    assert abs(held.coefficients_[2]) < 0.01
    with pytest.raises(ValueError, match="leave no member"):
        LogisticStacker(context=3).fit(columns, outcome)


def test_disagreement_is_the_spread_of_the_members() -> None:
    logits = np.array([[0.2, 0.4, 0.6], [1.0, 1.0, 1.0]])
    found = context_columns(["disagreement", "volatility"], logits, np.array([-5.0, -6.0]))
    np.testing.assert_allclose(found, [[np.std([0.2, 0.4, 0.6]), -5.0], [0.0, -6.0]])
    with pytest.raises(ValueError, match="needs the feature volatility_24"):
        context_columns(["volatility"], logits, None)
