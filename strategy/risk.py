"""What forbids an entry, halts trading or moves a stop: cool-downs, caps, losses, liquidation. Pure scalars.

They bind in the backtest and live alike; the daemon enforces what they say.
"""

from __future__ import annotations

from market import fills
from strategy.sizing import share

FREE, SAME_CANDLE, COOLING = 0, 1, 2
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
FIRST_MONDAY_MS = 4 * DAY_MS
"""1970 began on a Thursday."""


def after_stop(bar: int, bar_ms: int, stopped_bar: int, cooldown: int) -> int:
    """Rule: after a stop there is no entry in the same candle, then none for `cooldown` candles.

    An entry decided at the close of `bar` fills in the next candle. `stopped_bar` is the candle of the last stop or
    liquidation (-1 for never); it may be that next candle itself, when its open gapped through the stop.
    """
    fills_in = bar + bar_ms
    if stopped_bar < 0 or fills_in > stopped_bar + cooldown * bar_ms:
        return FREE
    return SAME_CANDLE if fills_in <= stopped_bar else COOLING


ROOM, NO_POSITION, TOO_FAR, NO_RESERVE, NO_RISK = 0, 1, 2, 3, 4


def room(
    positions: int,
    max_positions: int,
    near_enough: bool,
    margins: int,
    all_at_risk: int,
    equity: int,
    reserve_bps: int,
    risk_bps: int,
) -> int:
    """Rule: the caps are asked in this order: positions, the stop's distance, the reserve, the risk of all stops.

    `margins` and `all_at_risk` are of all positions with the entry among them, `positions` of those without it.
    """
    if positions >= max_positions:
        return NO_POSITION
    if not near_enough:
        return TOO_FAR
    if not within_reserve(margins, equity, reserve_bps):
        return NO_RESERVE
    return ROOM if within_risk(all_at_risk, equity, risk_bps) else NO_RISK


def within_reserve(margins: int, equity: int, reserve_bps: int) -> bool:
    """Rule: the margin of all positions leaves the reserve's share of equity untouched."""
    return margins <= share(equity, fills.BPS - reserve_bps)


def at_risk(cost: int, stop_bps: int) -> int:
    """Cash a position loses at its stop, slippage and fees apart, rounded up."""
    return -share(-cost, stop_bps)


def within_risk(all_at_risk: int, equity: int, risk_bps: int) -> bool:
    """Rule: what all stops together may lose stays within its share of equity."""
    return all_at_risk <= share(equity, risk_bps)


def within_band(close: int, price: int, band_bps: int) -> bool:
    """Rule: an entry is sent only while the price is within its band of the close that it was decided at; 0 is off."""
    return band_bps == 0 or abs(price - close) <= share(close, band_bps)


def within_rate(nth_last: int, at: int, window_ms: int) -> bool:
    """Rule: fewer orders than the limit, say n, within a window: the n-th last left before it.

    `nth_last` and `at` in ms; -1 where there were fewer than n. A clock that was set back counts as within the window.
    """
    return nth_last < 0 or at - nth_last >= window_ms


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


def day_of(time: int) -> int:
    """Start of the UTC day that an instant (ms) is in."""
    return time - time % DAY_MS


def week_of(time: int) -> int:
    """Start of the ISO week (Monday, 00:00 UTC) that an instant (ms) is in."""
    return time - (time - FIRST_MONDAY_MS) % WEEK_MS


def lost(start: int, equity: int, limit_bps: int) -> bool:
    """Rule: a loss limit is reached when equity is down from `start` by its share, or by more; 0 turns it off."""
    return limit_bps > 0 and start > 0 and start - equity >= -share(-start, limit_bps)


def prevails(strictness: int, until: int, old_strictness: int, old_until: int) -> bool:
    """Rule: a trading state gives way to a stricter one, or to one as strict that ends later; 0 is no end."""
    if strictness != old_strictness:
        return strictness > old_strictness
    return old_until != 0 and not 0 < until <= old_until


def losing_streak(losses: int, profit: int) -> int:
    """Rule: a trade that lost money, net of fees and funding, lengthens the row of losses; any other ends it."""
    return losses + 1 if profit < 0 else 0


def carried_over(start: int, equity: int, amount: int) -> int:
    """Rule: deposits and withdrawals are neither profit nor loss: what equity is measured against moves in proportion.

    `equity` is the account's before the `amount` (negative: withdrawn) came. The share that was lost since `start`
    stays the same, rounded in favour of no halt. Without equity there is no proportion; then it moves by the amount.
    """
    if equity <= 0:
        return max(0, start + amount)
    return max(0, start * (equity + amount) // equity)
