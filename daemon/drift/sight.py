"""Sight: which statistics of which symbol are judged, and what becomes of a level where they no longer are.

A level is held by what was beyond a limit under it, each symbol's group of statistics by itself. While one of them
cannot be judged, no look is calm: what is not seen has not got better, however well another symbol does. What cannot be
judged for as long as the window lasts holds nothing any more, nor does a symbol that has not been traded for so long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.drift.reference import GROUPS, Group


class Part(NamedTuple):
    """What is judged by itself: one group of statistics of one symbol."""

    symbol: str
    group: Group

    def __str__(self) -> str:
        return f"{self.symbol} {self.group}"


def parts(symbols: Iterable[str], groups: Collection[Group]) -> set[Part]:
    """Every group of every symbol."""
    return {Part(symbol, group) for symbol in symbols for group in groups}


def named(those: Iterable[Part]) -> str:
    """In words, group by group: ``outcomes of BTCUSDT, ETHUSDT; dead of BTCUSDT``."""
    of: dict[Group, list[str]] = {}
    for symbol, group in sorted(those):
        of.setdefault(group, []).append(symbol)
    return "; ".join(f"{group} of {', '.join(of[group])}" for group in GROUPS if group in of)


@dataclass
class Sight:
    """What is seen, look by look.

    Attributes
    ----------
    held_by : set
        What was beyond a limit since the level was last `none`, or in the looks that are about to raise it.
    missing : dict
        What counts and cannot be judged -> open time (ms) of the first look that missed it; never 0 for unknown.
    """

    held_by: set[Part] = field(default_factory=set)
    missing: dict[Part, int] = field(default_factory=dict)
    _told: set[Part] = field(default_factory=set)

    @classmethod
    def of(cls, body: Mapping[str, Any], symbols: Collection[str]) -> Sight:
        """As a look's row kept it; an earlier version's names groups alone, which stand for each of `symbols`."""
        missing = {part: at for text, at in body.get("missing", {}).items() for part in _parts(text, symbols)}
        return cls({part for text in body.get("held_by", ()) for part in _parts(text, symbols)}, missing)

    def as_dict(self) -> dict[str, Any]:
        """For the row."""
        return {
            "held_by": sorted(map(str, self.held_by)),
            "missing": {str(part): at for part, at in self.missing.items()},
        }

    def look(self, bar: int, seen: set[Part], beyond: set[Part], counting: set[Part], lasts_ms: int) -> Found:
        """Take in one more look.

        Parameters
        ----------
        bar : int
            The candle's open time, ms.
        seen, beyond : set
            What was judged, and what of it has something beyond a limit.
        counting : set
            What counts: of the symbols that are traded, the groups of the configuration.
        lasts_ms : int
            How long what is not judged holds a level.
        """
        self.held_by |= beyond
        groups = {part.group for part in counting}
        # a symbol that is traded no more has not got better either
        held = {part for part in self.held_by if part.group in groups}
        self.missing = {part: self.missing.get(part, bar) for part in sorted((counting | held) - seen)}
        lapsed = self.lapsed(bar, lasts_ms)
        # what raised it may count no more, by another configuration: then whatever is seen decides
        needed = held or (set() if seen & counting else counting)
        blind = (needed & self.missing.keys()) - lapsed
        ends = bool(needed) and needed <= lapsed
        fresh, self._told = lapsed - self._told, lapsed
        return Found(not blind and not ends, ends, fresh)

    def lapsed(self, bar: int, lasts_ms: int) -> set[Part]:
        """What has not been judged for so long."""
        return {part for part, since in self.missing.items() if bar - since >= lasts_ms}


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a look without anything beyond a limit is calm, or ends the level; and what has just lapsed."""

    calm: bool
    ends: bool
    lapsed: set[Part]


def _parts(text: str, symbols: Collection[str]) -> set[Part]:
    symbol, _, group = text.rpartition(" ")
    return {Part(each, known) for known in GROUPS if known == group for each in ((symbol,) if symbol else symbols)}
