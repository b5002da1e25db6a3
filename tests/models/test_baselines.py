"""Baselines: rules and linear scores that need no training data, and say nothing where they cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from market import synthetic
from market.candles import Candles
from models import baselines, labels
from models.baselines import Baselines, LinearScore, RegimeScore
from tests.models.small_sets import HOUR


@pytest.fixture(scope="module")
def candles() -> Candles:
    return synthetic.generate("BTCUSDT", bars=600, timeframe=HOUR, seed=11)[0]


def linear(columns: int, intercept: float = 0.0) -> LinearScore:
    ones = (1.0,) * columns
    return LinearScore(center=(0.0,) * columns, scale=ones, clip=5.0, coefficients=ones, intercept=intercept)


def fitted(features: int, keys: tuple[str, ...] = ("5/up", "5/long", "5/short")) -> Baselines:
    clock = linear(baselines.COLUMNS)
    return Baselines(
        direction={k: {"logistic": linear(features), "volatility_and_clock": clock} for k in keys},
        base_rate=dict.fromkeys(keys, 0.4),
        regime={"har_and_calendar": RegimeScore(low=clock, mid=linear(baselines.COLUMNS, 1.0), high=clock)},
        regime_shares=(0.3, 0.3, 0.4),
    )


def test_minus_24h_return_bets_on_the_way_back(candles: Candles) -> None:
    score = baselines.minus_24h_return(candles)
    assert np.isnan(score[:24]).all()
    np.testing.assert_array_equal(score[24:], -(candles.close[24:] / candles.close[:-24] - 1))


def test_nothing_is_said_across_a_hole(candles: Candles) -> None:
    holed = candles[np.arange(len(candles)) != 300]
    assert np.isnan(baselines.minus_24h_return(holed)[300:324]).all()
    assert np.isfinite(baselines.minus_24h_return(holed)[324])
    columns = baselines.volatility_and_clock(holed)
    assert not np.isfinite(columns[300:468]).all(axis=1).any()
    assert np.isfinite(columns[468])[:].all()
    assert np.isnan(baselines.persistence(holed, 24, (0.001, 0.002))[300:324]).all()


def test_volatility_and_clock_know_nothing_of_where_to(candles: Candles) -> None:
    mirrored = replace(candles, close=candles.close[0] ** 2 / candles.close)
    np.testing.assert_allclose(
        baselines.volatility_and_clock(mirrored), baselines.volatility_and_clock(candles), atol=1e-6
    )
    assert baselines.volatility_and_clock(candles).shape == (len(candles), baselines.COLUMNS)


def test_volatility_and_clock_look_at_nothing_later(candles: Candles) -> None:
    whole = baselines.volatility_and_clock(candles)
    np.testing.assert_array_equal(baselines.volatility_and_clock(candles[:400]), whole[:400])


def test_the_clock_is_the_same_a_week_later(candles: Candles) -> None:
    clock = baselines.volatility_and_clock(candles)[:, len(baselines.SPANS_HOURS) :]
    np.testing.assert_allclose(clock[168:], clock[:-168], atol=1e-12)
    assert len(np.unique(clock[:168].round(9), axis=0)) == 168, "each hour of the week is told from each other"


def test_persistence_is_the_regime_that_was_to_come_a_day_ago(candles: Candles) -> None:
    volatility = labels.forward_volatility(candles, 24)
    edges = labels.regime_edges(volatility)
    said = baselines.persistence(candles, 24, edges)
    np.testing.assert_array_equal(said[24:], labels.regimes(volatility, edges)[:-24])
    assert np.isnan(said[:24]).all()


def test_a_linear_score_is_the_regression_it_was_fitted_by() -> None:
    draws = np.random.default_rng(2)
    raw = draws.normal(3, 2, size=(500, 4))
    center, spread = raw.mean(axis=0), raw.std(axis=0)
    inputs = np.clip((raw - center) / spread, -2, 2)
    found = LogisticRegression().fit(inputs, raw[:, 0] + draws.normal(size=500) > 3)
    score = LinearScore(
        center=tuple(center),
        scale=tuple(spread),
        clip=2.0,
        coefficients=tuple(found.coef_[0]),
        intercept=float(found.intercept_[0]),
    )
    np.testing.assert_allclose(score.score(raw), found.decision_function(inputs), atol=1e-12)
    one = np.concatenate([score.score(row[None]) for row in raw])
    np.testing.assert_array_equal(one, score.score(raw))
    raw[7, 2] = np.nan
    assert np.flatnonzero(np.isnan(score.score(raw))).tolist() == [7]


def test_regime_probabilities_sum_to_one(candles: Candles) -> None:
    score = fitted(3).regime["har_and_calendar"]
    said = score.probabilities(baselines.volatility_and_clock(candles))
    assert np.isnan(said[:168]).all()
    np.testing.assert_allclose(said[168:].sum(axis=1), 1)
    np.testing.assert_allclose(said[168:], [[1 / (2 + np.e), np.e / (2 + np.e), 1 / (2 + np.e)]] * (len(said) - 168))


def test_a_shorts_reversal_is_a_longs_turned_round(candles: Candles) -> None:
    scores = baselines.direction_scores(fitted(2), candles, np.zeros((len(candles), 2)))
    assert set(scores) == {"5/up", "5/long", "5/short"}
    for said in scores.values():
        assert set(said) == {"minus_24h_return", "volatility_and_clock", "logistic"}
    np.testing.assert_array_equal(scores["5/short"]["minus_24h_return"], -scores["5/long"]["minus_24h_return"])
    np.testing.assert_array_equal(scores["5/up"]["minus_24h_return"], baselines.minus_24h_return(candles))


def test_up_is_any_rise_and_pays_no_costs() -> None:
    rising = synthetic.generate(bars=50, timeframe=HOUR, seed=1)[0]
    gain = labels.forward_return(rising, 5)
    np.testing.assert_array_equal(labels.up(rising, 5)[:-5], gain[:-5] > 0)
    assert np.isnan(labels.up(rising, 5)[-5:]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_rate": {"5/up": 0.5}}, "base rates for"),
        ({"direction": {"5/sideways": {}}, "base_rate": {"5/sideways": 0.1}}, "pattern"),
        ({"regime_shares": (0.5, 0.5, float("nan"))}, "finite"),
    ],
)
def test_baselines_that_make_no_sense_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Baselines.model_validate(fitted(3).model_dump() | change)


def test_scores_on_other_columns_than_volatility_and_clock_are_refused() -> None:
    content = fitted(3).model_dump()
    content["direction"]["5/up"]["volatility_and_clock"] = linear(3).model_dump()
    with pytest.raises(ValidationError, match="does not read their"):
        Baselines.model_validate(content)
    content = fitted(3).model_dump()
    content["direction"]["5/up"]["logistic"]["scale"] = (1.0,)
    with pytest.raises(ValidationError, match="differ in length"):
        Baselines.model_validate(content)
