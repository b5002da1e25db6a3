"""Executors: wherever variants are played, the same columns come back in the same order."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.sweep import executors
from backtest.sweep.work import Played, Work
from market.cluster import ExecutorError
from strategy.live_config import Rules
from tests.backtest.sweep.small import some_rules, work

no_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra: cluster)")


def same(one: Played, other: Played) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Played))


def told(calls: list[tuple[int, int]]) -> Any:
    return lambda done, of: calls.append((done, of))


@pytest.fixture(scope="module")
def job() -> Work:
    return work()


@pytest.fixture(scope="module")
def alone(job: Work) -> Played:
    return executors.serial(job, some_rules(), lambda done, of: None)


def test_variants_are_played_in_order_and_progress_is_told(job: Work) -> None:
    calls: list[tuple[int, int]] = []
    played = executors.serial(job, some_rules(), told(calls))
    assert len(played.equity) == 9
    assert played.trades[0] > played.trades[-1] > 0  # a higher threshold, fewer trades
    assert calls[-1] == (9, 9)
    one = job.play(some_rules()[4:5])
    assert same(played.rows(slice(4, 5)), one)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_give_what_one_after_the_other_gives(job: Work, alone: Played, workers: int) -> None:
    calls: list[tuple[int, int]] = []
    assert same(executors.threads(job, some_rules(), told(calls), workers), alone)
    assert calls[-1] == (9, 9)


def broken(prepared: Any, rules: Rules, *rest: Any) -> Any:
    raise ValueError(f"cannot play {rules.name}")


def test_what_fails_in_a_thread_is_raised(job: Work) -> None:
    with pytest.raises(ValueError, match="cannot play live"):
        executors.threads(replace(job, simulate=broken), some_rules(), lambda done, of: None, 2)


@no_ray
@pytest.mark.slow
def test_ray_on_this_machine_gives_what_one_after_the_other_gives(job: Work, alone: Played) -> None:
    import ray

    calls: list[tuple[int, int]] = []
    assert same(executors.on_ray(job, some_rules(), told(calls), workers=2), alone)
    assert calls[-1] == (9, 9)
    assert not ray.is_initialized()  # it ended what it started
    with pytest.raises(ExecutorError, match="cannot play live"):
        executors.on_ray(replace(job, simulate=broken), some_rules(), told(calls), workers=2)


@pytest.fixture
def cluster() -> Iterator[str]:
    """The head of a cluster with two workers on loopback, a process that is ended with all it started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false")
    ray = Path(sys.executable).with_name("ray")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [ray, "start", "--head", "--block", *options], env=environment, stdout=subprocess.DEVNULL, cwd="/"
    )
    try:
        _answers(port)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(30)


def _answers(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no Ray head at port {port} after half a minute")


@no_ray
@pytest.mark.slow
def test_a_cluster_elsewhere_gets_the_code_with_the_work(job: Work, alone: Played, cluster: str) -> None:
    assert same(executors.on_ray(job, some_rules(), lambda done, of: None, address=cluster), alone)


@no_ray
def test_a_cluster_that_does_not_answer_is_named(job: Work) -> None:
    with pytest.raises(ExecutorError, match="no Ray cluster answers"):
        executors.on_ray(job, some_rules(), lambda done, of: None, address="127.0.0.1:9")


def test_without_ray_the_extra_is_named(job: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match="cluster"):
        executors.on_ray(job, some_rules(), lambda done, of: None)
