"""What an action asks: the fields of one JSON object, read strictly, and the errors that say what to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from market.instruments import Instrument, InstrumentError, cash

Reply = dict[str, Any]

SIDES = {"BUY": 1, "SELL": -1}


class HandError(ValueError):
    """The action cannot be read or done; the message says what to send."""


@dataclass(frozen=True, slots=True)
class Wants:
    """The fields of one action, read strictly."""

    action: str
    fields: Mapping[str, Any]
    instruments: Mapping[str, Instrument]

    def has(self, name: str) -> bool:
        """Whether the field was sent."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it must be sent."""
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text", value)
        return value

    def word(self, name: str, words: tuple[str, ...], default: str | None = None) -> str:
        """One of a few words."""
        value = self.fields.get(name, default)
        if value not in words:
            raise self.wrong(name, "one of " + ", ".join(words), value)
        return str(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """true or false."""
        value = self.fields.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "a whole number", value)
        return value

    def cash(self, name: str) -> int:
        """An amount of the quote currency, in cash units."""
        value = self.fields.get(name)
        try:
            return cash(self._decimal(name, value))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def symbol(self) -> str:
        """A symbol of this exchange."""
        return self.word("symbol", tuple(self.instruments))

    def side(self) -> int:
        """+1 to buy, -1 to sell."""
        return SIDES[self.word("side", tuple(SIDES))]

    def steps(self, name: str) -> int:
        """A quantity of the symbol, in steps."""
        try:
            return self.instruments[self.symbol()].steps(self._decimal(name, self.fields.get(name)))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def ticks(self, name: str) -> int:
        """A price of the symbol, in ticks."""
        try:
            return self.instruments[self.symbol()].ticks(self._decimal(name, self.fields.get(name)))
        except InstrumentError as error:
            raise HandError(f"{self.action}: {error}") from error

    def wrong(self, name: str, wanted: str, got: object) -> HandError:
        """The error that says what the field should be."""
        return HandError(f"{self.action}: {name!r} must be {wanted}" + ("" if got is None else f", not {got!r}"))

    def _decimal(self, name: str, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(name, "a decimal number", value)
        return str(value)
