"""How the page writes numbers and times. What is not known is a dash, never 0."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from market.instruments import CASH

DASH = "–"
MINUS = "−"  # as wide as the plus, so that columns align


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A plain number: ``1,234.50``."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", MINUS)


def percent(fraction: float | None, digits: int = 1, sign: bool = False) -> str:
    """A fraction in per cent: ``+12.3 %``."""
    known = fraction is not None and math.isfinite(fraction)
    return f"{number(100 * fraction, digits, sign)}\N{NO-BREAK SPACE}%" if known and fraction is not None else DASH


def money(units: int | None, sign: bool = False) -> str:
    """Cash units in quote currency, to the cent."""
    return DASH if units is None else number(units / CASH, 2, sign)


def count(value: int) -> str:
    """A whole number: ``43,800``."""
    return f"{value:,}".replace("-", MINUS)


def counted(value: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 gate``, ``3 gates``."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def measured(value: float | None, sign: bool = False) -> str:
    """A gate's figure, whose unit only its question knows: four digits that count."""
    if value is None or not math.isfinite(value):
        return DASH
    plus = "+" if sign else ""
    text = f"{value:{plus},.0f}" if abs(value) >= 10_000 else f"{value:{plus}.4g}"
    return text.replace("-", MINUS)


def minute(time_ms: int) -> str:
    """An instant, UTC, to the minute: ``2025-03-04 12:00``."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def day(time_ms: int) -> str:
    """An instant's date, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def hours(ms: float | None) -> str:
    """A span of time in hours or, beyond two days, in days."""
    if ms is None:
        return DASH
    return f"{ms / 3_600_000:.1f} h" if ms < 172_800_000 else f"{ms / 86_400_000:.1f} d"


def listed(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
