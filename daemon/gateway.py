"""The gateway: ccxt.pro's Binance USDT-M client as it comes, tapped; every failure is judged by what it leaves behind.

Requests go through ccxt's endpoint methods, so that the exact decimal texts are sent and read; ccxt signs, limits the
rate, keeps the listen key and the sockets. Every decoded frame passes `handle_message`, ccxt's own override point: its
`watch_*` results drop closed flags and wake-ups, the frames do not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import aiohttp
import ccxt.pro
from ccxt.base import errors

from daemon.orders import RECEIVE_WINDOW_MS
from daemon.wire import instrument_from
from market.instruments import Instrument

log = logging.getLogger("daemon.gateway")

OUTCOME_UNKNOWN = frozenset({-1000, -1001, -1006, -1007})
"""Codes that leave open whether the request was carried out (Binance USDT-M, Error Codes)."""
NO_SUCH_ORDER = -2013
UNKNOWN_ORDER = -2011
DUPLICATE_ID = -4116
ALREADY_SO = frozenset({-4046, -4059})
"""Margin or position mode is as asked for already: success."""
CLOCK_SKEW = -1021
TOO_MANY_REQUESTS = -1003

KEEP_ALIVE_MS = 5_000
_CODE = re.compile(r'"code"\s*:\s*(-?\d+)')
_BANNED_UNTIL = re.compile(r"until (\d{13})")

sent_ns: ContextVar[list[int] | None] = ContextVar("sent_ns", default=None)
"""Where a task that wants to know puts a list: the monotonic instant (ns) at which its request left is appended."""


class GatewayError(Exception):
    """A request did not succeed."""


class Refused(GatewayError):
    """The exchange said no, and nothing was done. `code` is the exchange's, 0 for none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})" if code else message)
        self.code, self.message = code, message


class NotSent(Refused):
    """The request never left: the exchange cannot be reached, or has asked for silence."""


class OutcomeUnknown(GatewayError):
    """The request left and nobody knows what became of it."""


class Tap(ccxt.pro.binanceusdm):  # type: ignore[misc]
    """ccxt's client, telling of every frame and every connection; nothing else is changed."""

    heard: Callable[[str, Any], None]
    opened: Callable[[str], None]

    def handle_message(self, client: Any, message: Any) -> None:
        try:
            super().handle_message(client, message)
        except Exception:  # one frame that ccxt cannot digest must not end its receive loop
            log.warning("ccxt could not read a frame", exc_info=True)
        self.heard(client.url, message)

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)
        self.opened(client.url)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        if (sent := sent_ns.get()) is not None:
            sent.append(time.monotonic_ns())
        return await super().fetch(url, method, headers, body)


