"""The connection to Ray: a cluster elsewhere, or one of its own on this machine's loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The program, which a cluster elsewhere gets with the work."""

_KNOCK_S = 5.0
_TOKEN = "if the cluster asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
"""Ray takes the token of ~/.ray unasked for a head it starts, but never for an address it is given."""
_NOT_SENT = ("/.git", "/.venv", "/var", "/build", "/docs", "/tests", "/benchmarks", "/models/sets", "/models/starter")


class ExecutorError(RuntimeError):
    """The work could not be done where it was meant to be."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def connected(cpus: int | None = None, address: str | None = None) -> Iterator[Any]:
    """Ray, connected; ended afterwards if it was not there before.

    Parameters
    ----------
    cpus : int, optional
        Cores of a Ray of its own; by default all that this process may use.
    address : str, optional
        A running cluster (``auto``, ``HOST:6379``, ``ray://HOST:10001``), which gets this code with the work. Without
        it the one of `RAY_ADDRESS`, which Ray itself sets in a job of its cluster; without that a Ray of its own is
        started on this machine's loopback, and ended.

    Raises
    ------
    ExecutorError
        If Ray is not installed, or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A job of a cluster has files of its own; its tasks are to get this code in their stead.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        import ray
    except ImportError as error:
        raise ExecutorError("--executor ray needs Ray, which is not installed: pip install '.[cluster]'") from error
    if ray.is_initialized():
        yield ray
        return
    if address:
        _reach(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address:
            ray.init(address, runtime_env={"working_dir": str(ROOT), "excludes": list(_NOT_SENT)}, **quiet)
        else:
            ray.init("local", num_cpus=cpus or cores(), include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError, ray.exceptions.RayError) as error:
        token = f"; {_TOKEN}" if address and os.environ.get("RAY_AUTH_MODE") != "token" else ""
        where = address or "this machine"
        raise ExecutorError(f"Ray cannot be started or reached at {where}: {error}{token}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Knock at the cluster's door: Ray itself would wait for it for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto`, which Ray finds out about at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ExecutorError(
            f"no Ray cluster answers at {address}: {error}; start one by `ray start --head`, or name another"
        ) from error
