"""Binance USDT-M's dialect: signed queries below ``/fapi``, lower-case streams, and a listen key for the account."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import parse_qsl

import orjson

from market.exchange.binance import frames, market_data
from market.exchange.binance.params import Params
from market.exchange.binance.rest import ORDERS, ROUTES, Access, weight
from market.exchange.binance.signing import Gate
from market.exchange.codec import ANSWER, Asked, Codec, Line, Payload, Reply, Told
from market.exchange.feed import Kline
from market.exchange.limits import TooMany
from market.exchange.orders import Event
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.timeframes import Timeframe

PRIVATE = "private"
"""The one topic of a user stream: all of the account."""


class Binance(Codec):
    """Speaks Binance USDT-M."""

    name = "binance"
    title = "Binance USDT-M futures"
    socket_base = "/ws"
    sockets = (
        ("/market/ws", False),
        ("/market/ws/{stream}", False),
        ("/public/ws", False),
        ("/public/ws/{stream}", False),
        ("/private/ws", True),
        ("/private/ws/{key}", True),
    )

    def __init__(self, venue: Venue, secrets: Mapping[str, str]) -> None:
        super().__init__(venue, secrets)
        self._gate = Gate(secrets)

    def admit(self, asked: Asked) -> None:
        texts = dict(parse_qsl(asked.query))
        self.venue.limits.take(
            self.venue.wall_ms(), weight(asked.method, asked.path, texts), int((asked.method, asked.path) in ORDERS)
        )

    def headers(self, asked: Asked) -> dict[str, str]:
        return self.venue.limits.headers((asked.method, asked.path) in ORDERS)

    def answer(self, asked: Asked) -> Reply:
        found = ROUTES.get((asked.method, asked.path))
        if found is None:
            raise Refusal(Code.UNKNOWN_PATH, f"Path {asked.path}, Method {asked.method} is invalid")
        access, answer = found
        key = asked.headers.get("X-MBX-APIKEY")
        texts = dict(parse_qsl(asked.query, keep_blank_values=True))
        match access:
            case Access.SIGNED:
                texts = self._gate.check(key, asked.query, asked.body, self.venue.wall_ms())
                self.venue.permissions.check(reads=asked.method == "GET")
            case Access.KEY:
                self._gate.check_key(key)
        return Reply(answer(self.venue, Params(texts, self.venue.engine.instruments)))

    def error(self, code: int | None, message: str) -> Payload:
        return {"code": code, "msg": message}

    def refused(self, refusal: Refusal) -> Reply:
        told = {"Retry-After": str(refusal.retry_s)} if isinstance(refusal, TooMany) else {}
        return Reply(self.error(int(refusal.code), refusal.message), refusal.status, told)

    def greet(self, line: Line, path: str, query: Mapping[str, str]) -> str | None:
        if not line.private:
            return None
        key = query.get("listenKey") or path.removeprefix("/private/ws").strip("/")
        if not key or key != self.venue.listen_key:
            return "Invalid listenKey"
        line.known = True
        line.topics.add(PRIVATE)
        return None

    def hear(self, line: Line, text: str) -> Iterator[Told]:
        if line.private:
            return
        try:
            request = orjson.loads(text)
            method, names, id_ = request["method"], list(map(str, request.get("params", []))), request.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            yield ANSWER, {"error": {"code": 3, "msg": "Invalid JSON: expected method, params and id"}}
            return
        if method == "SUBSCRIBE":
            line.topics.update(names)
        elif method == "UNSUBSCRIBE":
            line.topics.difference_update(names)
        yield ANSWER, {"result": None, "id": id_}
        if method == "SUBSCRIBE":
            yield from self.fresh(names)

    def knows_all(self, line: Line) -> bool:
        return line.private

    def is_over(self, line: Line) -> bool:
        return line.private and not self.venue.listen_key

    def kline_topic(self, symbol: str, timeframe: Timeframe) -> str:
        return frames.stream_name(symbol, timeframe)

    def kline(self, kline: Kline) -> Payload:
        return frames.kline(self.venue.engine.instruments[kline.symbol], kline, self.venue.replay.time)

    def marks(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        for name in frames.mark_streams(symbol):
            if name in topics:
                premium = market_data.premium(self.venue, self.venue.replay.feeds[symbol])
                yield name, frames.mark_price(premium)

    def quotes(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        name = frames.book_stream(symbol)
        if name in topics:
            yield name, frames.book_ticker(market_data.book(self.venue, symbol))

    def account(self, happened: Event) -> Iterator[Told]:
        yield PRIVATE, frames.event(self.venue.engine.instruments, happened)
