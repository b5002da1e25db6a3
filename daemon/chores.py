"""Chores: what is done again and again beside trading, each a task of its own until cancelled."""

from __future__ import annotations

import asyncio
import logging

from daemon.alerts import Alerts
from daemon.events import InstrumentRead, Tick
from daemon.gateway import OutcomeUnknown, Refused
from daemon.inbox import Inbox
from daemon.journal import Journal
from daemon.venues.venue import Venue

log = logging.getLogger("daemon.chores")

TICK_S = 0.1
CLOCK_SYNC_S = 1_800.0
SLOW_S = 1.0
"""A write that takes longer than so many seconds is told of."""


async def tick(inbox: Inbox, journal: Journal, alerts: Alerts) -> None:
    """Let time pass for the engine, and say when the journal has become slow."""
    slow = False
    while True:
        await asyncio.sleep(TICK_S)
        if not len(inbox):  # any event carries the time as well
            inbox.put(Tick())
        slow, before = journal.taking_s > SLOW_S, slow
        if slow and not before:
            alerts.tell("warning", "the journal's disk is slow or its file is locked: entries wait for it")


async def sync_clock(venue: Venue) -> None:
    """Measure the exchange's clock, by which requests are dated."""
    while True:
        await asyncio.sleep(CLOCK_SYNC_S)
        try:
            await venue.gateway.sync_clock()
        except (OutcomeUnknown, Refused) as error:
            log.warning("the exchange's clock could not be read: %s", error)


async def read_instruments(venue: Venue, inbox: Inbox, every_s: float) -> None:
    """Terms change while we run: margin tiers, limits, symbols that are suspended or come back."""
    for symbol, instrument in venue.instruments.items():  # one that was suspended in a former life may trade again
        inbox.put(InstrumentRead(instrument, symbol not in venue.suspended))
    while True:
        await asyncio.sleep(every_s)
        try:
            for read in await venue.read_again():
                inbox.put(read)
        except (OutcomeUnknown, Refused) as error:
            log.warning("the exchange's instruments could not be read again: %s", error)
