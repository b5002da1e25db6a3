"""Integrity: each kind of fault is found, with its time, and nothing sound is accused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.candles import Candle, Candles
from market.integrity import Report, check
from market.timeframes import Timeframe, utc_text

HOUR = Timeframe.parse("1h")
START = 1_704_067_200_000


def candle(hour: float, **values: float) -> Candle:
    sound = Candle(START + int(hour * HOUR.ms), 100.0, 102.0, 97.0, 101.0, 10.0, 1_000.0, 50.0, 4.0, 400.0)
    return replace(sound, **values)


def report(*rows: Candle) -> Report:
    return check(Candles.of(HOUR, rows))


def test_a_sound_run_has_no_fault() -> None:
    assert report(*[candle(h) for h in range(50)]) == Report()


def test_no_candles_have_no_fault() -> None:
    assert report() == Report()


def test_a_gap_says_how_much_is_missing_and_until_when() -> None:
    found = report(candle(0), candle(1), candle(5), candle(6), candle(8))
    assert [str(p) for p in found.gaps] == [
        "2024-01-01T02:00Z  3 candles missing, until 2024-01-01T05:00Z",
        "2024-01-01T07:00Z  1 candle missing, until 2024-01-01T08:00Z",
    ]
    assert found.damage == []


def test_a_repeated_candle_is_told_from_one_that_contradicts() -> None:
    found = report(candle(0), candle(1), candle(1), candle(2), candle(2, close=100.5), candle(3))
    assert [p.what for p in found.duplicates] == ["candle repeated", "candle repeated with other values"]
    assert [utc_text(p.time) for p in found.duplicates] == ["2024-01-01T01:00Z", "2024-01-01T02:00Z"]
    assert not found.gaps
    assert not found.disorder


def test_a_repeated_candle_with_missing_values_is_still_a_repetition() -> None:
    found = report(candle(0), candle(1, trades=math.nan), candle(1, trades=math.nan))
    assert [p.what for p in found.duplicates] == ["candle repeated"]


def test_disorder_names_the_late_candle_and_is_no_gap() -> None:
    found = report(candle(0), candle(2), candle(1), candle(3))
    assert [str(p) for p in found.disorder] == ["2024-01-01T01:00Z  candle comes after that of 2024-01-01T02:00Z"]
    assert not found.gaps


def test_a_candle_between_two_grid_times_is_disorder() -> None:
    found = report(candle(0), candle(0.5), candle(1))
    assert [str(p) for p in found.disorder] == ["2024-01-01T00:30Z  candle is off the 1h grid"]


@pytest.mark.parametrize(
    "values",
    [
        {"open": math.nan},
        {"close": math.inf},
        {"low": 0.0},
        {"low": -1.0},
        {"high": 100.5},
        {"low": 100.5},
        {"volume": math.nan},
        {"volume": -1.0},
        {"volume": math.inf},
        {"quote_volume": -1.0},
        {"trades": math.inf},
        {"taker_base": 11.0},
        {"taker_quote": 1_001.0},
    ],
)
def test_an_impossible_value_is_found_with_its_time(values: dict[str, float]) -> None:
    found = report(candle(0), candle(1, **values), candle(2))
    assert [p.time for p in found.impossible] == [START + HOUR.ms]


def test_values_an_exchange_did_not_report_are_no_fault() -> None:
    missing = dict.fromkeys(("quote_volume", "trades", "taker_base", "taker_quote"), math.nan)
    assert report(candle(0), candle(1, **missing)) == Report()


def test_damage_is_told_in_order_of_time() -> None:
    found = report(candle(0), candle(1, low=0.0), candle(3), candle(2), candle(5), candle(5))
    assert [p.time for p in found.damage] == [START + h * HOUR.ms for h in (1, 2, 5)]


prices = st.one_of(st.floats(0.5, 2.0), st.sampled_from([math.nan, 0.0, -1.0, math.inf]))


@given(st.lists(st.tuples(prices, prices, prices, prices, st.sampled_from([1.0, 0.0, -1.0, math.nan])), max_size=20))
def test_a_column_is_judged_as_each_candle_is(rows: list[tuple[float, ...]]) -> None:
    candles = [Candle(START + i * HOUR.ms, *values) for i, values in enumerate(rows)]
    found = {p.time for p in report(*candles).impossible}
    assert found == {c.open_time for c in candles if c.problem()}


@settings(max_examples=50)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_gaps_and_candles_together_make_the_whole_span(hours: list[int]) -> None:
    found = report(*[candle(h) for h in hours])
    missing = sum(int(p.what.split()[0]) for p in found.gaps)
    assert missing + len(set(hours)) == max(hours) - min(hours) + 1
    assert len(found.duplicates) == len(hours) - len(set(hours))
    assert bool(found.disorder) == bool((np.diff(hours) < 0).any())
