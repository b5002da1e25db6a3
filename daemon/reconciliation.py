"""Reconciliation: the exchange's whole truth about the account, consistent in itself, as events.

The answers come from several requests, and an execution may fall between two of them; then all is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daemon.clock import now_ms
from daemon.events import Event, Filled, FundingPaid, Reconciled, RestingStop, SymbolTruth, Transferred
from daemon.gateway import OutcomeUnknown, readable
from daemon.venues.venue import Holding, OpenOrder, Terms, Venue
from market.instruments import Instrument

TRIES = 5
FIRST_LOOK = 50
"""How many of the account's newest trades are looked at when the journal knows none."""

OVERLAP_MS = 60_000
"""How far back what moved the wallet is asked for again: the list of it may lag behind. Told twice it counts once."""

LastFill = Callable[[str], tuple[int, int] | None]
Missed = Filled | FundingPaid | Transferred


class Reconciliation:
    """Asks for positions, stops, settings, wallet, and for the executions since the last one that is known.

    Parameters
    ----------
    last_fill : callable
        Newest known (trade id, exchange time) of a symbol, or None.
    known_until : callable
        The exchange's time (ms) up to which everything about the wallet is known, 0 for none.
    own_prefix : str
        How client ids of this deployment begin.
    """

    def __init__(
        self,
        venue: Venue,
        instruments: Mapping[str, Instrument],
        last_fill: LastFill,
        known_until: Callable[[], int],
        own_prefix: str,
    ) -> None:
        self._venue, self._instruments = venue, instruments
        self._last_fill, self._known_until, self._own_prefix = last_fill, known_until, own_prefix

    async def ask(self) -> list[Event]:
        """Missing executions, funding payments and transfers, oldest first, then `Reconciled`.

        Raises
        ------
        Refused, OutcomeUnknown
            If a request fails, or the account does not hold still long enough to be read.
        """
        with readable():
            return await self._ask()

    async def _ask(self) -> list[Event]:
        missed = await self._missed()
        for _ in range(TRIES):
            asked_at = now_ms()
            cash = await self._venue.cash()
            holdings = await self._venue.holdings()
            terms = await self._venue.terms()
            stops = await self._venue.open_stops(self._own_prefix)
            orders = await self._venue.open_orders()
            modes = await self._venue.modes()
            again = await self._missed()
            if again == missed:
                return [*missed, self._truth(cash, holdings, terms, stops, orders, asked_at, modes.trouble)]
            missed = again
        raise OutcomeUnknown(f"the account changed under each of {TRIES} looks")

    async def _missed(self) -> list[Missed]:
        """What happened since the last that is known; at one instant executions come last, as they do there."""
        found: list[Missed] = []
        known = {symbol: self._last_fill(symbol) for symbol in self._instruments}
        if until := self._known_until():
            found += await self._venue.moved_since(max(0, until - OVERLAP_MS))
        elif first := min((last[1] for last in known.values() if last), default=0):
            # a first life that was killed before its second truth: all that it knows are its executions
            found += await self._venue.moved_since(first)
        for symbol, last in known.items():
            fills = await self._venue.fills_since(symbol, last, FIRST_LOOK)
            # without a known one, the account's life before this deployment is not ours to book
            found += fills if last is not None else [f for f in fills if f.client_id.startswith(self._own_prefix)]
        return sorted(found, key=lambda e: (e.time, e.trade_id if isinstance(e, Filled) else -1))

    def _truth(
        self,
        cash: int,
        holdings: Mapping[str, Holding],
        terms: Mapping[str, Terms],
        stops: Mapping[str, tuple[RestingStop, ...]],
        orders: Sequence[OpenOrder],
        asked_at: int,
        trouble: str,
    ) -> Reconciled:
        truths = []
        for symbol in self._instruments:
            held, set_ = holdings.get(symbol, Holding(0, 0, 0)), terms[symbol]
            truths.append(
                SymbolTruth(
                    symbol,
                    held.quantity,
                    held.cost,
                    held.margin,
                    set_.leverage,
                    set_.isolated,
                    stops.get(symbol, ()),
                    tuple(order.client_id for order in orders if order.symbol == symbol),
                )
            )
        elsewhere = tuple(sorted(symbol for symbol in holdings if symbol not in self._instruments))
        return Reconciled(cash, tuple(truths), elsewhere, asked_at, trouble)
