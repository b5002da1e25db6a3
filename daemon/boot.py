"""Boot: from a configuration to an exchange that answers, an account that may be traded, and a market that moves."""

from __future__ import annotations

import asyncio
import logging

from daemon import selftest
from daemon.alerts import Alerts
from daemon.backfill import Backfill
from daemon.commands import Purpose
from daemon.config import DaemonConfig, Mode, whence
from daemon.desk import Patience
from daemon.events import Meaning
from daemon.gateway import GatewayError, NotSent, OutcomeUnknown, Refused, SpeaksOtherwise
from daemon.identity import client_id
from daemon.selftest import told
from daemon.settings import Settings
from daemon.state import DaemonState
from daemon.streams import MarketStream
from daemon.venues.profile import Profile
from daemon.venues.venue import Venue
from market.backoff import Backoff
from market.instruments import Instrument
from market.timeframes import Timeframe, utc_text
from models.features import REGISTRY
from models.inference import Predictor
from models.manifest import Manifest
from strategy.live_config import Rules

log = logging.getLogger("daemon.boot")

TAKER_FLOW = {"trades", "taker_base", "taker_quote"}
"""Columns of klines that not every exchange tells."""


class BootError(Exception):
    """The daemon cannot start as things are; the message says what to change."""


async def reach(
    venue: Venue, config: DaemonConfig, state: DaemonState, deployment: str, stopping: asyncio.Event
) -> tuple[Instrument, ...] | None:
    """Open the venue, waiting for the exchange as long as it takes, and test it; None if told to stop meanwhile.

    Raises
    ------
    Refused
        If a symbol is not traded, or the account is in a mode the daemon does not trade.
    BootError
        If the exchange does not take the key, or the self-test finds something bad.
    """
    backoff = Backoff()
    while not stopping.is_set():
        try:
            instruments = await venue.open(config.symbols, state.attended)
            await _self_test(venue, config, deployment)
            return instruments
        except SpeaksOtherwise as error:
            pause = backoff.next()
            log.warning("%s; trying again in %.1f s", error, pause)
        except (OutcomeUnknown, NotSent) as error:
            pause = backoff.next()
            log.warning("the exchange cannot be reached (%s); trying again in %.1f s", error, pause)
        except Refused as error:
            if error.meaning is Meaning.BAD_KEY:
                raise BootError(f"the exchange does not take the key: {error} Check {whence(config)}") from error
            raise
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            pass
    return None


def check_features(predictor: Predictor, profile: Profile, state: DaemonState, alerts: Alerts) -> None:
    """A set that reads what the exchange's klines do not tell would refuse every candle.

    Raises
    ------
    BootError
        Unless there is something to look after.
    """
    if untold := unreadable(predictor.manifest, profile):
        told = (
            f"{predictor.id} reads trades or taker flow ({', '.join(untold[:3])}{', …' if untold[3:] else ''}), which "
            f"{profile.name} does not tell; train a set on its own klines"
        )
        if not state.attended:
            raise BootError(told)
        alerts.tell("critical", f"{told}: positions are looked after, and nothing is entered")


def unreadable(manifest: Manifest, profile: Profile) -> list[str]:
    """Features of a set that the exchange's klines do not tell."""
    names = (*manifest.features.names, *(manifest.finer.features.names if manifest.finer else ()))
    chosen = REGISTRY.chosen(tuple(dict.fromkeys(names)))
    return [] if profile.taker_flow else [f.name for f in chosen if TAKER_FLOW & set(f.needs)]


