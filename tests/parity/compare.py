"""Comparing two lists of trades: one for one, field by field, and whether they were worth comparing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from backtest.engine import Restriction
from market.trades import LIQUIDATION, STOP, Trade
from strategy.plan import Reason

LEAST_TRADES_PER_1000_BARS = 25


def first_difference(daemon: Sequence[Trade], backtest: Sequence[Trade]) -> str | None:
    """Where the two lists part, in words, or None if they are identical."""
    for number, (ours, theirs) in enumerate(zip_longest(daemon, backtest), start=1):
        if ours is None or theirs is None:
            who, trade = ("backtest", theirs) if ours is None else ("daemon", ours)
            return f"trade {number}: only the {who} made it: {trade}"
        if different := ours.difference(theirs):
            return f"trade {number}: {different} (daemon, backtest)\n  daemon   {ours}\n  backtest {theirs}"
    return None


def missing_kinds(trades: Sequence[Trade], bars: int, gap_stops: int) -> list[str]:
    """What the run lacks to be a proof: too few trades, or a kind of trade that never happened."""
    reasons = {t.reason for t in trades}
    has = {
        f"{LEAST_TRADES_PER_1000_BARS} trades in 1,000 bars": len(trades) * 1000 >= LEAST_TRADES_PER_1000_BARS * bars,
        "a long": any(t.side > 0 for t in trades),
        "a short": any(t.side < 0 for t in trades),
        "a stop": STOP in reasons,
        "a stop that the open gapped through": gap_stops > 0,
        "a liquidation": LIQUIDATION in reasons,
        "a signal exit": bool(reasons & {str(Reason.SIGNAL_GONE), str(Reason.OPPOSITE_SIGNAL)}),
        "a time exit": str(Reason.TIME) in reasons,
        "funding paid or received": any(t.funding for t in trades),
    }
    return [what for what, there in has.items() if not there]


def missing_halts(restrictions: Sequence[Restriction]) -> list[str]:
    """What a run with narrow limits lacks to be a proof: a kind of restriction that never struck."""
    struck = {r.reason for r in restrictions}
    return [
        f"a restriction by {r}" for r in (Reason.DAILY_LOSS, Reason.LOSING_STREAK, Reason.DRAWDOWN) if r not in struck
    ]
