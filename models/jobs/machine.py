"""Processes of this machine, named so that a number used again is not taken for the one it named before."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """What names this boot of the machine; empty where the system does not say."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def began(pid: int) -> int | None:
    """When the process began, in clock ticks after the boot; None if there is none, or the system does not say."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the name, in brackets, may hold anything
    return int(told.rpartition(")")[2].split()[19])


def end_group(leader: int, leader_began: int | None) -> None:
    """Kill what is left of the process group, unless its leader's number names another process by now.

    A number is not given away while a group is called by it: where nobody has it, the group is the one that was meant.
    """
    there = began(leader)
    if leader_began is not None and there is not None and there != leader_began:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
