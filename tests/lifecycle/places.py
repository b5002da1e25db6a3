"""Places that train for the proof: a machine behind a real sshd on loopback, and a Ray cluster of a head and a worker.

Each gives the part of the section `retraining` that reaches it, and is ended with all it started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests import ray_cluster, ssh_server
from tests.local_exchange import ROOT
from tests.ssh_server import SshServer

Place = Callable[[Path], AbstractContextManager[dict[str, Any]]]
"""Takes a folder of its own."""


@contextmanager
def over_ssh(folder: Path) -> Iterator[dict[str, Any]]:
    """A machine with this checkout on it, spoken to over ssh with a pinned host key."""
    server = SshServer(folder, {"REGIMEN_CACHE": str(folder / "cache")})
    server.start()
    try:
        yield {"backend": "ssh", "ssh": server.ssh().model_dump(mode="json"), "executor": "process"}
    finally:
        server.stop()


@contextmanager
def over_ray(folder: Path) -> Iterator[dict[str, Any]]:
    """A cluster that asks for a token; fits are spread over it."""
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    with ray_cluster.cluster() as cluster:
        os.environ["REGIMEN_RAY_TOKEN"] = cluster.token
        section = {
            "address": cluster.url, "python": sys.executable, "checkout": str(ROOT), "poll_s": 0.5,
            "artifacts": {"here": str(artifacts), "there": str(artifacts), "late_s": 5},
        }  # fmt: skip
        yield {"backend": "ray", "ray": section, "executor": "ray"}


PLACES: dict[str, Place] = {"ssh": over_ssh, "ray": over_ray}


def why_not(name: str) -> str | None:
    """Why a place cannot be set up here; None if it can."""
    if name == "ssh":
        return ssh_server.why_not()
    return ray_cluster.WHY_NOT if ray_cluster.MISSING else None
