"""The upstream: a live Binance USDT-M exchange through ccxt, its public streams kept open and its history asked for.

Each kind of stream has a client of its own, so that one that falls takes no other along. Frames are taken from
`handle_message`, ccxt's override point, for its `watch_*` results drop closed flags and wake-ups.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ccxt.pro
from ccxt.base import errors

from market.backoff import Backoff

log = logging.getLogger("market.exchange.mirror")

EXCHANGE = "binanceusdm"
REQUEST_MS = 10_000
KEEP_ALIVE_MS = 5_000
OPENING_TRIES = 4


class UpstreamError(Exception):
    """The upstream refused, or did not answer."""


class Tap(ccxt.pro.binanceusdm):  # type: ignore[misc]
    """ccxt's client, telling of every frame and every connection."""

    heard: Callable[[Any], None]
    opened: Callable[[], None]

    def handle_message(self, client: Any, message: Any) -> None:
        try:
            super().handle_message(client, message)
        except Exception:  # one frame that ccxt cannot digest must not end its receive loop
            log.warning("ccxt could not read a frame", exc_info=True)
        self.heard(message)

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)
        self.opened()


class Upstream:
    """Public market data of one exchange, as it happens.

    Parameters
    ----------
    where : str
        ``binanceusdm`` for the real one, or the base address of another that speaks the same, e.g.
        ``http://127.0.0.1:18080``.
    symbols : sequence of str
        The exchange's names.
    quiet_s : float
        Silence after which a connection is taken for dead: mark prices come every second.
    on_frame : callable
        Takes every decoded frame.
    on_klines : callable
        Called whenever the kline connection was made; what came before may have holes.
    """

    def __init__(
        self,
        where: str,
        symbols: Sequence[str],
        quiet_s: float,
        on_frame: Callable[[Any], None],
        on_klines: Callable[[], None],
    ) -> None:
        self.where = where
        self.falls = 0
        self._symbols = tuple(symbols)
        self._quiet_s = quiet_s
        self._names: dict[str, str] = {}
        self._pairs: list[tuple[str, str]] = []
        self._some_pairs, self._recovered = asyncio.Event(), asyncio.Event()
        self._first_watches: set[asyncio.Task[None]] = set()
        self._klines, self._marks, self._books = (self._tap(on_frame) for _ in range(3))
        self._klines.opened = on_klines

    async def open(self) -> list[Mapping[str, Any]]:
        """Load the exchange's rules; returns the exchangeInfo rows of the symbols, in their order.

        Raises
        ------
        UpstreamError
            If the exchange cannot be reached, or does not trade one of the symbols.
        """
        backoff = Backoff(0.5)
        for left in range(OPENING_TRIES - 1, -1, -1):
            try:
                await self._klines.load_markets(True)
                break
            except errors.BaseError as error:
                if not left:
                    raise UpstreamError(f"{self.where}: {error}; is it up, and is this host online?") from error
                await asyncio.sleep(backoff.next())
        rows = {m["id"]: m for m in self._klines.markets.values() if m.get("swap")}
        for symbol in self._symbols:
            status = rows[symbol]["info"].get("status") if symbol in rows else "not listed"
            if status != "TRADING":
                raise UpstreamError(f"{self.where}: {symbol} is not traded there ({status}); name another in --symbols")
        self._names = {symbol: rows[symbol]["symbol"] for symbol in self._symbols}
        for tap in (self._marks, self._books):
            tap.set_markets(self._klines.markets)
        return [rows[symbol]["info"] for symbol in self._symbols]

    async def ask(self, endpoint: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """One public question by ccxt's name of the endpoint, e.g. ``fapiPublicGetKlines``.

        Raises
        ------
        UpstreamError
            If there is no answer, or a refusal.
        """
        try:
            async with asyncio.timeout(2 * REQUEST_MS / 1000):  # the throttler has no time-out of its own
                return await getattr(self._klines, endpoint)(dict(parameters or {}))
        except TimeoutError as error:
            raise UpstreamError(f"{self.where}: no answer to {endpoint} in time") from error
        except errors.BaseError as error:
            raise UpstreamError(f"{self.where}: {error}") from error

    def listen(self, symbol: str, timeframe: str) -> None:
        """Have the klines of a symbol streamed from now on."""
        if (symbol, timeframe) not in self._pairs:
            self._pairs.append((symbol, timeframe))
            self._some_pairs.set()
            # the running watch returns at its next push, which may be long in coming
            first = asyncio.create_task(self._watch_first(symbol, timeframe))
            self._first_watches.add(first)
            first.add_done_callback(self._first_watches.discard)

    async def run(self) -> None:
        """Keep every stream open until cancelled."""
        names = list(self._names.values())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep("klines", self._klines, self._watch_klines, 6 * self._quiet_s))
            group.create_task(
                self._keep("mark prices", self._marks, lambda: self._marks.watch_mark_prices(names), self._quiet_s)
            )
            group.create_task(
                self._keep("quotes", self._books, lambda: self._books.watch_bids_asks(names), 3 * self._quiet_s)
            )

    async def close(self) -> None:
        """End every connection."""
        for task in self._first_watches:
            task.cancel()
        for tap in (self._klines, self._marks, self._books):
            await tap.close()

    async def _watch_klines(self) -> None:
        await self._some_pairs.wait()
        await self._klines.watch_ohlcv_for_symbols([[self._names[s], t] for s, t in self._pairs])

    async def _watch_first(self, symbol: str, timeframe: str) -> None:
        try:
            await self._klines.watch_ohlcv_for_symbols([[self._names[symbol], timeframe]])
        except errors.BaseError:
            log.debug("the first watch of %s %s failed; the loop goes on with it", symbol, timeframe)

    async def _keep(self, what: str, tap: Tap, watch: Callable[[], Awaitable[Any]], quiet_s: float) -> None:
        """Watch, again and again; one that falls or is silent for too long is dialled anew, with growing pauses."""
        backoff = Backoff(0.5)
        fallen = False
        while True:
            try:
                async with asyncio.timeout(quiet_s):
                    await watch()
                if fallen:
                    self._tell_recovered()
                fallen = False
                backoff.reset()
            except (errors.BaseError, TimeoutError, OSError) as error:
                pause = backoff.next()
                self.falls += 1
                fallen = True
                reason = f"nothing for {quiet_s:g} s" if isinstance(error, TimeoutError) else str(error)
                log.warning("%s of %s fell: %s; dialling again in %.1f s", what, self.where, reason, pause)
                await _drop(tap)
                await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until another stream finds the upstream back."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._recovered.wait(), seconds)

    def _tell_recovered(self) -> None:
        recovered, self._recovered = self._recovered, asyncio.Event()
        recovered.set()

    def _tap(self, on_frame: Callable[[Any], None]) -> Tap:
        tap = Tap(_settings(self.where))
        tap.heard, tap.opened = on_frame, lambda: None
        return tap


async def _drop(tap: Tap) -> None:
    for url in list(tap.clients):
        client = tap.clients.pop(url)
        client.reject(errors.NetworkError("dropped"))
        await client.close()


def _settings(where: str) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "rateLimiterAlgorithm": "rollingWindow",
        "timeout": REQUEST_MS,
        "streaming": {"keepAlive": KEEP_ALIVE_MS},
        "has": {"fetchCurrencies": False},
    }
    if where != EXCHANGE:
        base = where.rstrip("/")
        api = {f"fapiPublic{v}": f"{base}/fapi/{v.lower() or 'v1'}" for v in ("", "V2", "V3")}
        settings["urls"] = {"api": {**api, "ws": {"linear": f"ws{base.removeprefix('http')}/ws"}}}
    return settings
