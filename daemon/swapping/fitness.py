"""Fitness: whether a verified set is one for this daemon, by its manifest and the configuration alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from daemon import boot
from daemon.config import DaemonConfig, Mode
from daemon.venues.profile import Profile
from market.timeframes import Timeframe
from models.manifest import Manifest, utc_ms
from models.modelset import MANIFEST, STARTER, STORE, ModelSet, ModelSetError, arriving

SYNTHETIC = "synthetic"


def arrived(set_id: str, root: Path) -> ModelSet:
    """The set of the stores at `root`, every byte of it verified. Blocks.

    Raises
    ------
    ModelSetError
        If it is not there, half there, or broken.
    """
    folders = (root / STORE / set_id, root / STARTER / set_id)
    folder = next((f for f in folders if f.is_dir()), folders[0])
    partial = arriving(set_id, root / STORE)
    if not folder.is_dir() and partial.is_dir():
        remedy = "wait until it has arrived, or fetch it again"
        raise ModelSetError("the set is half-copied: it was not verified yet", partial, remedy)
    if folder.is_dir() and not (folder / MANIFEST).exists():
        raise ModelSetError("the set is half-copied: it has no manifest", folder, "copy it again, as a whole")
    return ModelSet.load(folder)


def misfits(
    manifest: Manifest, config: DaemonConfig, profile: Profile, served: Manifest, now_ms: int | None = None
) -> list[str]:
    """Everything that speaks against a set here, in words; empty where it fits.

    Parameters
    ----------
    profile : Profile
        Of the exchange.
    served : Manifest
        Of the set in service.
    """
    return list(_misfits(manifest, config, profile, served, time.time_ns() // 1_000_000 if now_ms is None else now_ms))


def _misfits(
    manifest: Manifest, config: DaemonConfig, profile: Profile, served: Manifest, now_ms: int
) -> Iterator[str]:
    data = manifest.data
    if not same_venue(data.venue, config):
        yield f"it was trained on {data.venue}, and this daemon trades at {config.exchange.id}"
    lacking = [s for s in config.symbols if s in served.data.symbols and s not in data.symbols]
    if lacking or not set(config.symbols) & set(data.symbols):
        traded = ", ".join(lacking or config.symbols)
        yield f"it was trained on {', '.join(data.symbols)}, and {traded} is traded here"
    if Timeframe.parse(data.timeframe) != config.decision:
        yield f"it reads {data.timeframe} candles, and decisions are made at {config.decision}"
    both_ways = 2 * config.swapping.taker_fee
    if data.labels.cost < both_ways:
        yield (
            f"its labels count a trade as paid from {data.labels.cost:g} on, and fees alone are {both_ways:g} here "
            f"(twice swapping.taker_fee); train it with labels.cost above that"
        )
    if utc_ms(manifest.expires) <= now_ms:
        past = "; a market of the past takes a spec with a long expires_days" if config.mode is Mode.SANDBOX else ""
        yield f"it expired at {manifest.expires}{past}"
    needed, missed = boot.unsubscribed(manifest, config)
    yield from needed
    # what was judged is what trades: a fallback is for a hole in the candles, not for ever
    yield from missed if config.mode is Mode.LIVE else ()
    if untold := boot.unreadable(manifest, profile):
        yield f"it reads {untold[0]}, which {profile.name} does not tell"


def same_venue(venue: str, config: DaemonConfig) -> bool:
    """Whether a set's venue is the daemon's; the synthetic market is traded in the sandbox alone."""
    if venue == SYNTHETIC:
        return config.mode is Mode.SANDBOX
    return re.sub(r"[^a-z0-9]", "", venue.lower()) == config.exchange.id
