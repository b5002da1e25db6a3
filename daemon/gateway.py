"""The gateway: a ccxt.pro client as it comes, tapped; every failure is judged by what it leaves behind.

Requests go through ccxt's endpoint methods, so that the exact decimal texts are sent and read; ccxt signs, limits the
rate, keeps the sockets. Every decoded frame passes `handle_message`, ccxt's own override point: its `watch_*` results
drop closed flags and wake-ups, the frames do not. Which exchange it is, a `Profile` says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from ccxt.async_support.base.exchange import Exchange
from ccxt.base import errors

from daemon.events import Meaning
from daemon.venues.payloads import UNREADABLE
from daemon.venues.profile import Profile

log = logging.getLogger("daemon.gateway")

_NO_SUCH_PATH = re.compile(r"\w+ [A-Z]+ \S+ 404 ")
"""How ccxt's text of an answer with HTTP 404 begins."""
_QUERY = re.compile(r"\?\S+=\S*")

sent_ns: ContextVar[list[int] | None] = ContextVar("sent_ns", default=None)
"""Where a task that wants to know puts a list: the monotonic instant (ns) at which its request left is appended."""


TOO_MANY = (429, 418)
"""HTTP: too many requests; and a ban, for having gone on."""


class GatewayError(Exception):
    """A request did not succeed."""


class Refused(GatewayError):
    """The exchange said no, and nothing was done. `code` is the exchange's, 0 for none, `meaning` ours."""

    def __init__(self, code: int, message: str, meaning: Meaning = Meaning.OTHER) -> None:
        super().__init__(f"{message} ({code})" if code else message)
        self.code, self.message, self.meaning = code, message, meaning


class NotSent(Refused):
    """The request never left, or was turned away unread: the exchange cannot be reached, or has asked for silence."""


class OutcomeUnknown(GatewayError):
    """The request left and nobody knows what became of it."""


class SpeaksOtherwise(OutcomeUnknown):
    """Something answers at the address and does not know the request's path: another exchange, or none."""


@contextmanager
def readable() -> Iterator[None]:
    """Asks and reads: an answer that cannot be read leaves open what became of the request.

    Raises
    ------
    OutcomeUnknown
        In place of whatever reading it raised.
    """
    try:
        yield
    except UNREADABLE as error:
        raise OutcomeUnknown(f"the answer cannot be read: {error!r}") from error


