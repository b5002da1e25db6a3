"""Retraining: what is trained, when next, and whether the place that does it can be reached and trusted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from configs import ConfigError
from daemon.config import DaemonConfig
from daemon.retraining.backend import Backend, BackendError
from daemon.retraining.chosen import backend
from daemon.retraining.config import Retraining
from daemon.retraining.cron import trigger
from daemon.retraining.places import Ssh
from daemon.retraining.spec import NotChecked, SpecError, misfits, read
from daemon.selftest import Finding

PLACE = "training place"
PROBE_S = 30.0


async def examine(config: DaemonConfig) -> list[Finding]:
    """Spec, schedule, place, and the pinned host key where it is reached over ssh."""
    section = config.retraining
    if section is None:
        return [Finding("retraining", None, "none is configured: sets are trained by hand, before they expire")]
    pinned = [_pinned(section.ssh)] if section.backend == "ssh" and section.ssh is not None else []
    asked = asyncio.to_thread(_spec, section.spec, config)
    spec, place, *keys = await asyncio.gather(asked, _place(section, config.state_dir), *pinned)
    return [spec, _schedule(section), *keys, place]


def _spec(file: Path, config: DaemonConfig) -> Finding:
    """Whether the spec can be trained, and its sets could serve here. Blocks."""
    what = "training spec"
    try:
        found = read(file)
    except SpecError as error:
        return Finding(what, False, "; ".join(error.lines), "mend it: every run fails at once until then")
    except NotChecked as error:
        return Finding(what, None, str(error))
    if against := misfits(found, config):
        return Finding(what, False, f"{file}: {'; '.join(against)}", "its sets would be refused, or never made")
    return Finding(what, True, f"{file}: {found.name}, {', '.join(found.members)}")


def _schedule(section: Retraining) -> Finding:
    others = [
        *(["by drift"] if section.on_drift else []),
        *([f"{section.expiry_days:g} days before expiry"] if section.expiry_days else []),
        "by `python -m daemon retrain`",
    ]
    if section.schedule is None:
        return Finding("schedule", None, f"none; sets are made {', '.join(others)}")
    now = datetime.now(UTC)
    due = trigger(section.schedule).get_next_fire_time(None, now)
    if due is None:
        return Finding("schedule", False, f"{section.schedule!r} never fires", "mend retraining.schedule")
    hours = (due - now).total_seconds() / 3_600
    text = f"{section.schedule!r} fires next at {due:%Y-%m-%dT%H:%MZ}, in {hours:,.1f} h; also {', '.join(others)}"
    return Finding("schedule", True, text)


async def _place(section: Retraining, state_dir: Path) -> Finding:
    place: Backend | None = None
    try:
        async with asyncio.timeout(PROBE_S):
            place = await asyncio.to_thread(backend, section, state_dir)
            return Finding(PLACE, True, f"{section.backend}: {await place.probe()}")
    except TimeoutError:
        text = f"{section.backend}: no answer within {PROBE_S:g} s"
        return Finding(PLACE, False, text, "is it on, and can it be reached from here? The daemon trades on meanwhile")
    except (BackendError, ConfigError) as error:
        return Finding(PLACE, False, f"{section.backend}: {error}", "" if _lasts(error) else "the daemon tries again")
    finally:
        if place is not None:
            await place.close()


def _lasts(error: BackendError | ConfigError) -> bool:
    return isinstance(error, ConfigError) or error.lasting


async def _pinned(ssh: Ssh) -> Finding:
    """Whether the file of known hosts holds a key of the machine."""

    def look() -> int:
        import asyncssh  # half a second, and cryptography, for who uses ssh alone

        host_keys, authorities, *_ = asyncssh.match_known_hosts(str(ssh.known_hosts), ssh.host, "", ssh.port)
        return len(host_keys) + len(authorities)

    remedy = f"`ssh-keyscan -p {ssh.port} {ssh.host}` into {ssh.known_hosts}, once you have compared it on that machine"
    try:
        count = await asyncio.to_thread(look)
    except (OSError, ValueError) as error:
        return Finding("host key", False, f"{ssh.known_hosts} cannot be read: {error}", remedy)
    name = ssh.host if ssh.port == 22 else f"[{ssh.host}]:{ssh.port}"
    if not count:
        return Finding("host key", False, f"{ssh.known_hosts} has none of {name}", remedy)
    return Finding("host key", True, f"{count} of {name} in {ssh.known_hosts}")
