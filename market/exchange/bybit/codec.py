"""Bybit v5's dialect: requests signed in headers, one envelope for every reply, sockets that sign for themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson

from market.exchange.bybit import frames, market_data, signing, words
from market.exchange.bybit.params import Params
from market.exchange.bybit.refusals import told
from market.exchange.bybit.rest import PUBLIC, SIGNED
from market.exchange.codec import ANSWER, Asked, Codec, Line, Payload, Reply, Told
from market.exchange.feed import Kline
from market.exchange.orders import Event
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.timeframes import Timeframe

CLOCK = "/v5/market/time"
"""The one path that tells the wall clock; others are dated by the market's, as what they tell is."""


class Bybit(Codec):
    """Speaks Bybit v5, linear perpetuals."""

    name = "bybit"
    title = "Bybit v5 linear"
    socket_base = "/v5"
    sockets = (("/v5/public/linear", False), ("/v5/private", True))

    def __init__(self, venue: Venue, secrets: Mapping[str, str]) -> None:
        super().__init__(venue, secrets)
        self.pairs = {topic: pair for topic, pair in self.pairs.items() if pair[1] in words.INTERVALS}

    def answer(self, asked: Asked) -> Reply:
        request = asked.method, asked.path
        answer = PUBLIC.get(request) or SIGNED.get(request)
        if answer is None:
            raise Refusal(Code.UNKNOWN_PATH, f"no such path: {asked.method} {asked.path}")
        if request in SIGNED:
            signing.check(asked, self.secrets, self.venue.wall_ms())
            self.venue.permissions.check(reads=asked.method == "GET")
        result = answer(self.venue, Params(asked, self.venue.engine.instruments))
        now = self.venue.wall_ms() if asked.path == CLOCK else self.venue.replay.time
        return Reply({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now})

    def error(self, code: int | None, message: str) -> Payload:
        return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": self.venue.wall_ms()}

    def refused(self, refusal: Refusal) -> Reply:
        return Reply(self.error(*told(refusal)), 404 if refusal.code is Code.UNKNOWN_PATH else 200)

    # -- sockets ----------------------------------------------------------------------------------------------------

    def greet(self, line: Line, path: str, query: Mapping[str, str]) -> str | None:
        return None

    def hear(self, line: Line, text: str) -> Iterator[Told]:
        try:
            request = orjson.loads(text)
            op, args, id_ = str(request["op"]), list(request.get("args") or []), request.get("req_id", "")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            yield ANSWER, self._said(False, "error:invalid json", "", "")
            return
        match op:
            case "ping":
                pong = {"op": "pong", "args": [str(self.venue.wall_ms())]} if line.private else {"op": "ping"}
                yield ANSWER, self._said(True, "pong", op, id_) | pong
            case "auth" if line.private:
                line.known = self._knows(args)
                refused = {} if line.known else {"ret_msg": "error:USVC1111", "request": {"op": op, "args": args}}
                yield ANSWER, self._said(line.known, "", op, id_) | refused
            case "subscribe":
                yield from self._subscribe(line, [str(arg) for arg in args], id_)
            case "unsubscribe":
                line.topics.difference_update(map(str, args))
                yield ANSWER, self._said(True, "", op, id_)
            case _:
                yield ANSWER, self._said(False, f"error:invalid op: {op}", op, id_)

    def _subscribe(self, line: Line, topics: list[str], id_: object) -> Iterator[Told]:
        unknown = [topic for topic in topics if not self._offers(line, topic)]
        if line.private and not line.known:
            yield ANSWER, self._said(False, "Request not authorized", "subscribe", id_)
        elif unknown:
            yield ANSWER, self._said(False, f"error:handler not found,topic:{unknown[0]}", "subscribe", id_)
        else:
            line.topics.update(topics)
            yield ANSWER, self._said(True, "", "subscribe", id_)
            yield from self.fresh(topics)

    def _offers(self, line: Line, topic: str) -> bool:
        if line.private:
            return topic.removesuffix(".linear") in frames.TOPICS
        return topic in self.pairs or topic in map(frames.ticker_topic, self.venue.replay.feeds)

    def _knows(self, args: list[Any]) -> bool:
        """Whether a socket's signature is right: of its expiry, which must lie ahead."""
        if len(args) != 3:
            return False
        key, expires, signature = map(str, args)
        if key not in self.secrets or not expires.isdecimal() or int(expires) <= self.venue.wall_ms():
            return False
        return signing.right(self.secrets[key], f"GET/realtime{expires}", signature)

    def _said(self, success: bool, message: str, op: str, id_: object) -> Payload:
        return {"success": success, "ret_msg": message, "conn_id": "local", "req_id": str(id_), "op": op}

    def knows_all(self, line: Line) -> bool:
        return line.topics >= set(frames.TOPICS)

    def is_over(self, line: Line) -> bool:
        return False

    def kline_topic(self, symbol: str, timeframe: Timeframe) -> str:
        return frames.kline_topic(symbol, words.INTERVALS.get(timeframe, str(timeframe)))

    def kline(self, kline: Kline) -> Payload:
        return frames.kline(self.venue.engine.instruments[kline.symbol], kline, self.venue.replay.time)

    def marks(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        topic = frames.ticker_topic(symbol)
        if topic in topics:
            yield topic, frames.ticker(market_data.ticker(self.venue, symbol), self.venue.replay.time)

    def quotes(self, symbol: str, topics: Collection[str]) -> Iterator[Told]:
        return self.marks(symbol, topics)  # one topic tells of both

    def account(self, happened: Event) -> Iterator[Told]:
        for topic, frame in frames.account(self.venue.engine, happened):
            yield topic, frame
            yield f"{topic}.linear", frame | {"topic": f"{topic}.linear"}
