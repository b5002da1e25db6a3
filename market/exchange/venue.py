"""The venue: engine, desk and market of one exchange, with the wall clock that only signatures and keys live by."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from market.candles import Candles
from market.exchange.account import Costs
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.feed import Feed
from market.exchange.limits import Limits
from market.exchange.orders import Event, KeyExpired
from market.exchange.refusals import Code, Refusal
from market.exchange.replay import Replay
from market.exchange.source import Source
from market.funding import Funding
from market.instruments import Instrument, cash_text

History = tuple[Instrument, Candles, Funding | None]
"""What is replayed of one symbol."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the API key may do; a trading key need not and should not be able to withdraw."""

    reading: bool = True
    futures: bool = True
    withdrawals: bool = False
    internal_transfer: bool = False
    universal_transfer: bool = False
    ip_restricted: bool = True

    def check(self, reads: bool) -> None:
        """Refuse what the key may not do; every change of the account needs `futures`."""
        if not (self.reading if reads else self.futures):
            raise Refusal(Code.BAD_API_KEY)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last, in seconds of wall time."""

    listen_key_s: float = 3_600.0
    connection_s: float = 86_400.0


class Venue:
    """Everything the codec answers from.

    Parameters
    ----------
    engine : Engine
        The account under the market.
    replay : Source
        The market itself: a replay of history, or a mirror of a live exchange.
    wall_ms : callable
        The wall clock, ms.
    """

    def __init__(self, engine: Engine, replay: Source, wall_ms: Callable[[], int]) -> None:
        self.engine = engine
        self.desk = Desk(engine)
        self.replay = replay
        self.clock_offset_ms = 0
        self._wall_ms = wall_ms
        self.limits = Limits()
        self.fill_every_s = 0.0
        self.lifetimes = Lifetimes()
        self.listen_key = ""
        self._key_dies_ms = 0
        self.permissions = Permissions()
        self._foreign_ids = 0
        self.keep: Callable[[list[Event]], None] = lambda events: None

    @classmethod
    def replaying(
        cls,
        histories: Sequence[History],
        *,
        start: int,
        bars: int | None,
        cash: int,
        costs: Costs,
        wall_ms: Callable[[], int],
    ) -> Venue:
        """A venue that replays histories, in the order events follow.

        Parameters
        ----------
        histories : sequence of History
            Symbols with their base candles and funding.
        start : int
            Open time (ms) of the first bar traded in.
        bars : int, optional
            How many bars to play.
        cash : int
            First deposit, cash units.
        costs : Costs
            Fees and slippage.
        wall_ms : callable
            The wall clock, ms.
        """
        engine = Engine([instrument for instrument, _, _ in histories], cash, costs)
        return cls(engine, Replay(engine, [Feed(*history) for history in histories], start, bars), wall_ms)

    def wall_ms(self) -> int:
        """The exchange's clock, ms: the wall's, off by `clock_offset_ms`."""
        return self._wall_ms() + self.clock_offset_ms

    def drain(self) -> list[Event]:
        """What happened to the account since the last call, once it is kept where the venue keeps its state."""
        events = self.engine.drain()
        self.keep(events)
        return events

    def open_listen_key(self) -> str:
        """The account's listen key, made anew once it was closed; asking for it prolongs it."""
        self.listen_key = self.listen_key or secrets.token_hex(32)
        return self.keep_listen_key()

    def keep_listen_key(self) -> str:
        """Prolong the listen key; refuses where there is none."""
        if not self.listen_key:
            raise Refusal(Code.NO_LISTEN_KEY)
        self._key_dies_ms = self._wall_ms() + round(self.lifetimes.listen_key_s * 1000)
        return self.listen_key

    @property
    def listen_key_is_due(self) -> bool:
        """Whether there is a listen key that nobody kept alive."""
        return bool(self.listen_key) and self._wall_ms() >= self._key_dies_ms

    def expire_listen_key(self) -> None:
        """The listen key dies; the user stream is told of it and hears no more."""
        if self.listen_key:
            self.engine.emit(KeyExpired(self.engine.time, self.listen_key))
            self.listen_key = ""

    def kept(self) -> dict[str, object]:
        """What a restart must find again beside the account: key, permissions, clock, ids."""
        return {
            "listen_key": self.listen_key,
            "key_dies_ms": self._key_dies_ms,
            "permissions": asdict(self.permissions),
            "clock_offset_ms": self.clock_offset_ms,
            "fill_every_s": self.fill_every_s,
            "foreign_ids": self._foreign_ids,
        }

    def take_back(self, kept: Mapping[str, Any]) -> None:
        """Be as `kept` said."""
        self.listen_key, self._key_dies_ms = kept["listen_key"], kept["key_dies_ms"]
        self.permissions = Permissions(**kept["permissions"])
        self.clock_offset_ms, self.fill_every_s = kept["clock_offset_ms"], kept["fill_every_s"]
        self._foreign_ids = kept["foreign_ids"]

    def foreign_id(self) -> str:
        """A client id as the exchange's website gives to orders made by hand."""
        self._foreign_ids += 1
        return f"web_{self._foreign_ids:020d}"

    def state(self) -> dict[str, object]:
        """What a harness wants to know, amounts in decimal text: clock, wallet, sums, positions, open orders."""
        engine, ledger = self.engine, self.engine.ledger
        return self.replay.state() | {
            "cash": cash_text(ledger.cash),
            "fees": cash_text(ledger.fees),
            "funding": cash_text(ledger.funding),
            "realized": cash_text(ledger.realized),
            "insurance": cash_text(ledger.insurance),
            "imbalance": cash_text(ledger.imbalance()),
            "prices": {s: i.price_text(engine.prices[s]) for s, i in engine.instruments.items()},
            "positions": {
                symbol: {
                    "quantity": engine.instruments[symbol].quantity_text(position.side * position.quantity),
                    "cost": cash_text(position.cost),
                    "margin": cash_text(position.margin),
                    "liquidation": engine.instruments[symbol].price_text(engine.liquidation_price(symbol)),
                }
                for symbol, position in ledger.positions.items()
            },
            "stops": [
                {
                    "symbol": stop.symbol,
                    "client_id": stop.client_id,
                    "side": "BUY" if stop.side > 0 else "SELL",
                    "trigger": engine.instruments[stop.symbol].price_text(stop.trigger),
                    "quantity": engine.instruments[stop.symbol].quantity_text(stop.quantity),
                }
                for stop in engine.stops.open()
            ],
            "orders": len(engine.orders),
            "open_orders": len(engine.orders.open()),
            "fills": len(engine.fills),
        }
