"""Bybit v5 linear: its endpoints and request bodies, through `ccxt.pro.bybit`.

Our stops are conditional orders with client ids of their own, not the position's trading stop: two can rest at once
while one replaces the other, and each can be asked for by name. Margin mode belongs to the whole (unified) account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
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
from daemon.venues.bybit import wire
from daemon.venues.bybit.profile import BYBIT
from daemon.venues.payloads import (
    KlineFrame,
    Payload,
    UnreadablePayload,
    about,
    funding_rate,
    listed,
    row,
    rows,
    units,
    whole,
    word,
)
from daemon.venues.venue import Holding, Modes, OnFrame, OpenOrder, Permissions, Terms, Venue
from market.candles import Candle
from market.timeframes import Timeframe

SIDE = {1: "Buy", -1: "Sell"}
RISES, FALLS = 1, 2
LINEAR = {"category": "linear"}
ISOLATED, PORTFOLIO = "ISOLATED_MARGIN", "PORTFOLIO_MARGIN"
WEEK_MS = 7 * 86_400_000
"""The longest span of executions in one request."""
MOST_PAGES = 100
TOPICS = 4
"""Private topics that we listen to: orders, executions, positions, wallet."""


class BybitTap(Tap, ccxt.pro.bybit):  # type: ignore[misc]
    """ccxt's client, tapped."""


