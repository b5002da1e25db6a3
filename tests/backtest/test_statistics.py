"""The figures of a run, on equity curves short enough to do by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.broker import Closed
from backtest.engine import Result
from backtest.statistics import DAY_MS, daily_returns, max_drawdown, sharpe, statistics
from market.instruments import CASH
from market.trades import LIQUIDATION, STOP, Trade

HOUR = 3_600_000


def trade(profit: int, side: int = 1, reason: str = STOP, hours: int = 2) -> Trade:
    return Trade("BTCUSDT", side, 1, 10, 0, 100, hours * HOUR, 100, reason, 3 * CASH, CASH, profit * CASH, 0)


def result(closed: tuple[Closed, ...], equity: list[int], regimes: list[int], days: int = 4) -> Result:
    return Result(
        start_ms=0,
        end_ms=days * DAY_MS,
        bars=days * 24,
        decisions=len(equity) - 1,
        start_cash=100 * CASH,
        cash=equity[-1] * CASH,
        equity=equity[-1] * CASH,
        closed=closed,
        open=(),
        curve_time=np.linspace(DAY_MS, days * DAY_MS, len(equity)).astype(np.int64),
        curve_equity=np.array(equity, dtype=np.int64) * CASH,
        curve_regime=np.array(regimes, dtype=np.int8),
        reasons={},
        restrictions=(),
        restricted={},
        refused={},
        fees=0,
        funding=0,
    )


def test_drawdown_is_the_largest_fall_from_a_peak() -> None:
    assert max_drawdown(np.array([100.0, 120.0, 90.0, 130.0, 117.0])) == pytest.approx(0.25)
    assert max_drawdown(np.array([100.0, 101.0])) == 0.0


def test_drawdown_counts_a_fall_from_the_starting_cash() -> None:
    assert statistics(result((), [90, 95, 95, 95], [0] * 4)).max_drawdown == pytest.approx(0.10)


def test_sharpe_is_of_daily_returns_on_365_days() -> None:
    times = np.array([1, 2, 3, 4], dtype=np.int64) * DAY_MS
    equity = np.array([101.0, 102.01, 101.0, 103.02])
    daily = np.array([0.01, 0.01, 101 / 102.01 - 1, 103.02 / 101 - 1])
    expected = daily.mean() / daily.std(ddof=1) * math.sqrt(365)
    assert sharpe(times, equity, 100.0) == pytest.approx(expected)


def test_sharpe_takes_the_last_equity_of_each_day_and_midnight_ends_its_day() -> None:
    hourly = np.arange(1, 24 * 5 + 1, dtype=np.int64) * HOUR
    equity = 100 + np.sin(np.arange(len(hourly)))
    daily = np.arange(1, 6, dtype=np.int64) * DAY_MS
    assert sharpe(hourly, equity, 100.0) == sharpe(daily, equity[23::24], 100.0)


@pytest.mark.parametrize("equity", [[101.0, 102.0], [100.0] * 5, [50.0, -1.0, 20.0, 30.0]])
def test_a_sharpe_that_means_nothing_is_none(equity: list[float]) -> None:
    times = np.arange(1, len(equity) + 1, dtype=np.int64) * DAY_MS
    assert sharpe(times, np.array(equity), 100.0) is None


def test_daily_returns_end_where_the_account_was_lost() -> None:
    times = np.arange(1, 5, dtype=np.int64) * DAY_MS
    daily = daily_returns(times, np.array([110.0, 55.0, 0.0, 20.0]), 100.0)
    assert daily[:2] == pytest.approx([0.1, -0.5])
    assert np.isnan(daily[2:]).all()


def test_trades_are_told_by_side_regime_and_exit() -> None:
    closed = (
        Closed(trade(5), 0),
        Closed(trade(-2, side=-1), 0),
        Closed(trade(-10, reason=LIQUIDATION), 2),
        Closed(trade(3, reason="signal gone"), 1),
    )
    figures = statistics(result(closed, [105, 103, 93, 96], [-1, 0, 0, 2]))
    assert figures.total_return == pytest.approx(-0.04)
    assert (figures.all.trades, figures.long.trades, figures.short.trades) == (4, 3, 1)
    assert figures.all.won == 0.5
    assert figures.all.profit == -4 * CASH
    assert figures.all.fees == 12 * CASH
    assert figures.all.funding == 4 * CASH
    assert figures.all.mean_hold_ms == 2 * HOUR
    assert [figures.regimes[r].trades for r in ("low", "mid", "high")] == [2, 1, 1]
    assert (figures.regimes["high"].liquidated, figures.regimes["low"].stopped) == (1, 2)
    assert figures.regime_share == pytest.approx({"none": 1 / 3, "low": 2 / 3, "mid": 0, "high": 0})
    assert figures.exits == {"stop": 2, "liquidation": 1, "signal gone": 1}
    assert figures.profit_factor == pytest.approx(8 / 12)
    assert figures.exposure == pytest.approx(8 / 96)


def test_without_trades_shares_are_none_and_not_zero() -> None:
    figures = statistics(result((), [100, 100, 100, 100], [0] * 4))
    assert figures.all.won is None
    assert figures.all.mean_hold_ms is None
    assert figures.profit_factor is None
    assert figures.max_drawdown == 0.0
