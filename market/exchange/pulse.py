"""The pulse: what wall time does to a venue, whatever its market does.

Listen keys die unless kept alive, connections end after a day, and orders that were filled in part go on.
"""

from __future__ import annotations

import asyncio

from market.exchange.hub import Hub
from market.exchange.venue import Venue

BEAT_SECONDS = 0.05


class Pulse:
    """Looks at one venue a few times a second.

    Parameters
    ----------
    venue : Venue
        Its lifetimes say what ends when.
    hub : Hub
        Tells of it, and holds the connections.
    """

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self._venue, self._hub = venue, hub

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        filled = loop.time()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            every = self._venue.fill_every_s
            if every and loop.time() - filled >= every:
                filled = loop.time()
                await self._go_on()
            await self._end_what_is_due()

    async def _go_on(self) -> None:
        async with self._hub.turn:
            for symbol in self._venue.engine.instruments:
                self._venue.engine.go_on(symbol)
            await self._hub.tell_events()

    async def _end_what_is_due(self) -> None:
        if self._venue.listen_key_is_due:
            async with self._hub.turn:
                self._venue.expire_listen_key()
                await self._hub.tell_events()
            await self._hub.close_over()
        await self._hub.close_older_than(self._venue.lifetimes.connection_s)
