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
    """One thing that was looked at.

    Attributes
    ----------
    what : str
        The thing.
    good : bool or None
        Whether it is as it must be; None where it does not apply, which is no praise.
    text : str
        How it is.
    remedy : str
        What to do; empty where the text says it, or nothing is to be done.
    """

    what: str
    good: bool | None
    text: str
    remedy: str = ""


def told(finding: Finding) -> str:
    """How it is, and what to do, on one line."""
    return f"{finding.text}; {finding.remedy}" if finding.remedy else finding.text


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
    yield await clock(venue)
    yield await key(venue, live)
    yield await stops(venue, probe)
    yield account(venue)


def account(venue: Venue) -> Finding:
    """An opened account is in the modes that are traded; which symbols are."""
    traded = [s for s in venue.instruments if s not in venue.suspended]
    return Finding("account", True, "one-way, single-asset; " + (", ".join(traded) or "no symbol trades now"))


async def clock(venue: Venue) -> Finding:
    """The host's clock beside the exchange's."""
    before = time.time_ns()
    server = await venue.server_time()
    skew = server - (before + time.time_ns()) // 2_000_000
    remedy = "let the host keep time (timedatectl set-ntp true)" if abs(skew) > WORTH_TELLING_MS else ""
    return Finding("clock", abs(skew) <= MOST_SKEW_MS, f"{-skew:+d} ms from the exchange's", remedy)


async def key(venue: Venue, live: bool) -> Finding:
    """What the key may do, and must not."""
    try:
        may = await venue.permissions()
    except NotSent:
        raise
    except Refused as error:
        return Finding("key", not live, f"its rights cannot be read: {error}")
    if may.withdraw:
        return Finding("key", False, "it may withdraw", "take that right from it at the exchange")
    if not may.trade:
        return Finding("key", False, "it may not trade futures", "give it that right at the exchange")
    told, todo = ["may trade, may not withdraw"], []
    if may.transfer:
        told.append("may transfer between accounts")
        todo.append("take the right to transfer from it: the daemon needs none")
    if may.days_left is not None:
        told.append(f"ends in {may.days_left} days")
        todo.append("renew it in time; one that is bound to addresses lasts")
    if may.bound_to_address:
        told.append("bound to addresses")
    else:
        told.append("bound to no address")
        todo.append("bind it to this host's address at the exchange")
    return Finding("key", True, "; ".join(told), "; ".join(todo))


async def stops(venue: Venue, probe: str) -> Finding:
    """Whether the exchange takes conditional orders the way they are sent."""
    symbol = next((s for s in venue.instruments if s not in venue.suspended), None)
    if symbol is None:
        return Finding("stops", None, "not tried: no symbol trades now")
    try:
        await venue.probe_stops(symbol, probe)
    except NotSent:
        raise
    except Refused as error:
        text = f"a stop could not be asked for: {error}"
        return Finding("stops", False, text, "a newer version may know the new way")
    return Finding("stops", True, "the exchange takes conditional orders")
