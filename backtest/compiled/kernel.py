"""The kernel: `backtest.engine`'s loop, compiled. The same bars in the same order, some hundred times as fast."""

from __future__ import annotations

from backtest.compiled import layout as at
from backtest.compiled.account import Array, close_at_market, enter, fund, reach
from backtest.compiled.deciding import assess, equity_at_close, plan, remember
from backtest.compiled.prepared import Market
from backtest.compiled.rules import Terms, compiled, inlined
from market import fills
from strategy import risk


@compiled
def play(
    market: Market, rules: Terms, account: Array, positions: Array, memories: Array, curve_equity: Array,
    curve_regime: Array, trades: Array, restrictions: Array, reasons: Array, restricted: Array, refused: Array,
    leave: Array, orders: Array, budget: Array,
) -> None:  # fmt: skip
    """Play the market's bars from the first to the last; everything after `rules` is written to.

    `account`, `positions` and `memories` begin as the account stands; STATUS says whether every number fitted.
    """
    clock, bars, contracts, brackets, bar_ms = (
        market.clock, market.bars, market.contracts, market.tiers, market.bar_ms,
    )  # fmt: skip
    count, symbols = len(clock), len(positions)
    judged = (rules.daily_loss_bps + rules.weekly_loss_bps + rules.drawdown_bps + rules.losing_streak) > 0
    for s in range(symbols):
        memories[s, at.PRICE] = bars[0, s, at.OPEN]
        memories[s, at.NEXT_RATE] = contracts[s, at.FUNDING_FROM]
    for n in range(count):
        for s in range(symbols):
            if _within_reach(positions[s], bars[n, s]):
                _rest_of_bar(rules, contracts, clock[n], bars[n], bar_ms, account, positions, memories, trades)
                break
        for s in range(symbols):
            if bars[n, s, at.CLOSE] != 0:
                memories[s, at.PRICE] = bars[n, s, at.CLOSE]
        if n + 1 == count or account[at.STATUS] != at.FINE:
            return
        now = clock[n + 1, at.TIME_MS]
        for s in range(symbols):
            if bars[n + 1, s, at.OPEN] != 0:
                memories[s, at.PRICE] = bars[n + 1, s, at.OPEN]
                if positions[s, at.SIDE] != 0:
                    _opened(
                        rules, contracts[s], brackets, market.funding, bar_ms, account, positions[s], memories[s],
                        trades, n + 1, s, now,
                    )  # fmt: skip
        # Rule: a decision at each closed candle, in force from the next bar's first price.
        d = clock[n, at.DECISION_OF]
        if d < 0:
            continue
        bar, said = market.decision_open[d], market.said[d]
        for s in range(symbols):
            remember(memories[s], said[s, at.S_REGIME], rules.confirm)
        equity = equity_at_close(contracts, account, positions, said)
        if judged:
            _judge(rules, account, restricted, restrictions, bar + bar_ms, equity)
        curve_equity[d] = equity
        curve_regime[d] = memories[0, at.IN_FORCE]
        budget[0] = equity
        if plan(
            rules, contracts, brackets, bar, bar_ms, said, account, positions, memories, reasons, leave, orders, budget
        ):
            _do(
                rules, contracts, brackets, bar_ms, said, account, positions, memories, trades, refused, leave,
                orders, now,
            )  # fmt: skip


@inlined
def _within_reach(held: Array, bar: Array) -> bool:
    """Whether a price of the bar reaches the position's stop or liquidation; without, nothing can happen in it."""
    if held[at.SIDE] == 0 or bar[at.CLOSE] == 0:
        return False
    if held[at.SIDE] > 0:
        return bool(bar[at.LOW] <= held[at.STOP] or bar[at.LOW] <= held[at.LIQUIDATION])
    return bool(bar[at.HIGH] >= held[at.STOP] or bar[at.HIGH] >= held[at.LIQUIDATION])


@compiled
def _rest_of_bar(
    rules: Terms, contracts: Array, clock: Array, bars: Array, bar_ms: int, account: Array, positions: Array,
    memories: Array, trades: Array,
) -> None:  # fmt: skip
    """The paths of the open bars, every symbol visiting its next price in turn."""
    instants = fills.path_times(clock[at.TIME_MS], clock[at.LENGTH_MS])
    for step in range(1, 4):
        for s in range(len(positions)):
            bar = bars[s]
            if bar[at.CLOSE] != 0:
                prices = fills.path(bar[at.OPEN], bar[at.HIGH], bar[at.LOW], bar[at.CLOSE])
                reach(
                    rules, contracts[s, at.UNIT], bar_ms, account, positions[s], memories[s], trades, s,
                    prices[step], instants[step], False,
                )  # fmt: skip