class Gateway:
    """One account at one exchange.

    Parameters
    ----------
    key, secret : str
        API credentials.
    base : str, optional
        Base address of a local exchange, e.g. ``http://127.0.0.1:18080``; the real one without.
    request_s : float
        How long a reply is waited for, seconds.
    on_frame : callable
        Called with (is_private, frame) for every frame, in the order of arrival on its socket.
    """

    def __init__(
        self, key: str, secret: str, base: str | None, request_s: float, on_frame: Callable[[bool, Any], None]
    ) -> None:
        self._settings = _settings(key, secret, base, request_s)
        self._local = base is not None
        self._request_s = request_s
        self._on_frame = on_frame
        self._silent_until_ms = 0
        self.opens = {False: 0, True: 0}
        """How often a market and a private connection was made; ccxt redials by itself."""
        self.private_open = asyncio.Event()
        self.tap = self._new_tap()

    def _new_tap(self) -> Tap:
        tap = Tap(self._settings)
        tap.heard, tap.opened = self._heard, self._opened
        if self._local:
            # ccxt picks the error table by the address; a local one gets the futures' table by hand
            tap.exceptions["exact"] = tap.deep_extend(tap.exceptions["exact"], tap.exceptions["linear"]["exact"])
        return tap

    async def open(self, symbols: Sequence[str]) -> tuple[Instrument, ...]:
        """Load the exchange's rules, check the account's modes, and give the instruments of `symbols`.

        Raises
        ------
        Refused
            If a symbol is not traded, or the account is in hedge or multi-assets mode.
        OutcomeUnknown
            If the exchange cannot be reached.
        """
        await self._judged(self.tap.load_markets(True))
        hedge = await self.call("fapiPrivateGetPositionSideDual")
        if hedge["dualSidePosition"] in (True, "true"):
            raise Refused(0, "the account is in hedge mode; switch it to one-way mode at the exchange")
        multi = await self.call("fapiPrivateGetMultiAssetsMargin")
        if multi["multiAssetsMargin"] in (True, "true"):
            raise Refused(0, "the account is in multi-assets mode; switch it to single-asset mode at the exchange")
        listed = {m["id"]: m["info"] for m in self.tap.markets.values() if m.get("swap")}
        brackets = {b["symbol"]: b for b in await self.call("fapiPrivateGetLeverageBracket")}
        for symbol in symbols:
            status = listed.get(symbol, {}).get("status", "not listed")
            if status != "TRADING":
                raise Refused(0, f"{symbol} is not traded at this exchange ({status}); remove it from symbols")
        return tuple(instrument_from(listed[s], brackets.get(s)) for s in symbols)

    async def call(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """One request by ccxt's endpoint name, e.g. ``fapiPrivatePostOrder``; gives the decoded reply.

        Raises
        ------
        Refused
            If it was refused or never left.
        OutcomeUnknown
            If it left and no answer tells what became of it.
        """
        now = time.time_ns() // 1_000_000
        if now < self._silent_until_ms:
            raise NotSent(TOO_MANY_REQUESTS, f"not sent: the exchange bans requests until {self._silent_until_ms} ms")
        try:
            return await self._judged(getattr(self.tap, endpoint)(dict(params or {})))
        except Refused as refused:
            if refused.code != CLOCK_SKEW:
                raise
        log.warning("the clock is off: measured anew, and %s sent again", endpoint)
        await self.sync_clock()  # it was refused by its date, so nothing was done and it may be repeated
        return await self._judged(getattr(self.tap, endpoint)(dict(params or {})))

    async def watch_klines(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Subscribe to klines, where that was not done yet, and wait for the next push of any."""
        names = {m["id"]: m["symbol"] for m in self.tap.markets.values() if m.get("swap")}
        await self.tap.watch_ohlcv_for_symbols([[names[s], t] for s, t in pairs])

    async def watch_account(self) -> None:
        """Open the user stream, where that was not done yet, and wait for the next order update."""
        await self.tap.watch_orders()

    async def drop(self, private: bool) -> None:
        """Cut the market or the private connections, so that the next watch dials anew."""
        if private:
            self.private_open.clear()
            self.tap.options["linear"] = {}  # a listen key is not trusted after a failure
        for url in [u for u in self.tap.clients if _is_private(u) == private]:
            client = self.tap.clients.pop(url)
            client.reject(errors.NetworkError("dropped"))
            await client.close()

    async def private_quiet(self) -> None:
        """Give what is already readable on the user stream its turn: an exchange tells of fills before the close."""
        for turn in range(1_000):
            if turn >= 3 and not any(_is_private(url) and client.buffer for url, client in self.tap.clients.items()):
                return
            await asyncio.sleep(0)

    async def sync_clock(self) -> None:
        """Measure the exchange's clock again; signatures are dated by it."""
        await self._judged(self.tap.load_time_difference())

    async def close(self) -> None:
        """End all connections; the gateway can be opened again with fresh ones."""
        old, self.tap = self.tap, self._new_tap()
        self.private_open.clear()
        await old.close()

    def _heard(self, url: str, message: Any) -> None:
        self._on_frame(_is_private(url), message)

    def _opened(self, url: str) -> None:
        self.opens[_is_private(url)] += 1
        if _is_private(url):
            self.private_open.set()

    async def _judged(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(self._request_s + 1):  # ccxt's own time-out comes first; its throttler has none
                return await request
        except TimeoutError as error:
            raise OutcomeUnknown("no reply in time") from error
        except errors.BaseError as error:
            raise self._verdict(error) from error

    def _verdict(self, error: errors.BaseError) -> GatewayError:
        text = str(error)
        found = _CODE.search(text)
        code = int(found.group(1)) if found else 0
        message = _message(text)
        if isinstance(error, (errors.DDoSProtection, errors.RateLimitExceeded)):
            until = _BANNED_UNTIL.search(text)
            if until:
                self._silent_until_ms = int(until.group(1))
            return Refused(code or TOO_MANY_REQUESTS, message)
        if isinstance(error.__cause__, aiohttp.ClientConnectorError):
            return NotSent(0, f"not sent, the exchange cannot be reached: {message}")
        if code in OUTCOME_UNKNOWN or (not code and not isinstance(error, errors.AuthenticationError)):
            return OutcomeUnknown(message)
        return Refused(code, message)


def _is_private(url: str) -> bool:
    return "listenKey=" in url


def _message(text: str) -> str:
    """The exchange's own words out of ccxt's text."""
    start = text.find("{")
    if start >= 0:
        try:
            return str(json.loads(text[start:])["msg"])
        except (ValueError, KeyError, TypeError):
            pass
    return text[:300]


def _settings(key: str, secret: str, base: str | None, request_s: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        "enableRateLimit": base is None,  # a fast-forwarded replay asks more in a minute than a market does in a day
        "rateLimiterAlgorithm": "rollingWindow",  # the default one makes an order after a pause wait 0.2 s
        "timeout": int(request_s * 1000),
        "streaming": {"keepAlive": KEEP_ALIVE_MS},
        "has": {"fetchCurrencies": False},
        "options": {
            "adjustForTimeDifference": True,
            "recvWindow": RECEIVE_WINDOW_MS,
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        },
    }
    if base:
        socket = "ws" + base.removeprefix("http")
        api = {f"fapi{kind}{v}": f"{base}/fapi/{v.lower() or 'v1'}" for kind in _KINDS for v in ("", "V2", "V3")}
        sockets = {"linear": f"{socket}/ws", "ws-api": {"linear": f"{socket}/ws-fapi/v1"}}
        api["sapi"] = f"{base}/sapi/v1"
        settings["urls"] = {"api": {**api, "fapiData": f"{base}/futures/data", "ws": sockets}}
    return settings


_KINDS = ("Public", "Private")
