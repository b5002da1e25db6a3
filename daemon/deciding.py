"""Deciding: from a prediction, and the account as it is, to the plan that the engine works off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

from daemon.commands import Command, RecordDecisions
from daemon.desk import Desk
from daemon.events import Opinion, PredictionReady
from daemon.settings import Settings
from daemon.state import DaemonState
from daemon.trading import Trading
from strategy.decide import plan
from strategy.plan import Decision, Holding, Reason, Situation, SymbolState


@dataclass(frozen=True, slots=True)
class Deciding:
    """Asks the strategy; what it answers is in `state`: the actions, each symbol's memory, and the account's."""

    settings: Settings
    state: DaemonState
    desks: dict[str, Desk]
    trading: Trading

    def decide(self, event: PredictionReady) -> list[Command]:
        """Plan on a prediction that was asked for; one that comes too late says nothing."""
        state, settings = self.state, self.settings
        if event.bar != state.deciding or not state.predicting:
            return []
        state.predicting, state.model_set = False, event.model_set
        opinions = {o.symbol: _in_numbers(o) for o in event.opinions}
        state.opinions.update(opinions)
        known = tuple(s for s in self.desks if s in state.closes)
        # a newer candle of any symbol proves that this close is past; one that was fetched is of unknown age
        closed = event.bar + settings.decision.ms
        arrivals = state.waiting.get(closed)
        late = any(c > closed for c in state.waiting) or not (arrivals and arrivals.live)
        barred = Reason.DEAF if state.deaf else Reason.STALE if state.blind else Reason.LATE if late else None
        barred = Reason.ACCOUNT_MODE if state.trouble else barred
        situation = Situation(
            bar=event.bar,
            bar_ms=settings.decision.ms,
            cash=state.cash,
            symbols=tuple(self._symbol_state(s, opinions.get(s)) for s in known),
            barred=barred,
            account=state.memory,
            size_bps=state.drift.size_bps,
        )
        answer = plan(situation, settings.rules, state.max_hold_bars)
        for symbol, memory in zip(known, answer.memories, strict=True):
            self.desks[symbol].book.memory = memory
        state.actions = list(answer.actions)
        state.counts.decisions += len(answer.decisions)
        decisions = tuple(self._explained(d, opinions) for d in answer.decisions)
        closes = tuple((s, state.closes[s][1]) for s in known)
        return [RecordDecisions(event.bar, answer.equity, decisions, closes), *self.trading.assessed(answer.account)]

    def _explained(self, decision: Decision, opinions: dict[str, Opinion]) -> Decision:
        opinion = opinions.get(decision.symbol)
        if decision.reason is not Reason.NO_PREDICTION or opinion is None or not opinion.refusal:
            return decision
        return replace(decision, detail=opinion.refusal)

    def _symbol_state(self, symbol: str, opinion: Opinion | None) -> SymbolState:
        desk, lot = self.desks[symbol], self.desks[symbol].book.lot
        holding = None
        if lot:
            terms = (lot.stop, lot.stop_bps, lot.max_hold_bars)
            holding = Holding(lot.side, lot.quantity, lot.cost, lot.margin, lot.entry_bar, *terms)
        return SymbolState(
            instrument=desk.instrument,
            close=self.state.closes[symbol][1],
            outlook=opinion.outlook if opinion else None,
            holding=holding,
            memory=desk.book.memory,
            barred=self._barred(desk),
        )

    def _barred(self, desk: Desk) -> Reason | None:
        """Why nothing may be opened in a symbol."""
        if desk.symbol in self.settings.leaving:
            return Reason.REMOVED
        if desk.symbol in self.state.suspended:
            return Reason.SUSPENDED
        return Reason.FOREIGN if desk.book.foreign else None


def _in_numbers(opinion: Opinion) -> Opinion:
    """An opinion that can be decided on and written down: what is not a number is missing."""
    outlook, horizons = opinion.outlook, tuple(h for h in opinion.horizons if all(map(isfinite, h)))
    if outlook is None or (isfinite(outlook.p_long) and isfinite(outlook.p_short)):
        return replace(opinion, horizons=horizons)
    return Opinion(opinion.symbol, None, "the prediction is not a number", horizons)
