"""The inbox: what waits for the loop, in order of arrival, and bounded for what comes from outside.

The daemon's own answers are always taken: there are no more of them than commands under way. What an exchange or a
person sends is refused when too much waits; whoever brought it sees to it that nothing is lost.
"""

from __future__ import annotations

import asyncio

from daemon.events import Event

BOUND = 10_000


class Inbox:
    """Events on their way to the engine.

    Attributes
    ----------
    refused : int
        Events of others that found it full.
    most : int
        The most that ever waited.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._bound = bound
        self.refused = self.most = 0

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, event: Event) -> None:
        """Take one of our own: an answer to a command, a stream's word, the time."""
        self._queue.put_nowait(event)
        self.most = max(self.most, self._queue.qsize())

    def offer(self, event: Event) -> bool:
        """Take one that somebody else sent; False if it is full."""
        if self._queue.qsize() >= self._bound:
            self.refused += 1
            return False
        self.put(event)
        return True

    async def get(self) -> Event:
        """The oldest, once there is one."""
        return await self._queue.get()
