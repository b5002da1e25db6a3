"""A request's parameters: texts from the query or body, read strictly; what is missing or malformed is refused."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument, InstrumentError
from market.timeframes import Timeframe, TimeframeError


class Params:
    """Typed getters over one request's parameters."""

    def __init__(self, texts: Mapping[str, str], instruments: Mapping[str, Instrument]) -> None:
        self._texts = texts
        self._instruments = instruments

    def has(self, name: str) -> bool:
        """Whether the parameter was sent and is not empty."""
        return bool(self._texts.get(name))

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it is mandatory."""
        value = self._texts.get(name) or default
        if value is None:
            raise Refusal(
                Code.MISSING_PARAMETER,
                f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
            )
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default it is mandatory."""
        if default is not None and not self.has(name):
            return default
        text = self.text(name)
        try:
            return int(text)
        except ValueError as error:
            raise Refusal(
                Code.MISSING_PARAMETER, f"Illegal characters found in parameter '{name}': {text!r}."
            ) from error

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None if it was not sent."""
        return self.whole(name) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """true or false, false if it was not sent."""
        text = self.text(name, "false").lower()
        if text not in ("true", "false"):
            raise Refusal(Code.BAD_PARAMETER, f"Data sent for parameter '{name}' is not valid: {text!r}.")
        return text == "true"

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
        """A kline interval."""
        try:
            return Timeframe.parse(self.text("interval"))
        except TimeframeError as error:
            raise Refusal(Code.BAD_INTERVAL) from error

    def price(self, name: str) -> int:
        """A price of the symbol, in ticks; off the grid it is too precise."""
        try:
            return self._instruments[self.symbol()].ticks(self._number(name))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def quantity(self) -> int:
        """The quantity, in steps of the symbol."""
        try:
            return self._instruments[self.symbol()].steps(self._number("quantity"))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def decimal(self, name: str) -> Decimal:
        """A decimal number; mandatory."""
        return Decimal(self._number(name))

    def _number(self, name: str) -> str:
        text = self.text(name)
        if not text.replace(".", "", 1).isdecimal():
            raise _illegal(name, text)
        return text


def _illegal(name: str, text: str) -> Refusal:
    return Refusal(Code.MISSING_PARAMETER, f"Illegal characters found in parameter '{name}': {text!r}.")
