"""Binance USDT-M: its endpoints and request bodies, through `ccxt.pro.binanceusdm`.

Conditional orders live apart from plain ones here, under ids of their own; the listen key names the user stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ccxt.pro

from daemon.commands import MarketOrder, StopOrder
from daemon.events import (
    Event,
    Filled,
    FundingPaid,
    InstrumentRead,
    LeverageRead,
    Meaning,
    OrderStatus,
    OrderUpdated,
    RestingStop,
    StopUpdated,
    Transferred,
)
from daemon.gateway import Refused, Tap, settings
from daemon.venues import payloads
from daemon.venues.binance import wire
from daemon.venues.binance.profile import BINANCE
from daemon.venues.payloads import (
    KlineFrame,
    Payload,
    UnreadablePayload,
    about,
    funding_rate,
    listed,
    rows,
    units,
    whole,
    word,
    yes,
)
from daemon.venues.venue import Holding, Modes, OpenOrder, Permissions, Terms, Venue
from market.candles import Candle

SIDE = {1: "BUY", -1: "SELL"}
PAGE = 1_000
"""Most rows of the income endpoint."""


class BinanceTap(Tap, ccxt.pro.binanceusdm):  # type: ignore[misc]
    """ccxt's client, tapped."""


class Binance(Venue):
    """One Binance USDT-M account."""

    profile = BINANCE

    def __init__(self, *rest: Any, **named: Any) -> None:
        self._client_ids: dict[tuple[str, str], str] = {}
        super().__init__(*rest, **named)

    def _new_tap(self) -> Tap:
        base = self._base
        made = settings(BINANCE, self._key, self._secret, self._request_s, base is not None, self._session)
        made["options"] = {
            "adjustForTimeDifference": True,
            "recvWindow": BINANCE.receive_window_ms,
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        }
        if base is None:
            return BinanceTap(made)
        tap = BinanceTap(made | {"urls": _local_urls(base)})
        # ccxt picks the error table by the address; a local one gets the futures' table by hand
        tap.exceptions["exact"] = tap.deep_extend(tap.exceptions["exact"], tap.exceptions["linear"]["exact"])
        return tap

    # -- the exchange and the account -------------------------------------------------------------------------------

    async def _instruments(self, rows: Sequence[Payload]) -> list[InstrumentRead]:
        brackets = {b["symbol"]: b for b in payloads.rows(await self.gateway.call("fapiPrivateGetLeverageBracket"))}
        funding = {f["symbol"]: f for f in payloads.rows(await self.gateway.call("fapiPublicGetFundingInfo"))}
        found = []
        for row in rows:
            symbol = row["symbol"]
            instrument = wire.instrument_from(row, brackets.get(symbol), funding.get(symbol))
            found.append(InstrumentRead(instrument, row["status"] == "TRADING"))
        return found

    async def server_time(self) -> int:
        return whole((await self.gateway.call("fapiPublicGetTime"))["serverTime"])

    async def permissions(self) -> Permissions:
        row = await self.gateway.call("sapiGetAccountApiRestrictions")
        return Permissions(
            trade=yes(row["enableFutures"]),
            withdraw=yes(row["enableWithdrawals"]),
            bound_to_address=yes(row["ipRestrict"]),
            transfer=yes(row["enableInternalTransfer"]) or yes(row["permitsUniversalTransfer"]),
        )

    async def modes(self) -> Modes:
        hedge = await self.gateway.call("fapiPrivateGetPositionSideDual")
        multi = await self.gateway.call("fapiPrivateGetMultiAssetsMargin")
        return Modes(yes(hedge["dualSidePosition"]), yes(multi["multiAssetsMargin"]))

    async def cash(self) -> int:
        quotes = {i.quote for i in self.instruments.values()}
        balances = rows(await self.gateway.call("fapiPrivateV3GetBalance"))
        found = [units(b["balance"]) for b in balances if b["asset"] in quotes]
        if not found:
            raise UnreadablePayload(f"no balance of {', '.join(sorted(quotes))}")
        return sum(found)

    async def holdings(self) -> dict[str, Holding]:
        held = filter(wire.is_held, rows(await self.gateway.call("fapiPrivateV3GetPositionRisk")))
        return {word(r["symbol"]): wire.holding(self.instruments.get(r["symbol"]), r) for r in held}

    async def terms(self) -> dict[str, Terms]:
        found = rows(await self.gateway.call("fapiPrivateGetSymbolConfig"))
        return {r["symbol"]: wire.terms(r) for r in found if r["symbol"] in self.instruments}

    async def set_leverage(self, symbol: str, leverage: int) -> LeverageRead:
        try:
            await self.gateway.call("fapiPrivatePostMarginType", {"symbol": symbol, "marginType": "ISOLATED"})
        except Refused as error:
            if error.meaning is not Meaning.ALREADY_SO:
                raise
        await self.gateway.call("fapiPrivatePostLeverage", {"symbol": symbol, "leverage": leverage})
        (found,) = rows(await self.gateway.call("fapiPrivateGetSymbolConfig", {"symbol": symbol}))
        terms = wire.terms(about(found, "symbol", symbol))
        return LeverageRead(symbol, terms.leverage, terms.isolated)

    # -- orders -----------------------------------------------------------------------------------------------------

    async def place_order(self, order: MarketOrder) -> OrderUpdated:
        instrument = self.instruments[order.symbol]
        params = {
            "symbol": order.symbol,
            "side": SIDE[order.side],
            "type": "MARKET",
            "quantity": instrument.quantity_text(order.quantity),
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
        }
        if order.reduce_only:
            params["reduceOnly"] = "true"
        reply = about(await self.gateway.call("fapiPrivatePostOrder", params), "clientOrderId", order.client_id)
        words = (reply["status"], reply["executedQty"], params["quantity"])
        return wire.order_updated(instrument, order.client_id, *words)

    async def ask_order(self, symbol: str, client_id: str) -> list[Event]:
        reply = await self.gateway.call("fapiPrivateGetOrder", {"symbol": symbol, "origClientOrderId": client_id})
        row = about(reply, "clientOrderId", client_id)
        fills = await self._fills_of(symbol, str(row["orderId"]), client_id)
        words = (row["status"], row["executedQty"], row["origQty"])
        update = wire.order_updated(self.instruments[symbol], client_id, *words)
        return [*fills, update]

    async def open_orders(self) -> list[OpenOrder]:
        found = rows(await self.gateway.call("fapiPrivateGetOpenOrders"))
        return [wire.open_order(self.instruments.get(row["symbol"]), row) for row in found]

    async def place_stop(self, stop: StopOrder) -> StopUpdated:
        instrument = self.instruments[stop.symbol]
        params = {
            "symbol": stop.symbol,
            "algoType": "CONDITIONAL",
            "type": "STOP_MARKET",
            "side": SIDE[stop.side],
            "quantity": instrument.quantity_text(stop.quantity),
            "triggerPrice": instrument.price_text(stop.trigger),
            "workingType": "MARK_PRICE",
            "reduceOnly": "true",
            "clientAlgoId": stop.client_id,
        }
        about(await self.gateway.call("fapiPrivatePostAlgoOrder", params), "clientAlgoId", stop.client_id)
        taken = OrderStatus.ACCEPTED
        return StopUpdated(stop.symbol, stop.client_id, taken, stop.side, stop.trigger, stop.quantity)

    async def cancel_stop(self, symbol: str, client_id: str) -> None:
        reply = await self.gateway.call("fapiPrivateDeleteAlgoOrder", {"clientAlgoId": client_id})
        about(reply, "clientAlgoId", client_id)

    async def ask_stop(self, symbol: str, client_id: str) -> list[Event]:
        reply = await self.gateway.call("fapiPrivateGetAlgoOrder", {"clientAlgoId": client_id})
        row = about(reply, "clientAlgoId", client_id)
        order_id = str(row.get("actualOrderId") or "")
        fills = await self._fills_of(symbol, order_id, client_id) if order_id else []
        return [*fills, wire.stop_row(self.instruments[symbol], row)]

    async def open_stops(self, own_prefix: str) -> dict[str, tuple[RestingStop, ...]]:
        found: dict[str, tuple[RestingStop, ...]] = {}
        for row in rows(await self.gateway.call("fapiPrivateGetOpenAlgoOrders")):
            symbol, name = row["symbol"], str(row.get("clientAlgoId") or "")
            if instrument := self.instruments.get(symbol):
                ours = name.startswith(own_prefix)
                stop = wire.resting_stop(instrument, row) if ours else RestingStop(name, 0, 0, 0)
                found[symbol] = (*found.get(symbol, ()), stop)
        return found

    # -- what happened ----------------------------------------------------------------------------------------------

    async def fills_since(self, symbol: str, last: tuple[int, int] | None, first_look: int) -> list[Filled]:
        bound = {"limit": first_look} if last is None else {"fromId": last[0] + 1, "limit": 1_000}
        found = rows(await self.gateway.call("fapiPrivateGetUserTrades", {"symbol": symbol, **bound}))
        fills = [wire.trade_row(self.instruments[symbol], r, await self._client_id(symbol, r)) for r in found]
        return [f for f in fills if last is None or f.trade_id > last[0]]

    async def moved_since(self, start: int) -> list[FundingPaid | Transferred]:
        """One request for all, which weighs 30 however much it tells; profits and commissions come with executions."""
        found: list[Payload] = []
        while True:
            page = rows(await self.gateway.call("fapiPrivateGetIncome", {"startTime": start, "limit": PAGE}))
            found += [row for row in page if row not in found[-PAGE:]]
            if len(page) < PAGE or whole(page[-1]["time"]) == start:
                return list(wire.moved(found, self.instruments))
            start = whole(page[-1]["time"])

    async def coin_price(self, coin: str) -> int | None:
        quote = next(iter(self.instruments.values())).quote
        try:
            row = await self.gateway.call("fapiPublicV2GetTickerPrice", {"symbol": f"{coin}{quote}"})
        except Refused:
            return None
        return units(row["price"])

    async def klines(self, symbol: str, timeframe: str, limit: int, **bounds: int) -> list[Candle]:
        query = {"symbol": symbol, "interval": timeframe, "limit": limit}
        query |= {f"{end}Time": time for end, time in bounds.items()}
        return [wire.kline_row(row, timeframe) for row in listed(await self.gateway.call("fapiPublicGetKlines", query))]

    async def funding_rates(self, symbol: str, start: int) -> list[tuple[int, int]]:
        query = {"symbol": symbol, "startTime": start, "limit": BINANCE.funding_page}
        found = rows(await self.gateway.call("fapiPublicGetFundingRate", query))
        return [(whole(row["fundingTime"]), funding_rate(row["fundingRate"])) for row in found]

    async def _fills_of(self, symbol: str, order_id: str, client_id: str) -> list[Filled]:
        found = rows(await self.gateway.call("fapiPrivateGetUserTrades", {"symbol": symbol, "orderId": order_id}))
        return [wire.trade_row(self.instruments[symbol], row, client_id) for row in found]

    async def _client_id(self, symbol: str, row: Payload) -> str:
        """The client id of a trade's order, which the trade does not name; empty if the exchange forgot it."""
        key = (symbol, str(row["orderId"]))
        if key not in self._client_ids:
            try:
                order = await self.gateway.call("fapiPrivateGetOrder", {"symbol": symbol, "orderId": row["orderId"]})
                self._client_ids[key] = word(order["clientOrderId"])
            except Refused as error:
                if error.meaning is not Meaning.NO_SUCH_ORDER:
                    raise
                self._client_ids[key] = ""
        return self._client_ids[key]

    # -- streams ----------------------------------------------------------------------------------------------------

    async def watch_klines(self, pairs: Sequence[tuple[str, str]]) -> None:
        names = self._ccxt_symbols()
        await self.gateway.tap.watch_ohlcv_for_symbols([[names[s], t] for s, t in pairs])

    async def watch_account(self) -> None:
        await self.gateway.tap.watch_orders()

    async def drop(self, private: bool) -> None:
        if private:
            self.gateway.tap.options["linear"] = {}  # a listen key is not trusted after a failure
        await super().drop(private)

    def klines_in(self, frame: Payload) -> Iterable[KlineFrame]:
        frame = frame.get("data", frame)
        return [wire.kline_frame(frame)] if frame.get("e") == "kline" else []

    def events_in(self, frame: Payload) -> Iterable[Event]:
        return wire.user_event(frame.get("data", frame), self.instruments)

    def farewell(self, frame: Payload) -> str | None:
        word = frame.get("data", frame).get("e")
        return word if word in wire.KEY_EXPIRED else None


def _local_urls(base: str) -> dict[str, Any]:
    """ccxt's addresses, with a local exchange in place of the real one."""
    socket = "ws" + base.removeprefix("http")
    api = {f"fapi{kind}{v}": f"{base}/fapi/{v.lower() or 'v1'}" for kind in _KINDS for v in ("", "V2", "V3")}
    sockets = {"linear": f"{socket}/ws", "ws-api": {"linear": f"{socket}/ws-fapi/v1"}}
    rest = {"fapiData": f"{base}/futures/data", "sapi": f"{base}/sapi/v1", "ws": sockets}
    return {"api": {**api, **rest}}


_KINDS = ("Public", "Private")
