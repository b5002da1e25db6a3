"""What is refused, each with its reason; the champion is untouched, and the daemon trades on by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.retraining.arrival import arrive
from daemon.retraining.backend import BackendError
from models.jobs.request import Result
from models.manifest import utc
from models.modelset import MANIFEST, ModelSet, digest
from tests.daemon.conftest import until
from tests.daemon.swapping.world import Life, World, now_ms

Change = Callable[[dict[str, Any]], None]


async def refused(world: World, life: Life, set_id: str, **args: Any) -> str:
    """The reason for which a set is refused; the one in service answers on, and the pointer has not moved."""
    before = life.serving, world.store.champion, world.promotions()
    await life.ask("swap", set=set_id, **args)
    row = await life.reach("refused")
    assert row.set_id == set_id
    assert (life.serving, world.store.champion, world.promotions()) == before
    return row.reason


def told(path: str, value: Any) -> Change:
    """Puts a value into a manifest, at a path of keys."""

    def change(manifest: dict[str, Any]) -> None:
        *outer, last = path.split(".")
        for key in outer:
            manifest = manifest[key]
        manifest[last] = value

    return change


MISFITS = [
    (told("data.venue", "bybit-linear"), "it was trained on bybit-linear, and this daemon trades at binanceusdm"),
    (told("data.symbols", ["ETHUSDT"]), "it was trained on ETHUSDT, and BTCUSDT is traded here"),
    (told("data.timeframe", "4h"), "it reads 4h candles, and decisions are made at 1h"),
    (told("data.labels.cost", 0.0009), "count a trade as paid from 0.0009 on, and fees alone are 0.001 here"),
    (told("expires", utc(now_ms() - 1_000)), "it expired at"),
]


async def test_37_a_set_that_does_not_fit_is_refused_with_the_reason(world: World) -> None:
    async with world.life() as life:
        await life.play(1)
        for change, reason in MISFITS:
            odd = world.store.judged(world.store.add(change))
            assert reason in await refused(world, life, odd.id)
            assert reason in await refused(world, life, odd.id, force=True, reason="no force helps against that")
        await life.play(1)
        assert life.decisions()[-1]["model_set"] == world.store.champion


def _wrong_hash(folder: Path) -> None:
    file = next(folder.glob("lgbm*.txt"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def _newer(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(content | {"format": 2}))


def _half(folder: Path) -> None:
    next(folder.glob("lgbm*.txt")).unlink()


def _headless(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _arriving(folder: Path) -> None:
    partial = folder.parent / "incoming" / f"{folder.name}.partial"
    partial.parent.mkdir(exist_ok=True)
    folder.rename(partial)


BROKEN = [
    (_wrong_hash, "its SHA-256 is"),
    (_newer, "format 2 is newer than 1"),
    (_half, "the file is missing"),
    (_headless, "half-copied: it has no manifest"),
    (_arriving, "half-copied: it was not verified yet"),
]


async def test_37_a_broken_or_half_copied_set_is_refused(world: World) -> None:
    async with world.life() as life:
        await life.play(1)
        for damage, reason in BROKEN:
            odd = world.store.judged(world.store.add())
            damage(odd.path)
            assert reason in await refused(world, life, odd.id)


async def test_37_a_set_of_another_feature_schema_is_refused(world: World) -> None:
    odd = world.store.add()
    content = json.loads((odd.path / MANIFEST).read_bytes())
    content["features"]["schema_hash"] = "0" * 64
    from models.manifest import canonical, derive_id

    content["id"] = derive_id(content)
    (odd.path / MANIFEST).write_bytes(canonical(content))
    odd.path.rename(odd.path.with_name(content["id"]))
    async with world.life() as life:
        await life.play(1)
        assert "it was made with other definitions of its features" in await refused(world, life, content["id"])


async def test_37_what_comes_back_changed_is_refused_before_it_has_a_place_in_the_store(world: World) -> None:
    odd = world.store.add()
    partial = world.store.sets / "incoming" / f"{odd.id}.partial"
    partial.parent.mkdir(exist_ok=True)
    files = {file.name: digest(file.read_bytes()) for file in odd.path.iterdir()}
    odd.path.rename(partial)
    _wrong_hash(partial)
    when = utc(now_ms())
    result = Result(id="a-run", outcome="done", started=when, ended=when, set_id=odd.id, files=files)
    with pytest.raises(BackendError, match="its SHA-256 is"):
        arrive(partial, result, world.store.sets)
    async with world.life() as life:
        await life.play(1)
        assert (await life.ask("swap", set=odd.id))["code"] == 7
        await life.daemon.lifecycle.swapper.offer(odd.id, "somebody")  # type: ignore[union-attr]  # as a run would
        assert "no model set is here" in (await life.reach("refused")).reason


async def test_a_set_whose_golden_answers_are_others_is_refused_when_it_is_loaded(world: World) -> None:
    def bent(manifest: dict[str, Any]) -> None:
        manifest["golden"]["outputs"]["p_long"][0] += 0.01

    odd = world.store.judged(world.store.add(bent, golden=False))
    async with world.life() as life:
        await life.play(1)
        assert "off its golden answers" in await refused(world, life, odd.id)
        assert "swap loading" in str(life.audit())


async def test_what_the_gate_does_not_let_pass_is_refused(world: World) -> None:
    async with world.life() as life:
        await life.play(1)
        for word in ("refuse", "not enough evidence"):
            odd = world.store.judged(world.store.add(), word)
            assert f"is '{word}': skill/auc/long" in await refused(world, life, odd.id)
            assert life.swap.verdict is not None
            assert life.swap.verdict.startswith(word)
        assert "there is no verdict on" in await refused(world, life, world.store.add().id)
        stale = world.store.judged(world.store.add(), gate_sha256="0" * 64)
        assert "has changed since" in await refused(world, life, stale.id)


async def test_a_set_that_reads_what_is_not_subscribed_to_is_refused(world: World, known_wide: ModelSet) -> None:
    odd = world.store.judged(world.store.take(known_wide))
    async with world.life() as life:
        await life.play(1)
        reason = await refused(world, life, odd.id)
        assert "reads 15m candles; write timeframes: [15m, 1h]" in reason
        assert "compares BTCUSDT with ETHUSDT; write symbols: [BTCUSDT, ETHUSDT]" in reason


async def test_39_a_set_that_insists_on_a_gpu_is_refused_where_there_is_none_and_the_cpu_answers_as_golden(
    world: World,
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has a GPU here, which is what must be missing")
    second = world.store.judged(world.store.add())
    async with world.life(provider="auto") as life:
        await life.play(1)
        life.daemon.lifecycle.swapper.take_up(  # type: ignore[union-attr]
            life.daemon.config.model_copy(update={"provider": "cuda"})
        )
        assert "the GPU cannot be used; onnxruntime offers" in await refused(world, life, second.id)
        life.daemon.lifecycle.swapper.take_up(life.daemon.config)  # type: ignore[union-attr]
        third = world.store.judged(world.store.add())
        await life.ask("swap", set=third.id)
        await life.reach("watched")
        assert any("members on cpu, golden answers as recorded" in line for line in life.audit())


async def test_the_starter_set_and_what_is_no_set_are_refused(world: World) -> None:
    async with world.life() as life:
        await life.play(1)
        gone = world.store.add()
        shutil.rmtree(gone.path)
        for name in ("champoin", gone.id):
            said = await life.ask("swap", set=name)
            assert (said["code"], f"no model set is called '{name}'" in said["error"]) == (7, True)
        assert "give one" in (await life.ask("swap", set=world.store.add().id, force=True))["error"]
        asked = len(life.audit())
        for words in ({}, {"force": True, "reason": "no force helps against that"}):
            said = await life.ask("swap", set=life.serving, **words)
            assert (said["code"], said["error"]) == (6, f"{life.serving} is in service already: nothing was queued")
        assert len(life.audit()) == asked, "nothing was queued, so nothing is told to be refused"
        await until(lambda: life.daemon.lifecycle.swapper.standing() is None, "nothing under way")  # type: ignore[union-attr]
