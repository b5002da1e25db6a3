"""The venue: every verb the daemon has for an exchange, in the daemon's own words; who speaks the dialect fills it in.

Verbs raise `Refused` (its meaning says what for) and `OutcomeUnknown`, as `Gateway.call` does. Amounts are integers:
ticks, steps, cash units; times are milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from daemon.commands import MarketOrder, StopOrder
from daemon.events import (
    Event,
    Filled,
    FundingPaid,
    InstrumentRead,
    LeverageRead,
    Meaning,
    OrderUpdated,
    RestingStop,
    StopUpdated,
    Transferred,
)
from daemon.gateway import Gateway, Refused, Tap, readable
from daemon.venues.payloads import KlineFrame, Payload
from daemon.venues.profile import Profile
from market.candles import Candle
from market.instruments import Instrument

OnFrame = Callable[[bool, Any], None]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What an API key may do.

    Attributes
    ----------
    transfer : bool
        Whether it may move money between accounts of the owner's.
    days_left : int or None
        Days until it ends; None if it does not, or the exchange does not tell.
    """

    trade: bool
    withdraw: bool
    bound_to_address: bool
    transfer: bool = False
    days_left: int | None = None


@dataclass(frozen=True, slots=True)
class Modes:
    """How the account is set; the daemon trades in one-way and single-asset mode."""

    hedge: bool
    multi_asset: bool

    @property
    def trouble(self) -> str:
        """Which mode is none that is traded, and what to do about it; empty if all is well."""
        if self.hedge:
            return "the account is in hedge mode; switch it to one-way mode at the exchange"
        if self.multi_asset:
            return "the account is in multi-assets mode; switch it to single-asset mode at the exchange"
        return ""


