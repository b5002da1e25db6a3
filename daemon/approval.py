"""Pre-trade approval: the one door through which an order reaches execution.

The rules of size and risk were applied when the plan was made (`strategy`); here stands what must hold at the moment
of sending, against the account as it is now. Closing orders and stops are never held up by rate, price or state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.commands import _SEAL, Approved, MarketOrder, StopOrder
from daemon.state import Book, Lot, Sent
from market import fills
from market.instruments import Instrument
from strategy import risk
from strategy.live_config import Rules
from strategy.plan import Enter

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Denial(StrEnum):
    """Why an order was not approved."""

    NOT_ACTIVE = "trading is restricted"
    DEAF = "the account's stream is down"
    STALE = "market data is stale"
    POSITION_OPEN = "a position is open already"
    FOREIGN_POSITION = "a position of somebody else is open"
    NOT_ISOLATED = "margin mode is not isolated"
    LEVERAGE_DIFFERS = "leverage read back differs from the one wanted"
    TOO_SMALL = "below the instrument's smallest order"
    NOTIONAL_CAP = "notional above the symbol's cap"
    NOTIONAL_DIFFERS = "notional above what equity and leverage allow"
    POSITION_CAP = "position cap reached"
    RESERVE = "margin would touch the reserve"
    PRICE_BAND = "the price has left the close that was decided at by more than the band"
    STOP_TOO_FAR = "stop not within half the way to liquidation"
    ENTRY_RATE = "too many entries within the hour"
    ORDER_RATE = "too many orders within the minute"
    NOTHING_TO_CLOSE = "no position to reduce"
    WRONG_SIDE = "the side would add to the position"
    WRONG_SIZE = "quantity differs from the position's"
    WRONG_TRIGGER = "trigger is not a positive price"


class Denied(Exception):
    """An order was not approved; `denial` says why."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(str(denial))
        self.denial = denial


@dataclass(frozen=True, slots=True)
class Standing:
    """The account as it stands when an entry is about to be sent.

    `barred` says why nothing may be opened now. `equity` and `margins` (isolated margins of all open positions) are in
    cash units; `positions` is how many are open, `sent` what was sent lately.
    """

    rules: Rules
    barred: Denial | None
    equity: int
    margins: int
    positions: int
    sent: Sent


def approve_entry(
    order: MarketOrder, goal: Enter, instrument: Instrument, book: Book, close: int, standing: Standing, at: int
) -> Approved[MarketOrder]:
    """Approve an opening order at `at` (ms), or raise Denied; `close` is the one it was decided at, in ticks."""
    denial = (
        standing.barred
        or _denied_by_the_book(goal, book)
        or _denied_by_size(order, goal, instrument, close, standing)
        or _denied_by_price(order, goal, instrument, book, close, standing.rules)
        or _denied_by_rate(standing, at)
    )
    if denial is not None:
        raise Denied(denial)
    return Approved(order, _SEAL)


def _denied_by_the_book(goal: Enter, book: Book) -> Denial | None:
    if book.foreign:
        return Denial.FOREIGN_POSITION
    if book.lot is not None:
        return Denial.POSITION_OPEN
    if not book.isolated:
        return Denial.NOT_ISOLATED
    return Denial.LEVERAGE_DIFFERS if book.leverage != goal.leverage else None


def _denied_by_size(
    order: MarketOrder, goal: Enter, instrument: Instrument, close: int, standing: Standing
) -> Denial | None:
    rules, notional = standing.rules, instrument.notional(close, order.quantity)
    if order.quantity < max(1, instrument.min_quantity) or notional < instrument.min_notional:
        return Denial.TOO_SMALL
    if notional > rules.max_notional:
        return Denial.NOTIONAL_CAP
    if notional > standing.equity * goal.leverage:
        return Denial.NOTIONAL_DIFFERS
    if standing.positions >= rules.max_positions:
        return Denial.POSITION_CAP
    margins = standing.margins + fills.initial_margin(notional, goal.leverage)
    return None if risk.within_reserve(margins, standing.equity, rules.reserve_bps) else Denial.RESERVE


def _denied_by_price(
    order: MarketOrder, goal: Enter, instrument: Instrument, book: Book, close: int, rules: Rules
) -> Denial | None:
    """Where no price was seen since, the close is the last one known."""
    if book.price is not None and not risk.within_band(close, book.price, rules.price_band_bps):
        return Denial.PRICE_BAND
    cost = instrument.notional(close, order.quantity)
    margin = fills.initial_margin(cost, goal.leverage)
    stop = fills.stop_price(cost, order.quantity, instrument.unit, order.side, goal.stop_bps)
    liquidation = instrument.liquidation_price(cost, margin, order.quantity, order.side)
    near = risk.stop_near_enough(close, stop, liquidation, order.side)
    return None if near else Denial.STOP_TOO_FAR


def _denied_by_rate(standing: Standing, at: int) -> Denial | None:
    rules, entries, orders = standing.rules, standing.sent.entries, standing.sent.orders
    if not _within_rate(entries, rules.entries_per_hour, at, HOUR_MS):
        return Denial.ENTRY_RATE
    return None if _within_rate(orders, rules.orders_per_minute, at, MINUTE_MS) else Denial.ORDER_RATE


def _within_rate(sent: list[int], limit: int, at: int, window_ms: int) -> bool:
    return risk.within_rate(sent[-limit] if 0 < limit <= len(sent) else -1, at, window_ms)


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
