"""A request's parameters: of the query or of a JSON body, read strictly; what is missing or malformed is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from market.exchange.bybit.words import TIMEFRAMES
from market.exchange.codec import Asked
from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument, InstrumentError
from market.timeframes import Timeframe


def _fault(name: str, value: object) -> Refusal:
    return Refusal(Code.BAD_PARAMETER, f"params error: {name} invalid: {value!r}")


class Params:
    """Typed getters over one request's parameters; an empty text counts as not sent."""

    def __init__(self, asked: Asked, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._values: dict[str, Any] = dict(parse_qsl(asked.query, keep_blank_values=True))
        if asked.method == "POST":
            try:
                self._values = dict(orjson.loads(asked.body or "{}"))
            except (orjson.JSONDecodeError, TypeError, ValueError):
                raise Refusal(Code.BAD_PARAMETER, "params error: the body is no JSON object") from None

    def has(self, name: str) -> bool:
        """Whether the parameter was sent and is not empty."""
        return self._values.get(name) not in (None, "")

    def text(self, name: str, default: str | None = None) -> str:
        """A text, a number's included; without a default it is mandatory."""
        value = self._values.get(name)
        if value in (None, ""):
            if default is None:
                raise Refusal(Code.MISSING_PARAMETER, f"params error: {name} is required")
            return default
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _fault(name, value)
        return str(value)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default it is mandatory."""
        text = self.text(name, None if default is None else str(default))
        try:
            return int(text)
        except ValueError:
            raise _fault(name, text) from None

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None if it was not sent."""
        return self.whole(name) if self.has(name) else None

    def limit(self, default: int, most: int) -> int:
        """How many rows at most; more than the exchange gives is cut down, as it does."""
        limit = self.whole("limit", default)
        if limit < 1:
            raise _fault("limit", limit)
        return min(limit, most)

    def flag(self, name: str) -> bool:
        """true or false, false if it was not sent."""
        value = self._values.get(name, False)
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise _fault(name, value)
        return value

    def choice(self, name: str, choices: Mapping[str, int], code: Code) -> int:
        """The value a word stands for; any other word is refused with `code`."""
        text = self.text(name)
        if text not in choices:
            raise Refusal(code)
        return choices[text]

    def one_of(self, name: str, words: tuple[str, ...], code: Code, default: str | None = None) -> str:
        """One of a few words; any other is refused with `code`."""
        text = self.text(name, default)
        if text not in words:
            raise Refusal(code)
        return text

    def linear(self) -> None:
        """Refuse any category but the one there is."""
        if (category := self.text("category")) != "linear":
            raise Refusal(Code.BAD_PARAMETER, f"params error: category {category} is not simulated, linear alone is")

    def symbol(self) -> str:
        """A symbol of this exchange; mandatory."""
        symbol = self.text("symbol")
        if symbol not in self._instruments:
            raise Refusal(Code.BAD_SYMBOL)
        return symbol

    def symbols(self) -> list[str]:
        """The symbol asked for, or all of them."""
        return [self.symbol()] if self.has("symbol") else list(self._instruments)

    def timeframe(self) -> Timeframe:
        """A kline interval, in the exchange's words."""
        text = self.text("interval")
        if text not in TIMEFRAMES:
            raise Refusal(Code.BAD_INTERVAL)
        return TIMEFRAMES[text]

    def price(self, name: str) -> int:
        """A price of the symbol, in ticks; off the grid it is refused."""
        try:
            return self._instruments[self.symbol()].ticks(self._number(name))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def quantity(self, name: str = "qty") -> int:
        """A quantity, in steps of the symbol."""
        try:
            return self._instruments[self.symbol()].steps(self._number(name))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def is_zero(self, name: str) -> bool:
        """Whether the parameter was sent and is a zero, which takes back what was set."""
        return self.has(name) and not self._number(name).strip("0.")

    def _number(self, name: str) -> str:
        text = self.text(name)
        if not text.replace(".", "", 1).isdecimal():
            raise _fault(name, text)
        return text
