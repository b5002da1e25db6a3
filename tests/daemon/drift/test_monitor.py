"""The monitor: a real set, a real book, and a market that stays, shifts, falls silent or is swapped away."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import sqlalchemy as sa

from daemon.drift import rows
from daemon.drift.monitor import QUEUE
from daemon.events import DriftLevel, ModelSetSwapped
from daemon.inference import Seen
from daemon.lifecycle.schema import drift as looks
from daemon.lifecycle.schema import observed, runs
from models.drift.reference import FILE
from models.modelset import ModelSet, save
from tests.daemon.drift.watch import CONFIG, Watch, silent, stuck, sure, watching
from tests.models.drift_world import HOUR, World


async def test_a_market_that_stays_raises_nothing_and_leaves_a_row_a_look(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(240)
        assert not watch.said
        (look,) = rows.newest(watch.book)
        assert look["level"] == "none"
        assert look["body"]["windows"]["features"] == 168
        value, limit = look["body"]["statistics"]["features/return_1"]
        assert 0 <= value <= limit
        assert watch.monitor.status()["false_alarms"] == {"rate": 0.10, "candles": 2160}


async def test_constant_answers_shrink_then_stop_then_ask_once(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    async def ask(cause: str, who: str) -> str:
        asked.append((cause, who))
        return "20261124t000000-0000"

    async with watching(world, model_set, tmp_path, ask=ask) as watch:
        await watch.candles(24)
        await watch.candles(60, stuck)
        assert [event.level for event in watch.said] == [DriftLevel.SHRINK, DriftLevel.STOP, DriftLevel.RETRAIN]
        assert [event.size_bps for event in watch.said] == [5_000] * 3
        assert "unchanged/predictions" in watch.said[0].text
        assert asked == [("drift", "drift")]
        await watch.candles(48, stuck)
        assert len(asked) == 2, "again once the pause is over"
        steps = [row["step"] for row in watch.book.audited()]
        assert steps.count("drift: a new set is asked for") == 2
        assert {"drift: shrink", "drift: stop", "drift: retrain"} <= set(steps)


async def test_a_run_that_is_turned_away_is_asked_for_again_at_the_next_look(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    asked = 0

    async def ask(cause: str, who: str) -> str:
        nonlocal asked
        asked += 1
        state = {"state": "canceled", "ended_ms": 1} if asked < 3 else {"state": "asked"}
        watch.book.insert(runs, id=f"run-{asked}", cause=cause, who=who, asked_ms=1, **state)
        return f"run-{asked}"

    async with watching(world, model_set, tmp_path, ask=ask) as watch:
        await watch.candles(24)
        await watch.candles(72, stuck)
        assert asked == 3, "twice turned away, then taken, then none for the pause"
        assert watch.monitor.asked is not None


async def test_missing_answers_stop_entries_and_ask_for_no_set(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async def ask(cause: str, who: str) -> str:
        raise AssertionError("a new set does not bring candles back")

    config = CONFIG.model_copy(update={"statistics": ("dead",)})
    async with watching(world, model_set, tmp_path, config, ask) as watch:
        await watch.candles(24)
        await watch.candles(72, silent)
        assert watch.level is DriftLevel.STOP


async def test_it_comes_back_down_by_itself(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"statistics": ("dead",)})
    async with watching(world, model_set, tmp_path, config) as watch:
        await watch.candles(24)
        await watch.candles(36, stuck)
        assert watch.level is DriftLevel.STOP, "nobody trains here"
        await watch.candles(48)
        assert [event.level for event in watch.said][-2:] == [DriftLevel.SHRINK, DriftLevel.NONE]
        assert watch.said[-1].size_bps == 10_000


async def test_a_restart_goes_on_where_it_was(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(200)
        await watch.candles(24, stuck)
        ladder, at = watch.monitor.ladder, watch.at
        assert ladder.level is DriftLevel.SHRINK
    async with watching(world, model_set, tmp_path) as again:
        assert again.monitor.ladder == ladder
        assert [event.level for event in again.said] == [DriftLevel.SHRINK], "the engine is brought in line"
        again.at = at
        await again.candles(6)
        assert again.monitor.judgements["BTCUSDT"].windows["features"] == 168, "its rows were kept"


async def test_a_reset_gives_full_size_back_and_is_audited(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(24)
        await watch.candles(24, stuck)
        assert watch.level is DriftLevel.SHRINK
        reply = await watch.monitor.answer("drift-reset", "anna", {})
        assert reply["level"] == "none"
        assert (watch.said[-1].level, watch.said[-1].text) == (DriftLevel.NONE, "reset by anna")
        assert watch.book.audited(1)[0]["who"] == "anna"


async def test_a_swap_compares_with_the_new_sets_own_reference(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    other = world.manifest.model_copy(
        update={"identity": world.manifest.identity.model_copy(update={"name": "other"}), "drift": None}
    )
    second = ModelSet.load(save(other, world.files, tmp_path / "sets"))
    async with watching(world, model_set, tmp_path / "state") as watch:
        await watch.candles(24)
        await watch.candles(24, stuck)
        assert watch.level is DriftLevel.SHRINK
        watch.monitor.swapped(second)
        await watch.done()
        assert watch.level is DriftLevel.NONE
        assert "carries no reference for drift" in watch.monitor.status()["unjudged"]
        assert any("drift is not judged" in text for _, text in watch.alerts.recent)
        watch.model_set = second
        await watch.candles(12)
        watch.monitor.swapped(model_set)
        await watch.done()
        assert watch.level is DriftLevel.NONE, "a set that comes back begins anew"


async def test_rows_of_a_set_with_the_same_features_fill_the_next_ones_window(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(100)
        other = model_set.manifest.model_copy(update={"id": "20990101T000000-000000000000"})
        watched = rows.load(watch.book, other, "BTCUSDT", 500, 0)
        assert (len(watched), watched.own) == (100, 0)
        assert np.isnan(watched.outputs).all()
        assert np.isfinite(watched.features).all()


async def test_what_fails_is_told_and_looking_goes_on(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    async def ask(cause: str, who: str) -> str:
        raise ConnectionError("nobody there")

    async with watching(world, model_set, tmp_path, ask=ask) as watch:
        await watch.candles(24)
        await watch.candles(54, stuck)
        assert watch.level is DriftLevel.RETRAIN
        assert any("could not be asked for: nobody there" in text for _, text in watch.alerts.recent)
        watch.monitor.seen(model_set.id, 0, {"BTCUSDT": Seen(1.0, np.zeros(3), object())})  # type: ignore[arg-type]
        await watch.candles(6, stuck)
        assert any("drift could not be looked for" in text for _, text in watch.alerts.recent)
        assert watch.monitor.looked_at > 0


async def test_a_statistic_that_is_named_does_not_count(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    names = tuple(f"unchanged/predictions/{name}" for name in world.names)
    config = CONFIG.model_copy(update={"ignore": names, "statistics": ("dead",)})
    async with watching(world, model_set, tmp_path, config) as watch:
        await watch.candles(24)
        await watch.candles(60, stuck)
        assert watch.level is DriftLevel.NONE
        assert "unchanged/predictions/5/long" in rows.newest(watch.book)[0]["body"]["beyond_limits"]


async def test_a_swap_is_taken_however_many_candles_wait(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    watch = Watch(world, model_set, tmp_path, CONFIG)  # nobody works it off: the disk hangs
    for _ in range(QUEUE + 5):
        watch.monitor.seen(model_set.id, 0, {})
    watch.monitor.stepped(ModelSetSwapped(model_set.id, 1, "", "test"), ())
    assert watch.monitor._queue.qsize() == QUEUE + 1
    watch.book.close()


async def test_another_size_in_the_configuration_counts_at_the_level_in_force(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(24)
        await watch.candles(24, stuck)
        told = SimpleNamespace(drift=CONFIG.model_copy(update={"shrink": 0.2}))
        watch.monitor.take_up(told)  # type: ignore[arg-type]
        assert (watch.said[-1].level, watch.said[-1].size_bps) == (DriftLevel.SHRINK, 2_000)


async def test_looks_are_kept_as_long_as_the_rate_counts_on(world: World, model_set: ModelSet, tmp_path: Path) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        rows_before = int(world.candles.open_time[watch.at]) - 2_200 * HOUR.ms
        watch.book.insert(looks, bar=rows_before, symbol="BTCUSDT", set_id=model_set.id, level="none", body="{}")
        await watch.candles(12)
        assert all(look["bar"] > rows_before for look in rows.newest(watch.book, 100))


async def test_a_window_is_read_once_and_then_grows_row_by_row(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    def patchy(row: np.ndarray, outputs: np.ndarray) -> None:
        row[0], row[1] = np.inf, np.nan
        if int(1e6 * outputs[0]) % 3 == 0:
            outputs[:] = np.nan

    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(40)
        watch.at += 7  # a hole
        await watch.candles(360, patchy)
        watch.at -= 3
        await watch.candles(5)  # told again, and otherwise
        windows = watch.monitor._windows
        assert windows is not None
        since = int(world.candles.open_time[watch.at - 1]) - windows.span_ms
        held, kept = (
            windows.of["BTCUSDT"],
            rows.load(watch.book, model_set.manifest, "BTCUSDT", windows.count, since),
        )
        assert held.own == kept.own == len(held) == windows.count
        for name in ("open_time", "close", "features", "outputs"):
            assert np.array_equal(getattr(held, name), getattr(kept, name), equal_nan=name != "open_time"), name
        watch.book.together(sa.update(observed).values(features="spoilt"))
        await watch.candles(12)
        assert watch.monitor.looked_at == int(world.candles.open_time[watch.at - 1]) // (6 * HOUR.ms) * (6 * HOUR.ms)
        assert not any("looked for" in text for _, text in watch.alerts.recent), "the book is not read again"


async def test_what_another_set_said_is_left_out_of_the_next_ones_rows(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(20)
        with closing(sqlite3.connect(watch.book.path)) as db, db:
            db.execute("UPDATE observed SET set_id = 'another'")
        watch.monitor.swapped(model_set)
        watch.at -= 1
        await watch.candles(4)  # the first of them was told by the other one as well
        windows = watch.monitor._windows
        assert windows is not None
        held = windows.of["BTCUSDT"]
        assert (len(held), held.own) == (23, 4)
        assert np.isnan(held.outputs[:-4]).all()


async def test_nothing_is_worked_out_while_a_candle_is_being_decided(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(24)
        before = watch.monitor.looked_at
        watch.quiet.clear()
        playing = asyncio.create_task(watch.candles(6))
        await asyncio.sleep(0.2)
        assert watch.monitor.looked_at == before
        assert not rows.load(watch.book, model_set.manifest, "BTCUSDT", 1, before + 6 * HOUR.ms)
        watch.quiet.set()
        await playing
        assert watch.monitor.looked_at > before


async def test_a_restart_with_another_size_brings_the_engine_in_line(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(24)
        await watch.candles(24, stuck)
        force = watch.force
        assert (force.level, force.size_bps) == (DriftLevel.SHRINK, 5_000)
    async with watching(world, model_set, tmp_path, CONFIG.model_copy(update={"shrink": 0.2}), force=force) as again:
        assert [(event.level, event.size_bps) for event in again.said] == [(DriftLevel.SHRINK, 2_000)]
    async with watching(world, model_set, tmp_path, CONFIG, force=force) as same:
        assert not same.said


async def test_a_level_whose_labels_stop_falls_back_once_the_window_has_passed(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"statistics": ("outcomes",)})
    lasts = 168 + max(model_set.manifest.horizons)
    async with watching(world, model_set, tmp_path, config) as watch:
        while watch.level is not DriftLevel.SHRINK:
            await watch.candles(12, sure)
        while "BTCUSDT outcomes" not in watch.monitor.status()["missing_since"]:
            await watch.candles(6, silent)
        raised = watch.level
        await watch.candles(lasts - 12, silent)
        assert watch.level is raised is not DriftLevel.NONE, "what is not seen has not got better"
        assert rows.newest(watch.book)[0]["body"]["missing"]["BTCUSDT outcomes"] > 0
        await watch.candles(18, silent)
        assert watch.level is DriftLevel.NONE
        assert watch.said[-1].text == "within all limits that are judged; not judged: outcomes of BTCUSDT"
        assert watch.said[-1].size_bps == 10_000
        assert any("drift: outcomes of BTCUSDT not judged since" in text for _, text in watch.alerts.recent)
        assert "drift: not judged" in [row["step"] for row in watch.book.audited()]
        assert watch.monitor.ladder.calm == 0, "a look that saw nothing is none"


async def test_a_level_of_a_set_whose_reference_cannot_be_read_falls_back_too(
    world: World, model_set: ModelSet, tmp_path: Path
) -> None:
    async with watching(world, model_set, tmp_path) as watch:
        await watch.candles(24)
        await watch.candles(24, stuck)
        force, at = watch.force, watch.at
    other = replace(model_set, contents={**model_set.contents, FILE: b"{}"})  # of a program that writes it otherwise
    async with watching(world, other, tmp_path, force=force) as again:
        again.at = at
        await again.candles(90)
    async with watching(world, other, tmp_path, force=force) as third:
        third.at = again.at
        assert third.level is DriftLevel.SHRINK, "a restart neither ends it nor counts anew"
        await third.candles(120)
        assert third.level is DriftLevel.NONE
