"""Reload: the configuration is read again while the daemon trades; all of what changed is taken up, or nothing.

First everything that can fail is done aside: the file, the rules, the alert channels, the set that is named. Only then
is anything put in force, by steps that cannot fail. The engine learns of it by an event, so that its journal replays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import apprise

from configs import ConfigError
from daemon import logs
from daemon.alerts import Alerts, AlertsError, channels
from daemon.config import DaemonConfig, Deadlines, alert_urls
from daemon.lifecycle.book import Book
from daemon.swapping.naming import named
from models.modelset import CHAMPION, ModelSetError
from strategy.live_config import Rules, load_rules
from strategy.phases import tighten

log = logging.getLogger("daemon.reload")

SECTIONS = ("retraining", "swapping", "drift")
"""Keys that a part of the daemon goes by, and takes up itself."""
LIVE = frozenset(
    ("model_set", "rules", "phase", "deadlines", "foreign_positions", "on_stop", "alerts", "log_level", *SECTIONS)
)
"""Keys that may change while the daemon runs."""
FIXED = {
    "mode": "what is at stake is settled at the start",
    "exchange": "its connections and keys are in use",
    "symbols": "their candles and positions are being followed",
    "timeframes": "the streams are subscribed",
    "decision_timeframe": "candles under way are counted in it",
    "model_sets": "sets under way are in it",
    "state_dir": "the journal in it is open and locked",
    "backup": "the next one is being waited for",
    "provider": "the set in service was opened with it",
    "deadlines.first_kline_s": "it is about a start",
    "deadlines.request_s": "the connections are made with it",
    "deadlines.instruments_s": "it is being waited for",
    "deadlines.journal_s": "the journal is opened with it",
}
"""Keys that may not, each with the reason."""

Offer = Callable[[str, str, str | None], Awaitable[None]]
"""Takes a set's id, who asks, and no run: begins its way into service."""


class ReloadRefused(Exception):
    """Nothing was changed; `lines` says why, one line a reason."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class Part(Protocol):
    """What a section of the configuration is about, and which can go by another one while it runs."""

    def refuses(self, config: DaemonConfig) -> list[str]:
        """What it cannot take up, each as ``key: reason``; changes nothing."""

    def take_up(self, config: DaemonConfig) -> None:
        """Go by the new section from now on; must not fail."""


class Reloadable(Protocol):
    """What is changed of a daemon. `parts` maps a section to what goes by it."""

    alerts: Alerts
    written: DaemonConfig
    rules: Rules
    parts: dict[str, Part]
    offer: Offer | None

    @property
    def in_service(self) -> str:
        """Id of the set that predicts."""

    def adopt(self, config: DaemonConfig, rules: Rules, tightened: tuple[str, ...], who: str) -> None:
        """Go by it from now on."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that can be put in force; `offered` is the set that shall come into service, None for none."""

    config: DaemonConfig
    rules: Rules
    tightened: tuple[str, ...]
    channels: apprise.Apprise
    offered: str | None
    changed: tuple[str, ...]


class Reload:
    """Reads a daemon's configuration again, one request at a time."""

    def __init__(self, daemon: Reloadable) -> None:
        self._daemon = daemon
        self._turn = asyncio.Lock()

    async def run(self, who: str) -> tuple[str, ...]:
        """Put the file's configuration in force; gives the names of what changed.

        Raises
        ------
        ReloadRefused
            If anything in it cannot be taken up; everything is as before.
        """
        daemon = self._daemon
        async with self._turn:
            try:
                found = await asyncio.to_thread(prepare, daemon)
            except ReloadRefused as error:
                await self._refused(error.lines, who)
                raise
            except Exception as error:  # whatever it was, the daemon trades on by what it has
                log.exception("the configuration could not be read again")
                lines = [f"{type(error).__name__}: {error}"]
                await self._refused(lines, who)
                raise ReloadRefused(lines) from error
            daemon.adopt(found.config, found.rules, found.tightened, who)
            daemon.alerts.use(found.channels, found.config.alerts.level)
            logs.set_level(found.config.log_level)
            for part in daemon.parts.values():  # rules or model_set concern a part whose section did not change
                part.take_up(found.config)
            if found.offered is not None and daemon.offer is not None:
                await self._offered(daemon.offer, found.offered, who)
            told = ", ".join(found.changed) or "nothing"
            log.info("the configuration was read again by %s; changed: %s", who, told)
            await self._audit(who, told, "taken", found.offered)
            return found.changed

    async def _offered(self, offer: Offer, set_id: str, who: str) -> None:
        """Offer the set; all else is in force by now, so that it cannot be queued is told, and ends nothing."""
        try:
            await offer(set_id, who, None)
        except Exception as error:
            log.exception("%s could not be offered", set_id)
            told = f"{set_id} could not be queued for a swap, ask again by `swap {set_id}`: {error}"
            self._daemon.alerts.tell("critical", told)

    async def _refused(self, lines: list[str], who: str) -> None:
        told = "; ".join(lines)
        self._daemon.alerts.tell("warning", f"the configuration was not taken up, the old one holds: {told}")
        await self._audit(who, told, "refused")

    async def _audit(self, who: str, text: str, verdict: str, set_id: str | None = None) -> None:
        def write() -> None:
            book = Book(self._daemon.written.state_dir)
            try:
                book.note("reload", text, who=who, verdict=verdict, set_id=set_id)
            finally:
                book.close()

        try:
            await asyncio.to_thread(write)
        except Exception as error:  # it holds all the same
            self._daemon.alerts.tell("warning", f"the reload could not be written to the audit: {error}")


def prepare(daemon: Reloadable) -> Prepared:
    """What the file says now, looked through to the end; reads files, and changes nothing.

    Raises
    ------
    ReloadRefused
        Naming everything that stands in the way.
    """
    before = daemon.written
    try:
        config = before.read_again()
        rules, tightened = tighten(load_rules(config.rules), config.phase_in_force)
        made = channels(alert_urls(config.alerts))
        offered = _offered(before, config, daemon.in_service)
    except (ConfigError, AlertsError, ModelSetError) as error:
        raise ReloadRefused(str(error).splitlines()) from error
    changed = differing(before, config)
    refused = [
        f"{key}: cannot change while the daemon runs, {FIXED[key]}; restart it" for key in changed if key in FIXED
    ]
    for section in SECTIONS:
        if section in changed and section not in daemon.parts:
            refused.append(f"{section}: it was not there at the start, or nothing goes by it; restart the daemon")
        elif section in changed:
            refused += daemon.parts[section].refuses(config)
    if offered is not None and daemon.offer is None:
        refused.append("model_set: this daemon cannot swap sets; restart it")
    if refused:
        raise ReloadRefused(refused)
    if rules != daemon.rules and "rules" not in changed:
        changed.append("rules")
    return Prepared(config, rules, tightened, made, offered, tuple(changed))


def differing(before: DaemonConfig, after: DaemonConfig) -> list[str]:
    """Names of the keys that differ, those of `deadlines` one by one, in the schema's order."""
    names: list[str] = []
    for name in DaemonConfig.model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, Deadlines):
            names += [f"{name}.{key}" for key in Deadlines.model_fields if getattr(old, key) != getattr(new, key)]
        elif old != new:
            names.append(name)
    return names


def _offered(before: DaemonConfig, after: DaemonConfig, in_service: str) -> str | None:
    """The set that the file asks for anew: another name, or a champion that was appointed since; None for none.

    An unchanged id asks for nothing: what is in service since came there by the gate.
    """
    if after.model_set == before.model_set != CHAMPION:
        return None
    asked = named(after).name
    return asked if asked != in_service else None
