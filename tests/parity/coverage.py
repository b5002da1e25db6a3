"""Coverage: what happened in a run, by kind and symbol, and whether that was worth comparing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backtest.broker import Closed
from backtest.engine import Restriction, Result
from market.trades import LIQUIDATION, STOP, Trade
from strategy.plan import Reason
from tests.parity.hours import HOUR
from tests.parity.splice import Cut

LEAST_TRADES_PER_1000_BARS = 25
SIDES = {1: "long", -1: "short"}
REGIMES = ("low", "mid", "high")
IN_EVERY_SYMBOL = (
    "long",
    "short",
    "gap through the stop of a long",
    "gap through the stop of a short",
    "liquidation of a long",
    "liquidation of a short",
)
SOMEWHERE = (
    *(f"entry in the {regime} regime" for regime in REGIMES),
    "stop of a long",
    "stop of a short",
    "exit: signal gone",
    "exit: opposite signal",
    "exit: longest time",
    "reversal",
    "funding paid",
    "funding received",
    "gap cut in, funding in its trade",
)
ORDER = (*SOMEWHERE[:3], *IN_EVERY_SYMBOL[:2], *SOMEWHERE[3:5], *IN_EVERY_SYMBOL[2:], *SOMEWHERE[5:])
TWO_AT_ONCE = "closes with entries of two symbols"
OF_INTEREST = (Reason.TIGHTENED, Reason.RISK_CAP, Reason.COOLDOWN, Reason.LOST_LIQUIDATION, Reason.NO_PREDICTION)
_EXITS = {
    str(Reason.SIGNAL_GONE): "exit: signal gone",
    str(Reason.OPPOSITE_SIGNAL): "exit: opposite signal",
    str(Reason.TIME): "exit: longest time",
}


@dataclass(frozen=True)
class Coverage:
    """How often each kind happened: `kinds` by kind and symbol, `account` over all symbols."""

    symbols: tuple[str, ...]
    trades: int
    kinds: dict[str, Counter[str]]
    account: dict[str, int]

    @classmethod
    def of(cls, result: Result, symbols: Sequence[str], cuts: Sequence[Cut]) -> Coverage:
        """What a backtest, proven equal to the rest, has seen."""
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        trades = result.trades
        for closed in result.closed:
            for kind in _kinds(closed):
                kinds[kind][closed.trade.symbol] += 1
        for trade in _reversals(trades):
            kinds["reversal"][trade.symbol] += 1
        by_entry = {(t.symbol, t.entry_time): t for t in trades}
        missed = 0
        for cut in cuts:
            struck = by_entry.get((cut.symbol, cut.entry_time))
            if struck is None or not cut.hit(struck):
                missed += 1
            elif struck.funding:
                kinds["gap cut in, funding in its trade"][cut.symbol] += 1
        entered: dict[int, set[str]] = defaultdict(set)
        for trade in trades:
            entered[trade.entry_time].add(trade.symbol)
        account = {TWO_AT_ONCE: sum(len(s) > 1 for s in entered.values()), "gaps cut in": len(cuts)}
        account["gaps cut in that missed"] = missed
        account |= {f"decided: {reason}": result.reasons.get(reason, 0) for reason in OF_INTEREST}
        account |= {f"not sent: {why}": count for why, count in result.refused.items()}
        account |= {f"in state {state}": count for state, count in result.restricted.items()}
        return cls(tuple(symbols), len(trades), dict(kinds), account)

    def rows(self) -> Iterator[tuple[str, list[int]]]:
        """Each kind with its count in every symbol, those that must happen first."""
        for kind in (*ORDER, *sorted(set(self.kinds) - set(ORDER))):
            counts = self.kinds.get(kind, Counter())
            yield kind, [counts[s] for s in self.symbols]

    def lacks(self, bars: int) -> list[str]:
        """What the run lacks to be a proof: too few trades, or a kind that never happened."""
        missing = []
        if self.trades * 1000 < LEAST_TRADES_PER_1000_BARS * bars:
            missing.append(f"{LEAST_TRADES_PER_1000_BARS} trades in 1,000 bars")
        for symbol in self.symbols:
            missing += [f"{kind} in {symbol}" for kind in IN_EVERY_SYMBOL if not self._count(kind, symbol)]
        missing += [kind for kind in SOMEWHERE if not any(self._count(kind, s) for s in self.symbols)]
        if len(self.symbols) > 1 and not self.account[TWO_AT_ONCE]:
            missing.append(TWO_AT_ONCE)
        if self.account["gaps cut in that missed"] > self.account["gaps cut in"] // 10:
            missing.append(f"aim: {self.account['gaps cut in that missed']} gaps missed the trade they were cut into")
        return missing

    def _count(self, kind: str, symbol: str) -> int:
        return self.kinds.get(kind, Counter())[symbol]


def _kinds(closed: Closed) -> Iterator[str]:
    trade, side = closed.trade, SIDES[closed.trade.side]
    yield side
    yield f"entry in the {REGIMES[closed.regime]} regime"
    if trade.reason == LIQUIDATION:
        yield f"liquidation of a {side}"
    elif trade.reason == STOP:
        # filled exactly at a bar's open: the price had gapped through it
        yield f"gap through the stop of a {side}" if trade.exit_time % HOUR.ms == 0 else f"stop of a {side}"
    else:
        yield _EXITS.get(trade.reason, f"exit: {trade.reason}")
    if trade.funding:
        yield "funding paid" if trade.funding > 0 else "funding received"


def _reversals(trades: Sequence[Trade]) -> list[Trade]:
    """Trades closed by the opposite signal with an entry of the other side at the same instant."""
    entries = {(t.symbol, t.entry_time, t.side) for t in trades}
    opposite = str(Reason.OPPOSITE_SIGNAL)
    return [t for t in trades if t.reason == opposite and (t.symbol, t.exit_time, -t.side) in entries]


def missing_halts(restrictions: Sequence[Restriction]) -> list[str]:
    """What a run with narrow limits lacks to be a proof: a kind of restriction that never struck."""
    struck = {r.reason for r in restrictions}
    return [
        f"a restriction by {r}" for r in (Reason.DAILY_LOSS, Reason.LOSING_STREAK, Reason.DRAWDOWN) if r not in struck
    ]
