"""A request's parameters: of the query or of a JSON body, read strictly; what is missing or malformed is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from market.exchange.bybit.words import TIMEFRAMES
from market.exchange.codec import Asked
from market.exchange.params import BaseParams
from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument
from market.timeframes import Timeframe


class Params(BaseParams):
    """Typed getters over one request's parameters; an empty text counts as not sent."""

    def __init__(self, asked: Asked, instruments: Mapping[str, Instrument]) -> None:
        super().__init__(instruments)
        self._values: dict[str, Any] = dict(parse_qsl(asked.query, keep_blank_values=True))
        if asked.method == "POST":
            try:
                self._values = dict(orjson.loads(asked.body or "{}"))
            except (orjson.JSONDecodeError, TypeError, ValueError):
                raise Refusal(Code.BAD_PARAMETER, "params error: the body is no JSON object") from None

    def has(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def text(self, name: str, default: str | None = None) -> str:
        """A text, a number's included; without a default it is mandatory."""
        value = self._values.get(name)
        if value in (None, ""):
            if default is None:
                raise Refusal(Code.MISSING_PARAMETER, f"params error: {name} is required")
            return default
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise self.malformed(name, value)
        return str(value)

    def malformed(self, name: str, value: object) -> Refusal:
        return Refusal(Code.BAD_PARAMETER, f"params error: {name} invalid: {value!r}")

    def limit(self, default: int, most: int) -> int:
        """How many rows at most; more than the exchange gives is cut down, as it does."""
        limit = self.whole("limit", default)
        if limit < 1:
            raise self.malformed("limit", limit)
        return min(limit, most)

    def flag(self, name: str) -> bool:
        """true or false, false if it was not sent."""
        value = self._values.get(name, False)
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise self.malformed(name, value)
        return value

    def linear(self) -> None:
        """Refuse any category but the one there is."""
        if (category := self.text("category")) != "linear":
            raise Refusal(Code.BAD_PARAMETER, f"params error: category {category} is not simulated, linear alone is")

    def timeframe(self) -> Timeframe:
        """A kline interval, in the exchange's words."""
        text = self.text("interval")
        if text not in TIMEFRAMES:
            raise Refusal(Code.BAD_INTERVAL)
        return TIMEFRAMES[text]

    def is_zero(self, name: str) -> bool:
        """Whether the parameter was sent and is a zero, which takes back what was set."""
        return self.has(name) and not self.number(name).strip("0.")
