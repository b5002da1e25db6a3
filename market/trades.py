"""Trades: one record of a closed position, written alike by the daemon and the backtest.

Two runs are identical when their lists of these are equal: integers and words only, no float.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

STOP = "stop"
LIQUIDATION = "liquidation"
DELEVERAGED = "auto-deleveraged"
BY_HAND = "closed by hand"
FLATTENED = "flattened by the operator"
UNPROTECTED = "could not be protected"
FOREIGN = "not ours, closed as configured"


@dataclass(frozen=True, slots=True)
class Trade:
    """A position from its first execution to its last.

    Attributes
    ----------
    symbol : str
        The exchange's name.
    side : int
        +1 long, -1 short.
    quantity : int
        Steps.
    leverage : int
        Leverage at entry.
    entry_time, exit_time : int
        The exchange's time of the first entry and last exit execution, ms.
    entry_price, exit_price : int
        Average execution prices in ticks, rounded to the nearest.
    reason : str
        Why it was closed: `STOP`, `LIQUIDATION`, … above, or the text of a `strategy.plan.Reason`.
    fees, funding : int
        Paid over its life, cash units (funding negative when received).
    profit : int
        Net of fees and funding, cash units.
    cash_after : int
        The wallet after the last exit execution, cash units.
    """

    symbol: str
    side: int
    quantity: int
    leverage: int
    entry_time: int
    entry_price: int
    exit_time: int
    exit_price: int
    reason: str
    fees: int
    funding: int
    profit: int
    cash_after: int

    def difference(self, other: Trade) -> str | None:
        """The first field in which two trades differ, in words, or None."""
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if ours != theirs:
                return f"{field.name}: {ours} and {theirs}"
        return None
