"""The venues there are, by the name that a configuration gives."""

from __future__ import annotations

import aiohttp

from daemon.config import DaemonConfig, credentials
from daemon.venues.binance.venue import Binance
from daemon.venues.bybit.venue import Bybit
from daemon.venues.venue import OnFrame, Venue

VENUES: dict[str, type[Venue]] = {venue.profile.id: venue for venue in (Binance, Bybit)}


def configured(config: DaemonConfig, on_frame: OnFrame, session: aiohttp.ClientSession | None = None) -> Venue:
    """The venue that a configuration names, not connected yet.

    Raises
    ------
    configs.ConfigError
        If the credentials are nowhere.
    """
    key, secret = credentials(config.exchange)
    venue = VENUES[config.exchange.id]
    return venue(key, secret, config.exchange.url, config.deadlines.request_s, on_frame, session)
