"""Aims: an interval settles an aim, or it does not."""

from __future__ import annotations

import math

import pytest

from models.metrics import Interval
from training.quality.aims import (
    Aim,
    Condition,
    Verdict,
    above_zero,
    aims,
    at_least,
    place,
    reaching,
    together,
    within,
)
from training.quality.figures import Figures
from training.quality.wording import estimate, number

MET, NOT_MET, INCONCLUSIVE, NOT_RUN = Verdict.MET, Verdict.NOT_MET, Verdict.INCONCLUSIVE, Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("found", "bar", "verdict"),
    [
        (Interval(0.60, 0.58, 0.62), 0.57, MET),
        (Interval(0.60, 0.57, 0.62), 0.57, MET),
        (Interval(0.60, 0.55, 0.62), 0.57, INCONCLUSIVE),
        (Interval(0.55, 0.53, 0.57), 0.57, INCONCLUSIVE),
        (Interval(0.55, 0.53, 0.569), 0.57, NOT_MET),
        (Interval(0.60, math.nan, math.nan), 0.57, INCONCLUSIVE),
        (Interval(math.nan, math.nan, math.nan), 0.57, NOT_RUN),
        (None, 0.57, NOT_RUN),
    ],
)
def test_an_aim_is_met_only_if_the_whole_interval_reaches_it(
    found: Interval | None, bar: float, verdict: Verdict
) -> None:
    assert at_least(found, bar) is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Interval(0.02, 0.001, 0.04), MET),
        (Interval(0.0, 0.0, 0.0), INCONCLUSIVE),
        (Interval(0.02, -0.01, 0.04), INCONCLUSIVE),
        (Interval(-0.02, -0.04, -0.01), NOT_MET),
        (None, NOT_RUN),
    ],
)
def test_a_lead_is_one_if_its_whole_interval_is_above_nothing(found: Interval | None, verdict: Verdict) -> None:
    assert above_zero(found) is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Interval(0.0, -0.02, 0.02), MET),
        (Interval(0.01, -0.02, 0.04), INCONCLUSIVE),
        (Interval(0.04, 0.03, 0.05), NOT_MET),
        (Interval(-0.04, -0.05, -0.021), NOT_MET),
        (None, NOT_RUN),
    ],
)
def test_a_gap_is_small_if_its_whole_interval_is(found: Interval | None, verdict: Verdict) -> None:
    assert within(found, 0.02) is verdict


@pytest.mark.parametrize(
    ("verdicts", "of_all"),
    [
        ([MET, MET], MET),
        ([MET, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, NOT_RUN], NOT_RUN),
        ([INCONCLUSIVE, NOT_RUN, NOT_MET], NOT_MET),
        ([Verdict.SHOWN, Verdict.SHOWN], Verdict.SHOWN),
        ([], NOT_RUN),
    ],
)
def test_an_aim_of_several_conditions_is_as_good_as_the_worst(verdicts: list[Verdict], of_all: Verdict) -> None:
    assert together(verdicts) is of_all


def test_the_reason_says_how_far_off_it_is_and_what_settles_it_comes_first() -> None:
    short = reaching("long pays", Interval(0.55, 0.53, 0.58), 0.57, "", 52.0)
    missed = reaching("short pays", Interval(0.50, 0.48, 0.52), 0.57, "", 52.0)
    assert short.reason == "long pays is .020 short of .57, which its interval holds (52 weeks)"
    aim = Aim("both", (short, missed, Condition(MET, "", "")))
    assert aim.verdict is NOT_MET
    assert aim.reason.startswith("short pays is .070 short of .57, which its interval does not reach; long pays")
    assert aim.measured == "long pays .550 [.530, .580]; short pays .500 [.480, .520]"


def test_what_a_set_lacks_was_not_run_and_never_measured_as_nothing(of_small: Figures) -> None:
    found = {aim.asks: aim for aim in aims(of_small)}
    for asks in ("15m LSTM: AUC ≥ .52 for both sides", "TFT's weight in the stack not negative, or explained"):
        assert found[asks].verdict is NOT_RUN
        assert found[asks].measured == ""
        assert found[asks].reason.startswith("the set has no ")


def test_the_whole_zoo_has_every_aim_measured(of_zoo: Figures) -> None:
    assert all(aim.verdict is not NOT_RUN and aim.measured for aim in aims(of_zoo))


@pytest.mark.parametrize(
    ("quantiles", "told"),
    [
        ((0.3, 0.7), "inside"),
        ((0.29, 0.6), "reaches below"),
        ((0.4, 0.71), "reaches above"),
        ((0.1, 0.9), "reaches below and above"),
    ],
)
def test_outputs_are_placed_to_the_range_that_was_asked_for(quantiles: tuple[float, float], told: str) -> None:
    assert place(quantiles) == told


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (0.5591, 3, False, ".559"),
        (-0.0102, 3, True, "−.010"),
        (1.2, 2, True, "+1.20"),
        (-1.5, 1, False, "−1.5"),
        (-0.0001, 3, True, "+.000"),
        (-0.0001, 3, False, ".000"),
        (10.04, 2, False, "10.04"),
        (12.0, 0, False, "12"),
        (0.2, 0, False, "0"),
        (math.nan, 3, False, "–"),
        (None, 3, False, "–"),
    ],
)
def test_numbers_are_written_as_the_field_does(value: float | None, digits: int, sign: bool, text: str) -> None:
    assert number(value, digits, sign) == text


def test_a_value_without_an_interval_is_written_without_one() -> None:
    assert estimate(Interval(0.5, math.nan, math.nan)) == ".500"
    assert estimate(None) == "–"
