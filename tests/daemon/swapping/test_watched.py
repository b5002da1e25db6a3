"""The watch: a set that fails in service is taken out again by itself, whatever it is that fails."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from daemon.events import Opinion, PredictionReady
from daemon.inference import Answer
from daemon.swapping.config import Alive, Swapping
from daemon.swapping.pulse import Pulse
from daemon.swapping.watch import Watch
from market.instruments import CASH
from market.trades import Trade
from strategy.plan import Outlook, Reason
from tests.daemon.conftest import until
from tests.daemon.swapping.world import World
from tests.models.small_sets import HOUR, Made, Market

BAR = 1_700_000_000_000 // HOUR.ms * HOUR.ms


def answer(at: int, p: float | None, refusal: str = "", taken_ms: float = 5, horizons: Any = ()) -> Answer:
    outlook = None if p is None else Outlook(p, 1 - p, 1)
    opinion = Opinion("BTCUSDT", outlook, refusal, horizons)
    return Answer(PredictionReady(BAR + at * HOUR.ms, (opinion,), "id"), taken_ms, {})


async def test_a_set_that_decays_is_rolled_back_by_its_labels(world: World) -> None:
    first = world.store.champion

    def boasts(told: dict[str, Any]) -> None:
        """Sure of rises and falls alike, whatever happens; it says so in its golden answers, and is whole."""
        for calibrator in told["ensemble"]["calibrators"].values():
            calibrator |= {"slope": 40.0, "intercept": 12.0}

    swapping = {
        "shadow": {"candles": 1},
        "watch": {"candles": 60, "labels": 3},
        "alive": {"constant": 50},
    }
    async with world.life(swapping=swapping) as life:
        await life.play(1)
        decays = world.store.judged(world.store.add(boasts))
        await life.ask("swap", set=decays.id)
        await life.reach("rolled back", 40)
        assert life.serving == first == world.store.champion
        assert "worse than its record by" in life.swap.reason
        assert any("is taken out of service" in text for _, text in life.daemon.alerts.recent)
        await life.play(1)
        assert life.daemon.engine is not None
        assert life.daemon.engine.state.counts.missed_candles == 0
    assert decays.path.is_dir(), "it stays on disk"
    back = world.promotions()[-1]
    assert (back["by"], back["model_set"], back["who"]) == ("rollback", first, "the watcher (daemon)")


async def test_a_set_that_says_always_the_same_does_not_pass_the_shadow(world: World) -> None:
    def stuck(told: dict[str, Any]) -> None:
        for stacker in told["ensemble"]["stackers"].values():
            stacker["coefficients"] = [0.0] * len(stacker["coefficients"])

    async with world.life(swapping={"shadow": {"candles": 4}}) as life:
        await life.play(1)
        dead = world.store.judged(world.store.add(stuck))
        await life.ask("swap", set=dead.id)
        row = await life.reach("refused")
        assert "as a shadow: BTCUSDT: the same answer 4 times" in row.reason
        assert life.serving == world.store.champion != dead.id


async def test_a_shadow_that_looks_back_further_than_there_are_candles_is_refused(world: World, far: Made) -> None:
    wide = world.store.judged(world.store.add(made=far))
    async with world.life() as life:
        await life.play(1)
        await life.ask("swap", set=wide.id)
        row = await life.reach("refused")
        assert "no answer to 1 candles, the last time: fewer than" in row.reason


async def test_a_shadow_that_is_too_slow_is_refused(world: World) -> None:
    second = world.store.judged(world.store.add())
    async with world.life(swapping={"shadow": {"candles": 3}, "alive": {"slow_ms": 0.001}}) as life:
        await life.play(1)
        await life.ask("swap", set=second.id)
        row = await life.reach("refused")
        assert "as a shadow" in row.reason


def test_a_pulse_tells_the_dead_the_stuck_and_the_slow() -> None:
    limits = Alive(constant=4)

    def fault(*answers: Answer, candles: int = 20) -> str | None:
        pulse = Pulse(limits, candles)
        for each in answers:
            pulse.take(each)
        again = Pulse(limits, candles, pulse.kept)  # as after a restart
        assert again.fault() == pulse.fault()
        return pulse.fault()

    lively = [answer(n, 0.5 + n / 1000) for n in range(10)]
    assert fault(*lively) is None
    assert fault(*lively, *[answer(n, None, "a hole in the last 40 candles") for n in range(9)]) is None
    silent = [answer(n, None, "a member gave no finite number") for n in range(3)]
    assert "no answer to 3 candles" in str(fault(*lively, *silent)), "three in a row"
    assert fault(*lively, *silent[:2]) is None
    assert "inference failed" in str(fault(*lively, *[answer(n, None, "inference failed: no") for n in range(3)]))
    assert "the same answer 4 times" in str(fault(*[answer(n, 0.5) for n in range(4)]))
    assert "an answer takes 1500 ms" in str(fault(*[answer(n, 0.5 + n / 99, taken_ms=1500) for n in range(4)]))


def test_what_trades_lost_counts_from_the_first_candle_that_the_set_decided(made: Made, known: Market) -> None:
    limits = Swapping()
    watch = Watch(limits, made.manifest, lambda symbol: known.candles, 1_000 * CASH)
    close = BAR + HOUR.ms
    watch.take(answer(0, 0.5))
    watch.traded([_trade(close - 1, -900 * CASH)])
    assert watch.fault() is None, "another set opened it"
    watch.traded([_trade(close, -49 * CASH)])
    assert watch.fault() is None
    again = Watch(limits, made.manifest, lambda symbol: known.candles, 0, watch.kept)
    again.traded([_trade(close, -2 * CASH)])
    assert "2 trades it opened lost 51.00000000 of 1000.00000000, more than 5.0%" in str(again.fault())


def test_labels_are_scored_as_the_sets_own_were_made(made: Made, known: Market) -> None:
    candles = known.candles
    watch = Watch(Swapping(), made.manifest, lambda symbol: candles, CASH)
    start = int(candles.open_time[100])
    for n in range(30):
        said = PredictionReady(start + n * HOUR.ms, (Opinion("BTCUSDT", None, "", ((5, 0.9, 0.2),)),), "id")
        watch.take(Answer(said, 1, {}))
    rows = np.arange(100, 125)
    gain = candles.close[rows + 5] / candles.close[rows] - 1
    wanted = np.mean((0.9 - (gain > 0.0015)) ** 2) / 2 + np.mean((0.2 - (-gain > 0.0015)) ** 2) / 2
    assert watch.excess is not None
    assert watch.excess + 0.25 == pytest.approx(wanted), "a head without a record is measured against a coin"
    assert watch.kept["matured"] == 25


def _trade(entry_time: int, profit: int) -> Trade:
    return Trade("BTCUSDT", 1, 1, 1, entry_time, 1, entry_time + 1, 1, "time", 0, 0, profit, 0)


async def test_a_set_that_never_answers_in_service_is_taken_out_and_its_thread_left_alone(world: World) -> None:
    first = world.store.champion
    stuck = threading.Event()
    async with world.life(swapping={"shadow": {"candles": 1}, "watch": {"candles": 50}}) as life:
        await life.play(1)
        second = world.store.judged(world.store.add())
        await life.ask("swap", set=second.id)
        await life.reach("watched")
        engine = life.daemon.engine
        assert engine is not None
        engine.settings = replace(engine.settings, predict_ms=300)
        life.daemon.predictor.answer = lambda *given, **named: stuck.wait() and None  # type: ignore[method-assign,assignment,return-value]
        try:
            await life.play(3)
            await until(lambda: life.serving == first == world.store.champion, "the set before answering", 60)
            assert "inference did not answer in time" in life.swap.reason
            await life.play(1)
        finally:
            stuck.set()
    assert (life.decisions()[-1]["model_set"], life.decisions()[-1]["refusal"]) == (first, "")


async def test_without_a_way_back_a_set_that_failed_enters_nothing(world: World) -> None:
    first = world.store.champion
    assert first is not None
    swapping = {"shadow": {"candles": 1}, "watch": {"candles": 50}, "alive": {"slow_ms": 0.0001, "constant": 2}}
    async with world.life(swapping=swapping | {"alive": {}}) as life:
        await life.play(1)
        second = world.store.judged(world.store.add())
        await life.ask("swap", set=second.id)
        await life.reach("watched")
    shutil.rmtree(world.store.sets / first)
    async with world.life(swapping=swapping) as life:
        row = await life.reach("kept")
        assert "nothing is entered until you resume" in row.reason
        assert life.serving == second.id
        await life.play(1)
        assert life.daemon.engine is not None
        assert life.daemon.engine.state.memory.reason is Reason.PAUSED
