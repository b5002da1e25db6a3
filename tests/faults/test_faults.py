"""The most telling faults, in the suite; `make faults` plays them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.acts import STOP, Arm, Start, refused
from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Stage, small_models
from tests.faults.verdict import Outcome, play


def scenario(number: int, variant: str = "") -> Scenario:
    """The one of that number whose variant is this."""
    (found,) = [s for s in SCENARIOS if (s.number, s.variant) == (number, variant)]
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models(tmp_path_factory.mktemp("models"))


def survive(told: Scenario, folder: Path, models: Path) -> None:
    with Stage(folder, models, told, seed=1) as stage:
        outcome = play(stage, told)
    assert outcome.survived, "\n".join(outcome.problems)


def test_04_a_silent_gap_is_filled_before_anything_is_decided(tmp_path: Path, models: Path) -> None:
    survive(scenario(4), tmp_path, models)


def test_14_a_lost_acknowledgement_delays_no_stop_and_doubles_no_entry(tmp_path: Path, models: Path) -> None:
    survive(scenario(14, "entry's acknowledgement lost"), tmp_path, models)


def test_17_a_stop_whose_price_is_past_ends_in_a_close(tmp_path: Path, models: Path) -> None:
    survive(scenario(17), tmp_path, models)


def test_21_an_orphan_stop_is_cancelled_after_a_close_by_hand(tmp_path: Path, models: Path) -> None:
    survive(scenario(21, "closed by hand"), tmp_path, models)


def test_33_killed_as_the_stop_is_sent_the_next_life_protects_the_position(tmp_path: Path, models: Path) -> None:
    survive(scenario(33, "the stop is sent"), tmp_path, models)


def test_37_a_set_with_a_wrong_bit_is_refused_and_the_champion_answers_on(tmp_path: Path, models: Path) -> None:
    survive(scenario(37, "a bit is wrong"), tmp_path, models)


def test_38_a_position_keeps_its_terms_through_a_swap_and_back(tmp_path: Path, models: Path) -> None:
    survive(scenario(38, "swapped in, and rolled back by hand"), tmp_path, models)


def test_39_without_a_gpu_the_network_runs_on_the_cpu_and_answers_as_recorded(tmp_path: Path, models: Path) -> None:
    survive(scenario(39, "asked for automatically"), tmp_path, models)


def test_40_overlapping_retrains_are_one(tmp_path: Path, models: Path) -> None:
    survive(scenario(40, "asked for again and again"), tmp_path, models)


def test_a_fault_that_never_strikes_proves_nothing(tmp_path: Path, models: Path) -> None:
    idle = Scenario(17, "idle", "", [Start(), Arm(refused(STOP, -2021, "never asked"))], "")
    with Stage(tmp_path, models, idle, seed=1) as stage:
        outcome = play(stage, idle)
    assert not outcome.survived
    assert "never struck" in outcome.problems[0]


def test_every_number_has_its_scenario_and_only_one_of_each_name() -> None:
    assert {s.number for s in SCENARIOS} == set(range(1, 41))
    assert len({s.title for s in SCENARIOS}) == len(SCENARIOS)


def test_a_fault_is_survived_only_if_all_its_scenarios_are() -> None:
    good, bad = Outcome(scenario(15, "of a stop"), naked_s=0.1), Outcome(scenario(15, "the order is there"))
    bad.problems.append("doubled")
    (row,) = report.rows([good, bad])
    told = row.as_json()
    assert (told["survived"], told["seconds_naked"]) == (False, 0.1)
    assert {"fault", "survived", "seconds_naked", "duplicate_orders", "candles_missed", "response"} <= set(told)
    assert "**no**" in report.page([row])
