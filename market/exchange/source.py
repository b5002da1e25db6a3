"""The source: where a venue's market comes from, be it a replay of history or a mirror of a live exchange.

Codec and hub know a market by these shapes alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from market.instruments import Instrument
from market.timeframes import Timeframe

if TYPE_CHECKING:
    from market.exchange.feed import Kline, Outlook


class Elsewhere(Exception):
    """What was asked for is not here: `fetch` it, then ask again."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__("not here; fetch it and ask again")
        self.fetch = fetch


class SymbolSource(Protocol):
    """One symbol's market."""

    @property
    def instrument(self) -> Instrument: ...

    @property
    def symbol(self) -> str: ...

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """What klines there are, the shortest first."""

    @property
    def funding_times(self) -> Sequence[int]:
        """Funding instants, UTC ms, rising."""

    @property
    def funding_rates(self) -> Sequence[int]:
        """Their rates, 1e-8 of the notional."""

    def klines(self, timeframe: Timeframe, start: int | None, end: int | None, limit: int) -> Iterable[Kline]:
        """At most `limit` klines up to now, the forming one last; from `start` (ms) the earliest, else the latest.

        Raises
        ------
        Elsewhere
            If they have to be fetched first.
        """

    def mark_at(self, time: int) -> int | None:
        """The mark (ticks) of a past funding instant, where it is known."""

    def outlook(self, now: int, hours: int) -> Outlook:
        """Funding and index as they stand, where instants are `hours` apart."""


class Source(Protocol):
    """The market of all symbols."""

    @property
    def feeds(self) -> Mapping[str, SymbolSource]: ...

    @property
    def time(self) -> int:
        """The market's clock, UTC ms."""

    @abstractmethod
    def listen(self, pairs: Iterable[tuple[str, Timeframe]]) -> None:
        """Somebody listens to these klines from now on."""

    @abstractmethod
    def closing(self, wanted: Container[tuple[str, Timeframe]]) -> Iterable[Kline]:
        """Klines that closed last; only those `wanted`."""

    @abstractmethod
    def forming(self, wanted: Container[tuple[str, Timeframe]]) -> Iterable[Kline]:
        """Klines as they form now; only those `wanted`."""

    @abstractmethod
    def state(self) -> dict[str, object]:
        """What a harness wants to know of the market."""
