"""Arming: rules with their counts. Each message is shown to every rule; the first that strikes decides."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from market.exchange.faults.paths import look
from market.exchange.faults.scenario import Match, On, Rule

LOG_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message as rules see it; `body` is its JSON, None where it has none."""

    on: On
    method: str = ""
    path: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    stream: str = ""
    body: Any = None

    def __str__(self) -> str:
        said = " ".join(f"{k}={v}" for k, v in self.params.items() if k not in ("signature", "timestamp", "recvWindow"))
        return " ".join(part for part in (self.method, self.path, self.stream, said) if part)


@dataclass(slots=True)
class Armed:
    """A rule and what it has seen; `until_ms` is when it is spent, from its first strike on."""

    id: int
    rule: Rule
    dice: random.Random
    seen: int = 0
    hits: int = 0
    until_ms: int | None = None

    def strikes(self, message: Message, now_ms: int) -> bool:
        """Count the message if it matches, and say whether it is struck."""
        rule = self.rule
        if message.on is not rule.on or not matches(rule.match, message):
            return False
        self.seen += 1
        due = self.seen - 1 - rule.after
        if due < 0 or due % rule.every or (rule.count is not None and self.hits >= rule.count):
            return False
        if self.until_ms is not None and now_ms >= self.until_ms:
            return False
        if rule.probability < 1 and self.dice.random() >= rule.probability:
            return False
        self.hits += 1
        if self.until_ms is None and rule.for_s is not None:
            self.until_ms = now_ms + int(rule.for_s * 1000)
        return True


class Arsenal:
    """The armed rules and the log of every strike.

    Parameters
    ----------
    seed : int
        Of the rules' probabilities.
    wall_ms : callable
        The wall clock, ms.
    """

    def __init__(self, seed: int, wall_ms: Callable[[], int]) -> None:
        self._seed, self._wall_ms = seed, wall_ms
        self._next = 1
        self.rules: list[Armed] = []
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)

    def arm(self, rules: Iterable[Rule]) -> list[int]:
        """Add rules behind those there are; gives their ids."""
        fresh = []
        for rule in rules:
            fresh.append(Armed(self._next, rule, random.Random(f"{self._seed} {rule.name}")))
            self._next += 1
        self.rules += fresh
        return [armed.id for armed in fresh]

    def disarm(self, id_: int | None = None) -> int:
        """Take one rule out, or all; says how many."""
        kept = [armed for armed in self.rules if id_ is not None and armed.id != id_]
        gone, self.rules = len(self.rules) - len(kept), kept
        return gone

    def strike(self, message: Message) -> Armed | None:
        """The rule that strikes this message, if one does; every rule that matches has counted it."""
        now = self._wall_ms()
        struck = None
        for armed in self.rules:
            if struck is None and armed.strikes(message, now):
                struck = armed
            elif struck is not None and message.on is armed.rule.on and matches(armed.rule.match, message):
                armed.seen += 1
        if struck is not None:
            action = struck.rule.do.action
            told = {"at_ms": now, "id": struck.id, "rule": struck.rule.name, "on": str(message.on)}
            self.log.append(told | {"action": action, "message": str(message)})
        return struck

    def state(self) -> dict[str, Any]:
        """Rules with their counts, and the log, oldest first."""
        rules = [
            {"id": a.id, "seen": a.seen, "hits": a.hits, **a.rule.model_dump(mode="json", exclude_defaults=True)}
            for a in self.rules
        ]
        return {"seed": self._seed, "faults": rules, "strikes": list(self.log)}


def matches(match: Match, message: Message) -> bool:
    """Whether a message is one of those a rule is for."""
    return (
        (match.method is None or match.method == message.method)
        and (match.path is None or fnmatchcase(message.path, match.path))
        and (match.status is None or match.status == message.status)
        and (match.stream is None or fnmatchcase(message.stream, match.stream))
        and all(_is(wanted, message.params.get(name)) for name, wanted in match.params.items())
        and all(_is(wanted, look(message.body, path)) for path, wanted in match.fields.items())
    )


def _is(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_is(one, found) for one in wanted)
    if wanted is None or found is None:
        return wanted is None and found is None
    if isinstance(wanted, str):
        return fnmatchcase(_text(found), wanted)
    return _text(found) == _text(wanted)  # a query knows texts alone: reduceOnly=true is true


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