@compiled
def _opened(
    rules: Terms, contract: Array, brackets: Array, funding: Array, bar_ms: int, account: Array, held: Array,
    memory: Array, trades: Array, n: int, s: int, now: int,
) -> None:  # fmt: skip
    """At a bar's open, funding on the mark (the open) comes first, then liquidation, then a gap stop."""
    price, end = memory[at.PRICE], contract[at.FUNDING_TO]
    while memory[at.NEXT_RATE] < end and funding[memory[at.NEXT_RATE], at.F_BAR] < n:
        memory[at.NEXT_RATE] += 1
    while memory[at.NEXT_RATE] < end and funding[memory[at.NEXT_RATE], at.F_BAR] == n:
        fund(contract, brackets, account, held, price, funding[memory[at.NEXT_RATE], at.F_RATE])
        memory[at.NEXT_RATE] += 1
    reach(rules, contract[at.UNIT], bar_ms, account, held, memory, trades, s, price, now, True)


@compiled
def _judge(rules: Terms, account: Array, restricted: Array, restrictions: Array, closed_at: int, equity: int) -> None:
    """Judge the account, noting a trading state that comes into force."""
    state, why, since = account[at.STATE], account[at.WHY], account[at.SINCE]
    assess(account, closed_at, equity, rules)
    if account[at.WHY] < 0:
        return
    restricted[account[at.STATE]] += 1
    if state != account[at.STATE] or why != account[at.WHY] or since != account[at.SINCE]:
        number = account[at.RESTRICTIONS]
        account[at.RESTRICTIONS] += 1
        if number < len(restrictions):
            row = restrictions[number]
            row[0], row[1], row[2] = account[at.SINCE], account[at.STATE], account[at.WHY]


@compiled
def _do(
    rules: Terms, contracts: Array, brackets: Array, bar_ms: int, said: Array, account: Array, positions: Array,
    memories: Array, trades: Array, refused: Array, leave: Array, orders: Array, now: int,
) -> None:  # fmt: skip
    """Exits first, then tightenings, then entries, each in the order of the symbols."""
    for s in range(len(positions)):
        if leave[s, at.D_ACTION] == at.EXIT:
            price, why = memories[s, at.PRICE], leave[s, at.D_REASON]
            close_at_market(rules, contracts[s, at.UNIT], account, positions[s], trades, s, price, now, why)
    for s in range(len(positions)):
        if leave[s, at.D_ACTION] == at.TIGHTEN:
            held, price, stop = positions[s], memories[s, at.PRICE], leave[s, at.D_STOP]
            if fills.touched(held[at.SIDE], stop, 0, price, True) != fills.NOTHING:
                close_at_market(rules, contracts[s, at.UNIT], account, held, trades, s, price, now, at.UNPROTECTED)
            else:
                held[at.STOP], held[at.STOP_BPS] = stop, leave[s, at.D_STOP_BPS]
    for s in range(len(positions)):
        if orders[s, at.D_ACTION] == at.ENTER:
            price = memories[s, at.PRICE]
            refusal = _may_not_send(rules, contracts, said, account, positions, orders[s], s, price)
            if refusal >= 0:
                refused[refusal] += 1
            else:
                enter(
                    rules, contracts[s], brackets, bar_ms, account, positions, trades, refused, s, orders[s], price,
                    now, memories[s, at.IN_FORCE],
                )  # fmt: skip


@compiled
def _may_not_send(
    rules: Terms, contracts: Array, said: Array, account: Array, positions: Array, order: Array, s: int, price: int
) -> int:
    """Why the entry is not sent, -1 if it is: price band and reserve hold at the moment of sending."""
    close = said[s, at.S_CLOSE]
    if not risk.within_band(close, price, rules.price_band_bps):
        return at.R_BAND
    equity = equity_at_close(contracts, account, positions, said)
    cost = close * order[at.D_QUANTITY] * contracts[s, at.UNIT]
    margins: int = fills.initial_margin(cost, order[at.D_LEVERAGE])
    for other in range(len(positions)):
        if positions[other, at.SIDE] != 0:
            margins += positions[other, at.MARGIN]
    return -1 if risk.within_reserve(margins, equity, rules.reserve_bps) else at.R_RESERVE
