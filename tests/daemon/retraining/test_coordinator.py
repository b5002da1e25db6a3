"""A run goes its way once, wherever it is killed; failures are told, pause, and come to an end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from daemon.lifecycle import schema
from daemon.retraining import steps
from daemon.retraining.freshness import FreshnessError
from daemon.retraining.job_folders import inputs_folder, tidy
from daemon.retraining.runs import TRANSITIONS, Runs, State, TransitionError, asked, now_ms
from models.jobs.folder import sha256
from models.jobs.request import Request, Training
from tests.daemon.conftest import until
from tests.daemon.retraining.conftest import Lives
from tests.daemon.retraining.place import MAKE_A_SET, SET_ID, Place

Make = Callable[..., Lives]


def place_of(life: Lives) -> Place:
    assert isinstance(life.backend, Place)
    return life.backend


async def test_a_run_goes_from_the_asking_to_the_offer_and_every_step_is_in_the_audit(
    lives: Make, tmp_path: Path
) -> None:
    life = lives()
    run_id = await life.start().ask("command", "alice")
    run = await life.ends(run_id)
    assert (run.state, run.set_id, run.attempt, run.error) == (State.DONE, SET_ID, 1, None)
    assert life.offered == [(SET_ID, "alice", run_id)]
    assert (tmp_path / "models" / "sets" / SET_ID / "model.txt").read_text() == "weights\n"
    assert life.log(run_id) == "begun\nended\n"
    assert run.log_offset == len("begun\nended\n")
    rows = life.book.rows(sa.select(schema.audit).order_by(schema.audit.c.id))
    steps = [row["step"] for row in rows if row["run_id"] == run_id and row["step"] != "run running"]
    assert steps == [
        "run asked", "run preparing", "run prepared", "run submitted", "run fetching", "run offered", "run done"
    ]  # fmt: skip
    assert rows[0]["who"] == "alice"


async def test_the_request_names_every_input_with_its_hash_and_the_set_it_replaces(lives: Make, tmp_path: Path) -> None:
    life = lives(timeout_s=77, workers=2)
    (tmp_path / "models" / "sets" / "trials.jsonl").write_text("")
    run_id = await life.start().ask("command", "alice")
    run = await life.ends(run_id)
    job = life.coordinator.jobs / run_id
    request = Request.model_validate_json((job / "request.json").read_bytes())
    assert isinstance(request.work, Training)
    assert (request.who, request.timeout_s, request.work.parent) == ("alice", 77, "the-champion")
    assert (request.work.spec, request.work.data, request.work.workers) == ("spec.yaml", ("BTCUSDT-um-1h.parquet",), 2)
    assert request.work.trials == "trials.jsonl", "trials are counted across retrains"
    assert request.inputs == {file.name: sha256(file) for file in (job / "inputs").iterdir()}
    assert json.loads(run.inputs or "") == request.inputs


async def test_40_a_second_run_is_refused_in_a_row_that_says_so(lives: Make) -> None:
    life = lives()
    place_of(life).work = "sleep 60"
    first = await life.start().ask("schedule", "schedule")
    await life.reaches(first, State.RUNNING)
    second = life.run(await life.coordinator.ask("command", "alice"))
    assert second.refused
    assert second.error == f"refused: run {first} is under way, and it is one at a time"
    drifts = {await life.coordinator.ask("drift", "drift") for _ in range(5)}
    assert len(drifts) == 1, "who asks at every candle is refused in one row"
    assert place_of(life).asked["submit"] == 1
    await life.coordinator.cancel(first, "alice")
    await life.ends(first)
    assert life.run(second.id).state is State.CANCELED


async def test_between_two_runs_that_nobody_asked_for_by_hand_lie_the_least_hours(lives: Make) -> None:
    life = lives(least_hours=1)
    first = await life.start().ask("schedule", "schedule")
    await life.ends(first)
    by_drift = life.run(await life.coordinator.ask("drift", "drift"))
    assert by_drift.error == f"refused: run {first} was asked for less than 1 h before (retraining.least_hours)"
    by_hand = await life.coordinator.ask("command", "alice")
    assert (await life.ends(by_hand)).state is State.DONE


async def test_drift_asks_in_vain_where_it_may_not(lives: Make) -> None:
    life = lives(on_drift=False)
    refused = life.run(await life.start().ask("drift", "drift"))
    assert (refused.refused, refused.error) == (True, "refused: retraining.on_drift is off")


@pytest.mark.parametrize("state", [State.ASKED, State.PREPARING, State.SUBMITTED, State.RUNNING, State.FETCHING])
async def test_killed_in_any_state_the_next_life_goes_on_and_no_job_runs_twice(lives: Make, state: State) -> None:
    life = lives(attempts=20, backoff_cap_s=0.05)
    place = place_of(life)
    place.work = f"sleep 0.5; {MAKE_A_SET}; echo again >> ../count"
    if state is State.PREPARING:
        place.down.add("submit's answer")  # it runs, and nobody was told
    if state is State.SUBMITTED:
        place.down |= {"status", "logs"}
    if state is State.FETCHING:
        place.down.add("fetch")
    if state is State.ASKED:
        kept = asked("command", "alice", "place")
        await Runs(life.book).add(kept, "run asked", "")
        run_id = kept.id
    else:
        run_id = await life.start().ask("command", "alice")
        await life.reaches(run_id, state)
        if state is State.PREPARING:
            await until(lambda: (place.folder / run_id / "pid").exists(), "the job was started")
        await life.kill()
    assert life.run(run_id).state is state
    place.down.clear()
    life.start()
    run = await life.ends(run_id)
    assert (run.state, life.offered) == (State.DONE, [(SET_ID, "alice", run_id)])
    assert life.log(run_id) == "begun\nended\n"
    assert (place.folder / "count").read_text() == "again\n"


async def test_killed_before_the_offer_was_recorded_the_set_is_offered_again(lives: Make) -> None:
    life = lives()
    life.refusing_offers = 1
    run_id = await life.start().ask("command", "alice")
    await until(lambda: life.run(run_id).state is State.OFFERED and life.run(run_id).attempt == 2, "one offer failed")
    await life.kill()
    life.start()
    assert (await life.ends(run_id)).state is State.DONE
    assert life.offered == [(SET_ID, "alice", run_id)]


async def test_killed_while_inputs_were_brought_together_they_are_made_anew(lives: Make) -> None:
    life = lives(backoff_first_s=60, backoff_cap_s=60)
    life.freshness.failing = FreshnessError("the disk is full")
    run_id = await life.start().ask("command", "alice")
    await until(lambda: life.run(run_id).next_try_ms, "it was set back")
    await life.kill()
    half = inputs_folder(life.config.state_dir, run_id) / "half.parquet"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_text("half")
    life.book.update(schema.runs, run_id, next_try_ms=0)
    life.freshness.failing = None
    life.start()
    assert (await life.ends(run_id)).state is State.DONE
    assert not half.exists()
    assert not (life.coordinator.jobs / run_id / "inputs" / "half.parquet").exists()


async def test_a_cut_line_while_it_runs_costs_no_attempt_and_no_line_of_the_log(lives: Make) -> None:
    life = lives(attempts=1)
    place = place_of(life)
    place.work = f"for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done; {MAKE_A_SET}"
    run_id = await life.start().ask("command", "alice")
    await until(lambda: life.run(run_id).state is State.RUNNING and "line 1" in life.log(run_id), "it runs")
    place.down |= {"logs", "status"}
    await until(lambda: (place.folder / run_id / "code").exists(), "it ended unseen")
    place.down.clear()
    assert (await life.ends(run_id)).state is State.DONE
    assert life.log(run_id) == "".join(f"line {i}\n" for i in range(1, 6)) + "begun\nended\n"


async def test_a_log_without_end_does_not_fill_the_disk(lives: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LONGEST_LOG", 1_000)
    life = lives()
    place_of(life).work = f"for i in $(seq 400); do echo line $i; done; sleep 0.3; echo the end; {MAKE_A_SET}"
    run_id = await life.start().ask("command", "alice")
    assert (await life.ends(run_id)).state is State.DONE
    assert "line 400" in life.log(run_id)  # what came at once
    assert "the end" not in life.log(run_id)
    assert "the rest stays there" in life.told()


async def test_a_failed_job_is_repeated_under_another_name_until_the_attempts_are_spent(lives: Make) -> None:
    life = lives(attempts=3)
    place_of(life).work = "echo out of memory; exit 1"
    first = await life.start().ask("schedule", "schedule")
    await until(lambda: len(life.runs()) == 3 and all(run.state.over for run in life.runs()), "three runs are over", 30)
    runs = life.runs()
    assert [run.state for run in runs] == [State.FAILED] * 3
    assert {run.attempt for run in runs} == {1, 2, 3}
    assert {run.cause for run in runs} == {"schedule"}
    assert life.run(first).error == "out of memory"
    assert "3 attempts are spent" in life.told()
    assert place_of(life).asked["submit"] == 3


async def test_what_trying_again_cannot_mend_fails_at_once(lives: Make) -> None:
    life = lives(attempts=5)
    place_of(life).refusing.add("submit")
    refused = await life.ends(await life.start().ask("command", "alice"))
    assert (refused.state, refused.attempt, refused.error) == (State.FAILED, 1, "submit: permission denied")
    place_of(life).refusing.clear()
    place_of(life).work = "echo the spec is wrong; exit 4"
    wrong = await life.ends(await life.coordinator.ask("command", "alice"))
    assert (wrong.state, wrong.error) == (State.FAILED, "the spec is wrong")
    life.freshness.failing = FreshnessError("7 of 100 candles differ", lasting=True)
    differing = await life.ends(await life.coordinator.ask("command", "alice"))
    assert (differing.state, differing.error) == (State.FAILED, "7 of 100 candles differ")
    assert len(life.runs()) == 3
    assert "trying again cannot help" in life.told()


async def test_a_missing_spec_fails_at_once_and_names_the_key(lives: Make, tmp_path: Path) -> None:
    life = lives(spec=str(tmp_path / "none.yaml"))
    run = await life.ends(await life.start().ask("command", "alice"))
    assert (run.state, run.error) == (State.FAILED, f"{tmp_path / 'none.yaml'}: no such file; see retraining.spec")


async def test_a_wrong_spec_fails_at_once_by_its_own_name_and_before_anything_is_fetched(
    lives: Make, tmp_path: Path
) -> None:
    life = lives()
    (tmp_path / "spec.yaml").write_text("name: test\nlstn: null\n")
    run = await life.ends(await life.start().ask("command", "alice"))
    assert run.error == f"{tmp_path / 'spec.yaml'}:2:1: lstn: unknown key, did you mean 'lstm'?"
    assert (run.state, run.attempt, life.freshness.prepared) == (State.FAILED, 1, 0)


async def test_a_spec_that_cannot_be_looked_at_fails_the_run_and_not_the_daemon(lives: Make, tmp_path: Path) -> None:
    spec = tmp_path / f"{'x' * 300}.yaml"  # as of one in a folder that the unit closes, which root never sees
    life = lives(spec=str(spec))
    ended = await life.ends(await life.start().ask("command", "alice"))
    assert ended.state is State.FAILED
    assert ended.error == f"{spec}: File name too long, for the daemon's user; see retraining.spec"


async def test_no_storm_restarts_do_not_shorten_the_pause_or_renew_the_attempts(lives: Make) -> None:
    life = lives(attempts=4, backoff_first_s=0.8, backoff_cap_s=0.8)
    place_of(life).down.add("submit")
    began, pauses = time.monotonic(), {None}
    run_id = await life.start().ask("command", "alice")
    while not life.run(run_id).state.over:
        await until(lambda: life.run(run_id).next_try_ms not in pauses or life.run(run_id).state.over, "a new pause")
        pauses.add(life.run(run_id).next_try_ms)
        await life.kill()
        life.start()
    run = life.run(run_id)
    assert run.state is State.FAILED
    assert 3 <= place_of(life).asked["submit"] <= 4, "a try that a kill cut off is spent"
    assert time.monotonic() - began > len(pauses - {None}) * 0.4, "a pause is at least half its length"


async def test_no_storm_a_run_that_kills_its_daemon_is_given_up(lives: Make) -> None:
    life = lives(attempts=3)
    life.freshness.hanging = True
    run_id = await life.start().ask("command", "alice")
    for tries in (1, 2, 3):
        await until(lambda tries=tries: life.freshness.prepared == tries, "it is tried")
        await life.kill()
        life.start()
    run = await life.ends(run_id)
    assert (run.state, life.freshness.prepared) == (State.FAILED, 3)
    assert run.error == "cut off while preparing, by the daemon's end"


async def test_a_job_that_the_place_has_lost_is_given_to_it_again(lives: Make) -> None:
    life = lives()
    place = place_of(life)
    place.work = "sleep 60"
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, State.RUNNING)
    place.kill(run_id)
    place.work = MAKE_A_SET
    (place.folder / run_id).rename(place.folder / "gone")
    run = await life.ends(run_id)
    assert (run.state, run.attempt) == (State.DONE, 2)


async def test_a_job_beyond_its_time_is_ended_and_fails(lives: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.retraining.steps.GRACE_S", 0.0)
    life = lives(timeout_s=1)
    place_of(life).work = "sleep 60"
    run_id = await life.start().ask("command", "alice")
    run = await life.ends(run_id)
    assert (run.state, run.error) == (State.FAILED, "not over 1 s after it began")
    assert (place_of(life).folder / run_id / "canceled").exists()


async def test_the_time_that_a_job_waits_behind_others_is_not_its_own(
    lives: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.retraining.steps.GRACE_S", 0.0)
    monkeypatch.setattr("daemon.retraining.steps.POLL_S", 0.1)
    life = lives(timeout_s=60)
    place = place_of(life)
    place.busy = True
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, State.SUBMITTED)
    await life.kill()
    submitted = now_ms() - 3_600_000  # it has waited an hour, which is longer than it may take
    life.book.update(schema.runs, run_id, submitted_ms=submitted)
    asked_before = place.asked["status"]
    life.start()  # nor does a restart forget it
    await until(lambda: place.asked["status"] > asked_before + 3, "it is asked how far it is")
    assert (life.run(run_id).state, life.run(run_id).began_ms) == (State.SUBMITTED, None)
    place.work = f"sleep 0.5; {place.work}"
    place.free()
    assert (await life.ends(run_id)).state is State.DONE
    assert (life.run(run_id).began_ms or now_ms()) - submitted >= 3_600_000


@pytest.mark.parametrize("state", [State.SUBMITTED, State.RUNNING])
async def test_a_job_that_was_done_while_the_daemon_was_away_is_fetched_however_late(
    lives: Make, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.retraining.steps.POLL_S", 0.1)
    life = lives(timeout_s=60, waiting_s=60)
    place = place_of(life)
    place.work = f"sleep 0.5; {place.work}"
    place.busy = state is State.SUBMITTED
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, state)
    await life.kill()
    if place.busy:
        place.free()
    await until(lambda: (place.folder / run_id / "code").exists(), "it is done, and nobody has seen it")
    long_ago = now_ms() - 7 * 86_400_000
    began = {"began_ms": long_ago} if state is State.RUNNING else {}
    life.book.update(schema.runs, run_id, submitted_ms=long_ago, **began)
    place.down |= {"status", "logs"}
    asked_before = place.asked["status"]
    life.start()
    await until(lambda: place.asked["status"] > asked_before + 2, "the line is down as the daemon comes back")
    assert life.run(run_id).state is state
    place.down.clear()
    assert (await life.ends(run_id)).state is State.DONE
    assert life.offered == [(SET_ID, "alice", run_id)]
    assert not (place.folder / run_id / "canceled").exists()


async def test_a_job_of_which_nothing_is_heard_beyond_its_time_is_given_up(
    lives: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.retraining.steps.POLL_S", 0.1)
    monkeypatch.setattr("daemon.retraining.steps.GRACE_S", 0.3)
    life = lives(timeout_s=1)
    place = place_of(life)
    place.work = "sleep 60"
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, State.RUNNING)
    place.down |= {"status", "logs"}
    run = await life.ends(run_id)
    assert (run.state, run.error) == (State.FAILED, "not over 1.3 s after it began")
    assert (place.folder / run_id / "canceled").exists(), "and is told to end, should it go on"


async def test_a_job_that_nobody_begins_is_withdrawn(lives: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.retraining.steps.POLL_S", 0.1)
    life = lives(waiting_s=1)
    place = place_of(life)
    place.busy = True
    run = await life.ends(await life.start().ask("command", "alice"))
    assert run.state is State.FAILED
    assert str(run.error).startswith("nobody began it within 1 s (retraining.waiting_s)")
    assert (place.folder / run.id / "canceled").exists()


async def test_a_canceled_run_ends_its_job(lives: Make) -> None:
    life = lives()
    place_of(life).work = "sleep 60"
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, State.RUNNING)
    await life.coordinator.cancel(run_id, "bob")
    run = await life.ends(run_id)
    assert (run.state, run.error) == (State.CANCELED, "canceled by bob")
    assert (place_of(life).folder / run_id / "canceled").exists()
    with pytest.raises(TransitionError, match="is canceled and cannot become"):
        await life.coordinator.cancel(run_id, "bob")


async def test_killed_while_canceling_the_next_life_ends_the_job(lives: Make) -> None:
    life = lives(attempts=20)
    place = place_of(life)
    place.work = "sleep 60"
    place.down.add("cancel")
    run_id = await life.start().ask("command", "alice")
    await life.reaches(run_id, State.RUNNING)
    await life.coordinator.cancel(run_id, "bob")
    await until(lambda: place.asked["cancel"], "it was tried")
    await life.kill()
    assert life.run(run_id).state is State.CANCELING
    place.down.clear()
    life.start()
    assert (await life.ends(run_id)).state is State.CANCELED
    assert (place.folder / run_id / "canceled").exists()


async def test_a_run_that_waits_for_its_turn_is_canceled_without_asking_the_place(lives: Make) -> None:
    life = lives()
    waiting = asked("command", "alice", "place", next_try_ms=2**62)
    await Runs(life.book).add(waiting, "run asked", "")
    life.start()
    await until(lambda: life.coordinator.current, "it is waited for")
    await life.coordinator.cancel(waiting.id, "bob")
    assert (await life.ends(waiting.id)).state is State.CANCELED
    assert (await life.ends(await life.coordinator.ask("command", "alice"))).state is State.DONE


async def test_inputs_and_results_of_old_jobs_go_and_their_logs_stay(
    lives: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = lives(keep_jobs=2)
    life.start()
    (life.coordinator.jobs / "waiting").mkdir(parents=True)  # a path unit's, and no job
    made = []
    for _ in range(4):
        made.append(await life.coordinator.ask("command", "alice"))
        await life.ends(made[-1])
    jobs = life.coordinator.jobs
    await until(
        lambda: [(jobs / run_id / "inputs").exists() for run_id in sorted(made)] == [False, False, True, True],
        "the older ones are tidied",
    )
    assert all(life.log(run_id) for run_id in made)
    tidy(jobs, 1, {made[0]})
    assert not (jobs / made[2] / "inputs").exists()
    monkeypatch.setattr("daemon.retraining.job_folders.LOGS", 1)
    tidy(jobs, 1, {made[0]})
    assert sorted(path.name for path in jobs.iterdir()) == sorted(["waiting", made[0], made[2], made[3]]), (
        "one is under way"
    )


def test_every_transition_leads_on_and_three_states_end() -> None:
    assert {state for state in State if state.over} == {State.DONE, State.FAILED, State.CANCELED}
    for state in State:
        reached, fresh = set(), {state}
        while fresh:
            reached |= fresh
            fresh = {after for known in fresh for after in TRANSITIONS[known]} - reached
        assert any(end.over for end in reached)
