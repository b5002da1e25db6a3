"""Following: a job's log as it grows, by byte offset, for places whose files can be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

PIECE = 128 * 2**10
"""Bytes read at once."""
QUIET_S = 5.0
"""A log that says nothing for so long may be of a job that died: it is asked."""


class Log(Protocol):
    """A job's log somewhere. Every verb may raise BackendError."""

    async def over(self) -> bool:
        """Whether the job's result is there: what the log holds then is all of it."""

    @property
    def ask(self) -> Callable[[], Awaitable[bool]]:
        """Gives whether the job is over, asked of the place, which says so of a dead one."""

    async def read(self, offset: int) -> bytes:
        """At most `PIECE` bytes from there; none at its end, or while there is no log."""


async def follow(log: Log, offset: int, poll_s: float) -> AsyncIterator[bytes]:
    """The log from byte `offset` on, as it grows, until the job is over."""
    heard = time.monotonic()
    while True:
        over = await log.over()  # asked before the end is read, so that nothing is written after
        if not over and time.monotonic() - heard > QUIET_S:
            over, heard = await log.ask(), time.monotonic()
        while part := await log.read(offset):
            yield part
            offset, heard = offset + len(part), time.monotonic()
        if over:
            return
        await asyncio.sleep(poll_s)
