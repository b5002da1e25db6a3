"""The gate, asked by the daemon: a job of its own, whose verdict decides; and the commands that ask for a swap."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.config import load_config
from daemon.retraining.freshness import Freshness, FreshnessError
from daemon.swapping import judging, waiting
from daemon.swapping.judging import Interrupted, Judge, Refused
from daemon.swapping.rows import Swap
from daemon.swapping.stages import Stage
from daemon.swapping.swapper import TRIES
from market import history, synthetic
from models import verdicts
from models.jobs.folder import JobError, Process, now, process_of, result_of, write_process
from models.jobs.request import REQUEST, RESULT
from models.modelset import ModelSet
from tests.daemon.conftest import until as until_true
from tests.daemon.running import Running, command, until
from tests.daemon.swapping.world import Life, World, now_ms
from tests.models.small_sets import HOUR


@dataclass
class Fresh:
    """A history that is there at once."""

    data: tuple[Path, ...]
    funding: Path | None
    companion: Path | None = None


async def fresh(folder: Path) -> Fresh:
    return made(folder)


def made(folder: Path) -> Fresh:
    folder.mkdir(parents=True)
    candles, funding = synthetic.generate("BTCUSDT", bars=1_200, timeframe=HOUR, seed=7)
    found = Fresh((folder / "BTCUSDT-1h.parquet",), folder / "funding.parquet")
    history.write(candles, found.data[0])
    assert found.funding is not None
    history.write(funding, found.funding)
    return found


async def test_the_gate_is_asked_in_a_job_of_its_own_and_a_fresh_verdict_is_taken_as_it_is(world: World) -> None:
    config = load_config(world.configure())
    judge = Judge(config, fresh)
    second = world.store.add()
    swap = world.left(Swap(0, second.id, "somebody"))
    with pytest.raises(Refused, match=f"the verdict of .* on {second.id} is"):
        await judge.judge(second, swap)  # it has no record, so the gate cannot let it pass
    told = verdicts.read(second.id, world.store.sets)
    assert told is not None
    assert told.champion == world.store.champion
    assert str(judge.verdict(second.id)).startswith(told.verdict)
    job = config.state_dir / "jobs" / "judging" / f"{second.id.lower()}-{swap.id}"
    assert json.loads((job / RESULT).read_text())["outcome"] == "done"
    assert json.loads((job / REQUEST).read_text())["who"] == "somebody"
    assert not list(job.parent.glob("*.history"))
    with pytest.raises(Refused, match="no section retraining"):
        await Judge(config).judge(second, Swap(2, second.id, "somebody"))
    world.store.judged(second)
    assert "promote against" in await Judge(config).judge(second, Swap(3, second.id, "somebody"))


async def test_a_judgement_that_a_shutdown_interrupted_is_asked_for_again(world: World) -> None:
    config = load_config(world.configure())
    second = world.store.add()
    swap = world.left(Swap(0, second.id, "somebody"))
    folder = config.state_dir / "jobs" / "judging"
    found = made(folder / "before")
    job = Judge(config, fresh)._made(f"{second.id.lower()}-{swap.id}", second, swap, found)
    write_process(job, Process(pid=os.getpid(), boot="of before", started=now()))
    with pytest.raises(Refused, match=f"the verdict of .* on {second.id} is"):
        await Judge(config, fresh).judge(second, swap)
    result = result_of(job)
    assert result is not None
    assert result.outcome == "done"


async def test_a_judgement_that_is_ended_while_the_daemon_lives_says_nothing_of_the_set(world: World) -> None:
    config = load_config(world.configure())
    second = world.store.add()
    swap = world.left(Swap(0, second.id, "somebody"))
    job = config.state_dir / "jobs" / "judging" / f"{second.id.lower()}-{swap.id}"
    judgement = asyncio.create_task(Judge(config, fresh).judge(second, swap))
    await until_true(lambda: working(job), "the gate is asked", 60)
    os.kill(working(job), signal.SIGTERM)  # as a shutdown does
    with pytest.raises(Interrupted, match="its judgement was interrupted: SIGTERM ended it"):
        await judgement
    assert "the verdict of" in await _reason(Judge(config, fresh), second, swap), "and it is begun again"


def working(job: Path) -> int:
    """Who carries a job out, once its work has begun; 0 before."""
    try:
        found = process_of(job)
    except JobError:
        return 0
    return found.pid if found is not None and found.work is not None else 0


async def test_a_judgement_that_is_killed_each_time_ends_the_swap_with_that_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.swapping.swapper.PAUSE_S", 0.1)
    async with world.life(swapping={"supervision": "unit"}) as life:
        jobs = world.state / "jobs" / "judging"
        judge_of(life)._prepare = fresh
        second = world.store.add()
        await life.ask("swap", set=second.id)
        begun: set[int] = set()

        def ended() -> bool:
            for request in jobs.glob(f"{second.id.lower()}-*/{REQUEST}"):
                try:
                    made_ns = request.stat().st_mtime_ns
                except FileNotFoundError:
                    continue  # the one before, which is being removed
                if made_ns not in begun:
                    begun.add(made_ns)
                    # began, and is gone
                    write_process(request.parent, Process(pid=os.getpid(), boot="of before", started=now()))
            return life.swap.over

        await until_true(ended, "it is given up", 60)
        assert life.swap.stage is Stage.REFUSED
        told = "given up after 3 failures, the last: its judgement was interrupted: the process that carried it out was"
        assert life.swap.reason.startswith(told)
        assert life.serving == world.store.champion


def judge_of(life: Life) -> Judge:
    swapper = life.daemon.lifecycle.swapper  # type: ignore[union-attr]
    return swapper._judge


class Source:
    """A source of history that does not answer so often, and then does."""

    def __init__(self, silent: float) -> None:
        self.silent, self.asked = silent, 0

    async def prepare(self, folder: Path) -> Fresh:
        self.asked += 1
        if self.asked <= self.silent:
            raise FreshnessError("the exchange does not answer")
        return await asyncio.to_thread(made, folder)


async def test_an_outage_of_the_exchange_is_waited_for_longer_than_any_fault_of_the_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_S", 0.05)
    monkeypatch.setattr(waiting, "LONGEST_S", 0.1)
    async with world.life() as life:
        source = Source(silent=2 * TRIES)
        judge_of(life)._prepare = source.prepare
        second = world.store.add()
        await life.ask("swap", set=second.id)
        await until_true(lambda: life.swap.over, "it is judged in the end", 60)
        assert f"on {second.id} is" in life.swap.reason, "by the gate, which has its verdict"
        assert source.asked == 2 * TRIES + 1
        told = [line for line in life.audit() if "it waits for its history until" in line]
        assert len(told) == 2 * TRIES
        assert "after one try: the exchange does not answer" in told[0]
        assert "history" not in life.swap.body


async def test_a_history_that_never_comes_ends_the_swap_after_a_day_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_S", 0.05)
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.2)
    async with world.life() as life:
        source = Source(silent=math.inf)
        judge_of(life)._prepare = source.prepare
        await life.ask("swap", set=world.store.add().id)
        await until_true(lambda: life.swap.over, "it is given up", 60)
        assert life.swap.stage is Stage.REFUSED
        told = f"by {source.asked} tries: the exchange does not answer"
        assert life.swap.reason.startswith("it cannot be judged: its history could not be had in ")
        assert life.swap.reason.endswith(told)
        assert source.asked > 1


async def test_what_waits_for_its_history_says_so_outlives_a_restart_and_makes_room_for_another(world: World) -> None:
    section = without_history(world, api_url="http://127.0.0.1:9", source="api")
    second, third = world.store.add(), world.store.add()
    async with world.life(retraining=section) as life:
        swap = (await life.ask("swap", set=second.id))["id"]
        await until_true(lambda: "it waits" in life.swap.reason, "no history can be had", 60)
        standing = (await life.ask("swaps"))["under_way"]
        assert standing["stage"] == "judging"
        assert standing["why"].startswith("it waits for its history until 20")
        before = life.swap.body["history"]
        assert 0 < before["until_ms"] - now_ms() <= 60_000
    async with world.life(retraining=section) as life:  # to stop did not wait for it
        await until_true(lambda: life.daemon.lifecycle.swapper.standing(), "it is taken up")  # type: ignore[union-attr]
        assert (life.swap.id, life.swap.body["history"]) == (swap, before), "a restart does not hurry it"
        await life.ask("swap", set=world.store.judged(third).id)
        await life.reach("shadow")
        assert life.swap.set_id == third.id
        assert (str(life.rows()[1].stage), life.rows()[1].reason) == ("superseded", f"{third.id} was offered after it")


async def test_what_waits_for_its_history_is_ended_by_a_rollback_at_once(world: World) -> None:
    first, second, third = world.store.champion, world.store.judged(world.store.add()), world.store.add()
    async with world.life(swapping={"shadow": {"candles": 1}, "watch": {"candles": 1}}) as life:
        judge_of(life)._prepare = Source(silent=math.inf).prepare
        await life.play(1)
        await life.ask("swap", set=second.id)
        await life.reach("kept")
        await life.ask("swap", set=third.id)
        await until_true(lambda: "it waits" in life.swap.reason, "no history can be had", 60)
        await life.ask("rollback")
        await until_true(lambda: all(row.over for row in life.rows()), "both are over")
        assert [str(row.stage) for row in life.rows()[:2]] == ["refused", "rolled back"]
        assert life.swap.reason == f"ended by tester, who rolls back {second.id}"
        assert life.serving == first


def without_history(world: World, **history: object) -> dict[str, object]:
    """A section retraining whose history is looked for, really, where none is."""
    (world.folder / "spec.yaml").write_text("name: test\n")
    return {"spec": "spec.yaml", "history": {"folder": "history", "funding": False, **history}}


async def test_a_history_that_cannot_be_had_for_good_ends_the_swap_at_once_with_the_reason(world: World) -> None:
    async with world.life(retraining=without_history(world, source="none", companion="ETHUSDT")) as life:
        second = world.store.add()
        await life.ask("swap", set=second.id)
        row = await life.reach("refused")
        assert row.reason.startswith("it cannot be judged: its history cannot be brought together")
        assert not any("stumbles" in text for _, text in life.daemon.alerts.recent)
        assert life.serving == world.store.champion


async def test_a_history_that_cannot_be_had_now_is_no_fault_of_the_set(world: World) -> None:
    section = without_history(world, api_url="http://127.0.0.1:9", source="api")
    config = load_config(world.configure(retraining=section))
    assert config.retraining is not None
    second = world.store.add()
    swap = world.left(Swap(0, second.id, "somebody"))
    with pytest.raises(FreshnessError) as failed:
        await Judge(config, Freshness(config, config.retraining.history).prepare).judge(second, swap)
    assert not failed.value.lasting
    assert not list((config.state_dir / "jobs" / "judging").glob("*"))
    assert "the verdict of" in await _reason(Judge(config, fresh), second, swap), "and is judged once it can be had"


async def _reason(judge: Judge, candidate: ModelSet, swap: Swap) -> str:
    with pytest.raises(Refused) as refused:
        await judge.judge(candidate, swap)
    return str(refused.value)


def test_the_commands_ask_for_swaps_and_show_every_step(world: World) -> None:
    config = world.configure(swapping={"shadow": {"candles": 1}, "watch": {"candles": 1}})
    second, third = world.store.judged(world.store.add()), world.store.add()
    assert command("audit", config).exit_code == 7
    daemon = Running(config)
    try:
        until(lambda: world.place.state()["listening"], "the daemon listening")

        def played_until(stage: str) -> None:
            def reached() -> bool:
                rows = json.loads(command("swaps", config, "--json").output)["swaps"]
                if rows[0]["stage"] in (stage, "refused"):
                    return True
                opened = world.place.state()["market_time"]
                world.place.advance()
                until(lambda: daemon.settled() >= opened, "a candle settled")
                return False

            until(reached, stage)

        said = command("swap", config, second.id, "--json")
        assert said.exit_code == 0, said.output
        assert json.loads(said.output)["stage"] == "incoming"
        until(lambda: json.loads(command("status", config, "--json").output)["swap"], "the swap taken up")
        played_until("kept")
        back = command("rollback", config, "--wait", "30", "--reason", "tried it")
        assert (back.exit_code, "rolled back" in back.output) == (0, True), back.output
        lost = command("swap", config, third.id, "--wait", "30")
        assert lost.exit_code == 6
        assert "there is no verdict on" in lost.output
        again = command("swap", config, "champion")
        assert (again.exit_code, "is in service already" in again.output) == (6, True)
        assert command("swap", config, "20200101T000000-000000000000").exit_code == 7
        assert command("swap", config, third.id, "--force").exit_code == 2
        world.store.judged(third, "refuse")
        forced = command("swap", config, third.id, "--force", "--reason", "by hand")
        assert forced.exit_code == 0
        played_until("kept")
    finally:
        daemon.end()
    steps = json.loads(command("audit", config, "--json").output)
    assert {"swap kept", "swap rolled back", "swap refused"} <= {row["step"] for row in steps}
    assert {row["set_id"] for row in steps} == {second.id, third.id}
    told = [row["text"] for row in steps if "forced by" in row["text"]]
    assert any("by hand; the verdict of" in text and f"on {third.id} is 'refuse'" in text for text in told), told
    assert "swap rolled back" in command("audit", config).output
    assert world.promotions()[-1]["by"] == "force"
    alone = json.loads(command("swaps", config, "--json").output)
    assert (alone["under_way"], alone["swaps"][0]["set_id"]) == (None, third.id), "told without a daemon too"
    assert f"{third.id} kept: " in command("swaps", config).output


async def test_a_judgement_that_nobody_begins_is_given_up_and_old_ones_make_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "KEPT", 2)
    config = load_config(world.configure(swapping={"supervision": "unit", "judging_s": 1}))
    judge = Judge(config, fresh)
    second = world.store.add()
    for _ in range(3):
        with pytest.raises(Refused, match="nobody took up its judgement within 1 s"):
            await judge.judge(second, world.left(Swap(0, second.id, "somebody")))
    left = sorted(path.name for path in (config.state_dir / "jobs" / "judging").iterdir() if (path / REQUEST).exists())
    assert len(left) == 2
