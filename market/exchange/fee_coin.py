"""The fee coin: fees paid from a wallet of another currency, at a discount, while it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from market import fills
from market.instruments import CASH

DISCOUNT_PPM = 100_000
"""What paying in the coin saves: a tenth of the fee."""


@dataclass(slots=True)
class FeeCoin:
    """A wallet of one coin, in units of 1e-8, at a fixed price in cash units a coin.

    Nothing is lost here either: `balance + paid == deposits`.
    """

    asset: str
    price: int
    balance: int
    deposits: int = 0
    paid: int = 0

    @classmethod
    def opened_with(cls, asset: str, price: int, balance: int) -> FeeCoin:
        """A wallet that holds `balance`."""
        return cls(asset, price, balance, deposits=balance)

    def pay(self, fee: int) -> int:
        """Pay a fee given in cash units; returns what it took of the coin, 0 if the wallet does not reach."""
        amount = fills.ceil_div(fee * (fills.PPM - DISCOUNT_PPM) * CASH, fills.PPM * self.price)
        if amount > self.balance:
            return 0
        self.balance -= amount
        self.paid += amount
        return amount
