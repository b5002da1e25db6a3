"""Where variants are played: one after the other, in threads, or as Ray tasks over the machines of a cluster.

Each takes the work and the rules and gives the same columns in the same order, to the last unit of cash.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from backtest.sweep.work import Played, Progress, Work
from market import cluster
from market.cluster import ExecutorError
from strategy.live_config import Rules

_CHUNKS_A_WORKER = 8
"""Enough for workers of unlike speed to end together."""
_LARGEST_CHUNK = 256


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
    workers = workers or cluster.cores()
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
    with cluster.connected(workers, address) as ray:
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


def _play_on_ray(rest: Work, prepared: Any, rules: Sequence[Rules]) -> Played:
    # Arrays of the object store are read-only, a type of its own to compiled code: a copy costs less than compiling.
    return replace(rest, prepared=copy.deepcopy(prepared)).play(rules)


def _chunks(rules: Sequence[Rules], workers: int) -> list[Sequence[Rules]]:
    size = max(1, min(_LARGEST_CHUNK, -(-len(rules) // (workers * _CHUNKS_A_WORKER))))
    return [rules[at : at + size] for at in range(0, len(rules), size)]
