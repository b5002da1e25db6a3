"""The account: what executions, funding and the exchange's word about the wallet do to cash and positions.

A word about the wallet and the execution that moved it come apart, late, or only when asked for; each trade is still
recorded with the wallet as it was behind it, and each payment of funding once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon import lots, takeover
from daemon.commands import Alert, Command, PriceCoin, Reconcile, RecordTrade
from daemon.desk import Desk
from daemon.events import BalanceUpdated, CoinPriced, Filled, FundingPaid, PositionUpdated, Reconciled
from daemon.state import Book, DaemonState, Lot
from market import fills
from market.instruments import CASH

FUNDING, ORDER = "FUNDING_FEE", "ORDER"
"""Why the exchange says a wallet moved (Binance USDT-M, User Data Streams: Balance and Position Update)."""
SNAPSHOT = "SNAPSHOT"
"""The whole wallet as it stood at an instant, where the exchange names neither cause nor symbol (Bybit, Wallet)."""
EVERY = 1 << 31
"""As many statements as there may be executions at one instant."""
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
        elif event.cause == SNAPSHOT:
            for desk in self.desks.values():
                desk.book.stated = max(desk.book.stated, (event.time, EVERY))

    def funding(self, event: FundingPaid) -> None:
        """A funding payment found by asking."""
        self.state.heard_at = max(self.state.heard_at, event.time)
        lot = self.desks[event.symbol].book.lot
        if lot and self._fund(lot, event.amount, event.time):
            self.state.unstated -= event.amount
            lot.margin -= event.amount  # it comes out of the isolated margin; what is stated later says so itself

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
        lot, value = desk.book.lot, self._coin_value(event.fee_asset, event.coin_fee)
        before = lots.wallet_effect(lot)
        out = desk.filled(event, state.cash if stated else state.cash + state.unstated, at, value)
        if any(isinstance(c, RecordTrade) for c in out):  # what was not priced by now is not the next position's to pay
            state.unpriced = [waits for waits in state.unpriced if waits[0] != event.symbol]
        if event.fee_asset:
            out += self._price(event, desk.book.lot is not None)
        if stated:
            return out
        left = desk.book.lot
        moved = lots.wallet_effect(lot) - before + (lots.wallet_effect(left) if left is not lot else 0)
        state.unstated += moved
        return [
            RecordTrade(replace(c.trade, cash_after=c.trade.cash_after + moved)) if isinstance(c, RecordTrade) else c
            for c in out
        ]

    def _price(self, event: Filled, open_still: bool) -> list[Command]:
        """Ask what the coin of a fee costs; the first one waits for the answer, if its position does."""
        out: list[Command] = [PriceCoin(event.fee_asset)]
        if event.fee_asset not in self.state.coins:
            if open_still:
                self.state.unpriced.append((event.symbol, event.fee_asset, event.coin_fee))
            text = (
                f"fees are paid in {event.fee_asset}: they are counted at its price, and the wallet does not show them"
            )
            out.append(Alert("warning", text))
        return out

    def priced(self, event: CoinPriced) -> None:
        """A coin's price; fees that waited for it are booked to their positions."""
        state = self.state
        state.coins[event.coin] = event.price
        for symbol, coin, amount in state.unpriced:
            lot = self.desks[symbol].book.lot if symbol in self.desks else None
            if coin == event.coin and lot:
                lot.coin_fees += self._coin_value(coin, amount)
        state.unpriced = [waits for waits in state.unpriced if waits[1] != event.coin]

    def _coin_value(self, coin: str, amount: int) -> int:
        """What an amount (1e-8) of a coin is worth, cash units, rounded up; 0 where no price is known."""
        return fills.ceil_div(amount * self.state.coins.get(coin, 0), CASH)

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
                asked_at = at if event.asked_at is None else event.asked_at
                out += takeover.take(self.desks[truth.symbol], truth, first, asked_at, at)
        return out


def _counted(counted: tuple[int, int], time: int) -> tuple[int, int]:
    """The newest instant of something, and how often it happened then."""
    newest, times = counted
    return (time, times + 1 if time == newest else 1) if time >= newest else counted


def _when(event: Filled | FundingPaid) -> tuple[int, int]:
    """Order of happening; at one instant funding precedes executions."""
    return event.time, event.trade_id if isinstance(event, Filled) else -1
