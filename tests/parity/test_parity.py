"""A short parity run: the long one is `make parity`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from backtest import compiled
from market.trades import LIQUIDATION, STOP, Trade
from models import modelset
from models.inference import Predictor
from tests.parity.compare import first_difference, result_difference
from tests.parity.coverage import IN_EVERY_SYMBOL, SOMEWHERE, TWO_AT_ONCE, Coverage
from tests.parity.hours import SYMBOLS, last, synthetic
from tests.parity.portfolio import Portfolio, lively
from tests.parity.replay import ParityError
from tests.parity.splice import cut_in

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
BARS = 300
TRADE = Trade("BTCUSDT", 1, 10, 5, 0, 100, 3_600_000, 110, "stop", 3, 1, 96, 1_000)


def parity(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.parity", "--bars", str(BARS), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600 * PATIENCE)


@pytest.mark.slow
def test_daemon_and_backtest_make_the_same_trades_of_two_symbols_on_real_hours(shared: Path) -> None:
    told = parity("--json")
    assert told.returncode == 0, told.stdout + told.stderr
    proof = json.loads(told.stdout)
    assert proof["identical"]
    assert proof["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert all(proof["covered"]["kinds"][kind][symbol] for kind in IN_EVERY_SYMBOL for symbol in SYMBOLS)


@pytest.mark.slow
def test_daemon_and_backtest_make_the_same_trades_on_the_synthetic_market() -> None:
    told = parity("--synthetic")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.strip().endswith("trades, identical")


@pytest.mark.slow
def test_a_halt_strikes_in_the_real_daemon_as_in_the_backtest() -> None:
    told = parity("--synthetic", "--halts", "--bars", "100", "--seed", "3")
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


@pytest.fixture(scope="module")
def portfolio() -> Portfolio:
    """Two symbols of the synthetic market, traded by the starter set."""
    predictor = Predictor.load(modelset.resolve("starter", ROOT / "models"))
    warmup = predictor.lookback + 1
    hours = last(synthetic(SYMBOLS, warmup + BARS, seed=1), warmup, BARS, "synthetic")
    rules = lively(ROOT / "configs" / "parity_rules.yaml", hours.series, predictor)
    return Portfolio(hours, predictor, rules.rules())


def test_every_gap_ends_the_trade_that_it_was_cut_into_and_without_them_the_run_proves_nothing(
    portfolio: Portfolio,
) -> None:
    before = Coverage.of(portfolio.plain(), SYMBOLS, [])
    assert "liquidation of a long in BTCUSDT" in before.lacks(BARS)
    assert "liquidation of a short in ETHUSDT" in before.lacks(BARS)
    cuts = cut_in(portfolio)
    assert Counter((c.symbol, c.side, c.reason) for c in cuts) == Counter(
        (symbol, side, reason) for symbol in SYMBOLS for side in (1, -1) for reason in (STOP, LIQUIDATION)
    )
    after = portfolio.plain()
    assert all(any(cut.hit(trade) for trade in after.trades) for cut in cuts)
    assert Coverage.of(after, SYMBOLS, cuts).lacks(BARS) == []


def test_a_quiet_run_proves_nothing_and_says_what_it_lacks() -> None:
    empty = Coverage(SYMBOLS, 0, {}, {TWO_AT_ONCE: 0, "gaps cut in": 0, "gaps cut in that missed": 0})
    lacks = empty.lacks(BARS)
    assert {f"{kind} in {symbol}" for kind in IN_EVERY_SYMBOL for symbol in SYMBOLS} <= set(lacks)
    assert {*SOMEWHERE, TWO_AT_ONCE} <= set(lacks)


def test_any_differing_field_of_two_backtests_is_a_difference(portfolio: Portfolio) -> None:
    plain, fast = portfolio.both()
    assert result_difference(fast, plain) is None
    off_by_one = plain.curve_equity.copy()
    off_by_one[7] += 1
    assert "curve_equity" in (result_difference(replace(plain, curve_equity=off_by_one), plain) or "")
    assert "reasons" in (result_difference(replace(plain, reasons={}), plain) or "")
    assert "cash" in (result_difference(replace(plain, cash=plain.cash + 1), plain) or "")


def test_the_compiled_path_may_not_hand_over_to_the_plain_one_in_a_proof(portfolio: Portfolio) -> None:
    with pytest.raises(ParityError, match="int64"):
        portfolio.both(cash=compiled.MOST_CASH + 1)
