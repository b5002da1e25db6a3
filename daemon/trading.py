"""Trading states in the daemon: what restricts trading between candles, and what that does at once.

The limits are judged by the plan of each candle (`strategy.halting`); here an operator, or whoever finds that the
account is not ours alone, may only be stricter. While halted, whatever comes to light is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.approval import Denial
from daemon.commands import Alert, Command, PlaceStop, Purpose, RecordState, RecordTrade, Submit
from daemon.desk import Desk
from daemon.events import (
    BalanceUpdated,
    DriftJudged,
    Event,
    Filled,
    OperatorCommand,
    Order,
    OrderUpdated,
    Reconciled,
    StopUpdated,
    Transferred,
)
from daemon.identity import of_another
from daemon.state import DaemonState, Drifted
from market.timeframes import utc_text
from market.trades import FLATTENED
from strategy import halting
from strategy.live_config import Rules
from strategy.plan import UNTIL_RESUMED, AccountMemory, Enter, Reason, TradingState

BY_OPERATOR = (Reason.PAUSED, Reason.FLATTENED)
TRANSFERS = frozenset(
    ("DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER", "MARGIN_TRANSFER")
)
"""Why the exchange says a wallet moved where that is no profit or loss (Binance USDT-M, User Data Streams)."""
SAME_MS = 10_000
"""Two accounts of one transfer, on the stream and in the list of incomes, are no farther apart than this."""
KEPT = 100
"""How many transfers are remembered to tell duplicates."""


@dataclass(frozen=True, slots=True)
class Trading:
    """Keeps the trading state in `state.memory`, and the desks to it."""

    state: DaemonState
    desks: dict[str, Desk]

    def obey(self, event: OperatorCommand, equity: int, at: int) -> list[Command]:
        """Do what an operator asks for."""
        told = Alert("warning", f"{event.order} by {event.who}")
        match event.order:
            case Order.PAUSE:
                return [told, *self.restrict(TradingState.REDUCING, Reason.PAUSED, at)]
            case Order.RESUME:
                return [told, *self._resume(equity, at)]
            case Order.FLATTEN:
                return [told, *self.restrict(TradingState.HALTED, Reason.FLATTENED, at)]
            case Order.LEAVE:
                self._close_all(FLATTENED)
        return [told]

    def restrict(self, state: TradingState, reason: Reason, at: int) -> list[Command]:
        """Put a state in force until an operator resumes; one in force that is stricter stays.

        Entries that were decided and not sent are dropped. `HALTED` closes at market whatever is open, now, without
        waiting for a candle.
        """
        before = self.state.memory
        self.state.memory = halting.restrict(before, state, reason, at)
        if state is TradingState.HALTED:
            self._close_all(str(self.state.memory.reason))
        else:
            self.drop_entries()
        return self._told(before)

    def _resume(self, equity: int, at: int) -> list[Command]:
        """End the state in force; who ends the one for drift accepts it, who ends another still has that to look at."""
        before, drift = self.state.memory, self.state.drift
        self.state.memory = halting.resume(before, at, equity)
        if before.reason is Reason.DRIFT:
            drift.accepted = True
        elif drift.stops:
            self.state.memory = halting.restrict(self.state.memory, TradingState.REDUCING, Reason.DRIFT, at)
        return self._told(before)

    def drifted(self, event: DriftJudged, at: int) -> list[Command]:
        """Shrink or stop entries for drift, or allow them again."""
        before, known = self.state.memory, self.state.drift
        since = known.since if event.level is known.level else at
        accepted = known.accepted and event.level.stops and event.model_set == known.model_set
        self.state.drift = drift = Drifted(event.level, event.size_bps, event.text, event.model_set, since, accepted)
        told = Alert(
            "warning" if event.level.rank > known.level.rank else "info", f"drift: {event.level}: {event.text}"
        )
        if drift.stops:
            return [told, *self.restrict(TradingState.REDUCING, Reason.DRIFT, at)]
        self.state.memory = halting.lift(before, Reason.DRIFT, at)
        return [told, *self._told(before)]

    def assessed(self, account: AccountMemory) -> list[Command]:
        """Take over what a candle's plan made of the account; its exits are in the plan."""
        before, self.state.memory = self.state.memory, account
        return self._told(before)

    def barred(self) -> Denial | None:
        """Why no entry may be sent now."""
        if self.state.memory.state is not TradingState.ACTIVE:
            return Denial.NOT_ACTIVE
        return Denial.DEAF if self.state.deaf else Denial.STALE if self.state.blind else None

    def note(self, commands: Iterable[Command], rules: Rules, at: int) -> None:
        """Count the trades that were closed, and the orders that leave at `at` (ms), as many as the rules ask about."""
        sent = self.state.sent
        for command in commands:
            match command:
                case RecordTrade():
                    self.state.memory = halting.after_trade(self.state.memory, command.trade.profit)
                case Submit() if command.approved.order.purpose is Purpose.ENTRY:
                    sent.entries, sent.orders = [*sent.entries, at], [*sent.orders, at]
                case Submit() | PlaceStop():
                    sent.orders = [*sent.orders, at]
        sent.entries = sent.entries[max(0, len(sent.entries) - rules.entries_per_hour) :]
        sent.orders = sent.orders[max(0, len(sent.orders) - rules.orders_per_minute) :]

    def balance(self, event: BalanceUpdated, equity: int) -> None:
        """A deposit or withdrawal is neither profit nor loss; `equity` is the one before it."""
        self.state.heard_at = max(self.state.heard_at, event.time)
        if event.cause in TRANSFERS:
            self.transferred(Transferred(event.change, event.time), equity)

    def transferred(self, event: Transferred, equity: int) -> None:
        """A deposit or withdrawal, told by the stream or found by asking, or both: it counts once."""
        known = self.state.transfers
        if event.time and any(a == event.amount and abs(t - event.time) < SAME_MS for t, a in known):
            return
        self.state.transfers = [*known[1 - KEPT :], (event.time, event.amount)]
        self.state.memory = halting.after_transfer(self.state.memory, equity, event.amount)

    def look_for_another(self, event: Event, deployment: str, at: int) -> list[Command]:
        """Two deployments on one account undo each other's work: the first sign of another one halts this one."""
        names: tuple[str, ...] = ()
        match event:
            case Filled() | OrderUpdated() | StopUpdated():
                names = (event.client_id,)
            case Reconciled():
                names = tuple(n for t in event.symbols for n in (*t.orders, *(s.client_id for s in t.stops)))
        other = next((n for n in names if of_another(n, deployment)), None)
        told = self.restrict(TradingState.HALTED, Reason.OTHER_DEPLOYMENT, at) if other else []
        return (
            [*told, Alert("critical", f"order {other} is of another deployment: end one, then resume")] if told else []
        )

    def enforce(self) -> None:
        """While halted nothing stays open, whatever brought it: a late fill, a hand, a close that was given up."""
        memory = self.state.memory
        if memory.state is not TradingState.HALTED or self.state.actions or self.state.pursuing:
            return  # the plan closes in its own order
        for desk in self.desks.values():
            if (desk.book.lot or desk.book.order) and not desk.book.urgent:
                desk.book.urgent = str(memory.reason)

    def drop_entries(self) -> list[Enter]:
        """Give up the entries that were decided and not sent; returns them."""
        state, dropped = self.state, [a for a in self.state.actions if isinstance(a, Enter)]
        state.actions = [a for a in state.actions if not isinstance(a, Enter)]
        for desk in self.desks.values():
            if isinstance(desk.book.goal, Enter) and not desk.book.order and not desk.book.lot:
                dropped.append(desk.book.goal)
                desk.book.goal = None
        return dropped

    def _close_all(self, reason: str) -> None:
        """What is open is closed at once; an entry under way as soon as it is filled."""
        self.state.actions = []
        for desk in self.desks.values():
            # before the truth is known, whatever it shows
            if desk.book.lot or desk.book.order or not self.state.reconciled:
                desk.book.urgent = reason
            desk.book.goal = None

    def _told(self, before: AccountMemory) -> list[Command]:
        """Have a change of the trading state recorded and told."""
        now = self.state.memory
        if (now.state, now.reason, now.until) == (before.state, before.reason, before.until):
            return []
        if now.reason is None:
            return [RecordState(now), Alert("info", f"trading is active again, after: {before.reason}")]
        does = "every position is closed" if now.state is TradingState.HALTED else "no entries"
        end = "an operator's resume" if now.until == UNTIL_RESUMED else utc_text(now.until)
        level = "warning" if now.reason in BY_OPERATOR else "critical"
        return [RecordState(now), Alert(level, f"trading is {now.state} ({now.reason}): {does} until {end}")]
