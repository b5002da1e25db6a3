"""The clock: moves the market a bar at a time on command, or by itself at a multiple of real pace.

On every move the account's events leave first, then the closing klines, then the forming ones.
"""

from __future__ import annotations

import asyncio

from market.exchange.feed import VISITS
from market.exchange.hub import Hub
from market.exchange.replay import Replay

PULSE_SECONDS = 1.0
"""A running market repeats its forming klines at least this often, as a live one does."""


class Clock:
    """Moves a replay and has the hub tell of it.

    Attributes
    ----------
    ended : asyncio.Event
        Set once the last bar has closed and was told of.
    """

    def __init__(self, replay: Replay, hub: Hub) -> None:
        self._replay = replay
        self._hub = hub
        self.ended = asyncio.Event()

    async def advance(self, bars: int) -> int:
        """Play `bars` bars, or as many as are left; returns how many."""
        for played in range(bars):
            if self._replay.done:
                return played
            await self._turn()
        return bars

    async def walk(self, bars: int) -> int:
        """Like `advance`, but klines are told of at every price on the way, as a running market tells of them."""
        for played in range(bars):
            if self._replay.done:
                return played
            while self._replay.visited < VISITS - 1:
                await self._visit()
            await self._turn()
        return bars

    async def run(self, speed: float) -> None:
        """Play to the end of the data, `speed` times as fast as the market was."""
        loop = asyncio.get_running_loop()
        step = self._replay.timeframe.ms / 1000 / speed / (VISITS - 1)
        due = loop.time()
        while not self._replay.done:
            due = max(due + step, loop.time())
            await self._wait(due)
            if self._replay.visited < VISITS - 1:
                await self._visit()
            else:
                await self._turn()

    async def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > PULSE_SECONDS:
            await asyncio.sleep(min(PULSE_SECONDS, left))
            async with self._hub.turn:
                await self._hub.tell_forming()
        await asyncio.sleep(max(0.0, left))

    async def _visit(self) -> None:
        async with self._hub.turn:
            self._replay.visit()
            await self._hub.tell_events()
            await self._hub.tell_forming()

    async def _turn(self) -> None:
        async with self._hub.turn:
            self._replay.turn()
            if await self._hub.tell_events():
                await self._hub.barrier()
            await self._hub.tell_closing()
            await self._hub.tell_forming()
        if self._replay.done:
            self.ended.set()
