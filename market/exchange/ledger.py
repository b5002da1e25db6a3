"""The ledger: wallet, isolated positions, fees, funding and the insurance fund, in whole units of 1e-8.

Nothing is lost or made here: what left the wallet is found in fees, funding or the insurance fund, and what came in
was profit (`Ledger.imbalance` says by how much that fails, and it is always 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from market import fills


@dataclass(slots=True)
class Position:
    """One isolated position; a flat symbol has none.

    Attributes
    ----------
    side : int
        +1 long, -1 short.
    quantity : int
        Steps, positive.
    cost : int
        Sum of fill price times quantity of what is still open, cash units.
    margin : int
        Isolated margin set aside; funding moves it.
    updated : int
        Market time (ms) of the last change.
    """

    side: int
    quantity: int
    cost: int
    margin: int
    updated: int


@dataclass(slots=True)
class Ledger:
    """One account in one currency; every amount in cash units.

    Attributes
    ----------
    cash : int
        The wallet, isolated margins included, open profit not.
    deposits, fees, funding, realized : int
        Sums since the start: paid in less taken out, fees paid, funding paid (negative: received), profit taken.
    insurance : int
        What liquidations left to the insurance fund (negative: what it had to pay).
    """

    cash: int
    deposits: int = 0
    fees: int = 0
    funding: int = 0
    realized: int = 0
    insurance: int = 0
    positions: dict[str, Position] = field(default_factory=dict)

    @classmethod
    def opened_with(cls, cash: int) -> Ledger:
        """A fresh account holding `cash`."""
        return cls(cash=cash, deposits=cash)

    @property
    def margins(self) -> int:
        """Isolated margin set aside over all positions."""
        return sum(position.margin for position in self.positions.values())

    @property
    def free(self) -> int:
        """Cash no position has set aside."""
        return self.cash - self.margins

    def transfer(self, amount: int) -> None:
        """Cash is paid in, or out where `amount` is negative."""
        self.cash += amount
        self.deposits += amount

    def charge(self, fee: int) -> None:
        """A fee leaves the wallet."""
        self.cash -= fee
        self.fees += fee

    def add(self, symbol: str, side: int, quantity: int, notional: int, margin: int, time: int) -> None:
        """Open a position or add to one of the same side, setting `margin` aside."""
        position = self.positions.get(symbol)
        if position is None:
            self.positions[symbol] = Position(side, quantity, notional, margin, time)
            return
        assert position.side == side, "closing goes through reduce"
        position.quantity += quantity
        position.cost += notional
        position.margin += margin
        position.updated = time

    def reduce(self, symbol: str, quantity: int, notional: int, time: int) -> int:
        """Close part or all of a position for `notional`; its profit goes to the wallet, its margin is free again.

        Returns
        -------
        int
            The profit before fees.
        """
        position = self.positions[symbol]
        share = fills.closed_share(position.cost, position.quantity, quantity, position.side)
        profit = fills.realized_profit(position.side, share, notional)
        position.margin -= position.margin * quantity // position.quantity
        position.cost -= share
        position.quantity -= quantity
        position.updated = time
        if position.quantity == 0:
            del self.positions[symbol]
        self.cash += profit
        self.realized += profit
        return profit

    def pay_funding(self, symbol: str, payment: int, time: int) -> None:
        """Funding moves the wallet and the position's isolated margin alike (negative: received)."""
        position = self.positions[symbol]
        position.margin -= payment
        position.updated = time
        self.cash -= payment
        self.funding += payment

    def liquidate(self, symbol: str, notional: int) -> tuple[int, int]:
        """The position is taken over at `notional`: its whole margin is lost.

        Returns
        -------
        tuple of int
            The profit of the position (a loss), and what the insurance fund gained (negative: paid).
        """
        position = self.positions.pop(symbol)
        profit = fills.realized_profit(position.side, position.cost, notional)
        gained = position.margin + profit
        self.cash -= position.margin
        self.realized += profit
        self.insurance += gained
        return profit, gained

    def imbalance(self) -> int:
        """Cash units that the accounts fail to explain; anything but 0 is a defect."""
        return self.cash + self.fees + self.funding + self.insurance - self.deposits - self.realized
