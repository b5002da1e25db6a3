"""Work beside a daemon that trades: behind everyone else, and off one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SAID = """
import json, os, subprocess, sys
from market.priority import give_way
give_way()
ask = "import json, os; print(json.dumps([os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))]))"
sys.stdout.write(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout)
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no such order of processes")
def test_what_gives_way_and_all_it_starts_is_idle_and_leaves_a_core() -> None:
    given = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=True)
    policy, cores = json.loads(given.stdout)
    mine = sorted(os.sched_getaffinity(0))
    assert policy == os.SCHED_IDLE
    assert cores == (mine[1:] or mine)


FORBIDDEN = """
import os
def forbidden(*given):
    raise PermissionError(1, "Operation not permitted")
os.nice = os.sched_setscheduler = os.sched_setaffinity = forbidden
from market.priority import give_way
give_way()
"""


def test_where_that_is_forbidden_the_work_goes_on() -> None:
    """As below a unit with a filter of system calls; in tests/systemd by the filter itself."""
    subprocess.run([sys.executable, "-c", FORBIDDEN], check=True)
