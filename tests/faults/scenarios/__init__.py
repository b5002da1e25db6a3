"""Every scenario, in the order of the field notes' numbers."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenarios import account, market_data, models, orders, transport

SCENARIOS: tuple[Scenario, ...] = (
    *market_data.SCENARIOS,
    *orders.SCENARIOS,
    *account.SCENARIOS,
    *transport.SCENARIOS,
    *models.SCENARIOS,
)
