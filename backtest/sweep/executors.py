"""Where variants are played: one after the other, in threads, or as Ray tasks over the machines of a cluster.

Each takes the work and the rules and gives the same columns in the same order, to the last unit of cash.
"""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from backtest.sweep.work import Played, Progress, Work
from strategy.live_config import Rules

ROOT = Path(__file__).resolve().parents[2]

_CHUNKS_A_WORKER = 8
"""Enough for workers of unlike speed to end together."""
_LARGEST_CHUNK = 256
_KNOCK_S = 5.0
_NOT_SENT = ("/.git", "/.venv", "/var", "/build", "/docs", "/tests", "/benchmarks", "/models/sets", "/models/starter")


class ExecutorError(RuntimeError):
    """The variants could not be played where they were meant to be."""


def serial(work: Work, rules: Sequence[Rules], progress: Progress) -> Played:
    """One after the other, in this thread."""
    done, parts = 0, []
    for chunk in _chunks(rules, 1):
        parts.append(work.play(chunk))
        done += len(chunk)
        progress(done, len(rules))
    return Played.joined(parts)


def threads(work: Work, rules: Sequence[Rules], progress: Progress, workers: int | None = None) -> Played:
    """In `workers` threads, by default as many as this process may use cores: the compiled loop holds no lock."""
    workers = workers or cores()
    chunks = _chunks(rules, workers)
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(work.play, chunk): len(chunk) for chunk in chunks}
        try:
            done = 0
            for future in as_completed(running):
                future.result()
                done += running[future]
                progress(done, len(rules))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Played.joined([future.result() for future in running])


def on_ray(
    work: Work, rules: Sequence[Rules], progress: Progress, workers: int | None = None, address: str | None = None
) -> Played:
    """As Ray tasks: the history goes into the object store once, chunks of rules go to wherever there is a core.

    Parameters
    ----------
    workers : int, optional
        Tasks at once; by default as many as there are cores.
    address : str, optional
        A running cluster (``auto``, ``HOST:6379``, ``ray://HOST:10001``), which gets this code with the work. Without
        it a Ray of its own is started on this machine's loopback, and ended.

    Raises
    ------
    ExecutorError
        If Ray is not installed, the cluster does not answer, or a task fails.
    """
    with _ray(workers, address) as ray:
        many = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(max_retries=3)(_play_on_ray)
        history, rest = ray.put(work.prepared), replace(work, prepared=None)
        chunks = _chunks(rules, many)
        waiting, running, parts, done = list(enumerate(chunks)), dict[Any, int](), dict[int, Played](), 0
        while waiting or running:
            while waiting and len(running) < many:
                number, chunk = waiting.pop(0)
                running[task.remote(rest, history, chunk)] = number
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                number = running.pop(reference)
                try:
                    parts[number] = ray.get(reference)
                except ray.exceptions.RayError as error:
                    raise ExecutorError(f"a Ray task failed: {error}") from error
                done += len(chunks[number])
                progress(done, len(rules))
    return Played.joined([parts[number] for number in range(len(chunks))])


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _play_on_ray(rest: Work, prepared: Any, rules: Sequence[Rules]) -> Played:
    # Arrays of the object store are read-only, a type of its own to compiled code: a copy costs less than compiling.
    return replace(rest, prepared=copy.deepcopy(prepared)).play(rules)


def _chunks(rules: Sequence[Rules], workers: int) -> list[Sequence[Rules]]:
    size = max(1, min(_LARGEST_CHUNK, -(-len(rules) // (workers * _CHUNKS_A_WORKER))))
    return [rules[at : at + size] for at in range(0, len(rules), size)]


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


@contextmanager
def _ray(workers: int | None, address: str | None) -> Iterator[Any]:
    """Ray, connected; ended afterwards if it was not there before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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
            ray.init(
                "local", num_cpus=workers or cores(), include_dashboard=False, _node_ip_address="127.0.0.1", **quiet
            )
    except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
        raise ExecutorError(f"Ray cannot be started or reached at {address or 'this machine'}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
