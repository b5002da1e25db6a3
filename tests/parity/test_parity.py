"""A short parity run: the long one is `make parity`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from market.trades import Trade
from tests.parity.compare import first_difference, missing_kinds

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
BARS = 300
TRADE = Trade("BTCUSDT", 1, 10, 5, 0, 100, 3_600_000, 110, "stop", 3, 1, 96, 1_000)


def parity(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.parity", "--bars", str(BARS), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600 * PATIENCE)


@pytest.mark.slow
def test_daemon_and_backtest_make_the_same_trades_on_real_hours(shared: Path) -> None:
    told = parity()
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.strip().endswith("trades, identical")


@pytest.mark.slow
def test_daemon_and_backtest_make_the_same_trades_on_the_synthetic_market() -> None:
    told = parity("--synthetic")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.strip().endswith("trades, identical")


@pytest.mark.slow
def test_a_halt_strikes_in_the_real_daemon_as_in_the_backtest() -> None:
    told = parity("--synthetic", "--halts", "--bars", "100")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.strip().endswith("trades, identical")


@pytest.mark.parametrize(("field", "other"), [("entry_time", 1), ("exit_price", 111), ("fees", 4), ("reason", "time")])
def test_a_single_differing_field_is_a_difference(field: str, other: object) -> None:
    changed = replace(TRADE, **{field: other})  # type: ignore[arg-type]
    assert field in (first_difference([TRADE, TRADE], [TRADE, changed]) or "")


def test_a_trade_that_only_one_of_them_made_is_a_difference() -> None:
    assert "only the backtest" in (first_difference([TRADE], [TRADE, TRADE]) or "")
    assert "only the daemon" in (first_difference([TRADE, TRADE], [TRADE]) or "")
    assert first_difference([TRADE], [TRADE]) is None


def test_a_quiet_run_proves_nothing_and_says_what_it_lacks() -> None:
    lacks = missing_kinds([TRADE], 1_000, gap_stops=0)
    assert "a short" in lacks
    assert "a liquidation" in lacks
    assert "a time exit" in lacks
