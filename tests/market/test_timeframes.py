"""Timeframes: notation, grid and ratios."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.timeframes import Timeframe, TimeframeError, utc_text

HOUR = Timeframe.parse("1h")
QUARTER = Timeframe.parse("15m")


@pytest.mark.parametrize("text", ["1m", "5m", "15m", "30m", "1h", "4h", "1d"])
def test_notation_reads_back_as_written(text: str) -> None:
    assert str(Timeframe.parse(text)) == text


def test_sixty_minutes_are_an_hour() -> None:
    assert Timeframe.parse("60m") == HOUR
    assert str(Timeframe.parse("60m")) == "1h"


@pytest.mark.parametrize("text", ["", "h", "15", "0m", "-1h", "1.5h", "1w", "7m", "2d", "1 h", "1H"])
def test_what_is_no_timeframe_is_refused_by_name(text: str) -> None:
    with pytest.raises(TimeframeError, match=f"timeframe {text!r}"):
        Timeframe.parse(text)


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["1m", "15m", "1h", "4h", "1d"]))
def test_every_instant_lies_in_the_candle_it_is_floored_to(time: int, text: str) -> None:
    timeframe = Timeframe.parse(text)
    start = timeframe.floor(time)
    assert start % timeframe.ms == 0
    assert start <= time < timeframe.close_time(start)


def test_an_hour_is_four_quarters_and_a_quarter_is_no_number_of_hours() -> None:
    assert HOUR.ratio(QUARTER) == 4
    with pytest.raises(TimeframeError, match="15m candles cannot be made of 1h candles"):
        QUARTER.ratio(HOUR)


@given(st.integers(0, 4_000_000_000_000))
def test_the_text_of_an_instant_is_iso_and_loses_nothing(time: int) -> None:
    text = utc_text(time)
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(time // 1000, UTC).replace(
        microsecond=time % 1000 * 1000
    )
