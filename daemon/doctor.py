"""The doctor: what must be in order before the daemon is started, checked one by one."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from configs import ConfigError
from daemon import selftest
from daemon.alerts import Alerts, AlertsError
from daemon.boot import unreadable, unsubscribed
from daemon.config import DaemonConfig, Mode, alert_urls, load_config
from daemon.gateway import GatewayError
from daemon.identity import PROGRAM
from daemon.lock import Lock, LockError
from daemon.selftest import Finding
from daemon.swapping.naming import named
from daemon.venues.catalogue import VENUES, configured
from models.inference import Predictor
from models.modelset import ModelSetError
from strategy.live_config import load_rules
from strategy.phases import tighten

LEAST_FREE_BYTES = 200 * 1024 * 1024


async def examine(path: Path) -> AsyncIterator[Finding]:
    """Look at everything that the configuration at `path` needs; stops early if that cannot be read."""
    try:
        config = load_config(path)
        rules, tightened = tighten(load_rules(config.rules), config.phase_in_force)
    except ConfigError as error:
        yield Finding("configuration", False, str(error))
        return
    yield Finding("configuration", True, f"{config.mode}, {', '.join(config.symbols)}, rules {rules.name}")
    if config.phase_in_force:
        yield Finding("phase", True, f"{config.phase_in_force} tightens: {'; '.join(tightened) or 'nothing'}")
    yield _model_set(config)
    yield _state_dir(config.state_dir)
    yield _alerts(config)
    async for finding in _exchange(config):
        yield finding


def _model_set(config: DaemonConfig) -> Finding:
    try:
        predictor = Predictor.load(named(config), config.provider)
    except ModelSetError as error:
        return Finding("model set", False, str(error))
    if predictor.timeframe != config.decision:
        text = f"{predictor.id} reads {predictor.timeframe} candles, decisions are made at {config.decision}"
        return Finding("model set", False, text)
    if untold := unreadable(predictor.manifest, VENUES[config.exchange.id].profile):
        text = f"{predictor.id} reads {untold[0]}, which {config.exchange.id} does not tell"
        return Finding("model set", False, text)
    needed, missed = unsubscribed(predictor.manifest, config)
    if needed:
        return Finding("model set", False, "; ".join(needed))
    left = (predictor.expires_ms - time.time_ns() // 1_000_000) // 86_400_000
    return Finding("model set", left > 0, "; ".join((f"{predictor.id}, expires in {left} days", *missed)))


def _state_dir(folder: Path) -> Finding:
    try:
        with Lock(folder):
            free = shutil.disk_usage(folder).free
    except LockError as error:
        return Finding("state directory", True, f"a daemon runs in it, and a second one would be refused: {error}")
    except OSError as error:
        return Finding("state directory", False, f"{folder}: {error.strerror}; check the path and its permissions")
    enough = free >= LEAST_FREE_BYTES
    return Finding("state directory", enough, f"{folder}, {free // 2**20:,} MiB free")


def _alerts(config: DaemonConfig) -> Finding:
    try:
        urls = alert_urls(config.alerts)
        Alerts(urls, config.alerts.level)
    except (ConfigError, AlertsError) as error:
        return Finding("alerts", False, str(error))
    return Finding("alerts", True, f"{len(urls)} channels" if urls else "none; nobody will be told")


async def _exchange(config: DaemonConfig) -> AsyncIterator[Finding]:
    try:
        venue = configured(config, _ignore)
    except ConfigError as error:
        yield Finding("credentials", False, str(error))
        return
    try:
        began = time.monotonic()
        await venue.server_time()
        round_trip = 1_000 * (time.monotonic() - began)
        yield Finding("exchange", True, f"{config.exchange.url or config.exchange.id}, {round_trip:.0f} ms away")
        await venue.open(config.symbols)
        async for finding in selftest.examine(venue, f"{PROGRAM}-doctor", config.mode is Mode.LIVE):
            yield finding
    except GatewayError as error:
        yield Finding("exchange", False, str(error))
    finally:
        await venue.close()


def _ignore(private: bool, frame: Any) -> None:
    """Nothing is subscribed here."""
