"""The comparison of backtests runs for real, and whoever plays the rule gets the rule's trades and equity."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def compared(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "backtest.py"), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    run = compared("--only", "regimen_plain,python,numba", "--bars", "5000", "--reps", "1", "--json")
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def test_every_engine_asked_for_has_a_rate(told: dict[str, Any]) -> None:
    assert set(told["bars_per_cpu_second"]) == {"regimen_plain", "python", "numba"}
    assert min(told["bars_per_cpu_second"].values()) > 0


def test_all_close_the_same_trades_by_the_same_stops(told: dict[str, Any]) -> None:
    counts = {(run["trades"], run["stops"]) for run in told["runs"]}
    assert len(counts) == 1
    trades, stops = counts.pop()
    assert trades > 200
    assert stops > 10


def test_equity_is_the_rules_to_the_cent_once_stops_are_rounded_alike(told: dict[str, Any]) -> None:
    assert told["agree"]
    for run in told["runs"]:
        wanted = told["rule"]["5000"][run["stops_rounded"]]["equity"]
        assert run["equity"] == pytest.approx(wanted, abs=told["equity_tolerance"])


def test_the_rounding_of_a_stop_costs_at_most_a_tick_each(told: dict[str, Any]) -> None:
    ours = next(run for run in told["runs"] if run["engine"] == "regimen_plain")
    assert 0 < ours["agreement"]["equity_to_rule"] < ours["stops"] * 0.0001 * 500_000 / 50


def test_compiled_code_is_waited_for_in_a_first_process_and_measured_in_a_second(told: dict[str, Any]) -> None:
    assert set(told["jit_seconds"]) == {"numba"}
    assert told["jit_seconds"]["numba"]["second_run"] is not None


def test_an_engine_that_is_not_installed_is_reported_with_its_reason(tmp_path: Path) -> None:
    run = compared(
        "--only", "python,vectorbt", "--bars", "1000", "--reps", "1", "--peers", str(tmp_path), "--no-install", "--json"
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert set(answer["bars_per_cpu_second"]) == {"python"}
    missing = next(run for run in answer["runs"] if run["engine"] == "vectorbt")
    assert "make peers" in missing["not_run"]


def test_an_engine_nobody_knows_is_a_usage_error() -> None:
    run = compared("--only", "pythn")
    assert run.returncode == 2
    assert "pythn" in run.stderr


def test_bars_on_which_the_rule_loses_everything_are_refused() -> None:
    run = compared("--only", "python", "--bars", "1000000", "--reps", "1")
    assert run.returncode == 2
    assert "take fewer bars" in run.stderr
