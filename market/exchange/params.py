"""A request's parameters, read strictly: what every dialect asks of them; how they are sent is the dialect's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument, InstrumentError


class BaseParams(ABC):
    """Typed getters over one request's parameters; an empty text counts as not sent."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether the parameter was sent and is not empty."""

    @abstractmethod
    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it is mandatory."""

    @abstractmethod
    def malformed(self, name: str, value: object) -> Refusal:
        """The refusal of a value that cannot be read, in the exchange's words."""

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default it is mandatory."""
        if default is not None and not self.has(name):
            return default
        text = self.text(name)
        try:
            return int(text)
        except ValueError:
            raise self.malformed(name, text) from None

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None if it was not sent."""
        return self.whole(name) if self.has(name) else None

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

    def price(self, name: str) -> int:
        """A price of the symbol, in ticks; off the grid it is too precise."""
        try:
            return self._instruments[self.symbol()].ticks(self.number(name))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def quantity(self, name: str) -> int:
        """A quantity, in steps of the symbol; off the grid it is too precise."""
        try:
            return self._instruments[self.symbol()].steps(self.number(name))
        except InstrumentError as error:
            raise Refusal(Code.TOO_PRECISE) from error

    def number(self, name: str) -> str:
        """A decimal number of no sign, as it was written; mandatory."""
        text = self.text(name)
        if not text.replace(".", "", 1).isdecimal():
            raise self.malformed(name, text)
        return text
