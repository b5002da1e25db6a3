"""The storm: the random faults of a soak, as rules of the local exchange's own fault injector.

Every rule strikes without end, at a rate given as one in so many messages of its kind.
"""

from __future__ import annotations

from typing import Any

KLINES, PRIVATE = {"stream": "*@kline_*"}, {"stream": "private"}
NAN, HUGE = "NaN", "1e400"


def rules(weather: float = 1.0) -> list[dict[str, Any]]:
    """The faults of a soak; `weather` multiplies how often each strikes."""
    made = [
        # market frames: lost, twice, late, malformed, absurd, or the whole connection
        _rule("a kline is lost", "frame", KLINES, {"action": "drop"}, 2_000),
        _rule("a kline comes twice", "frame", KLINES, {"action": "twice"}, 1_000),
        _rule("a kline comes late", "frame", KLINES, {"action": "hold", "frames": 2, "seconds": 0.5}, 1_000),
        _rule("a kline breaks off", "frame", KLINES, {"action": "garble", "keep": 0.6}, 5_000),
        _rule("a kline is no object", "frame", KLINES, {"action": "garble", "text": "[[[[[[1e999]]]]]]"}, 10_000),
        _rule("a kline without its open time", "frame", KLINES, {"action": "edit", "remove": ["k.t"]}, 10_000),
        _rule("a price is no number", "frame", KLINES, {"action": "edit", "set": {"k.c": NAN}}, 10_000),
        _rule("a price beyond all bounds", "frame", KLINES, {"action": "edit", "set": {"k.h": HUGE}}, 10_000),
        _rule("a price of the wrong type", "frame", KLINES, {"action": "edit", "set": {"k.o": {"a": []}}}, 10_000),
        _rule("a negative volume", "frame", KLINES, {"action": "edit", "set": {"k.v": "-1"}}, 10_000),
        _rule("the market is cut", "frame", KLINES, {"action": "cut"}, 40_000),
        _rule("the market is cut behind a kline", "frame", KLINES, {"action": "cut", "when": "after"}, 40_000),
        _rule("the market falls silent", "frame", KLINES, {"action": "mute"}, 250_000),
        # the account's frames
        _rule("news is lost", "frame", PRIVATE, {"action": "drop"}, 60),
        _rule("news comes twice", "frame", PRIVATE, {"action": "twice"}, 30),
        _rule("news comes late", "frame", PRIVATE, {"action": "hold", "frames": 2, "seconds": 0.5}, 40),
        _rule("news breaks off", "frame", PRIVATE, {"action": "garble", "keep": 0.5}, 200),
        _rule("the account is cut", "frame", PRIVATE, {"action": "cut"}, 200),
        # requests and replies
        _rule("a request is lost", "request", {}, {"action": "cut"}, 300),
        _rule("the exchange is busy", "request", {}, {"action": "answer", "status": 503, "body": "busy"}, 300),
        _rule("a reply is lost", "reply", {}, {"action": "cut"}, 300),
        _rule("a reply is late", "reply", {}, {"action": "delay", "seconds": 0.7}, 300),
        _rule("a reply breaks off", "reply", {}, {"action": "garble", "keep": 0.7}, 300),
        _rule("a reply is a page", "reply", {}, {"action": "garble", "text": "<html>502 Bad Gateway</html>"}, 300),
    ]
    for rule in made:
        rule["probability"] = min(1.0, rule["probability"] * weather)
    return made


def _rule(name: str, on: str, match: dict[str, Any], do: dict[str, Any], one_in: int) -> dict[str, Any]:
    return {"name": name, "on": on, "match": match, "do": do, "count": None, "probability": 1 / one_in}
