"""What reading payloads has in common: decimal texts become integers, and what is unclear is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from daemon.events import OrderStatus
from market.candles import Candle
from market.fills import RATE
from market.instruments import CASH, Instrument, InstrumentError

Payload = Mapping[str, Any]
Instruments = Mapping[str, Instrument]


class UnreadablePayload(Exception):
    """The exchange sent something this program does not know how to read; the message names the field."""


UNREADABLE = (
    UnreadablePayload,
    InstrumentError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
)
"""What reading a frame or a reply raises where a field is missing, of another kind, or no number."""


@dataclass(frozen=True, slots=True)
class KlineFrame:
    """One kline push: the candle as it stands, and whether the exchange says it is closed."""

    symbol: str
    timeframe: str
    closed: bool
    candle: Candle


def units(text: object) -> int:
    """An amount of quote currency in cash units; what is finer than 1e-8 is rounded."""
    return int((Decimal(str(text)) * CASH).to_integral_value(ROUND_HALF_EVEN)) if text not in (None, "") else 0


def funding_rate(text: str) -> int:
    """A funding rate in 1e-8 of the notional; finer digits are rounded."""
    return int((Decimal(text) * RATE).to_integral_value(ROUND_HALF_EVEN))


def signed_steps(instrument: Instrument, text: str) -> int:
    """A position amount, negative when short, in steps."""
    steps = instrument.steps(text.removeprefix("-"))
    return -steps if text.startswith("-") else steps


def cost(instrument: Instrument, price: str, quantity: int) -> int:
    """Cash units that `quantity` steps cost at an average price, which the exchange has rounded."""
    exact = Decimal(price) * abs(quantity) * instrument.step * CASH
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def number(value: object) -> float:
    """A float; NaN for what the exchange does not know."""
    return float("nan") if value in (None, "") else float(str(value))


def grid(text: str) -> Decimal:
    """A grid size without trailing zeros and without an exponent."""
    size = Decimal(text).normalize()
    return size if size.as_tuple().exponent <= 0 else size.quantize(Decimal(1))  # type: ignore[operator]


def bps_up(ratio: object) -> int:
    """A maintenance rate in 1e-4, rounded up: liquidation is never thought farther than it is."""
    exact = Decimal(str(ratio)) * 10_000
    return int(-(-exact // 1))


def side(word: str, words: Mapping[str, int]) -> int:
    """+1 for buying, -1 for selling."""
    if word not in words:
        raise UnreadablePayload(f"side {word!r}")
    return words[word]


def known(table: Mapping[str, OrderStatus], word: str) -> OrderStatus:
    """The status a word stands for; one that is not known is not guessed."""
    if word not in table:
        raise UnreadablePayload(f"order status {word!r}")
    return table[word]
