"""The account in the kernel: `backtest.broker` over int64 arrays, compiled, by the same fill rules.

A number that would leave int64 sets STATUS, and the run is given to the plain loop, whose integers have no end.
"""

from __future__ import annotations

from typing import Any

from backtest.compiled import layout as at
from backtest.compiled.rules import Terms, compiled
from market import fills, tiers
from market.exchange.desk import MAX_QUANTITY
from market.instruments import INT64_MAX, MOST
from strategy import risk

Array = Any
"""int64 arrays laid out as in `layout`; numba looks at their real types."""


@compiled
def free(account: Array, positions: Array) -> int:
    """Cash that is not set aside as isolated margin."""
    cash: int = account[at.CASH]
    for s in range(len(positions)):
        if positions[s, at.SIDE] != 0:
            cash -= positions[s, at.MARGIN]
    return cash


@compiled
def watch(held: Array) -> None:
    """Note the price at which something happens to the position: its stop's or its liquidation's, the nearer one."""
    side = held[at.SIDE]
    held[at.NEAREST] = max(side * held[at.STOP], side * held[at.LIQUIDATION])


@compiled
def countable(account: Array, held: Array, unit: int, price: int) -> bool:
    """Whether the position's value at `price` is counted in int64; LARGEST_PRICE is what is known to be."""
    if price <= held[at.LARGEST_PRICE]:
        return True
    held[at.LARGEST_PRICE] = MOST // (held[at.QUANTITY] * unit)
    if price > held[at.LARGEST_PRICE]:
        account[at.STATUS] = at.BEYOND_INT64
        return False
    return True


@compiled
def liquidation_price(
    contract: Array, brackets: Array, account: Array, cost: int, margin: int, quantity: int, side: int
) -> int:
    """Where a position is liquidated, over the tiers that its size can reach."""
    reached = brackets[contract[at.FIRST_TIER] : contract[at.REACHED]]
    if cost + margin + reached[len(reached) - 1].cum > MOST:
        account[at.STATUS] = at.BEYOND_INT64
        return 0
    return tiers.liquidation_price(reached, cost, margin, quantity, contract[at.UNIT], side)


@compiled
def close(
    rules: Terms, unit: int, account: Array, held: Array, trades: Array, s: int, price: int, time: int, reason: int
) -> None:
    """Close the position `held` of symbol `s` at `price`, which is slipped already."""
    side, quantity, cost = held[at.SIDE], held[at.QUANTITY], held[at.COST]
    if not countable(account, held, unit, price):
        return
    notional = price * quantity * unit
    if reason == at.LIQUIDATION_REASON:
        realized, fee = -held[at.MARGIN], 0
        account[at.LIQUIDATIONS] += 1
    else:
        realized, fee = fills.realized_profit(side, cost, notional), fills.fee(notional, rules.taker_ppm)
        if reason == at.STOPPED:
            account[at.STOPS] += 1
    account[at.CASH] += realized - fee
    account[at.PAID_FEES] += fee
    fees = held[at.FEES] + fee
    profit = realized - fees - held[at.FUNDING]
    account[at.LOSSES] = risk.losing_streak(account[at.LOSSES], profit)
    number = account[at.CLOSED]
    account[at.CLOSED] += 1
    if number < len(trades):
        row = trades[number]
        row[at.T_SYMBOL], row[at.T_SIDE], row[at.T_QUANTITY] = s, side, quantity
        row[at.T_LEVERAGE], row[at.T_ENTRY_TIME] = held[at.LEVERAGE], held[at.ENTRY_TIME]
        row[at.T_ENTRY_PRICE] = cost // (quantity * unit)
        row[at.T_EXIT_TIME], row[at.T_EXIT_PRICE], row[at.T_REASON] = time, price, reason
        row[at.T_FEES], row[at.T_FUNDING], row[at.T_PROFIT] = fees, held[at.FUNDING], profit
        row[at.T_CASH_AFTER], row[at.T_REGIME] = account[at.CASH], held[at.REGIME]
    held[at.SIDE] = 0


@compiled
def close_at_market(
    rules: Terms, unit: int, account: Array, held: Array, trades: Array, s: int, price: int, time: int, reason: int
) -> None:
    """Close the position at market."""
    filled = fills.slipped(price, -held[at.SIDE], rules.slippage_ppm)
    close(rules, unit, account, held, trades, s, filled, time, reason)


