"""The model set: that it can be used here and now, and that the champion is the one in service."""

from __future__ import annotations

import asyncio
import time

from daemon import control
from daemon.boot import unreadable, unsubscribed
from daemon.config import DaemonConfig
from daemon.selftest import Finding
from daemon.swapping.naming import named
from daemon.venues.catalogue import VENUES
from models.inference import Predictor
from models.modelset import CHAMPION, ModelSetError

WORTH_TELLING_DAYS = 7
DAY_MS = 86_400_000


def load(config: DaemonConfig) -> Predictor | ModelSetError:
    """The configured set, verified, its golden inputs answered; or why it cannot be used."""
    try:
        return Predictor.load(named(config), config.provider)
    except ModelSetError as error:
        return error


async def examine(config: DaemonConfig, loading: asyncio.Task[Predictor | ModelSetError]) -> list[Finding]:
    """The set, its expiry, and the set that a running daemon has in service."""
    loaded, serving = await asyncio.gather(asyncio.shield(loading), asyncio.to_thread(_serving, config))
    found = [Finding("model set", False, str(loaded))] if isinstance(loaded, ModelSetError) else _set(config, loaded)
    return [*found, _champion(config, serving)]


def _set(config: DaemonConfig, predictor: Predictor) -> list[Finding]:
    if predictor.timeframe != config.decision:
        text = f"{predictor.id} reads {predictor.timeframe} candles, decisions are made at {config.decision}"
        return [Finding("model set", False, text, "make decision_timeframe and the set agree")]
    if untold := unreadable(predictor.manifest, VENUES[config.exchange.id].profile):
        text = f"{predictor.id} reads {untold[0]}, which {config.exchange.id} does not tell"
        return [Finding("model set", False, text, "train a set on its own klines")]
    needed, missed = unsubscribed(predictor.manifest, config)
    if needed:
        return [Finding("model set", False, "; ".join(needed))]
    left = (predictor.expires_ms - time.time_ns() // 1_000_000) / DAY_MS
    golden = "its golden answers hold" if predictor.manifest.golden else "it has no golden answers"
    remedy = "train another, or let `retraining` do it" if left < WORTH_TELLING_DAYS else ""
    expiry = f"expires in {left:.0f} days" if left > 0 else "has expired: nothing is entered with it"
    return [Finding("model set", left > 0, "; ".join((f"{predictor.id}, {golden}, {expiry}", *missed)), remedy)]


def _champion(config: DaemonConfig, serving: str | None) -> Finding:
    """The set that ought to trade beside the one that does."""
    try:
        expected = named(config).name
    except ModelSetError as error:
        return Finding(CHAMPION, False, f"{config.model_set}: {error}")
    asked = expected if config.model_set == expected else f"{config.model_set} is {expected}"
    if serving is None:
        return Finding(CHAMPION, None, f"{asked}; no daemon runs to compare with")
    if serving != expected:
        remedy = f"`python -m daemon swap {expected}`, or a restart, brings it into service"
        return Finding(CHAMPION, False, f"{asked}, and {serving} is in service", remedy)
    return Finding(CHAMPION, True, f"{asked}, and in service")


def _serving(config: DaemonConfig) -> str | None:
    try:
        told = control.request(config.state_dir, "status").get("model_set")
    except (control.NotRunning, control.NoAnswer):
        return None
    return None if told is None else str(told)
