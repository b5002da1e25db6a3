"""A set comes into service on a real exchange: no candle is missed, a position keeps its terms, and back it comes."""

from __future__ import annotations

from itertools import groupby

from daemon.swapping.rows import Swap
from daemon.swapping.stages import Stage
from models.modelset import CHAMPION, save
from tests.daemon.conftest import until
from tests.daemon.journal_replay import differences
from tests.daemon.swapping.world import HOUR_MS, World
from tests.models.small_sets import Market


async def test_a_set_comes_into_service_between_two_candles_and_none_is_missed(world: World) -> None:
    first = world.store.champion
    async with world.life() as life:
        await life.play(2)
        second = world.store.judged(world.store.add())
        taken = await life.ask("swap", set=second.id)
        assert "model_set is champion" in taken["after_a_restart"]
        await life.reach("kept")
        assert life.serving == second.id == world.store.champion
        await life.play(1)
        assert life.daemon.engine is not None
        assert life.daemon.engine.state.counts.missed_candles == 0
    decided = life.decisions()
    bars = sorted({row["bar"] for row in decided})
    assert bars == list(range(bars[0], bars[-1] + 1, HOUR_MS)), "every candle has its decision"
    assert [name for name, _ in groupby(row["model_set"] for row in decided)] == [first, second.id]
    steps = [line.partition(":")[0] for line in life.audit()]
    assert steps == [
        f"swap {stage}"
        for stage in ("incoming", "verified", "judging", "loading", "shadow", "swapping", "watched", "kept")
    ]
    assert world.promotions()[-1]["previous"] == first
    assert world.promotions()[-1]["who"] == "tester (daemon)"
    assert life.swap.previous == first
    assert life.swap.verdict is not None
    assert life.swap.verdict.startswith("promote")


async def test_38_a_position_keeps_its_stop_leverage_and_longest_holding_through_a_swap(world: World) -> None:
    rules = {"exit": {"long": 0.0, "short": 0.0, "max_hold_bars": None}}
    async with world.life(rules=rules, model_set=world.store.champion) as life:
        await life.play(2)
        engine = life.daemon.engine
        assert engine is not None
        lot = engine.desks["BTCUSDT"].book.lot
        assert lot is not None
        before = (lot.entry_bar, lot.leverage, lot.stop_bps, lot.max_hold_bars)
        assert lot.max_hold_bars == 11

        def hasty(told: dict) -> None:  # type: ignore[type-arg]
            told["decision"]["max_hold_bars"] = 3

        second = world.store.judged(world.store.add(hasty))
        await life.ask("swap", set=second.id)
        await life.reach("watched")
        assert engine.state.max_hold_bars == 3
        await life.play(2)  # beyond what the new set would hold it
        still = engine.desks["BTCUSDT"].book.lot
        assert still is not None
        assert (still.entry_bar, still.leverage, still.max_hold_bars) == (before[0], before[1], 11)
        assert still.stop_bps <= before[2], "tightened by the regime perhaps, never loosened"
        assert world.place.state()["stops"], "and its stop rests"
        for _ in range(12):
            await life.play(1)
            opened = engine.desks["BTCUSDT"].book.lot
            if opened is not None and opened.entry_bar != before[0]:
                break
        assert opened is not None
        assert opened.max_hold_bars == 3, "the next one is the new set's"
    assert list(differences(world.folder / "daemon.yaml")) == [], "and the journal replays, swap and all"


async def test_an_operator_rolls_back_to_the_set_before(world: World) -> None:
    first = world.store.champion
    async with world.life() as life:
        await life.play(1)
        assert "from the start" in (await life.ask("rollback"))["error"] or world.promotions()[0]["previous"] is None
        second = world.store.judged(world.store.add())
        await life.ask("swap", set=second.id)
        await life.reach("kept")
        taken = await life.ask("rollback", reason="I do not like it")
        assert taken["stage"] == "rolling back"
        await life.reach("rolled back")
        assert life.serving == first == world.store.champion
        assert "tester: I do not like it" in life.swap.reason
        assert (world.promotions()[-1]["by"], world.promotions()[-1]["model_set"]) == ("rollback", first)
        await life.play(1)
    assert life.decisions()[-1]["model_set"] == first


