"""A scenario: one numbered fault, as a short literal: what is done to daemon and exchange, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.stage import Stage

Act = Callable[["Stage"], None]
"""One thing that is done, or waited for."""
Fault = dict[str, Any]
"""One fault, as a scenario file writes it."""


@dataclass(frozen=True)
class Scenario:
    """One way of committing a numbered fault of the field notes.

    Attributes
    ----------
    number, name : int, str
        Of the fault; several scenarios may share a number, each with its `variant`.
    acts : sequence of Act
        What happens, in order; afterwards the faults are cleared and everything must come to rest in the truth.
    response : str
        What the daemon does about it, in words; the acts check them.
    exchange, daemon : mapping
        Options of ``python -m market.exchange``, keys of the daemon's configuration.
    spike : int, optional
        The candle (0: the first that is played) that reaches far enough to fire any stop.
    ends : bool
        Whether the daemon is meant to have ended; then only what it leaves at the exchange is judged.
    apart : str
        Why seconds naked are reported apart and not held against one second: ``ban``, ``outage``, or ``untold`` for a
        stop that somebody took away without anybody telling of it; empty where they are.
    told_wrong : bool
        Whether the exchange's frames lie about a candle, so that what was decided on cannot be its final word.
    forced : int
        Candles that nobody could have given, and that must be recorded as missing.
    """

    number: int
    name: str
    variant: str
    acts: Sequence[Act]
    response: str
    exchange: Mapping[str, Any] = field(default_factory=dict)
    daemon: Mapping[str, Any] = field(default_factory=dict)
    spike: int | None = None
    ends: bool = False
    apart: str = ""
    told_wrong: bool = False
    forced: int = 0

    @property
    def title(self) -> str:
        return f"{self.number} {self.name}" + (f": {self.variant}" if self.variant else "")
