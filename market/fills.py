"""What happens to an order and a position: the fill rules, in integers.

The local exchange and the backtest both import these functions; there is no second copy of a rule. All are pure and
scalar (int64-sized integers in, integers out), so a compiler can take the same function objects.

Units: prices in ticks, quantities in steps (always positive, the side apart), cash in 1e-8, `unit` = cash per tick and
step, fees and slippage in ppm (1e-6), stops and maintenance margin in bps (1e-4), funding rates in 1e-8.
Sides: +1 is long or buy, -1 is short or sell. Every rounding goes against the holder of the position.
"""

from __future__ import annotations

LONG, SHORT = 1, -1
NOTHING, STOPPED, LIQUIDATED = 0, 1, 2
PPM, BPS, RATE = 1_000_000, 10_000, 100_000_000


def ceil_div(numerator: int, denominator: int) -> int:
    """Quotient rounded up; the denominator is positive."""
    return -(-numerator // denominator)


def slipped(price: int, side: int, slippage_ppm: int) -> int:
    """Rule: a market order fills worse than the price by the slippage, rounded to the worse tick, at least one tick."""
    if side > 0:
        return ceil_div(price * (PPM + slippage_ppm), PPM)
    return max(1, price * (PPM - slippage_ppm) // PPM)


def fee(notional: int, fee_ppm: int) -> int:
    """Rule: the fee is a share of the notional, rounded up."""
    return ceil_div(notional * fee_ppm, PPM)


def initial_margin(notional: int, leverage: int) -> int:
    """Rule: isolated margin set aside at entry, rounded up."""
    return ceil_div(notional, leverage)


def affordable(free: int, notional: int, leverage: int, fee_ppm: int) -> bool:
    """Rule: an opening order needs its isolated margin and its fee out of free cash.

    `free` is the wallet less every isolated margin set aside; open profit does not count. `notional` is at the price
    the order would fill at, slippage included.
    """
    return initial_margin(notional, leverage) + fee(notional, fee_ppm) <= free


def closed_share(cost: int, quantity: int, closed: int, side: int) -> int:
    """Rule: part of a position's cost that leaves with a partial close, rounded to the smaller profit."""
    return ceil_div(cost * closed, quantity) if side > 0 else cost * closed // quantity


def stop_price(cost: int, quantity: int, unit: int, side: int, stop_bps: int) -> int:
    """Rule: the stop stands `stop_bps` from the average fill, rounded away from danger (toward the entry).

    `cost` is the sum of price times quantity over the entry's fills, in cash units.
    """
    if side > 0:
        return ceil_div(cost * (BPS - stop_bps), quantity * unit * BPS)
    return cost * (BPS + stop_bps) // (quantity * unit * BPS)


def liquidation_price(
    cost: int, margin: int, quantity: int, unit: int, side: int, maintenance_bps: int, cum: int = 0
) -> int:
    """Rule: liquidated where margin plus open profit no longer covers maintenance margin, rounded toward the entry.

    For a long, 0 means it cannot be liquidated. `margin` is the isolated margin now: funding moves it. Maintenance
    margin is one tier's, rate times notional less `cum` (`market.tiers` asks every tier).
    """
    if side > 0:
        return max(0, ceil_div((cost - margin - cum) * BPS, quantity * unit * (BPS - maintenance_bps)))
    return (cost + margin + cum) * BPS // (quantity * unit * (BPS + maintenance_bps))


def funding_payment(notional: int, side: int, rate: int) -> int:
    """Rule: cash paid by the holder at a funding instant on the mark's notional (negative: received), rounded up.

    Whole units of the notional apart from the rest, or the product would leave int64.
    """
    return notional // RATE * side * rate + ceil_div(notional % RATE * side * rate, RATE)


def touched(side: int, stop: int, liquidation: int, price: int, at_open: bool) -> int:
    """Rule: what a new price does to a position: NOTHING, STOPPED or LIQUIDATED.

    At a bar's open, beyond liquidation means liquidated, else beyond the stop means stopped. Inside a bar the price
    moved there, so the stop, where it stands nearer, fires first; without one (`stop` 0) liquidation does.
    """
    beyond_stop = stop > 0 and side * (price - stop) <= 0
    beyond_liquidation = liquidation > 0 and side * (price - liquidation) <= 0
    stop_nearer = side * (stop - liquidation) > 0
    if beyond_liquidation and (at_open or not beyond_stop or not stop_nearer):
        return LIQUIDATED
    return STOPPED if beyond_stop else NOTHING


def exit_price(what: int, side: int, stop: int, price: int, at_open: bool, slippage_ppm: int) -> int:
    """Rule: where a stop or liquidation fills: the open if the bar gapped there, else the stop's trigger; slipped.

    A liquidation fills at the price that caused it: the open, or the bar's extreme.
    """
    trigger = stop if what == STOPPED and not at_open else price
    return slipped(trigger, -side, slippage_ppm)


def realized_profit(side: int, cost: int, exit_notional: int) -> int:
    """Profit of a closed quantity before fees, in cash units."""
    return side * (exit_notional - cost)


def path(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """Rule: the four prices a bar is taken to visit: a rising bar dips first, a falling one rallies first."""
    return (open_, low, high, close) if close >= open_ else (open_, high, low, close)


def path_times(open_time: int, length: int) -> tuple[int, int, int, int]:
    """When a bar visits the prices of `path`, in ms: its open, its thirds, and its last millisecond."""
    return (open_time, open_time + length // 3, open_time + 2 * length // 3, open_time + length - 1)