@dataclass(frozen=True, slots=True)
class Holding:
    """An open position: signed steps; what it cost, and its isolated margin, in cash units."""

    quantity: int
    cost: int
    margin: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What is set for a symbol."""

    leverage: int
    isolated: bool


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """A plain order that can still fill: `quantity` and `filled` in steps, 0 where it is of no instrument of ours."""

    symbol: str
    client_id: str
    side: int
    quantity: int
    filled: int


class Venue(ABC):
    """One account at one exchange.

    Parameters
    ----------
    key, secret : str
        API credentials.
    base : str or None
        Base address of a local exchange, e.g. ``http://127.0.0.1:18080``; the real one without.
    request_s : float
        How long a reply is waited for, seconds.
    on_frame : callable
        Called with (is_private, frame) for every frame, in the order of arrival on its socket.
    session : aiohttp.ClientSession, optional
        Used for every connection, with a proxy or certificates of its own, say; whoever made it closes it. ccxt makes
        its own without.

    Attributes
    ----------
    gateway : Gateway
        The way there: connections, and requests by endpoint.
    instruments : mapping
        What was opened, by symbol.
    suspended : set
        Symbols of them that the exchange does not trade now.
    """

    profile: ClassVar[Profile]

    def __init__(
        self,
        key: str,
        secret: str,
        base: str | None,
        request_s: float,
        on_frame: OnFrame,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._key, self._secret, self._base = key, secret, base
        self._request_s, self._session = request_s, session
        self.instruments: dict[str, Instrument] = {}
        self.suspended: set[str] = set()
        self.gateway = Gateway(self.profile, self._new_tap, request_s, on_frame)

    @abstractmethod
    def _new_tap(self) -> Tap:
        """A ccxt client of this exchange, its addresses replaced where it is a local one."""

    # -- the exchange and the account -------------------------------------------------------------------------------

    async def open(self, symbols: Sequence[str], held: Collection[str] = ()) -> tuple[Instrument, ...]:
        """Load the exchange's rules, check the account's modes, and give the instruments of `symbols`.

        Of those `held` something is open: they are looked after though they do not trade.

        Raises
        ------
        Refused
            If a symbol is not traded, or the account is in hedge or multi-assets mode.
        OutcomeUnknown
            If the exchange cannot be reached.
        """
        with readable():
            found = await self._read(await self.gateway.load_markets(), symbols)
        for symbol in symbols:
            if symbol not in found or not (found[symbol].trading or symbol in held):
                status = "not trading now" if symbol in found else "not listed"
                raise Refused(0, f"{symbol} is not traded at this exchange ({status}); remove it from symbols")
        self.instruments = {symbol: found[symbol].instrument for symbol in symbols}
        self.suspended = {symbol for symbol in symbols if not found[symbol].trading}
        with readable():
            modes = await self.modes()
        if modes.trouble:
            raise Refused(0, modes.trouble)
        return tuple(self.instruments.values())

    async def read_again(self) -> list[InstrumentRead]:
        """What changed in the terms of our instruments; one that the exchange lists no more does not trade.

        From here on payloads are read by the new terms.
        """
        with readable():
            found = await self._read(await self.gateway.load_markets(), list(self.instruments))
        now = [found.get(symbol, InstrumentRead(old, False)) for symbol, old in self.instruments.items()]
        changed = [
            read
            for read in now
            if read.instrument != self.instruments[read.instrument.symbol]
            or read.trading == (read.instrument.symbol in self.suspended)
        ]
        self.instruments.update({read.instrument.symbol: read.instrument for read in now})
        self.suspended = {read.instrument.symbol for read in now if not read.trading}
        return changed

    async def _read(self, markets: Mapping[str, Any], symbols: Sequence[str]) -> dict[str, InstrumentRead]:
        listed = {m["id"]: m["info"] for m in markets.values() if m.get("swap") and m.get("linear")}
        read = await self._instruments([listed[symbol] for symbol in symbols if symbol in listed])
        return {found.instrument.symbol: found for found in read}

    @abstractmethod
    async def _instruments(self, rows: Sequence[Payload]) -> list[InstrumentRead]:
        """The instruments of the exchange's own rows, as ccxt keeps them."""

    @abstractmethod
    async def server_time(self) -> int:
        """The exchange's clock, ms."""

    @abstractmethod
    async def permissions(self) -> Permissions:
        """What the API key may do."""

    @abstractmethod
    async def modes(self) -> Modes:
        """How the account is set."""

    @abstractmethod
    async def cash(self) -> int:
        """The wallet in the instruments' quote currency, open profit not included."""

    @abstractmethod
    async def holdings(self) -> dict[str, Holding]:
        """Open positions by symbol, flat ones missing; of a symbol that is not ours the quantity alone, as 1 or -1."""

    @abstractmethod
    async def terms(self) -> dict[str, Terms]:
        """Leverage and margin mode of each of our instruments."""

    @abstractmethod
    async def set_leverage(self, symbol: str, leverage: int) -> LeverageRead:
        """Set isolated margin and leverage, and read both back."""

    # -- orders -----------------------------------------------------------------------------------------------------

    @abstractmethod
    async def place_order(self, order: MarketOrder) -> OrderUpdated:
        """Send a market order; what the exchange acknowledged."""

    @abstractmethod
    async def ask_order(self, symbol: str, client_id: str) -> list[Event]:
        """The executions of an order, then its state; refused with NO_SUCH_ORDER where it is not known."""

    @abstractmethod
    async def open_orders(self) -> list[OpenOrder]:
        """Plain orders of any symbol that can still fill, ours or not."""

    @abstractmethod
    async def place_stop(self, stop: StopOrder) -> StopUpdated:
        """Let a reduce-only stop rest at the exchange, triggered by the mark price; what it acknowledged."""

    @abstractmethod
    async def cancel_stop(self, symbol: str, client_id: str) -> None:
        """Cancel a waiting stop; refused with NO_SUCH_ORDER where it is not known or waits no more."""

    @abstractmethod
    async def ask_stop(self, symbol: str, client_id: str) -> list[Event]:
        """The executions of a stop, then its state as read back; refused with NO_SUCH_ORDER where it is not known."""

    @abstractmethod
    async def open_stops(self, own_prefix: str) -> dict[str, tuple[RestingStop, ...]]:
        """Waiting conditional orders by symbol, of our instruments.

        Of one whose client id does not begin with `own_prefix` only the name, since its numbers may be of any kind.
        """

    # -- what happened ----------------------------------------------------------------------------------------------

    @abstractmethod
    async def fills_since(self, symbol: str, last: tuple[int, int] | None, first_look: int) -> list[Filled]:
        """Executions after the one of this (trade id, time), oldest first; the newest `first_look` ones for None."""

    @abstractmethod
    async def moved_since(self, start: int) -> list[FundingPaid | Transferred]:
        """All that moved the wallet beside executions from `start` (ms) on, oldest first.

        Funding payments, and deposits and withdrawals in the instruments' quote currency.
        """

    @abstractmethod
    async def coin_price(self, coin: str) -> int | None:
        """What one unit of a currency costs now in the instruments' quote currency, cash units; None if unknown."""

    @abstractmethod
    async def klines(self, symbol: str, timeframe: str, limit: int, **bounds: int) -> list[Candle]:
        """At most `limit` klines, oldest first, the forming one included.

        `bounds` are `start` and `end`, open times in ms; from `start` the earliest come, else the latest.
        """

    @abstractmethod
    async def funding_rates(self, symbol: str, start: int) -> list[tuple[int, int]]:
        """(time in ms, rate in 1e-8) from `start` (ms) on, oldest first; at most `profile.funding_page`."""

    async def probe_stops(self, symbol: str, client_id: str) -> None:
        """Ask for a stop that must be refused, since the price is far past it: so the way to stops is open.

        Raises
        ------
        Refused
            If it is refused in any other way: the endpoint has moved, or the key may not use it.
        """
        instrument = self.instruments[symbol]
        (forming,) = (await self.klines(symbol, "1h", 1))[-1:]
        past = instrument.nearest_ticks(forming.close / 2)
        try:
            await self.place_stop(StopOrder(symbol, client_id, 1, max(1, instrument.min_quantity), past))
        except Refused as error:
            if error.meaning not in (Meaning.WOULD_TRIGGER, Meaning.NOTHING_TO_REDUCE, Meaning.DUPLICATE_ID):
                raise
        else:
            await self.cancel_stop(symbol, client_id)

    # -- streams ----------------------------------------------------------------------------------------------------

    @abstractmethod
    async def watch_klines(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Subscribe to klines, where that was not done yet, and wait for a push."""

    @abstractmethod
    async def watch_account(self) -> None:
        """Open the user stream, where that was not done yet, and wait for a push."""

    def account_listens(self) -> bool:
        """Whether everything that happens to the account from now on is told on the user stream."""
        return self.gateway.private_open.is_set()

    async def drop(self, private: bool) -> None:
        """Cut the market or the private connections, so that the next watch dials anew."""
        await self.gateway.drop(private)

    async def close(self) -> None:
        """End all connections; the venue can be opened again with fresh ones."""
        await self.gateway.close()

    @abstractmethod
    def klines_in(self, frame: Payload) -> Iterable[KlineFrame]:
        """The klines that a frame of the market stream brings."""

    @abstractmethod
    def events_in(self, frame: Payload) -> Iterable[Event]:
        """What a frame of the user stream says of our instruments; others are not ours to act on."""

    @abstractmethod
    def farewell(self, frame: Payload) -> str | None:
        """The exchange's word, if by this frame it ends the user stream."""

    # -- in common --------------------------------------------------------------------------------------------------

    def _ccxt_symbols(self) -> dict[str, str]:
        """ccxt's names of linear perpetuals by the exchange's."""
        return {m["id"]: m["symbol"] for m in self.gateway.tap.markets.values() if m.get("swap") and m.get("linear")}
