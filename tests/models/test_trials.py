"""The ledger of trials: it only grows, and a crash in the middle of a line costs neither the others nor the count."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from models import trials
from models.trials import Trial


def trial(number: int = 1, **more: object) -> Trial:
    return Trial.model_validate(
        {"time": "2026-01-01T00:00:00Z", "what": "training", "name": "small", "trials": number, **more}
    )


def test_nothing_tried_counts_nothing(tmp_path: Path) -> None:
    assert trials.count(tmp_path / "sets") == 0


def test_trials_add_up_and_read_back_as_written(tmp_path: Path) -> None:
    added = [trial(1, set_id="a"), trial(1000), trial(0)]
    for each in added:
        trials.add(tmp_path / "sets", each)
    assert trials.read(tmp_path / "sets") == trials.Ledger(tuple(added), ())
    assert trials.count(tmp_path / "sets") == 1001


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_line_is_reported_and_swallows_no_later_one(tmp_path: Path, kept: int) -> None:
    trials.add(tmp_path, trial(5))
    trials.add(tmp_path, trial(7))
    file = tmp_path / trials.FILE
    whole = file.read_bytes().rstrip(b"\n")
    second = whole.rindex(b"\n") + 1
    file.write_bytes(whole[:second] + whole[second:][:kept])
    assert trials.read(tmp_path) == trials.Ledger((trial(5),), (2,))
    assert trials.count(tmp_path) == 6
    before = file.read_bytes()
    trials.add(tmp_path, trial(11))
    assert file.read_bytes().startswith(before), "what was written is never touched"
    assert trials.read(tmp_path) == trials.Ledger((trial(5), trial(11)), (2,))


def test_a_line_that_only_lacks_its_end_is_still_read(tmp_path: Path) -> None:
    trials.add(tmp_path, trial(5))
    file = tmp_path / trials.FILE
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    trials.add(tmp_path, trial(6))
    assert trials.read(tmp_path) == trials.Ledger((trial(5), trial(6)), ())


def test_runs_that_end_at_once_lose_no_line(tmp_path: Path) -> None:
    adding = [threading.Thread(target=lambda: [trials.add(tmp_path, trial()) for _ in range(20)]) for _ in range(4)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert trials.count(tmp_path) == 80


def test_an_opening_is_a_look_at_overlapping_bars_of_the_symbol(tmp_path: Path) -> None:
    june = {"test_start": "2026-06-01T00:00:00Z", "test_end": "2026-07-01T00:00:00Z"}
    trials.add(tmp_path, trial(symbols=["BTCUSDT"], **june))
    trials.add(tmp_path, trial(symbols=["ETHUSDT"], **june))
    trials.add(tmp_path, trial(symbols=["BTCUSDT"]))
    ledger = trials.read(tmp_path)
    assert ledger.openings(("BTCUSDT",), "2026-06-30T23:00:00Z", "2026-08-01T00:00:00Z") == 1
    assert ledger.openings(("BTCUSDT",), "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z") == 0
    assert ledger.openings(("BTCUSDT", "ETHUSDT"), "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") == 2


def test_half_a_test_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="a start and an end"):
        trial(test_start="2026-06-01T00:00:00Z")
