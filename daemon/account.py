"""The account: what executions, funding and the exchange's word about the wallet do to cash and positions.

A word about the wallet and the execution that moved it come apart, late, or only when asked for; each trade is still
recorded with the wallet as it was behind it, and each payment of funding once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon import lots
from daemon.commands import Command, Reconcile, RecordTrade
from daemon.desk import Desk
from daemon.events import BalanceUpdated, Filled, FundingPaid, PositionUpdated, Reconciled
from daemon.state import Book, DaemonState, Lot

FUNDING, ORDER = "FUNDING_FEE", "ORDER"
"""Why the exchange says a wallet moved (Binance USDT-M, User Data Streams: Balance and Position Update)."""
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Account:
    """Books what happened; all state is in `state` and in the desks' books."""

    state: DaemonState
    desks: dict[str, Desk]

    def balance(self, event: BalanceUpdated) -> None:
        """The wallet as stated; a funding fee is booked to the position that paid it."""
        book = self.desks[event.symbol].book if event.symbol in self.desks else None
        told_twice = event.cash == self.state.cash
        self.state.cash, self.state.unstated = event.cash, 0
        if book and event.cause == FUNDING and book.lot:
            self._fund(book.lot, -event.change, event.time)
        elif book and event.cause == ORDER and not (told_twice and event.time == book.stated[0]):
            book.stated = _counted(book.stated, event.time)

    def funding(self, event: FundingPaid) -> None:
        """A funding payment found by asking."""
        self.state.heard_at = max(self.state.heard_at, event.time)
        lot = self.desks[event.symbol].book.lot
        if lot and self._fund(lot, event.amount, event.time):
            self.state.unstated -= event.amount

    def _fund(self, lot: Lot, amount: int, time: int) -> bool:
        """Book a funding payment of a position, once; a payment without a time cannot be told from another."""
        payment = (time // HOUR_MS, amount)
        if time and (time <= lot.entry_time or payment in lot.payments):
            return False
        if time:
            lot.payments.append(payment)
        lot.funding += amount
        return True

    def filled(self, event: Filled, at: int) -> list[Command]:
        """An execution; one found by asking may precede the wallet it leads to, which is then reckoned."""
        state, desk = self.state, self.desks[event.symbol]
        state.heard_at = max(state.heard_at, event.time)
        stated = self._stated(desk.book, event)
        if event.trade_id not in desk.book.trades_seen:
            desk.book.executed = _counted(desk.book.executed, event.time)
        before = lots.wallet_effect(desk.book.lot)
        out = desk.filled(event, state.cash if stated else state.cash + state.unstated, at)
        if stated:
            return out
        trades = [c.trade for c in out if isinstance(c, RecordTrade)]
        after = sum(t.profit + t.funding for t in trades) + lots.wallet_effect(desk.book.lot)
        state.unstated += after - before
        return [
            RecordTrade(replace(c.trade, cash_after=c.trade.cash_after + after - before))
            if isinstance(c, RecordTrade)
            else c
            for c in out
        ]

    def _stated(self, book: Book, event: Filled) -> bool:
        """Whether the wallet was stated with this execution's effect already: each execution leads to one statement."""
        at, statements = book.stated
        if not event.asked or not at:
            return True
        if event.time != at:
            return event.time < at
        return statements > (book.executed[1] if book.executed[0] == at else 0)

    def margin(self, event: PositionUpdated) -> None:
        """A position of zero leaves the margin be: a liquidation that follows says what was lost by it."""
        book = self.desks[event.symbol].book
        if event.quantity:
            book.margin = event.margin
            if book.lot:
                book.lot.margin = event.margin

    def reconciled(self, event: Reconciled, first: bool, at: int) -> list[Command]:
        """The exchange's whole truth; executions and funding held back until the `first` one are booked before it."""
        state, out = self.state, list[Command]()
        # what was missed is older than what the stream brought meanwhile
        held, state.held = sorted(state.held, key=_when), []
        for missed in held:
            if isinstance(missed, Filled):
                out += self.filled(missed, at)
            else:
                self.funding(missed)
        if state.cash not in (0, event.cash):
            out.append(Reconcile("the wallet differs"))  # whichever is older, the next answer is newer than both
        state.cash, state.unstated = event.cash, 0
        for truth in event.symbols:
            if truth.symbol in self.desks:
                out += self.desks[truth.symbol].reconciled(truth, first, at)
        return out


def _counted(counted: tuple[int, int], time: int) -> tuple[int, int]:
    """The newest instant of something, and how often it happened then."""
    newest, times = counted
    return (time, times + 1 if time == newest else 1) if time >= newest else counted


def _when(event: Filled | FundingPaid) -> tuple[int, int]:
    """Order of happening; at one instant funding precedes executions."""
    return event.time, event.trade_id if isinstance(event, Filled) else -1
