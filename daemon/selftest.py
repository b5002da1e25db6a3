"""The self-test: what must hold of exchange, key and account before anything is traded, looked at one by one.

Run at each start, where a bad finding refuses it, and by the doctor.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from daemon.gateway import NotSent, Refused
from daemon.venues.venue import Venue

MOST_SKEW_MS = 30_000
"""Requests are dated by the exchange's clock, so a small difference does no harm; beyond this the host's is broken."""
WORTH_TELLING_MS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    text: str


async def examine(venue: Venue, probe: str, live: bool) -> AsyncIterator[Finding]:
    """Look at an opened venue, whose account is in one-way and single-asset mode by now.

    Parameters
    ----------
    probe : str
        The client id under which a stop is asked for that the exchange must refuse.
    live : bool
        Whether it is a real account, whose key must be known to have no right to withdraw.

    Raises
    ------
    NotSent, OutcomeUnknown
        If the exchange cannot be reached, or does not answer.
    """
    yield await _clock(venue)
    yield await _key(venue, live)
    yield await _stops(venue, probe)
    traded = [s for s in venue.instruments if s not in venue.suspended]
    text = "one-way, single-asset; " + (", ".join(traded) or "no symbol trades now")
    yield Finding("account", True, text)


async def _clock(venue: Venue) -> Finding:
    before = time.time_ns()
    server = await venue.server_time()
    skew = server - (before + time.time_ns()) // 2_000_000
    text = f"{-skew:+d} ms from the exchange's"
    if abs(skew) > WORTH_TELLING_MS:
        text += "; let the host keep time (timedatectl set-ntp true)"
    return Finding("clock", abs(skew) <= MOST_SKEW_MS, text)


async def _key(venue: Venue, live: bool) -> Finding:
    try:
        may = await venue.permissions()
    except NotSent:
        raise
    except Refused as error:
        return Finding("key", not live, f"its rights cannot be read: {error}")
    if may.withdraw:
        return Finding("key", False, "it may withdraw; take that right from it at the exchange")
    if not may.trade:
        return Finding("key", False, "it may not trade futures; give it that right at the exchange")
    return Finding(
        "key", True, "may trade, may not withdraw" + ("" if may.bound_to_address else "; bound to no address")
    )


async def _stops(venue: Venue, probe: str) -> Finding:
    symbol = next((s for s in venue.instruments if s not in venue.suspended), None)
    if symbol is None:
        return Finding("stops", True, "not tried: no symbol trades now")
    try:
        await venue.probe_stops(symbol, probe)
    except NotSent:
        raise
    except Refused as error:
        return Finding("stops", False, f"a stop could not be asked for: {error}; a newer version may know the new way")
    return Finding("stops", True, "the exchange takes conditional orders")