@compiled
def reach(
    rules: Terms, unit: int, bar_ms: int, account: Array, held: Array, memory: Array, trades: Array, s: int,
    price: int, time: int, at_open: bool,
) -> None:  # fmt: skip
    """The price moves to `price`; a stop or liquidation there is filled, and remembered."""
    side, stop = held[at.SIDE], held[at.STOP]
    if side == 0:
        return
    what = fills.touched(side, stop, held[at.LIQUIDATION], price, at_open)
    if what == fills.NOTHING:
        return
    filled = fills.exit_price(what, side, stop, price, at_open, rules.slippage_ppm)
    reason = at.STOPPED if what == fills.STOPPED else at.LIQUIDATION_REASON
    close(rules, unit, account, held, trades, s, filled, time, reason)
    memory[at.STOPPED_BAR] = time - time % bar_ms
    memory[at.LIQUIDATED] = 1 if what == fills.LIQUIDATED else 0


@compiled
def fund(contract: Array, brackets: Array, account: Array, held: Array, mark: int, rate: int) -> None:
    """Pay or receive funding on the mark's notional: wallet and isolated margin move, liquidation with them."""
    if not countable(account, held, contract[at.UNIT], mark):
        return
    notional = mark * held[at.QUANTITY] * contract[at.UNIT]
    paid = fills.funding_payment(notional, held[at.SIDE], rate)
    account[at.CASH] -= paid
    account[at.PAID_FUNDING] += paid
    held[at.FUNDING] += paid
    held[at.MARGIN] -= paid
    held[at.LIQUIDATION] = liquidation_price(
        contract, brackets, account, held[at.COST], held[at.MARGIN], held[at.QUANTITY], held[at.SIDE]
    )
    watch(held)


@compiled
def enter(
    rules: Terms, contract: Array, brackets: Array, bar_ms: int, account: Array, positions: Array, trades: Array,
    refused: Array, s: int, order: Array, price: int, time: int, regime: int,
) -> None:  # fmt: skip
    """Open a position at market with its stop live at once, or count why the exchange would refuse the order."""
    side, quantity, leverage = order[at.D_SIDE], order[at.D_QUANTITY], order[at.D_LEVERAGE]
    unit = contract[at.UNIT]
    filled = fills.slipped(price, side, rules.slippage_ppm)
    if quantity > MAX_QUANTITY:
        refused[at.R_QUANTITY] += 1
        return
    # a float tells of nearly all that they are far from the limit, sooner than a division
    if float(quantity) * float(4 * price * unit) > 0.99 * MOST and quantity > MOST // (4 * price * unit):
        refused[at.R_COUNTABLE] += 1
        return
    cost = filled * quantity * unit
    margin, fee = fills.initial_margin(cost, leverage), fills.fee(cost, rules.taker_ppm)
    own = brackets[contract[at.FIRST_TIER] : contract[at.LAST_TIER]]
    if price * quantity * unit < contract[at.MIN_NOTIONAL]:
        refused[at.R_NOTIONAL] += 1
        return
    if price * quantity * unit > tiers.max_notional(own, leverage):
        refused[at.R_TIER] += 1
        return
    if not fills.affordable(free(account, positions), cost, leverage, rules.taker_ppm):
        refused[at.R_MARGIN] += 1
        return
    if cost > INT64_MAX // (fills.BPS + rules.widest_stop_bps):
        account[at.STATUS] = at.BEYOND_INT64
        return
    account[at.CASH] -= fee
    account[at.PAID_FEES] += fee
    stop = fills.stop_price(cost, quantity, unit, side, order[at.D_STOP_BPS])
    held = positions[s]
    held[at.SIDE], held[at.QUANTITY], held[at.COST], held[at.MARGIN] = side, quantity, cost, margin
    held[at.LEVERAGE], held[at.ENTRY_TIME], held[at.ENTRY_BAR] = leverage, time, time - time % bar_ms
    held[at.REGIME], held[at.STOP], held[at.STOP_BPS] = regime, stop, order[at.D_STOP_BPS]
    held[at.FEES], held[at.FUNDING], held[at.LARGEST_PRICE] = fee, 0, 4 * price
    held[at.LIQUIDATION] = liquidation_price(contract, brackets, account, cost, margin, quantity, side)
    watch(held)
    if fills.touched(side, stop, 0, price, True) != fills.NOTHING:
        # Rule: a stop the price has passed already is refused (-2021), and the position closed at market.
        close_at_market(rules, unit, account, held, trades, s, price, time, at.UNPROTECTED)
