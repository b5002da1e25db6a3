"""The schedule of backups: one when the newest is old enough, so that restarts neither double nor forget it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path

from daemon.alerts import Alerts
from daemon.backup.config import Backup
from daemon.backup.taking import NAME, SCRATCH, folder_of, take

log = logging.getLogger("daemon.backup")

LOOK_S = 60.0
"""Between two looks at the clock: a host that slept is not waited for."""
AGAIN_S = 3_600.0
"""After a backup that failed, at most."""
STALE_S = 86_400.0
"""What a killed process has left half done is removed after so long."""


async def back_up(config: Backup, state_dir: Path, deployment: str, alerts: Alerts) -> None:
    """Take backups until cancelled. What goes wrong is told; the daemon trades on."""
    every_s = config.every_hours * 3_600
    folder = config.folder or folder_of(state_dir)
    failed_s = 0.0
    while True:
        try:
            newest = await asyncio.to_thread(_newest, folder, deployment)
            due = max(newest + every_s, failed_s + min(every_s, AGAIN_S))
            if (left := due - time.time()) > 0:
                await asyncio.sleep(min(left, LOOK_S))
                continue
            taken = await asyncio.to_thread(take, state_dir, folder, config.candles)
            log.info("backed up to %s", taken.path)
            if taken.left_out:  # the older ones stay: they may hold what this one lacks
                alerts.tell("warning", f"{taken.path} lacks what cannot be read: {'; '.join(taken.left_out)}")
            else:
                await asyncio.to_thread(_tidy, folder, deployment, config.keep)
        except Exception as error:  # whatever it is, it must not end the daemon
            failed_s = time.time()
            alerts.tell("warning", f"no backup was made: {error}")
            await asyncio.sleep(min(every_s, LOOK_S))  # a folder that cannot be looked into is not asked in a circle


def kept(folder: Path, deployment: str) -> list[Path]:
    """Backups of a deployment, oldest first; one that is removed meanwhile is none."""
    found = []
    for file in folder.glob(f"{NAME}-{deployment}-*.tar"):
        with contextlib.suppress(FileNotFoundError):
            found.append((file.stat().st_mtime, file))
    return [file for _, file in sorted(found)]


def _newest(folder: Path, deployment: str) -> float:
    """When the newest was made, seconds; 0 for none. A clock that was set back does not stop them."""
    found = kept(folder, deployment)
    made = found[-1].stat().st_mtime if found else 0.0
    return made if made <= time.time() + LOOK_S else 0.0


def _tidy(folder: Path, deployment: str, keep: int) -> None:
    for old in kept(folder, deployment)[:-keep]:
        old.unlink(missing_ok=True)
    for scratch in folder.glob(f"{SCRATCH}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - scratch.stat().st_mtime > STALE_S:
                shutil.rmtree(scratch)
