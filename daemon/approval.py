"""Pre-trade approval: the one door through which an order reaches execution.

The rules of size and risk were applied when the plan was made (`strategy`); here stands what must hold at the moment
of sending, against the account as it is now.
"""

from __future__ import annotations

from enum import StrEnum

from daemon.commands import _SEAL, Approved, MarketOrder, StopOrder
from daemon.state import Lot
from market.instruments import Instrument


class Denial(StrEnum):
    """Why an order was not approved."""

    POSITION_OPEN = "a position is open already"
    FOREIGN_POSITION = "a position of somebody else is open"
    NOT_ISOLATED = "margin mode is not isolated"
    LEVERAGE_DIFFERS = "leverage read back differs from the one wanted"
    TOO_SMALL = "below the instrument's smallest order"
    NOTIONAL_DIFFERS = "notional above what equity and leverage allow"
    NOTHING_TO_CLOSE = "no position to reduce"
    WRONG_SIDE = "the side would add to the position"
    WRONG_SIZE = "quantity differs from the position's"
    WRONG_TRIGGER = "trigger is not a positive price"


class Denied(Exception):
    """An order was not approved; `denial` says why."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(str(denial))
        self.denial = denial


def approve_entry(
    order: MarketOrder,
    instrument: Instrument,
    lot: Lot | None,
    close: int,
    equity: int,
    wanted_leverage: int,
    leverage: int,
    isolated: bool,
) -> Approved[MarketOrder]:
    """Approve an opening order, or raise Denied; `close` in ticks, `equity` in cash units."""
    if lot is not None:
        raise Denied(Denial.POSITION_OPEN)
    if not isolated:
        raise Denied(Denial.NOT_ISOLATED)
    if leverage != wanted_leverage:
        raise Denied(Denial.LEVERAGE_DIFFERS)
    notional = instrument.notional(close, order.quantity)
    if order.quantity < max(1, instrument.min_quantity) or notional < instrument.min_notional:
        raise Denied(Denial.TOO_SMALL)
    if notional > equity * leverage:
        raise Denied(Denial.NOTIONAL_DIFFERS)
    return Approved(order, _SEAL)


def approve_close(order: MarketOrder, lot: Lot | None) -> Approved[MarketOrder]:
    """Approve a reduce-only market order, or raise Denied."""
    if lot is None or not order.reduce_only:
        raise Denied(Denial.NOTHING_TO_CLOSE)
    if order.side != -lot.side:
        raise Denied(Denial.WRONG_SIDE)
    if not 0 < order.quantity <= lot.quantity:
        raise Denied(Denial.WRONG_SIZE)
    return Approved(order, _SEAL)


def approve_stop(order: StopOrder, lot: Lot | None) -> Approved[StopOrder]:
    """Approve a protective stop, or raise Denied."""
    if lot is None:
        raise Denied(Denial.NOTHING_TO_CLOSE)
    if order.side != -lot.side:
        raise Denied(Denial.WRONG_SIDE)
    if order.quantity != lot.quantity:
        raise Denied(Denial.WRONG_SIZE)
    if order.trigger <= 0:
        raise Denied(Denial.WRONG_TRIGGER)
    return Approved(order, _SEAL)
