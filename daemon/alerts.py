"""Alerts: telling a person, by any messenger apprise knows; a bounded queue, a time-out, and the result is checked.

What repeats is told at once the first time and then counted: one message a minute says how often it happened.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import apprise

log = logging.getLogger("daemon.alerts")

LEVELS = ("info", "warning", "critical")
_LOG_LEVEL = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}
_KIND = {"info": "info", "warning": "warning", "critical": "failure"}
_DETAIL = re.compile(r"(?<=\s)\S*\d\S*|\"[^\"]*\"")
"""What differs between two alerts of a kind: words with digits (but the first, which is the symbol), and quotations."""
QUEUE = 100
KINDS = 200
"""How many kinds of alerts are counted at once; beyond that the oldest is told."""
QUIET_S = 60.0
"""How long alerts of a kind are counted before the count is told."""
TIMEOUT_S = 20.0
RECENT = 50


class AlertsError(Exception):
    """An alert channel cannot be used; the message says which and why."""


@dataclass(slots=True)
class Repeats:
    """A kind of alert: when it was told (monotonic, s), how often it came again since, and its last text."""

    level: str
    since: float
    count: int = 0
    text: str = ""


def channels(urls: Sequence[str]) -> apprise.Apprise:
    """The channels at apprise's addresses; raises AlertsError if it does not know an address's kind."""
    made = apprise.Apprise()
    for number, url in enumerate(urls, start=1):
        if not made.add(url):  # the URL may hold a token: it is not repeated
            raise AlertsError(f"alerts.urls: apprise does not know what number {number} is; see its list of services")
    return made


class Alerts:
    """Sends alerts of at least `level` to all channels; every alert is logged, and each kind kept for the view.

    Parameters
    ----------
    urls : sequence of str
        The channels, in apprise's notation.
    level : str
        The least level that is sent.
    quiet_s : float
        How long alerts of one kind are counted before the count is told, seconds.

    Raises
    ------
    AlertsError
        If apprise does not know a URL's kind.
    """

    def __init__(self, urls: Sequence[str], level: str, title: str = "Regimen", quiet_s: float = QUIET_S) -> None:
        self._title, self._quiet_s = title, quiet_s
        self.use(channels(urls), level)
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(QUEUE)
        self._repeats: dict[str, Repeats] = {}
        self.recent: deque[tuple[str, str]] = deque(maxlen=RECENT)
        self.dropped = 0
        self.failed = 0
        self.grouped = 0
        """Alerts that were counted with others of their kind."""

    def use(self, channels: apprise.Apprise, level: str) -> None:
        """From now on send through these, what is at least of that level."""
        self._channels, self._least = channels, LEVELS.index(level)

    def tell(self, level: str, text: str) -> None:
        """Log an alert and queue it, or count it with others of its kind; what finds the queue full is counted too."""
        log.log(_LOG_LEVEL[level], "%s", text)
        self._tell_counts()
        kind = f"{level} {_DETAIL.sub('…', text)}"
        if (repeats := self._repeats.get(kind)) is not None:
            repeats.count, repeats.text = repeats.count + 1, text
            self.grouped += 1
            return
        if len(self._repeats) >= KINDS:
            self._tell_count(next(iter(self._repeats)))
        self._repeats[kind] = Repeats(level, time.monotonic())
        self._say(level, text)

    async def run(self) -> None:
        """Send what is queued and tell the counts in their time, until cancelled."""
        while True:
            self._tell_counts()
            try:
                async with asyncio.timeout(min(1.0, self._quiet_s)):
                    level, text = await self._queue.get()
            except TimeoutError:
                continue
            try:
                await self._send(level, text)
            finally:
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Tell the counts that are open and wait until all that is queued was sent, for so long at most."""
        for kind in list(self._repeats):
            self._tell_count(kind)
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d alerts were not sent", self._queue.qsize())

    def _tell_counts(self) -> None:
        """Tell the counts whose time has come; a kind that has fallen silent is forgotten."""
        now = time.monotonic()
        for kind in [k for k, r in self._repeats.items() if now - r.since >= self._quiet_s]:
            repeats = self._repeats[kind]
            if self._tell_count(kind):
                self._repeats[kind] = Repeats(repeats.level, now)

    def _tell_count(self, kind: str) -> bool:
        """Tell of a kind's repeats, if there were any, and forget it."""
        repeats = self._repeats.pop(kind)
        if repeats.count:
            seconds = time.monotonic() - repeats.since
            others = f" (the last of {repeats.count} of this kind within {seconds:.0f} s)" if repeats.count > 1 else ""
            self._say(repeats.level, repeats.text + others)
        return repeats.count > 0

    def _say(self, level: str, text: str) -> None:
        self.recent.append((level, text))
        if not len(self._channels) or LEVELS.index(level) < self._least:
            return
        try:
            self._queue.put_nowait((level, text))
        except asyncio.QueueFull:
            self.dropped += 1

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
