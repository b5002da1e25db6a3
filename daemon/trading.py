"""Trading states in the daemon: what restricts trading between candles, and what that does at once.

The limits are judged by the plan of each candle (`strategy.halting`); here an operator, or whoever finds that the
account is not ours alone, may only be stricter. While halted, whatever comes to light is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.commands import Alert, Command, RecordState, RecordTrade
from daemon.desk import Desk
from daemon.events import BalanceUpdated, OperatorCommand, Order
from daemon.state import DaemonState
from market.timeframes import utc_text
from market.trades import FLATTENED
from strategy import halting
from strategy.plan import UNTIL_RESUMED, AccountMemory, Enter, Reason, TradingState

BY_OPERATOR = (Reason.PAUSED, Reason.FLATTENED)
TRANSFERS = frozenset(
    ("DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER", "MARGIN_TRANSFER")
)
"""Why the exchange says a wallet moved where that is no profit or loss (Binance USDT-M, User Data Streams)."""


@dataclass(frozen=True, slots=True)
class Trading:
    """Keeps the trading state in `state.memory`, and the desks to it."""

    state: DaemonState
    desks: dict[str, Desk]

    def obey(self, event: OperatorCommand, equity: int, at: int) -> list[Command]:
        """Do what an operator asks for."""
        told, before = Alert("warning", f"{event.order} by {event.who}"), self.state.memory
        match event.order:
            case Order.PAUSE:
                return [told, *self.restrict(TradingState.REDUCING, Reason.PAUSED, at)]
            case Order.RESUME:
                self.state.memory = halting.resume(before, at, equity)
                return [told, *self._told(before)]
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

    def assessed(self, account: AccountMemory) -> list[Command]:
        """Take over what a candle's plan made of the account; its exits are in the plan."""
        before, self.state.memory = self.state.memory, account
        return self._told(before)

    def count(self, commands: Iterable[Command]) -> None:
        """Count the trades that were closed."""
        for command in commands:
            if isinstance(command, RecordTrade):
                self.state.memory = halting.after_trade(self.state.memory, command.trade.profit)

    def balance(self, event: BalanceUpdated, equity: int) -> None:
        """A deposit or withdrawal is neither profit nor loss; `equity` is the one before it."""
        if event.cause in TRANSFERS:
            self.state.memory = halting.after_transfer(self.state.memory, equity, event.change)

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
