"""Every scenario, in the order of the field notes' numbers."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenarios import account, market_data, orders, transport

SCENARIOS: tuple[Scenario, ...] = (
    *market_data.SCENARIOS,
    *orders.SCENARIOS,
    *account.SCENARIOS,
    *transport.SCENARIOS,
)

ELSEWHERE = {
    37: "GPU box unreachable, partial artefact, wrong hash or schema",
    38: "swap with a position open",
    39: "GPU provider missing: CPU fallback with parity checked",
    40: "scheduler misfire, overlapping retrains",
}
"""Faults of models: they come with the training loop."""
