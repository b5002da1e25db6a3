"""Margin tiers: what a position's size does to its maintenance margin, its leverage and its liquidation price.

The exchange writes a tier as a line, `rate x notional - cum`, with `cum` such that neighbours meet at their border
(Binance, Notional and Leverage Brackets). As rates only rise, maintenance margin is the greatest of the lines; so a
long is liquidated at the highest of the tiers' prices, a short at the lowest, each by the one rule of `market.fills`.

The last three functions are plain loops over tiers by their fields, so that a compiler takes them as they are, with the
tiers as an array of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from market import fills


@dataclass(frozen=True, slots=True)
class Bracket:
    """One tier: positions from above `floor` up to and including `cap`, both in cash units of notional.

    Attributes
    ----------
    floor, cap : int
        Borders, cash units.
    max_leverage : int
        Highest leverage that a position of this size may stand at.
    maintenance_bps : int
        Maintenance margin rate, in 1e-4 of the notional.
    cum : int
        What the rate takes too much below the tier's floor, cash units.
    """

    floor: int
    cap: int
    max_leverage: int
    maintenance_bps: int
    cum: int


Brackets = tuple[Bracket, ...]


class TierError(ValueError):
    """Tiers that do not follow on one another."""


def brackets(*tiers: tuple[int, int, int]) -> Brackets:
    """Tiers from (cap in cash units, highest leverage, maintenance rate in 1e-4), smallest first; the rest follows.

    Raises
    ------
    TierError
        If there is none, or a cap or rate does not rise, or a leverage does not fall.
    """
    made: list[Bracket] = []
    for cap, leverage, bps in tiers:
        floor, cum = 0, 0
        if made:
            floor = made[-1].cap
            cum = made[-1].cum + floor * (bps - made[-1].maintenance_bps) // fills.BPS
        made.append(Bracket(floor, cap, leverage, bps, cum))
    return checked(made)


def checked(made: Sequence[Bracket]) -> Brackets:
    """The same tiers, once they are known to follow on one another; raises TierError otherwise."""
    if not made or made[0].floor or made[0].cum:
        raise TierError("tiers start with one from 0, of which nothing is taken off")
    for bracket in made:
        if not (bracket.floor < bracket.cap and bracket.max_leverage >= 1 and 0 <= bracket.maintenance_bps < fills.BPS):
            raise TierError(f"{bracket} is no tier: it needs a cap above its floor, leverage, and a rate below 1")
    for lower, upper in pairwise(made):
        rises = lower.maintenance_bps <= upper.maintenance_bps and lower.cum <= upper.cum
        if lower.cap != upper.floor or lower.max_leverage < upper.max_leverage or not rises:
            raise TierError(f"{upper} does not follow on {lower}: borders meet, rates rise, leverage falls")
    return tuple(made)


def maintenance(tiers: Brackets, notional: int) -> int:
    """Maintenance margin of a position, cash units, rounded up."""
    return max(fills.ceil_div(notional * tier.maintenance_bps, fills.BPS) - tier.cum for tier in tiers)


def max_leverage(tiers: Brackets, notional: int) -> int:
    """Highest leverage at which a position of this notional may stand; 0 beyond the last tier."""
    for tier in tiers:
        if notional <= tier.cap:
            return tier.max_leverage
    return 0


def max_notional(tiers: Brackets, leverage: int) -> int:
    """Largest position at this leverage, cash units of notional; 0 where no tier knows so high a leverage."""
    most = 0
    for tier in tiers:
        if leverage <= tier.max_leverage:
            most = max(most, tier.cap)
    return most


def liquidation_price(tiers: Brackets, cost: int, margin: int, quantity: int, unit: int, side: int) -> int:
    """Where a position is liquidated, in ticks: at the first price at which any tier's line is reached.

    Arguments and rounding as in `market.fills.liquidation_price`; 0 for a long that cannot be liquidated.
    """
    first = 0
    for at, tier in enumerate(tiers):
        price = fills.liquidation_price(cost, margin, quantity, unit, side, tier.maintenance_bps, tier.cum)
        if at == 0 or side * (price - first) > 0:
            first = price
    return first