def unsubscribed(manifest: Manifest, config: DaemonConfig) -> tuple[list[str], list[str]]:
    """What a set reads and the configuration does not subscribe to: what it cannot do without, and what it can.

    Each is what to write into the configuration.
    """
    needed: list[str] = []
    missed: list[str] = []
    finer = manifest.finer_timeframe
    if finer is not None and str(finer) not in config.timeframes:
        named = ", ".join(m.name for m in manifest.models if m.timeframe is not None)
        wanted = sorted({*config.timeframes, str(finer)}, key=lambda text: Timeframe.parse(text).ms)
        told = f"{named} of model set {manifest.id} reads {finer} candles; write timeframes: [{', '.join(wanted)}]"
        (missed if manifest.ensemble.dead_member == "without" else needed).append(told)
    others = {symbol: manifest.companion_of(symbol) for symbol in config.symbols}
    lacking = {symbol: other for symbol, other in others.items() if other is not None and other not in config.symbols}
    if lacking:
        compared = ", ".join(f"{symbol} with {other}" for symbol, other in lacking.items())
        wanted = list(dict.fromkeys((*config.symbols, *lacking.values())))
        needed.append(f"model set {manifest.id} compares {compared}; write symbols: [{', '.join(wanted)}]")
    return needed, missed


async def _self_test(venue: Venue, config: DaemonConfig, deployment: str) -> None:
    """Refuse to start on an account that the daemon must not trade."""
    probe = client_id(deployment, 0, config.symbols[0], Purpose.STOP, 0)
    findings = [f async for f in selftest.examine(venue, probe, config.mode is Mode.LIVE)]
    for finding in findings:
        log.log(logging.ERROR if finding.good is False else logging.INFO, "%s: %s", finding.what, told(finding))
    if bad := [f"{f.what}: {told(f)}" for f in findings if f.good is False]:
        raise BootError("the self-test failed: " + "; ".join(bad))


async def check_market(backfill: Backfill, config: DaemonConfig, state: DaemonState) -> None:
    """A journal of another market's time would bar every decision: raise BootError instead.

    Where something is open, an exchange that does not answer is no reason not to look after it.
    """
    try:
        _, forming = await backfill.newest(config.symbols[0], config.decision_timeframe, 1)
    except GatewayError as error:
        if not state.attended:
            raise
        log.warning("the market's time cannot be read: %s", error)
        return
    if 0 <= forming < state.settled_bar:
        raise BootError(
            f"the journal in {config.state_dir} has decided the candle of {utc_text(state.settled_bar)}, "
            f"but the exchange is at {utc_text(forming)}: it is of another market; give another state_dir"
        )
    due = utc_text(forming + config.decision.ms)
    log.info("a decision at each close of %s; the next is due at %s", config.decision_timeframe, due)


async def demand_first_kline(market: MarketStream, state: DaemonState, patience_s: float, alerts: Alerts) -> None:
    """Without a market that moves a start has failed, unless there is something to look after; raises BootError."""
    try:
        async with asyncio.timeout(patience_s):
            await market.live.wait()
    except TimeoutError:
        told = f"no kline within {patience_s:g} s of the start"
        if not state.attended:
            raise BootError(f"{told}; is the address of the exchange's streams still right?") from None
        alerts.tell("critical", f"{told}: positions are looked after, and nothing is decided")


def settings(
    config: DaemonConfig,
    rules: Rules,
    deployment: str,
    instruments: tuple[Instrument, ...],
    max_hold_bars: int,
    leaving: set[str],
) -> Settings:
    """What the engine is built for; `leaving` are symbols kept for what is open in them alone."""
    deadlines = config.deadlines
    patience = Patience(
        answer_ms=int(deadlines.answer_s * 1000),
        protect_ms=int(deadlines.stop_read_back_s * 1000),
        reconcile_ms=int(deadlines.reconcile_s * 1000),
    )
    return Settings(
        deployment=deployment,
        instruments=instruments,
        timeframes=tuple(Timeframe.parse(t) for t in config.timeframes),
        decision=config.decision,
        rules=rules,
        max_hold_bars=max_hold_bars,
        batch_ms=int(deadlines.batch_s * 1000),
        patience=patience,
        foreign=config.foreign_positions,
        leaving=frozenset(leaving),
    )
