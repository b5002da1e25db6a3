"""The candle store: a rolling window that keeps order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from daemon.candle_store import Column
from market.candles import Candle
from market.timeframes import Timeframe

HOUR = Timeframe.parse("1h")


def candle(index: int, close: float = 1.0) -> Candle:
    return Candle(index * HOUR.ms, close, close, close, close, float(index))


def test_a_column_keeps_at_least_its_capacity_of_the_newest() -> None:
    column = Column(HOUR, 10)
    for index in range(95):
        column.append(candle(index))
        window = column.window()
        assert len(window) >= min(index + 1, 10)
        assert list(window.open_time) == list(range((index + 1 - len(window)) * HOUR.ms, column.last + 1, HOUR.ms))
        assert list(window.volume) == [t / HOUR.ms for t in window.open_time]


def test_a_window_ends_with_the_candle_asked_for() -> None:
    column = Column(HOUR, 10)
    for index in range(15):
        column.append(candle(index))
    assert column.window(12 * HOUR.ms).open_time[-1] == 12 * HOUR.ms


def test_a_window_is_a_copy_that_later_candles_do_not_touch() -> None:
    column = Column(HOUR, 2)
    for index in range(4):
        column.append(candle(index))
    window = column.window()
    before = window.volume.copy()
    column.append(candle(4))
    assert np.array_equal(window.volume, before)


def test_an_older_candle_is_not_appended() -> None:
    column = Column(HOUR, 2)
    column.append(candle(5))
    with pytest.raises(ValueError, match="after"):
        column.append(candle(5))


def test_a_revision_replaces_and_a_duplicate_changes_nothing() -> None:
    column = Column(HOUR, 4)
    column.append(candle(1))
    column.append(candle(2))
    assert not column.replace(candle(1))
    assert not column.replace(candle(9))
    assert column.replace(replace(candle(1), volume=7.0))
    assert list(column.window().volume) == [7.0, 2.0]
