"""Numbers as the exchange writes them: decimal texts, never an exponent, null for what is not known."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

from market.instruments import CASH, Instrument

_ENTRY_DIGITS = Decimal("1e-12")


def amount(value: float) -> str | None:
    """Decimal text of a float, all its digits; None (null on the wire) for NaN, which is not 0."""
    if math.isnan(value):
        return None
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def count(value: float) -> int | None:
    """A whole number, or None where the history has none."""
    return None if math.isnan(value) else int(value)


def rate(value: int, scale: int) -> str:
    """Decimal text of a rate held in 1/`scale`: ``rate(500, 1_000_000)`` is ``0.0005``."""
    exact = Decimal(value) / scale
    return format(exact, "f")


def funding_rate(value: int) -> str:
    """A funding rate in 1e-8, with its eight digits."""
    return f"{Decimal(value) / CASH:.8f}"


def average_price(instrument: Instrument, cost: int, quantity: int) -> str:
    """Average price of a fill sum, with digits enough to give `cost` back exactly; ``0`` without fills."""
    if quantity == 0:
        return instrument.price_text(0)
    exact = Decimal(cost) / (quantity * instrument.step * CASH)
    on_tick = exact.quantize(instrument.tick)
    return str(on_tick if on_tick == exact else exact.quantize(_ENTRY_DIGITS, ROUND_HALF_EVEN).normalize())


def side(value: int) -> str:
    """BUY or SELL."""
    return "BUY" if value > 0 else "SELL"


def price_or_zero(instrument: Instrument, ticks: int) -> str:
    """A price, ``0`` where there is none."""
    return instrument.price_text(ticks) if ticks else "0"
