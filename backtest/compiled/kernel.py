"""The kernel: `backtest.engine`'s loop, compiled. The same bars in the same order, some hundred times as fast."""

from __future__ import annotations

from collections.abc import Callable

from numba import int64

from backtest.compiled import layout as at
from backtest.compiled.account import Array, close_at_market, countable, enter, fund, reach, watch
from backtest.compiled.deciding import assess, equity_at_close, plan
from backtest.compiled.prepared import Market
from backtest.compiled.rules import Terms, compiled
from market import fills
from strategy import regime, risk, signals, sizing


@compiled
def within_reach(positions: Array, bars: Array, n: int, s: int) -> bool:
    """Whether a price of bar `n` reaches the stop or the liquidation of a position, if there are such."""
    side = positions[s, at.SIDE]
    if side == 0 or bars[n, s, at.CLOSE] == 0:
        return False
    extreme = bars[n, s, at.LOW] if side > 0 else bars[n, s, at.HIGH]
    return bool(side * extreme <= positions[s, at.NEAREST])


@compiled
def _rest_of_bar(
    rules: Terms, contracts: Array, time: int, length: int, bars: Array, bar_ms: int, account: Array,
    positions: Array, memories: Array, trades: Array,
) -> None:  # fmt: skip
    """The paths of the open bars, every symbol visiting its next price in turn."""
    instants = fills.path_times(time, length)
    for step in range(1, 4):
        for s in range(len(positions)):
            bar = bars[s]
            if bar[at.CLOSE] != 0:
                prices = fills.path(int64(bar[at.OPEN]), int64(bar[at.HIGH]), int64(bar[at.LOW]), int64(bar[at.CLOSE]))
                reach(
                    rules, contracts[s, at.UNIT], bar_ms, account, positions[s], memories[s], trades, s,
                    prices[step], instants[step], False,
                )  # fmt: skip


@compiled
def _opened(
    rules: Terms, contract: Array, brackets: Array, funding: Array, bar_ms: int, account: Array, held: Array,
    memory: Array, trades: Array, price: int, n: int, s: int, now: int,
) -> None:  # fmt: skip
    """At a bar's open, funding on the mark (the open) comes first, then liquidation, then a gap stop."""
    at_rate, end = memory[at.NEXT_RATE], contract[at.FUNDING_TO]
    while at_rate < end and funding[at_rate, at.F_BAR] < n:
        at_rate += 1
    while at_rate < end and funding[at_rate, at.F_BAR] == n:
        fund(contract, brackets, account, held, price, funding[at_rate, at.F_RATE])
        at_rate += 1
    memory[at.NEXT_RATE] = at_rate
    memory[at.NEXT_BAR] = funding[at_rate, at.F_BAR] if at_rate < end else at.NEVER
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
    rules: Terms, contracts: Array, brackets: Array, bar_ms: int, said: Array, opens: Array, account: Array,
    positions: Array, memories: Array, trades: Array, refused: Array, leave: Array, orders: Array, now: int,
) -> None:  # fmt: skip
    """Exits first, then tightenings, then entries, each in the order of the symbols."""
    for s in range(len(positions)):
        if leave[s, at.D_ACTION] == at.EXIT:
            price, why = int64(opens[s, at.OPEN]), leave[s, at.D_REASON]
            close_at_market(rules, contracts[s, at.UNIT], account, positions[s], trades, s, price, now, why)
    for s in range(len(positions)):
        if leave[s, at.D_ACTION] == at.TIGHTEN:
            held, price, stop = positions[s], int64(opens[s, at.OPEN]), leave[s, at.D_STOP]
            if fills.touched(held[at.SIDE], stop, 0, price, True) != fills.NOTHING:
                close_at_market(rules, contracts[s, at.UNIT], account, held, trades, s, price, now, at.UNPROTECTED)
            else:
                held[at.STOP], held[at.STOP_BPS] = stop, leave[s, at.D_STOP_BPS]
                watch(held)
    for s in range(len(positions)):
        if orders[s, at.D_ACTION] == at.ENTER:
            price = int64(opens[s, at.OPEN])
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
    rules: Terms,
    contracts: Array,
    said: Array,
    account: Array,
    positions: Array,
    order: Array,
    s: int,
    price: int,
) -> int:
    """Why the entry is not sent, -1 if it is: price band and reserve hold at the moment of sending."""
    close = int64(said[s, at.S_CLOSE])
    if not risk.within_band(close, price, rules.price_band_bps):
        return at.R_BAND
    equity = equity_at_close(contracts, account, positions, said)
    margins: int = order[at.D_MARGIN]  # at the closing price, as the plan counted it
    for other in range(len(positions)):
        if positions[other, at.SIDE] != 0:
            margins += positions[other, at.MARGIN]
    return -1 if risk.within_reserve(margins, equity, rules.reserve_bps) else at.R_RESERVE


