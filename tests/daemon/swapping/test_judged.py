"""The gate, asked by the daemon: a job of its own, whose verdict decides; and the commands that ask for a swap."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.config import load_config
from daemon.retraining.freshness import Freshness, FreshnessError
from daemon.swapping import judging
from daemon.swapping.judging import Judge, Refused
from daemon.swapping.rows import Swap
from market import history, synthetic
from models import verdicts
from models.jobs.folder import Process, now, result_of, write_process
from models.jobs.request import REQUEST, RESULT
from models.modelset import ModelSet
from tests.daemon.running import Running, command, until
from tests.daemon.swapping.world import World
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
