"""What a person sees of the loop: who is champion, drift, the swap and the retraining under way, in words."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from daemon.lifecycle import telling
from daemon.view import LiveView
from models.modelset import CHAMPION
from tests.daemon.conftest import until
from tests.daemon.swapping.world import Life, World


def shown(life: Life, width: int) -> tuple[Callable[[], str], asyncio.Task[None]]:
    """What the picture of a life says just now, and the task that draws it."""
    view = LiveView(life.daemon, Console(file=io.StringIO(), force_terminal=True, width=140, height=50))

    def picture() -> str:
        written = io.StringIO()
        Console(file=written, width=width, height=50).print(view.picture())
        return written.getvalue()

    return picture, asyncio.create_task(view.run())


async def test_the_picture_shows_who_is_champion_and_the_swap_under_way(world: World) -> None:
    second = world.store.judged(world.store.add())
    async with world.life(swapping={"shadow": {"candles": 4}}) as life:
        await life.play(1)
        picture, drawing = shown(life, 140)
        quiet = "champion in service  drift not watched  swap –  next retraining –"
        await until(lambda: quiet in picture(), "the champion read")
        await life.ask("swap", set=second.id)
        await life.reach("shadow")
        await life.play(1)
        await until(lambda: life.swap.candles == 1, "a candle shadowed")
        assert f"swap {second.id} shadow, 1 of 4 candles, asked by tester; " in picture()
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def test_a_champions_pointer_that_cannot_be_read_is_told_and_the_picture_goes_on(world: World) -> None:
    async with world.life() as life:
        await life.play(1)
        picture, drawing = shown(life, 400)
        pointer = world.store.sets / CHAMPION
        held = pointer.read_text()
        await until(lambda: "champion in service" in picture(), "the champion read")
        pointer.write_text("no id at all")
        await until(lambda: "the pointer holds 'no id at all', which is no id" in picture() or drawing.done(), "words")
        assert not drawing.done(), "the picture is drawn on"
        assert "champion not readable" in picture()
        pointer.write_text(held)
        await until(lambda: "champion in service" in picture(), "the champion read again")
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


SHRUNK = {"level": "shrink", "size": 0.5, "accepted": False, "text": "BTCUSDT …", "since": "2026-11-24T10:00Z"}
SAID = [
    (telling.drift({"level": "none", "unwatched": "no set"}), "not watched: no set"),
    (telling.drift({"level": "none", "unwatched": None}), "none, entries at their full size"),
    (telling.drift(SHRUNK), "shrink since 2026-11-24T10:00Z: entries at 50% of their size; BTCUSDT …"),
    (telling.drift(SHRUNK | {"level": "stop"}), "stop since 2026-11-24T10:00Z: no entries; BTCUSDT …"),
    (
        telling.drift(SHRUNK | {"level": "stop", "accepted": True}),
        "stop since 2026-11-24T10:00Z: entries at 50% of their size, as an operator resumed; BTCUSDT …",
    ),
    (telling.swap(None), "none under way"),
    (
        telling.swap({"set": "b", "stage": "watched", "candles": "3 of 24", "who": "alice", "why": "it answers"}),
        "b watched, 3 of 24 candles, asked by alice; it answers",
    ),
    (telling.retraining({"run": None, "state": None, "next": None}), "no run under way; no schedule"),
    (
        telling.retraining({"run": "r-1", "state": "running", "next": "2026-11-29T03:30Z"}),
        "r-1 running; the next by schedule 2026-11-29T03:30Z",
    ),
]


@pytest.mark.parametrize(("said", "words"), SAID, ids=range(len(SAID)))
def test_status_is_told_in_words(said: str, words: str) -> None:
    assert said == words
