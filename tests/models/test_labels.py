"""Labels look ahead by exactly their horizon, are NaN where unknown, and never call one side the other's opposite."""

from __future__ import annotations

import numpy as np
import pytest

from market.candles import Candle, Candles
from market.timeframes import Timeframe
from models import labels

HOUR = Timeframe.parse("1h")


def candles(*closes: float, missing: tuple[int, ...] = ()) -> Candles:
    rows = (Candle(i * HOUR.ms, c, c, c, c, 1.0) for i, c in enumerate(closes) if i not in missing)
    return Candles.of(HOUR, rows)


def test_a_long_is_profitable_beyond_the_cost_and_a_short_below_it() -> None:
    c = candles(100, 100.2, 100.1, 99.0)
    np.testing.assert_array_equal(labels.profitable(c, 1, labels.LONG), [1, 0, 0, np.nan])
    np.testing.assert_array_equal(labels.profitable(c, 1, labels.SHORT), [0, 0, 1, np.nan])


def test_a_quiet_hour_pays_neither_side() -> None:
    c = candles(100, 100.1, 100.0)
    assert labels.profitable(c, 1, labels.LONG)[0] == labels.profitable(c, 1, labels.SHORT)[0] == 0


def test_a_return_that_only_meets_the_cost_does_not_pay() -> None:
    c = candles(1000, 1001.5)
    assert labels.profitable(c, 1, labels.LONG, cost=1001.5 / 1000 - 1)[0] == 0


@pytest.mark.parametrize("horizon", [1, 3, 5, 9])
def test_the_last_rows_are_unknown(horizon: int) -> None:
    c = candles(*range(100, 105))
    for label in (labels.profitable(c, horizon, 1), labels.forward_volatility(c, horizon)):
        assert np.isnan(label[-horizon:]).all()
        assert np.isfinite(label[:-horizon]).all()


def test_a_label_does_not_reach_over_a_hole() -> None:
    c = candles(100, 101, 102, 103, 104, 105, missing=(3,))
    np.testing.assert_array_equal(labels.profitable(c, 2, 1), [1, np.nan, np.nan, np.nan, np.nan])
    assert np.isnan(labels.forward_volatility(c, 2)).tolist() == [False, True, True, True, True]


def test_volatility_to_come_is_that_of_the_next_bars_alone() -> None:
    c = candles(100, 110, 110, 121, 121)
    found = labels.forward_volatility(c, 2)
    np.testing.assert_allclose(found[:3], np.log(1.1) * np.sqrt([0.5, 0.5, 0.5]))


def test_edges_part_the_known_volatilities_in_thirds() -> None:
    volatility = np.concatenate([np.arange(1.0, 301.0), [np.nan] * 5])
    edges = labels.regime_edges(volatility)
    regimes = labels.regimes(volatility, edges)
    assert np.isnan(regimes[-5:]).all()
    assert [int((regimes == k).sum()) for k in range(3)] == [100, 100, 100]


def test_edges_that_part_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="hardly move"):
        labels.regime_edges(np.full(100, 0.01))
    with pytest.raises(ValueError, match="longer history"):
        labels.regime_edges(np.array([0.1, np.nan]))