def _kernel(alone: bool) -> Callable[..., None]:
    """The loop, made for one symbol alone (a tenth faster), or for any number of them."""

    @compiled
    def play(
        market: Market, rules: Terms, account: Array, positions: Array, memories: Array, curve_equity: Array,
        curve_regime: Array, trades: Array, restrictions: Array, reasons: Array, restricted: Array, refused: Array,
        leave: Array, orders: Array, budget: Array,
    ) -> None:  # fmt: skip
        """Play the market's bars from the first to the last; everything after `rules` is written to.

        `account`, `positions` and `memories` begin as the account stands; STATUS says whether every number fitted.
        """
        time, length, decision_of, bars, decision_open, said, funding, contracts, brackets, bar_ms = market
        count, symbols = len(time), 1 if alone else len(positions)
        judged = (rules.daily_loss_bps + rules.weekly_loss_bps + rules.drawdown_bps + rules.losing_streak) > 0
        held_on = no_signal = no_edge = 0
        open_positions, watchful = 0, False
        for s in range(symbols):
            memories[s, at.NEXT_RATE] = contracts[s, at.FUNDING_FROM]
        for n in range(count):
            if watchful:
                _rest_of_bar(
                    rules, contracts, time[n], length[n], bars[n], bar_ms, account, positions, memories, trades
                )
            if n + 1 == count:
                break
            watchful = False
            if open_positions != 0:
                # A bar whose extremes reach no stop and no liquidation changes nothing, at its open or within.
                open_positions = 0
                for s in range(symbols):
                    if positions[s, at.SIDE] != 0 and bars[n + 1, s, at.CLOSE] != 0:
                        near = within_reach(positions, bars, n + 1, s)
                        if near or memories[s, at.NEXT_BAR] <= n + 1:
                            _opened(
                                rules, contracts[s], brackets, funding, bar_ms, account, positions[s], memories[s],
                                trades, int64(bars[n + 1, s, at.OPEN]), n + 1, s, time[n + 1],
                            )  # fmt: skip
                            near = within_reach(positions, bars, n + 1, s)  # funding moves the liquidation price
                        watchful = watchful or near
                    open_positions += abs(positions[s, at.SIDE])
            # Rule: a decision at each closed candle, in force from the next bar's first price.
            d = decision_of[n]
            if d < 0:
                continue
            equity, busy, holding, lacking = account[at.CASH], False, 0, 0
            for s in range(symbols):
                p_long, p_short = int64(said[d, s, at.S_LONG]), int64(said[d, s, at.S_SHORT])
                observed = int64(said[d, s, at.S_REGIME])
                if observed != memories[s, at.IN_FORCE] or memories[s, at.SEEN] != 0:
                    memories[s, at.IN_FORCE], memories[s, at.CANDIDATE], memories[s, at.SEEN] = regime.settle(
                        memories[s, at.IN_FORCE],
                        memories[s, at.CANDIDATE],
                        memories[s, at.SEEN],
                        observed,
                        rules.confirm,
                    )
                wanted = 0
                if p_long >= 0:
                    wanted = signals.side_wanted(p_long, p_short, rules.long_entry, rules.short_entry, rules.edge)
                side = positions[s, at.SIDE]
                if side == 0:
                    busy = busy or wanted != 0 or p_long < 0
                    if signals.lacks_edge(p_long, p_short, rules.long_entry, rules.short_entry, rules.edge):
                        lacking += 1
                    continue
                holding += 1
                price = int64(said[d, s, at.S_CLOSE])
                if price > positions[s, at.LARGEST_PRICE] and not countable(
                    account, positions[s], contracts[s, at.UNIT], price
                ):
                    return
                equity += sizing.open_profit(
                    side, positions[s, at.QUANTITY], positions[s, at.COST], price, contracts[s, at.UNIT]
                )
                overdue = signals.time_up(decision_open[d], bar_ms, positions[s, at.ENTRY_BAR], rules.longest)
                leaves = signals.leaving(
                    False, overdue, side, p_long, p_short, wanted, rules.long_exit, rules.short_exit
                )
                in_force = memories[s, at.IN_FORCE]
                tightens = in_force >= 0 and rules.stop_bps[in_force] < positions[s, at.STOP_BPS]
                busy = busy or leaves != signals.STAY or tightens
            if judged:
                _judge(rules, account, restricted, restrictions, decision_open[d] + bar_ms, equity)
                busy = busy or account[at.STATE] == at.HALTED
            curve_equity[d] = equity
            curve_regime[d] = memories[0, at.IN_FORCE]
            if busy:
                budget[0] = equity
                if plan(
                    rules, contracts, brackets, decision_open[d], bar_ms, said[d], account, positions, memories,
                    reasons, leave, orders, budget,
                ):  # fmt: skip
                    _do(
                        rules, contracts, brackets, bar_ms, said[d], bars[n + 1], account, positions, memories, trades,
                        refused, leave, orders, time[n + 1],
                    )  # fmt: skip
                    open_positions, watchful = 0, False
                    for s in range(symbols):
                        open_positions += abs(positions[s, at.SIDE])
                        watchful = watchful or within_reach(positions, bars, n + 1, s)
                continue
            # A quiet close, as nearly all are: positions stay, and nobody flat wants in.
            held_on += holding
            no_edge += lacking
            no_signal += symbols - holding - lacking
        reasons[at.HOLD] += held_on
        reasons[at.NO_SIGNAL] += no_signal
        reasons[at.NO_EDGE] += no_edge

    loop: Callable[..., None] = play
    return loop


_ALONE, _TOGETHER = _kernel(alone=True), _kernel(alone=False)


def kernel_of(symbols: int) -> Callable[..., None]:
    """The loop for so many symbols: `play` above, whose arguments after `rules` are written to."""
    return _ALONE if symbols == 1 else _TOGETHER
