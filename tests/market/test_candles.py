"""Candles: one kline, columns of them, and what makes one impossible."""

from __future__ import annotations

import math

import numpy as np
import pytest

from market.candles import VALUES, Candle, Candles
from market.timeframes import Timeframe

HOUR = Timeframe.parse("1h")


def candle(hour: int, price: float = 100.0) -> Candle:
    return Candle(hour * HOUR.ms, price, price + 2, price - 3, price + 1, 10.0)


def test_columns_give_back_the_rows_they_were_made_of() -> None:
    rows = [Candle(i * HOUR.ms, 1 + i, 3 + i, 0.5, 2 + i, 10, 20, 3, 5, 9) for i in range(4)]
    columns = Candles.of(HOUR, rows)
    assert [columns.row(i) for i in range(len(columns))] == rows
    assert columns.row(-1) == rows[-1]


def test_what_was_not_reported_is_missing_not_zero() -> None:
    row = Candles.of(HOUR, [candle(0)]).row(0)
    assert all(math.isnan(getattr(row, name)) for name in VALUES[5:])


def test_a_span_of_time_holds_its_start_and_not_its_end() -> None:
    columns = Candles.of(HOUR, [candle(i) for i in range(10)])
    assert columns.between(2 * HOUR.ms, 5 * HOUR.ms).open_time.tolist() == [h * HOUR.ms for h in (2, 3, 4)]
    assert len(columns.between()) == 10
    assert len(columns.between(start_ms=100 * HOUR.ms)) == 0


def test_holes_are_named_by_first_missing_and_first_present() -> None:
    columns = Candles.of(HOUR, [candle(h) for h in (0, 1, 4, 5, 7)])
    assert columns.holes() == [(2 * HOUR.ms, 4 * HOUR.ms), (6 * HOUR.ms, 7 * HOUR.ms)]
    assert columns[np.array([True, True, False, False, False])].holes() == []


def test_a_sound_candle_has_no_problem() -> None:
    assert candle(0).problem() is None


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ((math.nan, 2, 1, 1, 1), "not a positive number"),
        ((1, math.inf, 1, 1, 1), "not a positive number"),
        ((0, 2, 0, 1, 1), "not a positive number"),
        ((-1, 2, -1, 1, 1), "not a positive number"),
        ((2, 1.5, 1, 1, 1), "do not hold"),
        ((2, 3, 2.5, 2, 1), "do not hold"),
        ((2, 3, 1, 2, -1), "volume -1"),
        ((2, 3, 1, 2, math.nan), "volume nan"),
    ],
)
def test_an_impossible_candle_says_what_is_wrong(values: tuple[float, ...], what: str) -> None:
    problem = Candle(0, *values).problem()
    assert problem is not None
    assert what in problem
