"""Lots: how executions become a position, and a position a trade. Pure accounting in integers."""

from __future__ import annotations

from daemon.events import Filled
from daemon.state import Lot, Working
from market import fills
from market.instruments import Instrument
from market.timeframes import Timeframe
from market.trades import LIQUIDATION, Trade


def average_price(notional: int, quantity: int, unit: int) -> int:
    """Average execution price in ticks, rounded to the nearest (half up)."""
    return (2 * notional + quantity * unit) // (2 * quantity * unit)


def distance_bps(lot: Lot, stop: int, instrument: Instrument) -> int:
    """How far a stop (ticks) stands from the average fill, in 1e-4, rounded up."""
    away = abs(instrument.notional(stop, lot.quantity) - lot.cost)
    return fills.ceil_div(away * fills.BPS, lot.cost)


def wallet_effect(lot: Lot | None) -> int:
    """What a lot's executions have moved the wallet by so far, cash units."""
    return lot.realized - lot.fees if lot else 0


def initial_margin(lot: Lot) -> int:
    """The isolated margin that was set aside for what is open, cash units; 0 where the leverage is not known."""
    return fills.initial_margin(lot.cost, lot.leverage) if lot.leverage else 0


def increase(
    lot: Lot | None, fill: Filled, order: Working | None, instrument: Instrument, decision: Timeframe, stop_bps: int
) -> Lot:
    """The lot after an execution that opened or added; its stop follows the average fill.

    `stop_bps` is used where the execution belongs to no order of ours.
    """
    notional = instrument.notional(fill.price, fill.quantity)
    if lot is None:
        lot = Lot(
            side=fill.side,
            quantity=0,
            cost=0,
            opened=0,
            notional=0,
            entry_time=fill.time,
            entry_bar=decision.floor(fill.time),
            leverage=order.leverage if order else 0,
            stop_bps=order.stop_bps if order else stop_bps,
            max_hold_bars=order.max_hold_bars if order else 0,
        )
    lot.quantity += fill.quantity
    lot.cost += notional
    lot.opened += fill.quantity
    lot.notional += notional
    lot.fees += fill.fee
    lot.stop = fills.stop_price(lot.cost, lot.quantity, instrument.unit, lot.side, lot.stop_bps)
    return lot


def reduce(lot: Lot, fill: Filled, reason: str, instrument: Instrument, cash: int) -> Trade | None:
    """Take an execution off the lot; the trade when it closed the last of it.

    A liquidation costs the whole isolated margin whatever its price says: the rest goes to the insurance fund.
    """
    notional = instrument.notional(fill.price, fill.quantity)
    share = fills.closed_share(lot.cost, lot.quantity, fill.quantity, lot.side)
    if reason == LIQUIDATION:
        lost = lot.margin * fill.quantity // lot.quantity  # all of it with the last of several executions
        lot.realized -= lost
        lot.margin -= lost
    else:
        lot.realized += fills.realized_profit(lot.side, share, notional)
    lot.cost -= share
    lot.quantity -= fill.quantity
    lot.closed += fill.quantity
    lot.exit_notional += notional
    lot.fees += fill.fee
    if lot.quantity:
        return None
    return Trade(
        symbol=instrument.symbol,
        side=lot.side,
        quantity=lot.closed,
        leverage=lot.leverage,
        entry_time=lot.entry_time,
        entry_price=average_price(lot.notional, lot.opened, instrument.unit),
        exit_time=fill.time,
        exit_price=average_price(lot.exit_notional, lot.closed, instrument.unit),
        reason=reason,
        fees=lot.fees + lot.coin_fees,
        funding=lot.funding,
        profit=lot.realized - lot.fees - lot.coin_fees - lot.funding,
        cash_after=cash,
    )
