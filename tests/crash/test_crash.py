"""Ten kills of the campaign that `make crash` runs five hundred of, and the harness's own eyes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from strategy.live_config import LiveConfig
from tests.crash.campaign import Kill, Season, store
from tests.crash.invariants import broken
from tests.crash.points import Plan, Points
from tests.crash.tally import summary
from tests.crash.truth import Account

KILLED_AT = (
    "trade: frame arrives: closing kline",
    "trade: decided, not written: Submit",
    "trade: journal, before commit: Submit",
    "trade: journal, after commit: Submit",
    "trade: request, on its way: POST order",
    "trade: reply, unread: POST order",
    "trade: event taken: Filled",
    "trade: journal, after commit: PlaceStop",
    "trade: reply, unread: POST algoOrder",
    "start: reply, unread: GET userTrades",
)
"""The points at which something would be lost, doubled or left naked if anything could be."""


@pytest.mark.slow
def test_33_killed_at_ten_points_between_signal_and_confirmed_stop_nothing_is_naked_doubled_or_lost(
    tmp_path: Path,
) -> None:
    season = Season(tmp_path / "season", store(tmp_path / "models"), ("BTCUSDT",), seed=11)
    kills: list[Kill] = []
    try:
        season.kills([(number, Plan(point, 1, 0.002)) for number, point in enumerate(KILLED_AT)], kills.append)
    finally:
        season.close()
    assert [(k.planned, k.violations) for k in kills] == [(point, []) for point in KILLED_AT]
    assert [k.point for k in kills] == list(KILLED_AT), "each life ended where it was planned to"
    assert sum(k.naked for k in kills) >= 2, "some were killed before the stop was placed"
    assert summary(kills, 11, 1.0)["violations"] == 0


def test_a_point_is_struck_at_the_crossing_it_was_planned_for() -> None:
    child = os.fork()
    if not child:
        points = Points(Plan("start: event taken: Filled", 2, 0.0), lambda told: None)
        points.cross("event taken", "Filled")
        points.cross("event taken", "Reconciled")
        points.cross("event taken", "Filled")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_the_invariants_see_a_naked_a_doubled_and_a_forgotten_position(tmp_path: Path) -> None:
    truth = {
        "positions": {"BTCUSDT": {"quantity": "-0.010", "cost": "500.00000000"}},
        "stops": [{"symbol": "ETHUSDT", "client_id": "a", "side": "BUY", "trigger": "1", "quantity": "1"}],
        "cash": "10000.00000000", "imbalance": "0.00000000", "open_orders": 0, "fills": 1,
    }  # fmt: skip
    account = Account.__new__(Account)
    account.orders, account.stops, account.entries = Counter({"x": 2}), Counter(), Counter({("BTCUSDT", 0): 2})
    account.last_close = lambda symbol: "50000.0"  # type: ignore[method-assign]
    status = {"positions": [], "cash": "10000.00", "equity": "10000.00"}
    told = broken(truth, status, tmp_path, account, LiveConfig().rules(), 0)
    assert [line.split(":")[0] for line in told] == [
        "position",
        "stops",
        "stops",
        "doubled",
        "doubled",
        "equity",
        "journal",
    ]
