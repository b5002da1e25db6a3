"""Back-off: asking until there is an answer, at the pauses that `market.backoff` gives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from market.backoff import Backoff

T = TypeVar("T")

log = logging.getLogger("daemon.backoff")


async def insist(ask: Callable[[], Awaitable[T]], what: str, failures: type[Exception]) -> T:
    """Ask until there is an answer, with back-off; says what it waits for."""
    backoff = Backoff()
    while True:
        try:
            return await ask()
        except failures as error:
            pause = backoff.next()
            log.warning("%s: %s; trying again in %.1f s", what, error, pause)
            await asyncio.sleep(pause)