class Bybit(Venue):
    """One unified Bybit account."""

    profile = BYBIT

    def __init__(
        self, key: str, secret: str, base: str | None, request_s: float, on_frame: OnFrame, *rest: Any, **named: Any
    ) -> None:
        self._acknowledged = 0

        def heard(private: bool, frame: Any) -> None:
            if private and isinstance(frame, dict) and frame.get("op") == "subscribe" and frame.get("success") is True:
                self._acknowledged += 1
            on_frame(private, frame)

        super().__init__(key, secret, base, request_s, heard, *rest, **named)

    def _new_tap(self) -> Tap:
        base = self._base
        made = settings(BYBIT, self._key, self._secret, self._request_s, base is not None, self._session)
        made["options"] = {
            "adjustForTimeDifference": True,
            "recvWindow": BYBIT.receive_window_ms,
            "defaultType": "swap",
            "fetchMarkets": {"types": ["linear"]},
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        }
        return BybitTap(made if base is None else made | {"urls": _local_urls(base)})

    # -- the exchange and the account -------------------------------------------------------------------------------

    async def _instruments(self, rows: Sequence[Payload]) -> list[InstrumentRead]:
        found = []
        for info in rows:
            tiers = await self._list("publicGetV5MarketRiskLimit", symbol=info["symbol"])
            found.append(wire.instrument_from(info, tiers))
        return found

    async def server_time(self) -> int:
        return whole((await self.gateway.call("publicGetV5MarketTime"))["time"])

    async def permissions(self) -> Permissions:
        key = (await self.gateway.call("privateGetV5UserQueryApi"))["result"]
        may = row(key["permissions"])
        trades = {"Order", "Position"} <= set(may.get("ContractTrade") or ()) or bool(may.get("Derivatives"))
        wallet, left = listed(may.get("Wallet") or []), key.get("deadlineDay")
        return Permissions(
            trade=whole(key["readOnly"]) == 0 and trades,
            withdraw="Withdraw" in wallet,
            bound_to_address=bool(listed(key["ips"])) and "*" not in key["ips"],
            transfer=bool({"AccountTransfer", "SubMemberTransfer", "SubMemberTransferList"} & set(wallet)),
            days_left=None if left is None else whole(left),
        )

    async def modes(self) -> Modes:
        hedge = False
        for symbol in self.instruments:
            told = await self._list("privateGetV5PositionList", symbol=symbol)
            hedge |= any(whole(each["positionIdx"]) != 0 for each in told)
        return Modes(hedge, await self._margin_mode() == PORTFOLIO)

    async def cash(self) -> int:
        reply = await self.gateway.call("privateGetV5AccountWalletBalance", {"accountType": "UNIFIED"})
        return wire.wallet_units(rows(reply["result"]["list"])[0], self._quotes)

    async def holdings(self) -> dict[str, Holding]:
        found = {}
        for quote in self._quotes:
            for each in await self._list("privateGetV5PositionList", settleCoin=quote, limit=200):
                if (held := wire.holding(self.instruments.get(each["symbol"]), each)).quantity:
                    found[each["symbol"]] = held
        return found

    async def terms(self) -> dict[str, Terms]:
        isolated = await self._margin_mode() == ISOLATED
        return {symbol: Terms(await self._leverage(symbol), isolated) for symbol in self.instruments}

    async def set_leverage(self, symbol: str, leverage: int) -> LeverageRead:
        if await self._margin_mode() != ISOLATED:
            await self.gateway.call("privatePostV5AccountSetMarginMode", {"setMarginMode": ISOLATED})
        wanted = {"symbol": symbol, "buyLeverage": str(leverage), "sellLeverage": str(leverage)}
        try:
            await self.gateway.call("privatePostV5PositionSetLeverage", LINEAR | wanted)
        except Refused as error:
            if error.meaning is not Meaning.ALREADY_SO:
                raise
        return LeverageRead(symbol, await self._leverage(symbol), await self._margin_mode() == ISOLATED)

    # -- orders -----------------------------------------------------------------------------------------------------

    async def place_order(self, order: MarketOrder) -> OrderUpdated:
        params = LINEAR | {
            "symbol": order.symbol,
            "side": SIDE[order.side],
            "orderType": "Market",
            "qty": self.instruments[order.symbol].quantity_text(order.quantity),
            "orderLinkId": order.client_id,
            "positionIdx": 0,
            "reduceOnly": order.reduce_only,
        }
        await self._sent("privatePostV5OrderCreate", order.client_id, params)
        return OrderUpdated(order.symbol, order.client_id, OrderStatus.ACCEPTED)  # what it filled, the stream tells

    async def ask_order(self, symbol: str, client_id: str) -> list[Event]:
        return await self._ask(symbol, client_id)

    async def open_orders(self) -> list[OpenOrder]:
        told = await self._open("Order")
        return [wire.open_order(self.instruments.get(each["symbol"]), each) for each in told]

    async def place_stop(self, stop: StopOrder) -> StopUpdated:
        instrument = self.instruments[stop.symbol]
        params = LINEAR | {
            "symbol": stop.symbol,
            "side": SIDE[stop.side],
            "orderType": "Market",
            "qty": instrument.quantity_text(stop.quantity),
            "triggerPrice": instrument.price_text(stop.trigger),
            "triggerDirection": RISES if stop.side > 0 else FALLS,
            "triggerBy": "MarkPrice",
            "orderLinkId": stop.client_id,
            "positionIdx": 0,
            "reduceOnly": True,
        }
        await self._sent("privatePostV5OrderCreate", stop.client_id, params)
        taken = OrderStatus.ACCEPTED
        return StopUpdated(stop.symbol, stop.client_id, taken, stop.side, stop.trigger, stop.quantity)

    async def cancel_stop(self, symbol: str, client_id: str) -> None:
        params = LINEAR | {"symbol": symbol, "orderLinkId": client_id}
        await self._sent("privatePostV5OrderCancel", client_id, params)

    async def ask_stop(self, symbol: str, client_id: str) -> list[Event]:
        return await self._ask(symbol, client_id)

    async def open_stops(self, own_prefix: str) -> dict[str, tuple[RestingStop, ...]]:
        found: dict[str, tuple[RestingStop, ...]] = {}
        for each in await self._open("StopOrder"):
            symbol = each["symbol"]
            if instrument := self.instruments.get(symbol):
                found[symbol] = (*found.get(symbol, ()), wire.resting_stop(instrument, each, own_prefix))
        return found

    async def _ask(self, symbol: str, client_id: str) -> list[Event]:
        """What became of an order: it is looked for among the open and latest ones, then among the older."""
        named = {"symbol": symbol, "orderLinkId": client_id}
        for endpoint in ("privateGetV5OrderRealtime", "privateGetV5OrderHistory"):
            for each in await self._list(endpoint, **named):
                state = wire.order_state(self.instruments[symbol], about(each, "orderLinkId", client_id), True)
                filled = await self._list("privateGetV5ExecutionList", **named, limit=100)
                return [*self._executions(symbol, filled), state]
        raise Refused(110001, f"no order {client_id} of {symbol}", Meaning.NO_SUCH_ORDER)

    async def _open(self, kind: str) -> list[Payload]:
        found: list[Payload] = []
        for quote in self._quotes:
            found += await self._list("privateGetV5OrderRealtime", settleCoin=quote, orderFilter=kind, limit=50)
        return found

    async def _sent(self, endpoint: str, client_id: str, params: Mapping[str, object]) -> None:
        """Send an order or take one back; the reply names it and says no more."""
        reply = row(await self.gateway.call(endpoint, params))
        about(reply["result"], "orderLinkId", client_id)

    # -- what happened ----------------------------------------------------------------------------------------------

    async def fills_since(self, symbol: str, last: tuple[int, int] | None, first_look: int) -> list[Filled]:
        if last is None:
            reply = await self._reply("privateGetV5ExecutionList", symbol=symbol, limit=first_look)
            fills = self._executions(symbol, rows(reply["result"]["list"]))
        else:
            fills = self._executions(symbol, await self._executed(symbol, last[1]))
        # what shares the last one's sequence may still be missing: told twice, it counts once
        known = -1 if last is None else wire.sequence(last[0])
        return [
            fill
            for fill in fills
            if isinstance(fill, Filled)
            and wire.sequence(fill.trade_id) >= known
            and (last is None or fill.trade_id != last[0])
        ]

    async def moved_since(self, start: int) -> list[FundingPaid | Transferred]:
        moved: list[FundingPaid | Transferred] = [*await self._transfers(start)]
        for symbol in self.instruments:
            moved += await self._funding(symbol, start)
        return sorted(moved, key=lambda event: event.time)

    async def _funding(self, symbol: str, start: int) -> list[FundingPaid]:
        told = await self._executed(symbol, start, execType="Funding")
        return [paid for paid in self._executions(symbol, told) if isinstance(paid, FundingPaid)]

    async def _transfers(self, start: int) -> list[Transferred]:
        """Moved to and from the account by hand: what arrives at the exchange lies elsewhere until it is."""
        found: list[Transferred] = []
        for kind in ("TRANSFER_IN", "TRANSFER_OUT"):
            query = {"accountType": "UNIFIED", "type": kind, "limit": 50}
            told = await self._by_week("privateGetV5AccountTransactionLog", start, **query)
            found += [wire.transferred(each) for each in told if each["currency"] in self._quotes]
        return found

    async def coin_price(self, coin: str) -> int | None:
        quote = next(iter(self._quotes))
        try:
            told = await self._list("publicGetV5MarketTickers", symbol=f"{coin}{quote}")
        except Refused:
            return None
        return units(told[0]["lastPrice"]) if told else None

    async def klines(self, symbol: str, timeframe: str, limit: int, **bounds: int) -> list[Candle]:
        query = {"symbol": symbol, "interval": wire.interval(timeframe), "limit": limit} | bounds
        if "start" in bounds and "end" not in bounds:
            query["end"] = bounds["start"] + limit * Timeframe.parse(timeframe).ms - 1
        reply = await self._reply("publicGetV5MarketKline", **query)
        return [wire.kline_row(listed(each), timeframe) for each in reversed(listed(reply["result"]["list"]))]

    async def funding_rates(self, symbol: str, start: int) -> list[tuple[int, int]]:
        """All of them, however many: a page is asked for by its end alone, so the way leads backwards."""
        found: list[tuple[int, int]] = []
        until: dict[str, int] = {}
        while True:
            reply = await self._reply("publicGetV5MarketFundingHistory", symbol=symbol, **until)
            page = [
                (whole(each["fundingRateTimestamp"]), funding_rate(each["fundingRate"]))
                for each in rows(reply["result"]["list"])
            ]
            found += [rate for rate in page if rate[0] >= start]
            if len(page) < BYBIT.funding_page or page[-1][0] <= start:
                return sorted(found)
            if until and page[-1][0] >= until["endTime"]:
                raise UnreadablePayload("funding rates that were not asked for")
            until = {"endTime": page[-1][0] - 1}

    async def _executed(self, symbol: str, start: int, **query: str) -> list[Payload]:
        return await self._by_week("privateGetV5ExecutionList", start, symbol=symbol, limit=100, **query)

    async def _by_week(self, endpoint: str, start: int, **query: object) -> list[Payload]:
        """Rows from `start` (ms) on, the newest first, asked for week by week up to the reply's own date."""
        found: list[Payload] = []
        while True:
            pages = await self._pages(endpoint, startTime=start, endTime=start + WEEK_MS - 1, **query)
            found = [each for page in pages for each in rows(page["result"]["list"])] + found
            start += WEEK_MS
            if start > whole(pages[-1]["time"]):
                return found

    def _executions(self, symbol: str, told: Sequence[Payload]) -> list[Filled | FundingPaid]:
        """Executions of rows that come newest first, oldest first."""
        instrument = self.instruments[symbol]
        return [event for each in reversed(told) for event in wire.execution(instrument, each, asked=True)]

    # -- streams ----------------------------------------------------------------------------------------------------

    async def watch_klines(self, pairs: Sequence[tuple[str, str]]) -> None:
        names = self._ccxt_symbols()
        for _, timeframe in pairs:
            wire.interval(timeframe)
        await self.gateway.tap.watch_ohlcv_for_symbols([[names[s], t] for s, t in pairs])

    async def watch_account(self) -> None:
        """Listen to all private topics until one of them fails; ccxt has a call for each."""
        tap = self.gateway.tap
        watches = (tap.watch_orders, tap.watch_my_trades, tap.watch_positions, tap.watch_balance)
        tasks = [asyncio.ensure_future(_again_and_again(watch)) for watch in watches]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def account_listens(self) -> bool:
        return super().account_listens() and self._acknowledged >= TOPICS

    async def drop(self, private: bool) -> None:
        if private:
            self._acknowledged = 0
        await super().drop(private)

    async def close(self) -> None:
        self._acknowledged = 0
        await super().close()

    def klines_in(self, frame: Payload) -> Iterable[KlineFrame]:
        return wire.klines_in(frame)

    def events_in(self, frame: Payload) -> Iterable[Event]:
        return wire.account_events(frame, self.instruments)

    def farewell(self, frame: Payload) -> str | None:
        return None  # a socket signs once and lives until it is cut

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def _quotes(self) -> set[str]:
        return {i.quote for i in self.instruments.values()}

    async def _margin_mode(self) -> str:
        return word((await self.gateway.call("privateGetV5AccountInfo"))["result"]["marginMode"])

    async def _leverage(self, symbol: str) -> int:
        told = (await self._list("privateGetV5PositionList", symbol=symbol))[0]
        return int(Decimal(word(about(told, "symbol", symbol)["leverage"]) or "0"))

    async def _reply(self, endpoint: str, **query: object) -> Mapping[str, Any]:
        reply = row(await self.gateway.call(endpoint, LINEAR | query))
        row(reply["result"])
        return reply

    async def _list(self, endpoint: str, **query: object) -> list[Payload]:
        """Rows of all pages."""
        pages = await self._pages(endpoint, **query)
        return [each for page in pages for each in rows(page["result"]["list"])]

    async def _pages(self, endpoint: str, **query: object) -> list[Payload]:
        pages = [await self._reply(endpoint, **query)]
        while (cursor := pages[-1]["result"].get("nextPageCursor")) and pages[-1]["result"]["list"]:
            if len(pages) == MOST_PAGES:
                raise UnreadablePayload(f"{endpoint}: no end after {MOST_PAGES} pages")
            pages.append(await self._reply(endpoint, **query, cursor=cursor))
        return pages


async def _again_and_again(watch: Callable[[], Awaitable[object]]) -> None:
    while True:
        await watch()


def _local_urls(base: str) -> dict[str, Any]:
    """ccxt's addresses, with a local exchange in place of the real one."""
    socket = f"ws{base.removeprefix('http')}/v5"
    sockets = {"public": {"linear": f"{socket}/public/linear"}, "private": {"contract": f"{socket}/private"}}
    return {"api": {"public": base, "private": base, "ws": sockets}}
