"""Rate limits: how much a client may ask of the exchange in a window of wall time, and what it is told beyond.

Windows are fixed, as the exchange's: a counter starts anew with each minute, or each ten seconds. Over the limit a
request is refused with 429; a client that goes on is banned with 418 until a stated time, longer each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from market.exchange.refusals import Code, Refusal

MINUTE_MS = 60_000


class Kind(StrEnum):
    """What is counted, in the exchange's words."""

    WEIGHT = "REQUEST_WEIGHT"
    ORDERS = "ORDERS"


@dataclass(slots=True)
class Window:
    """One counter: at most `most` in each window of `span_ms`."""

    kind: Kind
    span_ms: int
    most: int
    began: int = 0
    used: int = 0

    def add(self, now_ms: int, amount: int) -> None:
        """Count, in the window that `now_ms` lies in."""
        began = now_ms - now_ms % self.span_ms
        if began != self.began:
            self.began, self.used = began, 0
        self.used += amount

    @property
    def ends(self) -> int:
        """When it starts anew, ms."""
        return self.began + self.span_ms

    @property
    def header(self) -> str:
        """Name of the reply's header that tells the count."""
        span = f"{self.span_ms // MINUTE_MS}M" if self.span_ms >= MINUTE_MS else f"{self.span_ms // 1000}S"
        return f"X-MBX-{'USED-WEIGHT' if self.kind is Kind.WEIGHT else 'ORDER-COUNT'}-{span}"


def _windows() -> list[Window]:
    return [
        Window(Kind.WEIGHT, MINUTE_MS, 2_400),
        Window(Kind.ORDERS, MINUTE_MS, 1_200),
        Window(Kind.ORDERS, 10_000, 300),
    ]


class TooMany(Refusal):
    """Refused for the rate of requests: 429, or 418 for a ban; `retry_s` is when to come again."""

    def __init__(self, code: Code, detail: str, status: int, retry_s: int) -> None:
        super().__init__(code, detail)
        self._status, self.retry_s = status, retry_s

    @property
    def status(self) -> int:
        """HTTP status: 429 or 418."""
        return self._status


@dataclass(slots=True)
class Limits:
    """The counters of one client; they always count, and refuse only where they are `enforced`.

    Attributes
    ----------
    patience : int
        Requests over the limit that are still answered with 429; the next one brings the ban.
    ban_ms : int
        Length of the first ban; each further one is twice as long.
    """

    enforced: bool = False
    windows: list[Window] = field(default_factory=_windows)
    patience: int = 10
    ban_ms: int = 2 * MINUTE_MS
    banned_until: int = 0
    ignored: int = 0
    bans: int = 0

    def take(self, now_ms: int, weight: int, orders: int) -> None:
        """Count a request.

        Raises
        ------
        TooMany
            If it is over a limit, or under a ban.
        """
        if now_ms < self.banned_until:
            self._refuse_banned(now_ms)
        self.use(now_ms, weight, orders)
        if not self.enforced:
            return
        for window in self.windows:
            if window.used > window.most and (weight if window.kind is Kind.WEIGHT else orders):
                self._refuse(window, now_ms)
        self.ignored = 0

    def use(self, now_ms: int, weight: int, orders: int) -> None:
        """Count what somebody else at the same address asked for; nobody is refused for it yet."""
        for window in self.windows:
            window.add(now_ms, weight if window.kind is Kind.WEIGHT else orders)

    def ban(self, now_ms: int, span_ms: int) -> None:
        """Answer everything with 418 for so long, enforced or not."""
        self.banned_until = now_ms + span_ms

    def headers(self, orders: bool) -> dict[str, str]:
        """What a reply tells of the counters: the weight always, the orders where one was placed."""
        return {w.header: str(w.used) for w in self.windows if w.kind is Kind.WEIGHT or orders}

    def _refuse(self, window: Window, now_ms: int) -> None:
        retry_s = -(-(window.ends - now_ms) // 1000)
        if window.kind is Kind.ORDERS:
            span = "MINUTE" if window.span_ms >= MINUTE_MS else "TEN_SECONDS"
            raise TooMany(
                Code.TOO_MANY_ORDERS,
                f"Too many new orders; current limit is {window.most} orders per {span}.",
                429,
                retry_s,
            )
        self.ignored += 1
        if self.ignored > self.patience:
            self.ban(now_ms, self.ban_ms << self.bans)
            self.bans, self.ignored = self.bans + 1, 0
            self._refuse_banned(now_ms)
        raise TooMany(
            Code.TOO_MANY_REQUESTS,
            f"Too many requests; current limit of IP(127.0.0.1) is {window.most} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
            retry_s,
        )

    def _refuse_banned(self, now_ms: int) -> None:
        raise TooMany(
            Code.TOO_MANY_REQUESTS,
            f"Way too many requests; IP(127.0.0.1) banned until {self.banned_until}. "
            "Please use the websocket for live updates to avoid bans.",
            418,
            -(-(self.banned_until - now_ms) // 1000),
        )
