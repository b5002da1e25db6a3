"""Drift in a real daemon: found in what its book holds, acted on, shown, reset, and told again from the journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.drift import rows
from daemon.inference import Seen
from daemon.lifecycle.book import Book
from models.prediction import Prediction
from tests.daemon.conftest import FEATURES
from tests.daemon.journal_replay import differences
from tests.daemon.running import Running, command, play, until
from tests.local_exchange import LocalExchange
from tests.models.drift_world import World

HOUR_MS = 3_600_000
DRIFT = {"window": 168, "every": 6, "in_a_row": 1, "calm_in_a_row": 50, "statistics": ["features"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A set with a reference, in a store."""
    root = tmp_path_factory.mktemp("with-reference")
    world = World(FEATURES).ready(root / "asked")
    world.saved(root / "sets")
    return world, root


def shifted_past(world: World, root: Path, folder: Path, until_ms: int) -> None:
    """The book of a daemon to which the last week brought features that training never saw."""
    (path,) = (p for p in (root / "sets").iterdir() if p.is_dir() and p.name != "incoming")
    manifest = world.manifest.model_copy(update={"id": path.name})
    book = Book(folder)
    said = Prediction("BTCUSDT", 0, 0.4, 0.4, 1, (0.3, 0.4, 0.3), {5: (0.4, 0.4), 12: (0.4, 0.4)}, {})
    draw = np.random.default_rng(1)
    for bar in range(until_ms - 170 * HOUR_MS, until_ms, HOUR_MS):
        row = world.matrix.max(where=np.isfinite(world.matrix), initial=0.0, axis=0) * draw.uniform(2, 3)
        rows.keep(book, manifest, bar, {"BTCUSDT": Seen(100.0, row, said)})
    book.close()


def test_it_shrinks_then_stops_is_shown_reset_and_replayed(
    exchange: Callable[..., LocalExchange],
    configure: Callable[..., Path],
    start: Callable[..., Running],
    store: tuple[World, Path],
) -> None:
    world, root = store
    place = exchange(warmup=150, bars=60)
    config = configure(place.url, model_sets=str(root), drift=DRIFT)
    shifted_past(world, root, config.parent / "state", place.state()["market_time"])
    daemon = start(config, "--json")
    play(place, daemon, 12)

    def level() -> str:
        told: str = json.loads(command("status", config, "--json").output)["drift"]["level"]
        return told

    until(lambda: level() == "stop", "entries stopped for drift")
    status = json.loads(command("status", config, "--json").output)
    assert (status["state"], status["reason"]) == ("reducing", "drift beyond its limits")
    assert status["drift"]["size"] == 0.5
    shown = json.loads(command("drift", config, "--json", "-n", "2").output)
    assert [look["level"] for look in shown["looks"]] == ["stop", "shrink"]
    value, limit = shown["looks"][0]["body"]["statistics"]["features/return_1"]
    assert value > limit
    assert shown["now"]["false_alarms"] == {"rate": 0.1, "candles": 2160}
    assert "beyond  features/return_1" in command("drift", config).output
    assert "level none" in command("drift", config, "reset").output
    until(lambda: level() == "none", "full size again")
    assert json.loads(command("status", config, "--json").output)["state"] == "active"
    daemon.process.terminate()
    assert daemon.wait()[0] == 0
    assert list(differences(config)) == []
    assert "no daemon is running" in command("drift", config).output
    assert command("drift", config, "reset").exit_code == 3


def test_a_daemon_that_does_not_look_says_so(
    exchange: Callable[..., LocalExchange], configure: Callable[..., Path], start: Callable[..., Running]
) -> None:
    place = exchange(warmup=150, bars=20)
    config = configure(place.url)
    daemon = start(config, "--json")
    play(place, daemon, 1)
    reply = command("drift", config, "reset")
    assert reply.exit_code == 1
    assert "its configuration has no section drift" in reply.output
    shown = command("drift", config)
    nobody = "the running daemon does not look for drift: its configuration has no section drift"
    assert (shown.exit_code, shown.output) == (0, f"{nobody}\nnothing was looked at yet\n")
    assert "not watched: the configuration has no section drift" in command("status", config).output
    asked = command("retrain", config)
    assert (asked.exit_code, "its configuration has no section retraining" in asked.output) == (1, True)


def test_a_set_without_a_reference_is_said_once_to_be_unwatched_and_what_to_do(
    exchange: Callable[..., LocalExchange], configure: Callable[..., Path], start: Callable[..., Running]
) -> None:
    place = exchange(warmup=150, bars=20)
    config = configure(place.url, drift=DRIFT)
    daemon = start(config, "--json")
    play(place, daemon, 1)
    (said,) = command("drift", config).output.splitlines()
    assert said.startswith("drift is not judged: ")
    assert "carries no reference for drift" in said
    assert "neither features nor predictions, outcomes and dead inputs are watched" in said
    assert "train a set" in said
    status = json.loads(command("status", config, "--json").output)
    assert "carries no reference for drift" in status["drift"]["unwatched"]
