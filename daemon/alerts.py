"""Alerts: telling a person, by any messenger apprise knows; a bounded queue, a time-out, and the result is checked."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import apprise

log = logging.getLogger("daemon.alerts")

LEVELS = ("info", "warning", "critical")
_LOG_LEVEL = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}
_KIND = {"info": "info", "warning": "warning", "critical": "failure"}
QUEUE = 100
TIMEOUT_S = 20.0
RECENT = 50


class AlertsError(Exception):
    """An alert channel cannot be used; the message says which and why."""


class Alerts:
    """Sends alerts of at least `level` to all channels; every alert is logged and kept for the view.

    Raises
    ------
    AlertsError
        If apprise does not know a URL's kind.
    """

    def __init__(self, urls: Sequence[str], level: str, title: str = "Regimen") -> None:
        self._channels = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not self._channels.add(url):  # the URL may hold a token: it is not repeated
                raise AlertsError(
                    f"alerts.urls: apprise does not know what number {number} is; see its list of services"
                )
        self._least, self._title = LEVELS.index(level), title
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(QUEUE)
        self.recent: deque[tuple[str, str]] = deque(maxlen=RECENT)
        self.dropped = 0
        self.failed = 0

    def tell(self, level: str, text: str) -> None:
        """Log an alert and queue it; when the queue is full it is dropped and counted."""
        log.log(_LOG_LEVEL[level], "%s", text)
        self.recent.append((level, text))
        if not len(self._channels) or LEVELS.index(level) < self._least:
            return
        try:
            self._queue.put_nowait((level, text))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            level, text = await self._queue.get()
            try:
                await self._send(level, text)
            finally:
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until what is queued was sent, for so long at most."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d alerts were not sent", self._queue.qsize())

    async def _send(self, level: str, text: str) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                sent = await self._channels.async_notify(body=text, title=self._title, notify_type=_KIND[level])
        except TimeoutError:
            sent = False
        except Exception:  # a messenger's own error must not end the alerts
            log.exception("an alert channel failed")
            sent = False
        if not sent:
            self.failed += 1
            log.error("an alert did not reach every channel: %s", text)
