"""The account and its exchange: clock, key, modes, leverage, stops; and that features come out live as from history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Collection, Mapping
from typing import Any

from configs import ConfigError
from daemon import selftest
from daemon.config import DaemonConfig, Mode
from daemon.doctor import parity
from daemon.events import Meaning
from daemon.gateway import GatewayError, OutcomeUnknown, Refused
from daemon.identity import PROGRAM
from daemon.selftest import Finding
from daemon.venues.catalogue import configured
from daemon.venues.venue import Terms, Venue
from models.inference import Predictor
from models.modelset import ModelSetError
from strategy.live_config import Rules


async def examine(
    config: DaemonConfig, rules: Rules, loading: asyncio.Task[Predictor | ModelSetError]
) -> list[Finding]:
    """Everything about the account, asked side by side once the exchange answers."""
    try:
        venue = configured(config, _ignore)
    except ConfigError as error:
        return [Finding("credentials", False, str(error))]
    try:
        return await _at(venue, config, rules, loading)
    finally:
        await venue.close()


async def _at(
    venue: Venue, config: DaemonConfig, rules: Rules, loading: asyncio.Task[Predictor | ModelSetError]
) -> list[Finding]:
    at = config.exchange.url or config.exchange.id
    try:
        began = time.monotonic()
        await venue.server_time()
        round_trip = 1_000 * (time.monotonic() - began)
    except GatewayError as error:
        return [Finding("exchange", False, str(error), "is its address right, and the network up?")]
    reached = Finding("exchange", True, f"{at}, {round_trip:.0f} ms away")
    modes = await _opened(venue, config)
    live = config.mode is Mode.LIVE
    if not venue.instruments:  # without a symbol or a key that is taken there is no more to ask
        return [reached, *await _told(("clock", selftest.clock(venue))), modes]
    found = await _told(
        ("clock", selftest.clock(venue)),
        ("key", selftest.key(venue, live)),
        ("stops", selftest.stops(venue, f"{PROGRAM}-doctor")),
        ("leverage", _leverage(venue, rules)),
    )
    return [reached, *found, modes, await _features(venue, config, loading)]


async def _opened(venue: Venue, config: DaemonConfig) -> Finding:
    """Open the venue; whether the account is in the modes that are traded."""
    try:
        await venue.open(config.symbols)
    except Refused as error:
        if error.meaning is Meaning.BAD_KEY:
            return Finding("key", False, f"the exchange does not take it: {error}", "check key and secret")
        return Finding("account", False, str(error))
    except OutcomeUnknown as error:
        return Finding("account", False, f"nothing was told of it: {error}")
    return selftest.account(venue)


async def _told(*asked: tuple[str, Awaitable[Finding]]) -> list[Finding]:
    """The findings of all, asked at once; an exchange that does not answer one is a finding about that one."""
    told = await asyncio.gather(*(work for _, work in asked), return_exceptions=True)
    found = []
    for (what, _), each in zip(asked, told, strict=True):
        if isinstance(each, Finding):
            found.append(each)
        elif isinstance(each, GatewayError):
            found.append(Finding(what, False, f"could not be read: {each}"))
        else:
            raise each
    return found


async def _leverage(venue: Venue, rules: Rules) -> Finding:
    terms, held = await asyncio.gather(venue.terms(), venue.holdings())
    return leverage(terms, held, max(rules.leverage))


def leverage(terms: Mapping[str, Terms], held: Collection[str], most: int) -> Finding:
    """Leverage and margin mode of each symbol. Both are set while flat, before an entry: only what is open counts."""
    told, crossed, higher = [], [], []
    for symbol, term in terms.items():
        is_open = symbol in held
        told.append(
            f"{symbol} {term.leverage}x {'isolated' if term.isolated else 'cross'}{', open' if is_open else ''}"
        )
        if is_open and not term.isolated:
            crossed.append(symbol)
        if is_open and term.leverage > most:
            higher.append(symbol)
    text = "; ".join(told)
    if crossed:
        remedy = (
            f"{', '.join(crossed)}: close it, or switch it to isolated at the exchange; nothing is entered till then"
        )
        return Finding("leverage", False, f"{text}: the whole wallet stands behind an open position", remedy)
    if higher:
        return Finding("leverage", True, f"{text}; the rules want at most {most}x, and set it once that is closed")
    return Finding("leverage", True, f"{text}; set to the rules' before each entry")


async def _features(venue: Venue, config: DaemonConfig, loading: asyncio.Task[Predictor | ModelSetError]) -> Finding:
    loaded = await asyncio.shield(loading)
    if isinstance(loaded, ModelSetError):
        return Finding("features", None, "no model set says which are wanted")
    try:
        return await parity.examine(venue, config, loaded)
    except GatewayError as error:
        return Finding("features", False, f"no candles were told: {error}")


def _ignore(private: bool, frame: Any) -> None:
    """Nothing is subscribed here."""
