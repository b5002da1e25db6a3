"""Instruments: how prices, quantities and cash of one perpetual become integers, and back.

Prices are ticks, quantities are steps, cash is 1e-8 of the quote currency. This is the one place where decimal text
turns into integers and integers turn into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from market import tiers
from market.tiers import Brackets

CASH = 100_000_000
"""Cash units in one unit of the quote currency (1e-8 each)."""

INT64_MAX = 2**63 - 1

MOST = INT64_MAX // 10_000
"""Largest notional in cash units that leaves room for a rate in 1e-4."""

ONE_TIER = tiers.brackets((MOST, 125, 40))
"""Terms of an instrument of which no tiers are known."""


class InstrumentError(ValueError):
    """A price, quantity or limit that the instrument cannot express."""


def cash(amount: str | Decimal | int | float) -> int:
    """Cash units in a decimal amount of quote currency; finer digits than 1e-8 are refused."""
    exact = _decimal(amount, "amount") * CASH
    if exact != exact.to_integral_value():
        raise InstrumentError(f"amount {amount} is finer than 1e-8")
    return int(exact)


def _decimal(value: str | Decimal | int | float, what: str) -> Decimal:
    try:
        exact = Decimal(str(value))
    except InvalidOperation as error:
        raise InstrumentError(f"{what} {value!r} is no number") from error
    if not exact.is_finite():
        raise InstrumentError(f"{what} {value} is not finite")
    return exact


def cash_text(units: int) -> str:
    """Decimal text, eight digits, of an amount in cash units: ``-12.00000001``."""
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // CASH}.{abs(units) % CASH:08d}"


@dataclass(frozen=True)
class Instrument:
    """One linear perpetual: its grid, its limits and its margin terms.

    Attributes
    ----------
    symbol : str
        The exchange's name, e.g. ``BTCUSDT``.
    base, quote : str
        Currencies; profit, margin and fees are in `quote`.
    tick, step : Decimal
        Smallest price and quantity increments.
    min_quantity : int
        Smallest order, in steps.
    min_notional : int
        Smallest opening order, in cash units.
    brackets : tuple of Bracket
        Margin tiers, smallest first.
    funding_hours : int
        Hours between funding instants, counted from 00:00 UTC.
    """

    symbol: str
    base: str
    quote: str = "USDT"
    tick: Decimal = Decimal("0.01")
    step: Decimal = Decimal("0.001")
    min_quantity: int = 1
    min_notional: int = 5 * CASH
    brackets: Brackets = ONE_TIER
    funding_hours: int = 8

    def __post_init__(self) -> None:
        if self.tick <= 0 or self.step <= 0:
            raise InstrumentError(f"{self.symbol}: tick {self.tick} and step {self.step} must be positive")
        if (self.tick * self.step * CASH) % 1:
            raise InstrumentError(f"{self.symbol}: tick {self.tick} x step {self.step} is finer than 1e-8 {self.quote}")

    @property
    def ccxt_symbol(self) -> str:
        """The unified name ccxt uses, e.g. ``BTC/USDT:USDT``."""
        return f"{self.base}/{self.quote}:{self.quote}"

    @property
    def max_leverage(self) -> int:
        """Highest leverage the exchange accepts, that of the smallest tier."""
        return self.brackets[0].max_leverage

    @cached_property
    def unit(self) -> int:
        """Cash units that one step gains when the price rises one tick."""
        return int(self.tick * self.step * CASH)

    def ticks(self, price: str | float | Decimal) -> int:
        """The price in ticks.

        Raises
        ------
        InstrumentError
            If the price is not a positive multiple of the tick.
        """
        return self._grid(price, self.tick, "price")

    def steps(self, quantity: str | float | Decimal) -> int:
        """The quantity in steps; raises InstrumentError off the grid."""
        return self._grid(quantity, self.step, "quantity")

    def price_text(self, ticks: int) -> str:
        """Decimal text of a price in ticks, as the exchange writes it."""
        return f"{ticks * self.tick:f}"

    def quantity_text(self, steps: int) -> str:
        """Decimal text of a quantity in steps."""
        return f"{steps * self.step:f}"

    def nearest_ticks(self, price: float) -> int:
        """The nearest price in ticks, for history recorded on a finer grid."""
        return int((Decimal(repr(price)) / self.tick + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR))

    def ticks_column(self, prices: NDArray[np.float64]) -> NDArray[np.int64]:
        """A column of prices in ticks, each exactly as `nearest_ticks` rounds it."""
        ratio = prices / float(self.tick)
        ticks: NDArray[np.int64] = np.floor(ratio + 0.5).astype(np.int64)
        # a float quotient may fall on the wrong side of one half: those few are settled in decimals
        for index in np.flatnonzero(np.abs(ratio - np.floor(ratio) - 0.5) < 1e-6):
            ticks[index] = self.nearest_ticks(float(prices[index]))
        return ticks

    def notional(self, price_ticks: int, quantity_steps: int) -> int:
        """Value in cash units; checked against int64, which compiled code would overflow in silence."""
        value = price_ticks * quantity_steps * self.unit
        if abs(value) > MOST:
            raise InstrumentError(
                f"{self.symbol}: {self.quantity_text(quantity_steps)} at {self.price_text(price_ticks)} is beyond the "
                f"largest position this program counts exactly; trade smaller"
            )
        return value

    def liquidation_price(self, cost: int, margin: int, quantity: int, side: int) -> int:
        """Where a position is liquidated, in ticks, over all tiers; 0 for a long that cannot be.

        `cost` and `margin` (the isolated margin now) are in cash units, `quantity` in steps.
        """
        return tiers.liquidation_price(self.brackets, cost, margin, quantity, self.unit, side)

    def _grid(self, value: str | float | Decimal, size: Decimal, what: str) -> int:
        exact = _decimal(value, f"{self.symbol}: {what}")
        if exact > size * INT64_MAX:
            raise InstrumentError(f"{self.symbol}: {what} {value!s:.40} is beyond all bounds")
        exact /= size
        whole = exact.to_integral_value()
        if exact != whole or whole < 0:
            raise InstrumentError(f"{self.symbol}: {what} {value} is not a multiple of {size}")
        return int(whole)
