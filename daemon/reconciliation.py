"""Reconciliation: the exchange's whole truth about the account, consistent in itself, as events.

The answers come from several requests, and an execution may fall between two of them; then all is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from daemon.events import Event, Filled, FundingPaid, Reconciled, RestingStop, SymbolTruth
from daemon.gateway import NO_SUCH_ORDER, Gateway, OutcomeUnknown, Refused
from daemon.wire import Payload, funding_row, resting_stop, signed_steps, trade_row, units
from market.instruments import CASH, Instrument

TRIES = 5
FIRST_LOOK = 50
"""How many of the account's newest trades are looked at when the journal knows none."""

LastFill = Callable[[str], tuple[int, int] | None]


class Reconciliation:
    """Asks for positions, stops, settings, wallet, and for the executions since the last one that is known.

    Parameters
    ----------
    last_fill : callable
        Newest known (trade id, exchange time) of a symbol, or None.
    own_prefix : str
        How client ids of this deployment begin.
    """

    def __init__(
        self, gateway: Gateway, instruments: Mapping[str, Instrument], last_fill: LastFill, own_prefix: str
    ) -> None:
        self._gateway, self._instruments = gateway, instruments
        self._last_fill, self._own_prefix = last_fill, own_prefix
        self._client_ids: dict[tuple[str, str], str] = {}

    async def ask(self) -> list[Event]:
        """Missing executions and funding payments, oldest first, then `Reconciled`.

        Raises
        ------
        Refused, OutcomeUnknown
            If a request fails, or the account does not hold still long enough to be read.
        """
        missed = await self._missed()
        for _ in range(TRIES):
            balances = await self._gateway.call("fapiPrivateV3GetBalance")
            positions = await self._gateway.call("fapiPrivateV3GetPositionRisk")
            settings = await self._gateway.call("fapiPrivateGetSymbolConfig")
            stops = await self._gateway.call("fapiPrivateGetOpenAlgoOrders")
            again = await self._missed()
            if again == missed:
                return [*missed, self._truth(balances, positions, settings, stops)]
            missed = again
        raise OutcomeUnknown(f"the account changed under each of {TRIES} looks")

    async def fills_of(self, symbol: str, order_id: str, client_id: str) -> list[Filled]:
        """All executions of one order."""
        rows = await self._gateway.call("fapiPrivateGetUserTrades", {"symbol": symbol, "orderId": order_id})
        return [trade_row(self._instruments[symbol], row, client_id) for row in rows]

    async def _missed(self) -> list[Filled | FundingPaid]:
        """What happened since the last known execution; at one instant funding comes first, as it does there."""
        found: list[Filled | FundingPaid] = []
        for symbol in self._instruments:
            last = self._last_fill(symbol)
            found += await self._fills_since(symbol, last)
            if last is not None:
                found += await self._funding_since(symbol, last[1])
        return sorted(found, key=lambda e: (e.time, e.trade_id if isinstance(e, Filled) else -1))

    async def _funding_since(self, symbol: str, start: int) -> list[FundingPaid]:
        query = {"symbol": symbol, "incomeType": "FUNDING_FEE", "startTime": start, "limit": 1_000}
        return [funding_row(row) for row in await self._gateway.call("fapiPrivateGetIncome", query)]

    async def _fills_since(self, symbol: str, last: tuple[int, int] | None) -> list[Filled]:
        bound = {"limit": FIRST_LOOK} if last is None else {"fromId": last[0] + 1, "limit": 1_000}
        rows = await self._gateway.call("fapiPrivateGetUserTrades", {"symbol": symbol, **bound})
        fills = [trade_row(self._instruments[symbol], row, await self._client_id(symbol, row)) for row in rows]
        if last is None:
            # the account's life before this deployment is not ours to book
            return [f for f in fills if f.client_id.startswith(self._own_prefix)]
        return [f for f in fills if f.trade_id > last[0]]

    async def _client_id(self, symbol: str, row: Payload) -> str:
        """The client id of a trade's order, which the trade does not name; empty if the exchange forgot it."""
        key = (symbol, str(row["orderId"]))
        if key not in self._client_ids:
            try:
                order = await self._gateway.call("fapiPrivateGetOrder", {"symbol": symbol, "orderId": row["orderId"]})
                self._client_ids[key] = str(order["clientOrderId"])
            except Refused as error:
                if error.code != NO_SUCH_ORDER:
                    raise
                self._client_ids[key] = ""
        return self._client_ids[key]

    def _truth(self, balances: Any, positions: Any, settings: Any, stops: Any) -> Reconciled:
        quotes = {i.quote for i in self._instruments.values()}
        cash = sum(units(b["balance"]) for b in balances if b["asset"] in quotes)
        by_symbol = {p["symbol"]: p for p in positions if p.get("positionSide", "BOTH") == "BOTH"}
        terms = {s["symbol"]: s for s in settings}
        truths = []
        for symbol, instrument in self._instruments.items():
            quantity, cost, margin = _position(instrument, by_symbol.get(symbol))
            resting = tuple(self._resting(instrument, s) for s in stops if s["symbol"] == symbol)
            term = terms[symbol]
            isolated = str(term["marginType"]).upper() == "ISOLATED"
            truths.append(SymbolTruth(symbol, quantity, cost, margin, int(term["leverage"]), isolated, resting))
        return Reconciled(cash, tuple(truths))

    def _resting(self, instrument: Instrument, row: Payload) -> RestingStop:
        """A conditional order; of one that is not ours only the name, since its numbers may be of any kind."""
        name = str(row.get("clientAlgoId") or "")
        return resting_stop(instrument, row) if name.startswith(self._own_prefix) else RestingStop(name, 0, 0, 0)


def _position(instrument: Instrument, row: Payload | None) -> tuple[int, int, int]:
    """Signed steps, cost and isolated margin of a position; the entry price is the exchange's rounded average."""
    if row is None:
        return 0, 0, 0
    quantity = signed_steps(instrument, row["positionAmt"])
    cost = Decimal(row["entryPrice"]) * abs(quantity) * instrument.step * CASH
    return quantity, int(cost.to_integral_value(ROUND_HALF_EVEN)), units(row["isolatedWallet"])
