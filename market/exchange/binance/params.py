"""A request's parameters: texts from the query or body, read strictly; what is missing or malformed is refused."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from market.exchange.params import BaseParams
from market.exchange.refusals import Code, Refusal
from market.instruments import Instrument
from market.timeframes import Timeframe, TimeframeError


class Params(BaseParams):
    """Typed getters over one request's parameters."""

    def __init__(self, texts: Mapping[str, str], instruments: Mapping[str, Instrument]) -> None:
        self._texts = texts
        super().__init__(instruments)

    def has(self, name: str) -> bool:
        return bool(self._texts.get(name))

    def text(self, name: str, default: str | None = None) -> str:
        value = self._texts.get(name) or default
        if value is None:
            raise Refusal(
                Code.MISSING_PARAMETER,
                f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
            )
        return value

    def malformed(self, name: str, value: object) -> Refusal:
        return Refusal(Code.MISSING_PARAMETER, f"Illegal characters found in parameter '{name}': {value!r}.")

    def flag(self, name: str) -> bool:
        """true or false, false if it was not sent."""
        text = self.text(name, "false").lower()
        if text not in ("true", "false"):
            raise Refusal(Code.BAD_PARAMETER, f"Data sent for parameter '{name}' is not valid: {text!r}.")
        return text == "true"

    def timeframe(self) -> Timeframe:
        """A kline interval."""
        try:
            return Timeframe.parse(self.text("interval"))
        except TimeframeError as error:
            raise Refusal(Code.BAD_INTERVAL) from error

    def decimal(self, name: str) -> Decimal:
        """A decimal number; mandatory."""
        return Decimal(self.number(name))
