"""What the exchange's machinery does: how it fills, what it counts, and what its clock says."""

from __future__ import annotations

from market.exchange.depth import Depth, DepthError, Rest
from market.exchange.hand.wants import HandError, Reply, Wants
from market.exchange.venue import Venue


def depth(venue: Venue, wants: Wants) -> Reply:
    """How much one execution takes of an order, and when the rest follows: at-once, price, or command (`fill`)."""
    rest = Rest(wants.word("rest", tuple(Rest), Rest.AT_ONCE))
    try:
        venue.engine.depth = Depth.parse(wants.text("at_most"), rest, venue.engine.depth.seed)
    except DepthError as error:
        raise HandError(f"depth: at_most: {error}") from error
    return {"at_most": wants.text("at_most"), "rest": rest}


def fill(venue: Venue, wants: Wants) -> Reply:
    """Market orders that are filled in part have one more execution."""
    return {"orders": venue.engine.go_on(wants.symbol())}


def use_weight(venue: Venue, wants: Wants) -> Reply:
    """Another program at the same address uses up request weight, and orders where `orders` is sent."""
    orders = wants.whole("orders") if wants.has("orders") else 0
    venue.limits.use(venue.wall_ms(), wants.whole("weight"), orders)
    return dict(venue.limits.headers(orders=True))


def rate_limits(venue: Venue, wants: Wants) -> Reply:
    """Enforce the rate limits, or count only."""
    venue.limits.enforced = wants.flag("on")
    return {"enforced": venue.limits.enforced}


def ban(venue: Venue, wants: Wants) -> Reply:
    """Answer every request with 418 for so many `seconds`; 0 lifts a ban."""
    venue.limits.ban(venue.wall_ms(), 1_000 * wants.whole("seconds"))
    return {"banned_until": venue.limits.banned_until}


def clock(venue: Venue, wants: Wants) -> Reply:
    """Set the exchange's clock off the wall's by `offset_ms`, which may be negative."""
    venue.clock_offset_ms = wants.whole("offset_ms")
    return {"offset_ms": venue.clock_offset_ms}
