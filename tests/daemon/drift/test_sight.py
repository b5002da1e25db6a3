"""What is not judged, symbol by symbol: it never counts as within its limits, and holds a level as long as it may."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from daemon.drift import rows
from daemon.drift.sight import Part, Sight, named
from daemon.events import DriftLevel
from daemon.lifecycle.schema import FILE
from daemon.state import Drifted
from models.modelset import ModelSet
from tests.daemon.drift.watch import BTC, CONFIG, ETH, Change, Watch, silent, stuck, sure, watching
from tests.models.drift_world import World

BOTH = (BTC, ETH)
OUTCOMES = CONFIG.model_copy(update={"statistics": ("outcomes",)})
DEAD = CONFIG.model_copy(update={"statistics": ("dead",)})
LASTS = 168


async def stopped(watch: Watch, change: Change, other: Change | None = None) -> None:
    """One symbol is beyond its limit until entries are stopped; the other one stays within."""
    while watch.level is not DriftLevel.STOP:
        await watch.candles(6, of={BTC: change, ETH: other})
    assert not any(ETH in said.text for said in watch.said)


def modest(row: np.ndarray, outputs: np.ndarray) -> None:
    """It claims so little that its outcomes stay within their limits."""
    outputs[:] = 0.4 + 0.1 * outputs


@pytest.mark.parametrize("then", [{BTC: silent, ETH: modest}, {ETH: modest}], ids=["outcomes wait", "no candles"])
async def test_a_symbol_that_is_not_judged_has_not_got_better_because_another_is_well(
    world: World, model_set: ModelSet, tmp_path: Path, then: Mapping[str, Change | None]
) -> None:
    lasts = LASTS + max(model_set.manifest.horizons)
    async with watching(world, model_set, tmp_path, OUTCOMES, symbols=BOTH) as watch:
        await stopped(watch, sure, modest)
        while "BTCUSDT outcomes" not in watch.monitor.status()["missing_since"]:
            await watch.candles(6, of=then)
        await watch.candles(lasts - 12, of=then)
        assert watch.level is DriftLevel.STOP
        assert watch.monitor.status()["missing_since"].keys() == {"BTCUSDT outcomes"}
        await watch.candles(18, of=then)
        assert watch.level is DriftLevel.NONE, "nothing of it for as long as the window lasts"
        assert any("drift: outcomes of BTCUSDT not judged since" in text for _, text in watch.alerts.recent)


async def test_one_look_without_a_symbols_candle_is_no_calm_one(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path, DEAD, symbols=BOTH) as watch:
        await stopped(watch, stuck)
        calm = {BTC: None, ETH: None}
        await watch.candles(12, of=calm)
        assert watch.monitor.ladder.calm > 0
        before = watch.monitor.ladder
        await watch.candles(12, of={ETH: None})
        assert watch.monitor.ladder == before
        await watch.candles(48, of=calm)
        assert watch.level is DriftLevel.NONE, "seen again, and within its limits"


async def test_a_symbol_that_is_traded_no_more_holds_its_level_no_longer_than_the_window_lasts(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    lasts = LASTS + max(model_set.manifest.horizons)
    async with watching(world, model_set, tmp_path, DEAD, symbols=BOTH) as watch:
        await stopped(watch, stuck)
        force, at = watch.force, watch.at
    async with watching(world, model_set, tmp_path, DEAD, force=force, symbols=(ETH,)) as again:
        again.at = at
        await again.candles(lasts - 6, of={ETH: None})
        assert again.level is DriftLevel.STOP
        await again.candles(18, of={ETH: None})
        assert again.level is DriftLevel.NONE
        assert any("it is traded no more" in text for _, text in again.alerts.recent)


async def test_what_an_earlier_version_wrote_of_groups_stands_for_every_symbol() -> None:
    sight = Sight.of({"held_by": ["dead"], "missing": {"outcomes": 7}}, BOTH)
    assert sight.held_by == {Part(BTC, "dead"), Part(ETH, "dead")}
    assert sight.missing == {Part(BTC, "outcomes"): 7, Part(ETH, "outcomes"): 7}
    assert Sight.of(sight.as_dict(), (BTC,)) == sight, "what it writes itself names the symbols"
    assert named({*sight.held_by, Part(ETH, "outcomes")}) == "outcomes of ETHUSDT; dead of BTCUSDT, ETHUSDT"


async def test_an_empty_book_lifts_no_level_that_the_journal_holds(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"statistics": ("features", "dead")})
    async with watching(world, model_set, tmp_path / "first", config) as watch:
        await watch.candles(24)
        await watch.candles(36, stuck)
        force, at = watch.force, watch.at
        assert force.level.stops
    for life in ("begun", "begun again"):  # the first finds an empty book, the second what the first has written
        async with watching(world, model_set, tmp_path / "second", config, force=force) as again:
            assert again.monitor.ladder.level is force.level, life
            assert not again.said, "the engine goes by it already"
            assert again.book.audited(1)[0]["step"] == f"drift: {force.level}"
            assert "goes on from the journal's level" in again.book.audited(1)[0]["text"]
    async with watching(world, model_set, tmp_path / "second", config, force=force) as again:
        again.at = at
        await again.candles(96)
        assert again.level is force.level, "features are not judged yet, so no look is calm"
        await again.candles(120)
        assert again.level is DriftLevel.NONE
    assert (tmp_path / "second" / FILE).exists()


async def test_an_empty_book_and_another_set_begin_anew(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    force = Drifted(DriftLevel.STOP, 5_000, "as it was", "another set")
    async with watching(world, model_set, tmp_path, force=force) as watch:
        assert watch.level is DriftLevel.NONE
        assert rows.newest(watch.book)[0]["level"] == "none"
