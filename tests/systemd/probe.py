"""Run by a unit with the hardening of the daemon: a real sshd, a real set, a child that gives way, one refusal."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import asyncssh

from market import synthetic
from models.inference import Predictor
from models.modelset import resolve

GIVES_WAY = """\
import json, os
from market.priority import give_way
give_way()
print(json.dumps([os.sched_getscheduler(0) == os.SCHED_IDLE, sorted(os.sched_getaffinity(0))]))
"""


async def who(known_hosts: str) -> str:
    """Who one is over there."""
    key = Path(os.environ["CREDENTIALS_DIRECTORY"]) / "REGIMEN_SSH_KEY"
    reach = {"port": 2222, "username": "root", "client_keys": [str(key)], "known_hosts": known_hosts}
    async with asyncssh.connect("127.0.0.1", config=None, **reach) as there:
        done = await there.run("id -un", check=True)
        return str(done.stdout).strip()


def predicted(store: Path) -> float:
    """P(long profitable) at the end of a synthetic market."""
    predictor = Predictor.load(resolve("starter", store.parent))
    candles, funding = synthetic.generate("BTCUSDT", bars=600, timeframe=predictor.timeframe, seed=3)
    return predictor.predict("BTCUSDT", candles, funding).p_long


def writable_and_executable() -> str:
    """What comes of asking for memory that may be written to and run."""
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        return "refused"
    return "granted"


def gives_way() -> str:
    """Whether a child that gives way, as the one that brings the history together does, is behind this one."""
    done = subprocess.run([sys.executable, "-c", GIVES_WAY], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr
    idle, cores = json.loads(done.stdout)
    mine = sorted(os.sched_getaffinity(0))
    return "behind" if idle and cores == (mine[1:] or mine) else f"idle: {idle}, cores {cores} of {mine}"


if __name__ == "__main__":
    store, known_hosts = Path(sys.argv[1]), sys.argv[2]
    told = {"ssh": asyncio.run(who(known_hosts)), "p_long": predicted(store), "child": gives_way()}
    sys.stdout.write(json.dumps(told | {"writable_and_executable": writable_and_executable()}) + "\n")