class Tap(Exchange):  # type: ignore[misc]
    """Mixed into a ccxt.pro client, it tells of every frame and every connection; nothing else is changed."""

    heard: Callable[[str, Any], None]
    opened: Callable[[str], None]
    slowed: Callable[[int, float], None]

    def handle_message(self, client: Any, message: Any) -> None:
        try:
            super().handle_message(client, message)
        except Exception:  # one frame that ccxt cannot digest must not end its receive loop
            log.warning("ccxt could not read a frame", exc_info=True)
        self.heard(client.url, message)

    def client(self, url: str) -> Any:
        """ccxt's client of an address; a frame that is no JSON is told of as it came.

        ccxt parses a frame where nothing catches what that raises: its receive loop would end, and leave a socket that
        answers pings to nobody and brings nothing.
        """
        fresh = url not in (self.clients or {})
        client = super().client(url)
        if fresh:
            client.handle_text_or_binary_message = partial(self._read, client, client.handle_text_or_binary_message)
        return client

    def _read(self, client: Any, read: Callable[[str | bytes], None], data: str | bytes) -> None:
        try:
            read(data)
        except (ValueError, RecursionError):
            self.heard(client.url, data)

    def on_rest_response(self, code: int, reason: Any, url: str, method: str, headers: Any, *rest: Any) -> Any:
        """ccxt's hook for every reply; told too many times too much, an exchange says for how long to be quiet."""
        if code in TOO_MANY:
            wait = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
            self.slowed(code, float(wait) if wait.isdecimal() else 0.0)
        return super().on_rest_response(code, reason, url, method, headers, *rest)

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
    profile : Profile
        Which exchange.
    make : callable
        Gives a new tapped client; called again whenever the connections are ended.
    request_s : float
        How long a reply is waited for, seconds.
    on_frame : callable
        Called with (is_private, frame) for every frame, in the order of arrival on its socket; one that is no JSON
        comes as its text.
    """

    def __init__(
        self, profile: Profile, make: Callable[[], Tap], request_s: float, on_frame: Callable[[bool, Any], None]
    ) -> None:
        self._profile, self._make, self._request_s, self._on_frame = profile, make, request_s, on_frame
        self._code = re.compile(rf'"{profile.code_field}"\s*:\s*"?(-?\d+)')
        self._silent_until_ms = self._unasked_until_ms = 0
        self.opens = {False: 0, True: 0}
        """How often a market and a private connection was made; ccxt redials by itself."""
        self.private_open = asyncio.Event()
        self._heard_s = self._unheard_since_s = 0.0
        self.tap = self._tapped()

    def _tapped(self) -> Tap:
        tap = self._make()
        tap.heard, tap.opened, tap.slowed = self._heard, self._opened, self._slowed
        return tap

    async def load_markets(self) -> Mapping[str, Any]:
        """The exchange's rules, by ccxt's symbols; read anew at each call."""
        await self.judged(self.tap.load_markets(True))
        markets: Mapping[str, Any] = self.tap.markets
        return markets

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
            silence = f"not sent: the exchange bans requests until {self._silent_until_ms} ms"
            raise NotSent(0, silence, Meaning.TOO_MANY_REQUESTS)
        if now < self._unasked_until_ms and "Get" in endpoint:
            silence = f"not asked: the exchange wants no more questions until {self._unasked_until_ms} ms"
            raise NotSent(0, silence, Meaning.TOO_MANY_REQUESTS)
        try:
            return await self.judged(getattr(self.tap, endpoint)(dict(params or {})))
        except Refused as refused:
            if refused.meaning is not Meaning.CLOCK_SKEW:
                raise
        log.warning("the clock is off: measured anew, and %s sent again", endpoint)
        await self.sync_clock()  # it was refused by its date, so nothing was done and it may be repeated
        return await self.judged(getattr(self.tap, endpoint)(dict(params or {})))

    async def drop(self, private: bool) -> None:
        """Cut the market or the private connections, so that the next watch dials anew."""
        if private:
            self.private_open.clear()
            self._unheard_since_s = 0.0
        for url in [u for u in self.tap.clients if self._is_private(u) == private]:
            client = self.tap.clients.pop(url)
            client.reject(errors.NetworkError("dropped"))
            await client.close()

    async def private_quiet(self) -> None:
        """Give what is already readable on the user stream its turn: an exchange tells of fills before the close."""
        for turn in range(1_000):
            if turn >= 3 and not any(self._is_private(url) and c.buffer for url, c in self.tap.clients.items()):
                return
            await asyncio.sleep(0)

    async def sync_clock(self) -> None:
        """Measure the exchange's clock again; signatures are dated by it."""
        await self.judged(self.tap.load_time_difference())

    async def close(self) -> None:
        """End all connections; the gateway can be opened again with fresh ones."""
        old, self.tap = self.tap, self._tapped()
        self.private_open.clear()
        await old.close()

    def _is_private(self, url: str) -> bool:
        return self._profile.private_url in url

    def acknowledged(self, sent_s: float) -> None:
        """An order that left at the monotonic instant `sent_s` was taken: the user stream will tell of it."""
        if self._heard_s < sent_s and not self._unheard_since_s:
            self._unheard_since_s = time.monotonic()

    @property
    def unheard_s(self) -> float:
        """How long ago an order was taken of which the user stream has told nothing yet, seconds; 0 for none."""
        return time.monotonic() - self._unheard_since_s if self._unheard_since_s else 0.0

    def _heard(self, url: str, message: Any) -> None:
        private = self._is_private(url)
        if private and not (self._profile.text_pongs and isinstance(message, dict) and message.get("op") == "pong"):
            self._heard_s, self._unheard_since_s = time.monotonic(), 0.0
        self._on_frame(private, message)

    def _slowed(self, code: int, seconds: float) -> None:
        """Over the limit, questions wait as long as the exchange says, for who goes on is banned; orders may leave,
        since they are counted apart and may be what protects a position. Banned, nothing leaves."""
        until = time.time_ns() // 1_000_000 + round(seconds * 1000)
        if code == TOO_MANY[0]:
            self._unasked_until_ms = max(self._unasked_until_ms, until)
        else:
            self._silent_until_ms = max(self._silent_until_ms, until)

    def _opened(self, url: str) -> None:
        self.opens[self._is_private(url)] += 1
        if self._is_private(url):
            self.private_open.set()

    async def judged(self, request: Any) -> Any:
        """What a request of ccxt's gives; its failure as ours, see `call`."""
        try:
            async with asyncio.timeout(self._request_s + 1):  # ccxt's own time-out comes first; its throttler has none
                reply = await request
        except TimeoutError as error:
            raise OutcomeUnknown("no reply in time") from error
        except errors.BaseError as error:
            raise self._verdict(error) from error
        except UNREADABLE as error:  # ccxt stumbled over what it read
            raise OutcomeUnknown(f"the reply cannot be read: {error!r}") from error
        if isinstance(reply, str):  # ccxt hands on what is no JSON as it came
            raise OutcomeUnknown(f"the reply cannot be read: {reply[:300]!r}")
        return reply

    def _verdict(self, error: errors.BaseError) -> GatewayError:
        profile, text = self._profile, str(error)
        found = self._code.search(text)
        code = int(found.group(1)) if found else 0
        message = self._message(text)
        if isinstance(error, (errors.DDoSProtection, errors.RateLimitExceeded)):
            until = re.search(profile.banned_until, text) if profile.banned_until else None
            if until:
                self._silent_until_ms = int(until.group(1))
            elif profile.ban_ms and not code:  # turned away at the door, not by the exchange itself
                self._silent_until_ms = time.time_ns() // 1_000_000 + profile.ban_ms
            return NotSent(code, message, Meaning.TOO_MANY_REQUESTS)
        if isinstance(error.__cause__, aiohttp.ClientConnectorError):
            return NotSent(0, f"not sent, the exchange cannot be reached: {message}")
        if not code and _NO_SUCH_PATH.match(text):
            told = (
                f"the address answers 404 (not found), not as {profile.name} does; check exchange.url and exchange.id"
            )
            return SpeaksOtherwise(told)
        if code in profile.outcome_unknown or (not code and not isinstance(error, errors.AuthenticationError)):
            return OutcomeUnknown(message)
        return Refused(code, message, profile.meaning(code))

    def _message(self, text: str) -> str:
        """The exchange's own words out of ccxt's text."""
        start = text.find("{")
        if start >= 0:
            try:
                return str(json.loads(text[start:])[self._profile.message_field])
            except (ValueError, KeyError, TypeError):
                pass
        return _QUERY.sub("", text)[:300]  # a query holds a signature


def settings(
    profile: Profile, key: str, secret: str, request_s: float, local: bool, session: aiohttp.ClientSession | None
) -> dict[str, Any]:
    """What every ccxt client of ours is made with; a `session` of one's own is used for HTTP and sockets alike."""
    made: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        "enableRateLimit": not local,  # a fast-forwarded replay asks more in a minute than a market does in a day
        "rateLimiterAlgorithm": "rollingWindow",  # the default one makes an order after a pause wait 0.2 s
        "timeout": int(request_s * 1000),
        "streaming": {"keepAlive": profile.keep_alive_ms},
        "has": {"fetchCurrencies": False},
    }
    return made if session is None else made | {"session": session}
