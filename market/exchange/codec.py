"""The codec: one exchange's dialect, as server and hub need it; a package each speaks one.

A codec reads and writes. Who is connected, in which order things are told and what goes wrong on the way is the hub's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from market.exchange.feed import Kline
from market.exchange.orders import Event
from market.exchange.refusals import Refusal
from market.exchange.venue import Venue
from market.timeframes import Timeframe

Payload = dict[str, Any]
Told = tuple[str, Payload]
"""A topic and a frame for those who listen to it."""

ANSWER = "answer"
"""The topic of replies to what a client asks on its own socket."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A REST request as it came: `query` and `body` raw, since signatures cover them to the letter."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a REST request is answered."""

    payload: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Line:
    """One client's socket, as far as the codec cares.

    Attributes
    ----------
    private : bool
        Whether it came in by a private address.
    known : bool
        Whether it has said who it is; where the address says it, from the start.
    topics : set of str
        What it listens to.
    """

    private: bool
    known: bool = False
    topics: set[str] = field(default_factory=set)


class Codec(ABC):
    """A dialect over one venue.

    Parameters
    ----------
    venue : Venue
        The exchange behind it.
    secrets : mapping
        Secret by API key.

    Attributes
    ----------
    pairs : mapping
        (symbol, timeframe) by the topic of its klines.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    socket_base: ClassVar[str]
    """Path under which the sockets are, as clients are configured with it."""
    sockets: ClassVar[tuple[tuple[str, bool], ...]]
    """Paths of sockets, as aiohttp routes them, and whether each is private."""

    def __init__(self, venue: Venue, secrets: Mapping[str, str]) -> None:
        self.venue, self.secrets = venue, secrets
        self.pairs = {
            self.kline_topic(feed.symbol, timeframe): (feed.symbol, timeframe)
            for feed in venue.replay.feeds.values()
            for timeframe in feed.timeframes
        }

    # -- REST -------------------------------------------------------------------------------------------------------

    def admit(self, asked: Asked) -> None:  # noqa: B027 (a dialect that counts nothing admits all)
        """Count a request against the exchange's limits; refuses the one that is too many."""

    def headers(self, asked: Asked) -> dict[str, str]:
        """What every reply tells beside its payload, such as the counts so far."""
        return {}

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """Carry a request out.

        Raises
        ------
        Refusal
            Which `refused` puts into words.
        Elsewhere
            If it needs something that has to be fetched first.
        """

    @abstractmethod
    def error(self, code: int | None, message: str) -> Payload:
        """How an error is written, whoever thought of it."""

    @abstractmethod
    def refused(self, refusal: Refusal) -> Reply:
        """How a refusal is told."""

    # -- sockets ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def greet(self, line: Line, path: str, query: Mapping[str, str]) -> str | None:
        """Take in a new socket; words if it is turned away."""

    @abstractmethod
    def hear(self, line: Line, text: str) -> Iterator[Told]:
        """What a client says on its socket, and what it is told in return."""

    @abstractmethod
    def knows_all(self, line: Line) -> bool:
        """Whether everything about the account is told on this socket."""

    @abstractmethod
    def is_over(self, line: Line) -> bool:
        """Whether a socket lost its right to be open."""

    @abstractmethod
    def kline_topic(self, symbol: str, timeframe: Timeframe) -> str:
        """What one listens to for the klines of a symbol and timeframe."""

    @abstractmethod
    def kline(self, kline: Kline) -> Payload:
        """The frame of a kline."""

    @abstractmethod
    def marks(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        """The mark price of a symbol, to those of `topics` that tell of it."""

    @abstractmethod
    def quotes(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        """The best bid and ask of a symbol, to those of `topics` that tell of them."""

    @abstractmethod
    def account(self, happened: Event) -> Iterator[Told]:
        """Frames that tell of something that happened to the account."""

    def fresh(self, topics: Collection[str]) -> Iterator[Told]:
        """The forming klines of topics that were just subscribed to; real exchanges push within a quarter second."""
        wanted = {self.pairs[topic] for topic in topics if topic in self.pairs}
        self.venue.replay.listen(wanted)
        for kline in self.venue.replay.forming(wanted):
            yield self.kline_topic(kline.symbol, kline.timeframe), self.kline(kline)
