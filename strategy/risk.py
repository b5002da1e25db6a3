"""What forbids an entry or moves a stop: cool-downs, caps, and the distance to liquidation. Pure scalars.

They bind in the backtest and live alike; the daemon enforces what they say.
"""

from __future__ import annotations

from market import fills
from strategy.sizing import share

FREE, SAME_CANDLE, COOLING = 0, 1, 2


def after_stop(bar: int, bar_ms: int, stopped_bar: int, cooldown: int) -> int:
    """Rule: after a stop there is no entry in the same candle, then none for `cooldown` candles.

    An entry decided at the close of `bar` fills in the next candle. `stopped_bar` is the candle of the last stop or
    liquidation (-1 for never); it may be that next candle itself, when its open gapped through the stop.
    """
    fills_in = bar + bar_ms
    if stopped_bar < 0 or fills_in > stopped_bar + cooldown * bar_ms:
        return FREE
    return SAME_CANDLE if fills_in <= stopped_bar else COOLING


def within_reserve(margins: int, equity: int, reserve_bps: int) -> bool:
    """Rule: the margin of all positions leaves the reserve's share of equity untouched."""
    return margins <= share(equity, fills.BPS - reserve_bps)


def at_risk(cost: int, stop_bps: int) -> int:
    """Cash a position loses at its stop, slippage and fees apart, rounded up."""
    return -share(-cost, stop_bps)


def within_risk(all_at_risk: int, equity: int, risk_bps: int) -> bool:
    """Rule: what all stops together may lose stays within its share of equity."""
    return all_at_risk <= share(equity, risk_bps)


def stop_near_enough(price: int, stop: int, liquidation: int, side: int) -> bool:
    """Rule: the stop lies on the losing side of the expected fill, within half the way to liquidation."""
    to_stop, to_liquidation = side * (price - stop), side * (price - liquidation)
    return to_stop > 0 and 2 * to_stop <= to_liquidation


def tighter_stop(cost: int, quantity: int, unit: int, side: int, stop: int, stop_bps: int, price: int) -> int:
    """Rule: a regime may tighten an open position's stop, never loosen it.

    Returns the new stop `stop_bps` from the average fill, in ticks, or 0 if it is not strictly nearer than the resting
    one or not at least a tick on the safe side of the closing price (the exchange would refuse it, or fill it at once).
    """
    new = fills.stop_price(cost, quantity, unit, side, stop_bps)
    nearer = side * (new - stop) > 0
    safe = side * (price - new) >= 1
    return new if nearer and safe else 0
