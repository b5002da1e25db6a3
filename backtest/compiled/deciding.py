"""Decisions in the kernel: `strategy.halting.assess` and `strategy.decide.plan` over int64 arrays, compiled.

Each question is asked of the same scalar rules in the same order; a test holds every answer equal to the plain ones.
"""

from __future__ import annotations

from numba import int64

from backtest.compiled import layout as at
from backtest.compiled.account import Array
from backtest.compiled.account import liquidation_price as liquidated_at
from backtest.compiled.rules import Terms, compiled
from market import fills
from strategy import risk, signals, sizing


@compiled
def _restrict(account: Array, state: int, why: int, now: int, until: int) -> None:
    until = 0 if state == at.HALTED else until
    if risk.prevails(state, until, account[at.STATE], account[at.UNTIL]):
        account[at.STATE], account[at.WHY], account[at.SINCE], account[at.UNTIL] = state, why, now, until


@compiled
def assess(account: Array, now: int, equity: int, rules: Terms) -> None:
    """Judge the account at a close, as `halting.assess` does."""
    if account[at.STATE] != at.ACTIVE and account[at.UNTIL] != 0 and now >= account[at.UNTIL]:
        why = account[at.WHY]
        if why == at.DAILY_LOSS:
            account[at.DAY_START] = account[at.EQUITY]
        elif why == at.WEEKLY_LOSS:
            account[at.WEEK_START] = account[at.EQUITY]
        elif why == at.DRAWDOWN:
            account[at.PEAK] = account[at.EQUITY]
        elif why == at.LOSING_STREAK:
            account[at.LOSSES] = 0
        account[at.STATE], account[at.WHY], account[at.SINCE], account[at.UNTIL] = at.ACTIVE, -1, now, 0
    day, week = risk.day_of(now), risk.week_of(now)
    begun = equity if account[at.DAY] < 0 else max(equity, account[at.EQUITY])
    if day != account[at.DAY]:
        account[at.DAY], account[at.DAY_START] = day, equity if now == day else begun
    if week != account[at.WEEK]:
        account[at.WEEK], account[at.WEEK_START] = week, equity if now == week else begun
    account[at.PEAK], account[at.EQUITY] = max(account[at.PEAK], equity), equity
    if risk.lost(account[at.DAY_START], equity, rules.daily_loss_bps):
        _restrict(account, rules.daily_loss_then, at.DAILY_LOSS, now, day + risk.DAY_MS)
    if risk.lost(account[at.WEEK_START], equity, rules.weekly_loss_bps):
        _restrict(account, rules.weekly_loss_then, at.WEEKLY_LOSS, now, week + risk.WEEK_MS)
    if risk.lost(account[at.PEAK], equity, rules.drawdown_bps):
        _restrict(account, rules.drawdown_then, at.DRAWDOWN, now, 0)
    if 0 < rules.losing_streak <= account[at.LOSSES]:
        _restrict(account, rules.losing_streak_then, at.LOSING_STREAK, now, day + risk.DAY_MS)


@compiled
def equity_at_close(contracts: Array, account: Array, positions: Array, said: Array) -> int:
    """Cash plus open profit at the closing prices `said` (S, 4) holds; kept in int64 by what was asked before."""
    equity: int = account[at.CASH]
    for s in range(len(positions)):
        if positions[s, at.SIDE] != 0:
            equity += sizing.open_profit(
                positions[s, at.SIDE], positions[s, at.QUANTITY], positions[s, at.COST], int64(said[s, at.S_CLOSE]),
                contracts[s, at.UNIT],
            )  # fmt: skip
    return equity


@compiled
def _exit(
    rules: Terms,
    bar: int,
    bar_ms: int,
    account: Array,
    positions: Array,
    s: int,
    p_long: int,
    p_short: int,
    wanted: int,
) -> int:
    """Why the position is closed at this close, as a reason; -1 if it stays."""
    overdue = signals.time_up(bar, bar_ms, positions[s, at.ENTRY_BAR], rules.longest)
    halted = account[at.STATE] == at.HALTED
    side = positions[s, at.SIDE]
    why = signals.leaving(halted, overdue, side, p_long, p_short, wanted, rules.long_exit, rules.short_exit)
    if why == signals.STAY:
        return -1
    if why == signals.BY_HALT:
        return int(account[at.WHY])
    if why == signals.BY_TIME:
        return at.TIME
    return at.OPPOSITE_SIGNAL if why == signals.BY_OPPOSITE else at.SIGNAL_GONE


@compiled
def _barred(rules: Terms, bar: int, bar_ms: int, account: Array, memory: Array) -> int:
    """What forbids any entry of this symbol at this close, as a reason; -1 for nothing."""
    if account[at.WHY] >= 0:
        return int(account[at.WHY])
    if memory[at.IN_FORCE] < 0:
        return at.NO_REGIME
    cooldown = rules.liquidation_cooldown if memory[at.LIQUIDATED] else rules.stop_cooldown
    after = risk.after_stop(bar, bar_ms, memory[at.STOPPED_BAR], cooldown)
    if after == risk.SAME_CANDLE:
        return at.SAME_CANDLE
    if after == risk.COOLING:
        return at.LOST_LIQUIDATION if memory[at.LIQUIDATED] else at.COOLDOWN
    return -1


