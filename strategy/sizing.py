"""How large an entry is. Integers in and out, each step within int64, so that a compiler gives the same numbers."""

from __future__ import annotations

from market import tiers
from market.tiers import Brackets

BPS = 10_000


def share(amount: int, bps: int) -> int:
    """`bps` 1e-4 of an amount, rounded down, without the product that would leave int64."""
    return amount // BPS * bps + amount % BPS * bps // BPS


def open_profit(side: int, quantity: int, cost: int, price: int, unit: int) -> int:
    """Cash a position would gain at `price`, before fees."""
    return side * (price * quantity * unit - cost)


def entry_quantity(equity: int, margin_bps: int, leverage: int, max_notional: int, price: int, unit: int) -> int:
    """Rule: notional = equity x margin fraction x leverage, cut to the symbol's cap, down to the step.

    Parameters
    ----------
    equity, max_notional : int
        Cash units.
    margin_bps : int
        Share of equity set aside, 1e-4.
    leverage : int
        Notional per margin.
    price : int
        The closing price, ticks.
    unit : int
        Cash per tick and step.

    Returns
    -------
    int
        Steps; 0 if equity allows none.
    """
    if equity <= 0:
        return 0
    return min(share(equity, margin_bps) * leverage, max_notional) // (price * unit)


def entry_terms(
    equity: int, margin_bps: int, leverage: int, max_notional: int, price: int, unit: int, brackets: Brackets
) -> tuple[int, int]:
    """Rule: leverage is the regime's, or what the tier of the entry's size allows; returns it with the quantity.

    `brackets` are the instrument's; the rest as in `entry_quantity`.
    """
    allowed = brackets[0].max_leverage
    while True:
        leverage = min(leverage, allowed)
        quantity = entry_quantity(equity, margin_bps, leverage, max_notional, price, unit)
        allowed = tiers.max_leverage(brackets, price * quantity * unit)
        if not 0 < allowed < leverage:  # a lower leverage makes a smaller position: this ends
            return leverage, quantity


def shrunk(quantity: int, size_bps: int) -> int:
    """Rule: while the models are doubted, an entry gets a share (1e-4) of its usual size, down to the step.

    Leverage stays the regime's. A whole share (10,000) changes nothing.
    """
    return share(quantity, min(size_bps, BPS))


def large_enough(quantity: int, price: int, unit: int, min_quantity: int, min_notional: int) -> bool:
    """Rule: an entry has at least the exchange's smallest quantity and notional, at the closing price."""
    return quantity > 0 and quantity >= min_quantity and price * quantity * unit >= min_notional
