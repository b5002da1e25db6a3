"""The host: state directory and disk, databases, backups, alerts, and the units that systemd keeps."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from configs import ConfigError
from daemon.alerts import Alerts, AlertsError
from daemon.backup.schedule import kept
from daemon.backup.taking import folder_of
from daemon.config import DaemonConfig, Mode, alert_urls
from daemon.journal import deployment
from daemon.lock import Lock, LockError
from daemon.migrations.standing import State, look
from daemon.selftest import Finding

LEAST_FREE_BYTES = 200 * 1024 * 1024
SYSTEMD = Path("/run/systemd/system")
DAEMON, RETRAIN, BACKTEST = "regimen.service", "regimen-retrain.path", "regimen-backtest.path"
SHOWN = ("Id", "LoadState", "UnitFileState", "ActiveState", "Result", "NeedDaemonReload")
SYSTEMCTL_S = 10.0


def state(config: DaemonConfig) -> list[Finding]:
    """State directory and disk, the databases in it, and their backups."""
    return [_directory(config.state_dir), *_databases(config.state_dir), _backups(config)]


def alerts(config: DaemonConfig) -> list[Finding]:
    """Whether the channels can be used; nothing is sent."""
    try:
        urls = alert_urls(config.alerts)
        Alerts(urls, config.alerts.level)
    except (ConfigError, AlertsError) as error:
        return [Finding("alerts", False, str(error), "mend alerts.urls")]
    if urls:
        text = f"{len(urls)} channel{'s' if len(urls) > 1 else ''}, from {config.alerts.level} on"
        return [Finding("alerts", True, text, "`python -m daemon alert` sends one to try")]
    live = config.mode is Mode.LIVE
    return [Finding("alerts", False if live else None, "none; nobody will be told", "name a channel in alerts.urls")]


async def units(config: DaemonConfig) -> list[Finding]:
    """What systemd says of our units."""
    if not _systemd_runs():
        return [Finding("units", None, "no systemd here; nothing starts the daemon again by itself")]
    wanted = [DAEMON]
    if config.retraining is not None:
        wanted.append(BACKTEST)
        if config.retraining.backend == "local" and config.retraining.local.supervise == "unit":
            wanted.append(RETRAIN)
    asked = ("systemctl", "show", f"--property={','.join(SHOWN)}", *wanted)
    try:
        process = await asyncio.create_subprocess_exec(
            *asked, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return [Finding("units", None, f"systemctl cannot be run: {error.strerror}")]
    try:
        async with asyncio.timeout(SYSTEMCTL_S):
            out, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [Finding("units", False, f"systemctl did not answer within {SYSTEMCTL_S:g} s", "look at systemd itself")]
    if process.returncode:
        return [Finding("units", None, f"systemd does not tell: {complaint.decode(errors='replace').strip()}")]
    return judged(out.decode(errors="replace"))


def _systemd_runs() -> bool:
    return SYSTEMD.is_dir()


def judged(shown: str) -> list[Finding]:
    """What `systemctl show` told of our units, in blocks parted by an empty line; none installed is no fault."""
    blocks = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in shown.split("\n\n")]
    found = [block for block in blocks if "Id" in block]
    if all(block["LoadState"] == "not-found" for block in found):
        return [Finding("units", None, "none of ours is installed", "`make install` does it, to run as a service")]
    return [_unit(block) for block in found]


def _unit(told: Mapping[str, str]) -> Finding:
    name, active, file = told["Id"], told["ActiveState"], told.get("UnitFileState", "")
    what = f"unit {name}"
    text = f"{file or told['LoadState']}, {active}"
    if told["LoadState"] != "loaded":
        return Finding(what, False, told["LoadState"], "`make install` puts it there")
    if active == "failed":
        result = told.get("Result", "")
        remedy = f"`journalctl -u {name}` says why; then `systemctl reset-failed {name}` and start it"
        return Finding(what, False, f"{text} ({result})", remedy)
    if name.endswith(".path") and active != "active":
        return Finding(what, False, f"{text}: jobs wait for it for ever", f"`systemctl enable --now {name}`")
    if told.get("NeedDaemonReload") == "yes":
        return Finding(what, True, f"{text}; its file has changed", "`systemctl daemon-reload`")
    if file != "enabled":
        return Finding(what, True, f"{text}; it does not start with the host", f"`systemctl enable {name}`")
    return Finding(what, True, text)


def _directory(folder: Path) -> Finding:
    what = "state directory"
    try:
        with Lock(folder):
            free = shutil.disk_usage(folder).free
    except LockError as error:
        return Finding(what, True, f"a daemon runs in it, and a second one would be refused: {error}")
    except OSError as error:
        return Finding(what, False, f"{folder}: {error.strerror}", "check the path and its permissions")
    text = f"{folder}, {free // 2**20:,} MiB free"
    return Finding(what, free >= LEAST_FREE_BYTES, text, "" if free >= LEAST_FREE_BYTES else "free the disk")


def _databases(folder: Path) -> list[Finding]:
    verdicts = {State.CURRENT: True, State.OLDER: True, State.MISSING: None}
    return [Finding(each.database.name, verdicts.get(each.state, False), each.text) for each in look(folder)]


def _backups(config: DaemonConfig) -> Finding:
    section = config.backup
    folder = (section and section.folder) or folder_of(config.state_dir)
    found = kept(folder, deployment.recalled(config.state_dir))
    if not found:
        remedy = "`python -m daemon backup`, or a section `backup`"
        return Finding("backups", None, f"none of this deployment in {folder}", remedy)
    hours = (time.time() - found[-1].stat().st_mtime) / 3_600
    text = f"{len(found)} in {folder}, the newest {hours:,.1f} h old"
    late = section is not None and hours > 2 * section.every_hours
    told = (
        f"a running daemon takes one every {section.every_hours:g} h: look for its alerts" if late and section else ""
    )
    return Finding("backups", not late, text, told)