async def test_a_rollback_ends_what_is_on_its_way_as_well(world: World) -> None:
    first = world.store.champion
    async with world.life(swapping={"shadow": {"candles": 4}, "watch": {"candles": 1}}) as life:
        await life.play(1)
        second, third = world.store.judged(world.store.add()), world.store.add()
        await life.ask("swap", set=second.id)
        await life.reach("kept")
        await life.ask("swap", set=third.id, force=True, reason="tried by hand")
        await life.reach("shadow")
        await life.ask("rollback")
        await life.reach("refused")
        assert "tester, who rolls back" in life.swap.reason
        await until(lambda: life.serving == first, "the first set answering again")
        await life.play(1)
        assert str(life.rows()[1].stage) == "rolled back"
    assert world.store.champion == first


async def test_the_newest_of_those_that_wait_has_its_turn_and_the_others_are_told(world: World) -> None:
    sets = [world.store.judged(world.store.add()) for _ in range(3)]
    for each in sets:
        world.left(Swap(0, each.id, "somebody"))
    async with world.life() as life:
        assert (await life.ask("swap", set=sets[-1].id))["id"] == 3, "asked twice is asked once"
        await life.reach("watched")
        assert life.serving == sets[-1].id
        rows = {row.set_id: row for row in life.rows()}
        assert [str(rows[each.id].stage) for each in sets] == ["superseded", "superseded", "watched"]
        assert f"{sets[-1].id} was offered after it" in rows[sets[0].id].reason


async def test_without_a_champion_the_starter_set_stands_in_and_a_rollback_ends_there_again(
    world: World, known: Market
) -> None:
    starter = save(world.store.made.manifest, world.store.made.files, world.store.root / "starter").name
    (world.store.sets / CHAMPION).unlink()
    async with world.life() as life:
        assert life.serving == starter
        await life.play(1)
        second = world.store.judged(world.store.add())
        await life.ask("swap", set=second.id)
        await life.reach("kept")
        assert world.store.champion == second.id
        await life.ask("rollback")
        await life.reach("rolled back")
        assert (life.serving, world.store.champion) == (starter, None)
        assert world.promotions()[-1]["model_set"] is None


async def test_where_an_id_is_pinned_a_swap_holds_for_this_life_and_says_so(world: World) -> None:
    first = world.store.champion
    assert first is not None
    second = world.store.judged(world.store.add())
    async with world.life(model_set=first) as life:
        taken = await life.ask("swap", set=second.id)
        assert f"the next start loads {first}" in taken["after_a_restart"]
        await life.play(1)
        await life.reach("watched")
        assert life.serving == second.id
        assert f"the next start loads {first}" in life.swap.reason
    async with world.life(model_set=first) as life:
        assert life.serving == first
        await until(lambda: str(life.swap.stage) == "left", "the row ended")
        assert f"{first} answers since the last start" in life.swap.reason


async def test_a_run_brings_its_set_once_however_its_way_ended(world: World) -> None:
    first = world.store.champion
    second = world.store.judged(world.store.add())
    async with world.life() as life:
        assert life.daemon.offer is not None
        await life.play(1)
        await life.daemon.offer(second.id, "the schedule", "20261124t000000-0001")
        await life.reach("watched")
        await life.ask("rollback")
        await life.reach("rolled back")
        await life.daemon.offer(second.id, "the schedule", "20261124t000000-0001")
        await life.play(2)
        assert len(life.rows()) == 1, "a set that was taken out does not come again because a run was taken up again"
        assert life.serving == first
        await life.ask("swap", set=second.id)
        assert len(life.rows()) == 2, "whoever wants it all the same asks for it"


async def test_a_row_for_a_set_promoted_by_hand_is_over_before_it_is_rolled_back(world: World) -> None:
    row = world.left(Swap(0, "20200101T000000-000000000000", "anna", stage=Stage.KEPT, previous="another"))
    assert row.ended_ms is not None, "or the next life would look for work in it, and take no other set"
