"""Depth: how much of an order one execution takes, and when the rest follows.

Without limits an order fills in one execution, as a replay's does. With them each execution's size is drawn from a
seed, the order's id and what it has filled: the same run, or the same run restarted, fills the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from random import Random

from market import fills
from market.instruments import Instrument


class Rest(StrEnum):
    """When the rest of an order follows its first execution."""

    AT_ONCE = "at-once"
    """In further executions at the same instant."""
    PRICE = "price"
    """One execution at each following price."""
    COMMAND = "command"
    """One execution whenever the engine is told to go on: by a timer or by hand."""


class DepthError(ValueError):
    """A limit that cannot be read."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The most one execution takes.

    Attributes
    ----------
    share_ppm : int
        Of the order's quantity, in 1e-6.
    quantity : Decimal, optional
        Of the base currency.
    rest : Rest
        When the next execution follows.
    seed : int
        Draws the sizes, between half the most and the most.
    """

    share_ppm: int = fills.PPM
    quantity: Decimal | None = None
    rest: Rest = Rest.AT_ONCE
    seed: int = 1

    @classmethod
    def parse(cls, text: str, rest: Rest = Rest.AT_ONCE, seed: int = 1) -> Depth:
        """``40%`` for a share of each order, ``0.05`` for a quantity of the base currency.

        Raises
        ------
        DepthError
            If it is neither, or not positive.
        """
        try:
            amount = Decimal(text.removesuffix("%"))
        except InvalidOperation as error:
            raise DepthError(f"{text!r}: write a share such as 40% or a quantity such as 0.05") from error
        if not amount.is_finite() or amount <= 0 or (text.endswith("%") and amount > 100):
            raise DepthError(f"{text!r}: a share is above 0% and at most 100%, a quantity above 0")
        if text.endswith("%"):
            return cls(share_ppm=int(amount * fills.PPM / 100), rest=rest, seed=seed)
        return cls(quantity=amount, rest=rest, seed=seed)

    def most(self, instrument: Instrument, quantity: int) -> int:
        """The most steps that one execution takes of an order of `quantity` steps."""
        share = quantity * self.share_ppm // fills.PPM
        return max(1, share if self.quantity is None else min(share, int(self.quantity / instrument.step)))

    def whole(self, instrument: Instrument, quantity: int) -> bool:
        """Whether an order of so many steps fills completely at once."""
        return self.rest is Rest.AT_ONCE or self.most(instrument, quantity) >= quantity

    def take(self, instrument: Instrument, order_id: int, quantity: int, filled: int) -> int:
        """Steps of the next execution of an order of `quantity` steps, `filled` of which are done."""
        most = self.most(instrument, quantity)
        if most >= quantity:
            return quantity - filled
        drawn = Random(f"{self.seed}/{order_id}/{filled}").randint(fills.ceil_div(most, 2), most)
        return min(drawn, quantity - filled)


UNLIMITED = Depth()
