"""The planted signal: learnable by its strength, absent at strength 0; and regimes that the past foretells."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from market import synthetic
from market.candles import Candles, Floats
from market.timeframes import Timeframe

HOUR = Timeframe.parse("1h")
BARS, TRAINED, AHEAD = 20_000, 14_000, 5
SEEDS = (1, 2, 3)
LEARNER = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.03,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "verbosity": -1,
}


def smoothed(values: Floats, half_life: float) -> Floats:
    keep, level, levels = 0.5 ** (1 / half_life), 0.0, []
    for value in values.tolist():
        level = keep * level + (1 - keep) * value
        levels.append(level)
    return np.array(levels)


def plain_features(candles: Candles) -> Floats:
    """Taker flow, recent returns, volatility and the hour: what a newcomer would try first."""
    moves = np.diff(np.log(candles.close), prepend=np.log(candles.close[0]))
    flow = candles.taker_base / candles.volume - 0.5
    volatility = np.sqrt(smoothed(moves**2, 24)) + 1e-9
    return np.column_stack(
        [
            *(smoothed(flow, span) for span in (1, 3, 6, 12)),
            *(smoothed(moves, span) / volatility for span in (1, 2, 6, 24)),
            volatility,
            np.sqrt(smoothed(moves**2, 168)),
            (candles.open_time // HOUR.ms % 24).astype(np.float64),
        ]
    )


def learnt(seed: int, signal: float) -> float:
    """AUC of the direction over five hours, on the last 30 %, trained on the first 70 %."""
    candles, _ = synthetic.generate(bars=BARS, timeframe=HOUR, seed=seed, signal=signal)
    features = plain_features(candles)[:-AHEAD]
    rises = candles.close[AHEAD:] > candles.close[:-AHEAD]
    trained = slice(200, TRAINED - AHEAD)
    model = lgb.train(LEARNER, lgb.Dataset(features[trained], rises[trained].astype(float)), 120)
    return float(roc_auc_score(rises[TRAINED:], model.predict(features[TRAINED:])))


def test_the_default_signal_is_learnt_from_plain_features() -> None:
    scores = [learnt(seed, synthetic.SIGNAL) for seed in SEEDS]
    assert 0.57 < np.mean(scores) < 0.64
    assert min(scores) > 0.55


def test_without_a_signal_nothing_is_learnt() -> None:
    scores = [learnt(seed, 0.0) for seed in SEEDS]
    # One such AUC has a standard error of about .016: 1,200 stretches of five hours.
    assert abs(np.mean(scores) - 0.5) < 0.03


@pytest.mark.parametrize(("signal", "low", "high"), [(0.0, 0.48, 0.52), (0.5, 0.64, 0.69), (1.0, 0.76, 0.82)])
def test_the_drift_itself_foretells_by_its_strength(signal: float, low: float, high: float) -> None:
    scores = []
    for seed in SEEDS:
        candles, _ = synthetic.generate(bars=BARS, timeframe=HOUR, seed=seed, signal=signal)
        # The course of another strength, so that there is something to judge by at 0.
        driver = synthetic.course(bars=BARS, timeframe=HOUR, seed=seed, signal=0.5)
        rises = candles.close[AHEAD:-1] > candles.close[: -AHEAD - 1]
        scores.append(roc_auc_score(rises, (driver.drift / driver.volatility)[1:-AHEAD]))
    assert low < np.mean(scores) < high


def test_the_volatility_of_the_next_day_is_foretold_by_that_of_the_last() -> None:
    hits = []
    for seed in SEEDS:
        candles, _ = synthetic.generate(bars=BARS, timeframe=HOUR, seed=seed)
        squares = np.cumsum(np.diff(np.log(candles.close), prepend=np.log(candles.close[0])) ** 2)
        days = squares[24:] - squares[:-24]
        edges = np.quantile(days[: TRAINED - 24], [1 / 3, 2 / 3])
        regime = np.digitize(days, edges)
        hits.append(np.mean(regime[TRAINED:-24] == regime[TRAINED + 24 :]))
    assert np.mean(hits) > 0.45
