"""A job as a transient unit of the user's own systemd, which ends it with all its children and outlives the login."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

from models.jobs.environment import COMPUTES
from models.jobs.folder import JobError
from models.jobs.request import LOG, Request
from models.jobs.running import CHECKOUT, GRACE_S

TAKEN = ("PATH", "LD_LIBRARY_PATH", "REGIMEN_CACHE")
"""What a job gets of its starter's environment: where programs and caches are, and how it computes. The rest is the
user's systemd's own; a key of an exchange is in neither."""
ASKED_S = 10.0


def unit_of(request: Request) -> str:
    """The unit's name."""
    return f"regimen-{request.id}"


def begin(folder: Path, request: Request, line: list[str], nice: int) -> None:
    """Have the user's systemd carry out a command line over a job, unless it does so already.

    Raises
    ------
    JobError
        If there is none, or one that ends with the login; the message says what to do.
    """
    if (told := lacking()) is not None:
        raise JobError(told)
    unit, log = unit_of(request), folder / LOG
    properties = {
        "StandardOutput": f"append:{log}",
        "StandardError": f"append:{log}",
        "WorkingDirectory": str(CHECKOUT),
        # the runner keeps the time-out itself and says so; this is for one that hangs
        "RuntimeMaxSec": str(request.timeout_s + 4 * int(GRACE_S)),
        "TimeoutStopSec": str(2 * int(GRACE_S)),
        "KillMode": "mixed",
        "Nice": str(nice),
    }
    told_so = ["systemd-run", "--user", f"--unit={unit}", "--collect", "--quiet", "--no-ask-password"]
    told_so += [f"--description=regimen {request.work.kind} {request.id}"]
    told_so += [part for key, value in properties.items() for part in ("--property", f"{key}={value}")]
    taken = {name: value for name, value in os.environ.items() if name in TAKEN or name.startswith(COMPUTES)}
    told_so += [f"--setenv={name}={value}" for name, value in taken.items()]
    # the unit's own reading of a command: $ and % mean something in it
    literal = [word.replace("$", "$$") for word in line]
    asked = subprocess.run([*told_so, "--", *literal], env=with_bus(), capture_output=True, text=True, check=False)
    if asked.returncode != 0 and not there(unit):
        raise JobError(f"systemd-run: {asked.stderr.strip() or asked.returncode}; {_remedy()}")


def there(unit: str) -> bool:
    """Whether the unit is at work."""
    asked = ["systemctl", "--user", "is-active", "--quiet", unit]
    return subprocess.run(asked, env=with_bus(), capture_output=True, check=False).returncode == 0


def lacking() -> str | None:
    """Why this user's systemd can carry out no job; None if it can.

    One that came with the login answers, and goes when the last login does, with all that it runs: that is asked too.
    """
    if _words(["systemctl", "--user", "show", "--property=Version", "--value"]) is None:
        return f"no systemd of {getpass.getuser()} answers; {_remedy()}"
    if _words(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"]) == "no":
        return f"the systemd of {getpass.getuser()} ends with the login, and jobs with it; {_remedy()}"
    return None


def with_bus() -> dict[str, str]:
    """The environment, in which a command that came over ssh finds the user's systemd.

    A login without PAM's session says nothing of it, and `su` leaves another user's.
    """
    own = f"/run/user/{os.getuid()}"
    here = [os.environ.get("XDG_RUNTIME_DIR", own), own]
    found = next((folder for folder in here if os.access(f"{folder}/systemd/private", os.W_OK)), None)
    return dict(os.environ) if found is None else os.environ | {"XDG_RUNTIME_DIR": found}


def _remedy() -> str:
    return (
        f"it takes the packages dbus and libpam-systemd and, once, `loginctl enable-linger {getpass.getuser()}` by "
        "root; or supervise jobs by `process`"
    )


def _words(line: list[str]) -> str | None:
    """What a command says; None if it fails or is not there."""
    try:
        asked = subprocess.run(
            line, env=with_bus(), capture_output=True, text=True, check=False, timeout=ASKED_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