@compiled
def _entry(
    rules: Terms, contract: Array, brackets: Array, bar: int, bar_ms: int, account: Array, memory: Array,
    budget: Array, order: Array, price: int, side: int,
) -> int:  # fmt: skip
    """Write the entry of `side` into `order` and return its reason, or the first reason that forbids it."""
    barred = _barred(rules, bar, bar_ms, account, memory)
    if barred >= 0:
        return barred
    in_force, unit = memory[at.IN_FORCE], contract[at.UNIT]
    stop_bps = rules.stop_bps[in_force]
    own = brackets[contract[at.FIRST_TIER] : contract[at.LAST_TIER]]
    equity = budget[0]
    leverage, quantity = sizing.entry_terms(
        equity, rules.margin_bps, rules.leverage[in_force], rules.max_notional, price, unit, own
    )
    if not sizing.large_enough(quantity, price, unit, contract[at.MIN_QUANTITY], contract[at.MIN_NOTIONAL]):
        return at.TOO_SMALL
    cost = price * quantity * unit
    margin, at_risk = fills.initial_margin(cost, leverage), risk.at_risk(cost, stop_bps)
    stop = fills.stop_price(cost, quantity, unit, side, stop_bps)
    liquidation = liquidated_at(contract, brackets, account, cost, margin, quantity, side)
    full = risk.room(
        budget[1], rules.max_positions, risk.stop_near_enough(price, stop, liquidation, side), budget[2] + margin,
        budget[3] + at_risk, equity, rules.reserve_bps, rules.risk_bps,
    )  # fmt: skip
    if full == risk.NO_POSITION:
        return at.POSITION_CAP
    if full == risk.TOO_FAR:
        return at.STOP_TOO_FAR
    if full == risk.NO_RESERVE:
        return at.RESERVE
    if full == risk.NO_RISK:
        return at.RISK_CAP
    budget[1] += 1
    budget[2] += margin
    budget[3] += at_risk
    order[at.D_ACTION], order[at.D_SIDE], order[at.D_QUANTITY] = at.ENTER, side, quantity
    order[at.D_LEVERAGE], order[at.D_STOP_BPS], order[at.D_MARGIN] = leverage, stop_bps, margin
    return at.LONG_SIGNAL if side > 0 else at.SHORT_SIGNAL


@compiled
def plan(
    rules: Terms, contracts: Array, brackets: Array, bar: int, bar_ms: int, said: Array, account: Array,
    positions: Array, memories: Array, reasons: Array, leave: Array, orders: Array, budget: Array,
) -> bool:  # fmt: skip
    """Decide for all symbols of one close, as `decide.plan`; whether anything is to be done.

    `leave` (S, DECISION) takes exits and tightenings, `orders` (S, DECISION) entries; `budget` holds equity,
    positions, margins and cash at risk.
    """
    busy = looked_at = False
    budget[1] = budget[2] = budget[3] = 0
    count = len(positions)
    for s in range(count):
        leave[s, at.D_ACTION] = orders[s, at.D_ACTION] = at.NO_ACTION
        orders[s, at.D_SIDE] = 0
        p_long, p_short = int64(said[s, at.S_LONG]), int64(said[s, at.S_SHORT])
        wanted = 0
        if p_long >= 0:
            wanted = signals.side_wanted(p_long, p_short, rules.long_entry, rules.short_entry, rules.edge)
        side = positions[s, at.SIDE]
        if side == 0:
            if p_long < 0:
                reasons[at.NO_PREDICTION] += 1
            elif wanted == 0:
                lacks = signals.lacks_edge(p_long, p_short, rules.long_entry, rules.short_entry, rules.edge)
                reasons[at.NO_EDGE if lacks else at.NO_SIGNAL] += 1
            else:
                orders[s, at.D_SIDE] = wanted
                looked_at = True
            continue
        why = _exit(rules, bar, bar_ms, account, positions, s, p_long, p_short, wanted)
        if why >= 0:
            busy = True
            leave[s, at.D_ACTION], leave[s, at.D_REASON] = at.EXIT, why
            reasons[why] += 1
            if why == at.OPPOSITE_SIGNAL:  # Rule: a reversal is a close, then an entry.
                orders[s, at.D_SIDE] = wanted
                looked_at = True
            continue
        stop_bps, in_force = positions[s, at.STOP_BPS], memories[s, at.IN_FORCE]
        stop = 0
        if p_long >= 0 and in_force >= 0 and rules.stop_bps[in_force] < stop_bps:
            stop = risk.tighter_stop(
                positions[s, at.COST], positions[s, at.QUANTITY], contracts[s, at.UNIT], side, positions[s, at.STOP],
                rules.stop_bps[in_force], int64(said[s, at.S_CLOSE]),
            )  # fmt: skip
        if stop != 0:
            busy = True
            stop_bps = rules.stop_bps[in_force]
            leave[s, at.D_ACTION], leave[s, at.D_STOP], leave[s, at.D_STOP_BPS] = at.TIGHTEN, stop, stop_bps
            reasons[at.TIGHTENED] += 1
        else:
            reasons[at.HOLD] += 1
        budget[1] += 1
        budget[2] += positions[s, at.MARGIN]
        budget[3] += risk.at_risk(positions[s, at.COST], stop_bps)
    if looked_at:
        for s in range(count):
            if orders[s, at.D_SIDE] != 0:
                reason = _entry(
                    rules, contracts[s], brackets, bar, bar_ms, account, memories[s], budget, orders[s],
                    int64(said[s, at.S_CLOSE]), orders[s, at.D_SIDE],
                )  # fmt: skip
                reasons[reason] += 1
                busy = busy or orders[s, at.D_ACTION] == at.ENTER
    return busy
