"""The clock that deadlines are counted by, on a host whose own is set."""

from __future__ import annotations

import pytest

from daemon.clock import Clock

HOUR_NS = 3_600_000_000_000


def test_a_host_that_is_set_back_stops_no_deadline_and_one_that_is_set_forward_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = {"wall": 100 * HOUR_NS, "steady": 5 * HOUR_NS}
    monkeypatch.setattr("time.time_ns", lambda: host["wall"])
    monkeypatch.setattr("time.monotonic_ns", lambda: host["steady"])
    clock = Clock()
    began = clock.now_ms()
    assert began == 100 * HOUR_NS // 1_000_000
    host["wall"] -= HOUR_NS
    assert clock.now_ms() == began
    host["wall"], host["steady"] = host["wall"] + 2_000_000, host["steady"] + 2_000_000
    assert clock.now_ms() == began + 2
    host["wall"] += 3 * HOUR_NS
    assert clock.now_ms() == host["wall"] // 1_000_000
