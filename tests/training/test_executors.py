"""Executors: wherever units run, the same results come back in the same order, and nothing is left running."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from market.cluster import ExecutorError
from models.modelset import ModelSetError
from tests.training import small_training, units
from tests.training.small_training import Part, small_market
from training import executors
from training.data import DataError
from training.executors import Executor, executor_options

ROOT = Path(__file__).resolve().parents[2]
FOLDS = [Part(end, seed) for end in (150, 220) for seed in (1, 2)]

no_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra: cluster)")


@pytest.fixture(scope="module")
def alone() -> list[dict[str, Any]]:
    """The folds and seeds, trained one after the other in this process."""
    return executors.run(small_training.train, small_market(), FOLDS)


def alike(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    """To 1e-6, name by name."""
    pairs = [(one[name], other[name]) for one, other in zip(some, others, strict=True) for name in one]
    return all(np.allclose(one, other, rtol=0, atol=1e-6) for one, other in pairs)


def children() -> set[int]:
    """Processes at work under this one, besides the one that watches over multiprocessing's semaphores.

    One that has ended, and whose end nobody has asked about yet, may stem from another file's tests.
    """
    found = [c for c in psutil.Process().children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in found if "resource_tracker" not in " ".join(child.cmdline())}


def until(true: Callable[[], Any], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"after {seconds} s: {what}"
        time.sleep(0.05)


def test_units_run_one_after_the_other_in_this_process() -> None:
    calls: list[tuple[int, int, int]] = []
    results = executors.run(units.square, 1, [3, 1, 2], on_done=lambda *call: calls.append(call))
    assert results == [10, 2, 5]
    assert calls == [(0, 3, 10), (1, 1, 2), (2, 2, 5)]
    assert set(executors.run(units.process_id, None, [1, 2])) == {os.getpid()}


def test_processes_give_results_in_the_order_of_units_and_tell_each_as_it_comes() -> None:
    before, calls = children(), list[tuple[int, int, int]]()
    results = executors.run(
        units.square, 1, [0, 9, 8, 7], "process", workers=2, on_done=lambda *call: calls.append(call)
    )
    assert results == [1, 82, 65, 50]
    assert sorted(calls) == [(0, 0, 1), (1, 9, 82), (2, 8, 65), (3, 7, 50)]
    assert children() == before


def test_several_processes_share_the_work() -> None:
    workers = executors.run(units.process_id, None, range(6), "process", workers=2)
    assert len(set(workers)) == 2
    assert os.getpid() not in workers


def test_training_in_processes_gives_the_weights_of_training_here(alone: list[dict[str, Any]]) -> None:
    assert alike(executors.run(small_training.train, small_market(), FOLDS, "process", workers=2), alone)
    assert not alike(alone[:1], alone[1:2])  # another seed is another network


@pytest.mark.parametrize("threads", [1, 2])
def test_a_unit_has_the_threads_it_was_given(threads: int) -> None:
    (here,) = executors.run(small_training.threads_of, None, [0], threads=threads)
    (there,) = executors.run(small_training.threads_of, None, [0], "process", workers=1, threads=threads)
    assert here[0] == threads
    assert there == (threads, str(threads), "passive")


def test_what_a_worker_raises_reaches_the_caller_as_itself() -> None:
    before = children()
    with pytest.raises(DataError, match="fold 1 has no candles; name a longer history") as caught:
        executors.run(units.lack_data, None, range(3), "process", workers=2)
    assert "lack_data" in caught.value.__notes__[0]  # where it was raised, for who reads a traceback
    with pytest.raises(ModelSetError) as whole:
        executors.run(units.break_set, None, [0], "process", workers=1)
    assert str(whole.value) == "models/sets/x: is damaged; fetch it again"
    assert whole.value.remedy == "fetch it again"
    assert children() == before


def test_what_cannot_travel_is_told_all_the_same() -> None:
    with pytest.raises(ExecutorError, match="HereOnlyError: of no module"):
        executors.run(units.local_error, None, [0], "process", workers=1)
    with pytest.raises(Exception, match="lambda"):
        executors.run(units.unsendable, None, [0], "process", workers=1)


def test_a_unit_whose_worker_is_killed_is_tried_again(tmp_path: Path) -> None:
    assert executors.run(units.fall_once, tmp_path, range(4), "process", workers=2) == [0, 10, 20, 30]
    assert (tmp_path / "1").exists()


def test_a_unit_that_ends_every_worker_is_named() -> None:
    before = children()
    with pytest.raises(ExecutorError, match=r"unit 3 of 3 \(2\) ended its worker process 3 times, at last by SIGKILL"):
        executors.run(units.fall_always, None, range(3), "process", workers=2)
    assert children() == before


def test_what_on_done_raises_ends_the_run() -> None:
    before = children()
    with pytest.raises(OSError, match="disk is full"):
        executors.run(units.square, 1, [7, 8, 9], "process", workers=2, on_done=_full)
    assert children() == before


def _full(number: int, unit: int, result: int) -> None:
    raise OSError("the disk is full")


@pytest.fixture
def lingering(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A run of its own whose two workers are at it, in a process group of its own; its process and theirs."""
    code = (
        "from pathlib import Path; from training import executors; from tests.training import units;"
        f"executors.run(units.linger, Path({str(tmp_path)!r}), range(4), 'process', workers=2)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: len(list(tmp_path.iterdir())) == 2, "two workers at work", 60)
    workers = {int(mark.name) for mark in tmp_path.iterdir()}
    yield parent, workers
    for each in (parent.pid, *workers):
        if psutil.pid_exists(each):
            os.kill(each, signal.SIGKILL)
    parent.wait()


def test_workers_end_with_a_parent_that_is_killed(lingering: tuple[subprocess.Popen[str], set[int]]) -> None:
    parent, workers = lingering
    parent.kill()
    parent.wait()
    until(lambda: not any(psutil.pid_exists(each) for each in workers), "an orphan is left")


def test_ctrl_c_ends_the_workers_at_once_and_they_say_nothing(
    lingering: tuple[subprocess.Popen[str], set[int]],
) -> None:
    parent, workers = lingering
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does it: to all of them
    _, told = parent.communicate(timeout=20)
    assert told.count("KeyboardInterrupt") == 1  # the parent's own
    assert not any(psutil.pid_exists(each) for each in workers)


def test_no_worker_hears_an_interrupt_the_first_included(
    lingering: tuple[subprocess.Popen[str], set[int]],
) -> None:
    _, workers = lingering
    for worker in workers:
        status = Path(f"/proc/{worker}/status").read_text()
        (blocked,) = re.findall(r"^SigBlk:\s*([0-9a-f]+)$", status, re.MULTILINE)
        assert int(blocked, 16) & 1 << signal.SIGINT - 1


def test_no_units_are_no_work() -> None:
    for executor in executors.EXECUTORS:
        assert executors.run(units.square, 1, [], executor) == []


def test_an_executor_of_another_name_is_refused() -> None:
    with pytest.raises(ExecutorError, match="serial, process, ray"):
        executors.run(units.square, 1, [1], "threads")


def test_the_options_say_where_units_run() -> None:
    seen: list[Executor] = []

    @click.command()
    @executor_options
    @click.option("--seed", type=int)
    def command(seed: int, executor: Executor) -> None:
        seen.append(executor)

    for line in ("", "--executor process --workers 3", "--executor ray --address auto --seed 2"):
        assert CliRunner().invoke(command, line.split()).exit_code == 0
    assert seen == [Executor(), Executor("process", 3), Executor("ray", None, "auto")]
    assert seen[0].run(units.square, 1, [2]) == [5]
    for wrong in ("--workers 3", "--executor process --address auto", "--executor threads"):
        assert CliRunner().invoke(command, wrong.split()).exit_code == 2


@no_ray
def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(ExecutorError, match="no Ray cluster answers"):
        executors.run(units.square, 1, [1], "ray", address="127.0.0.1:9")


@no_ray
def test_a_job_of_a_cluster_takes_the_cluster_that_it_is_a_job_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # as Ray sets it there
    with pytest.raises(ExecutorError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        executors.run(units.square, 1, [1], "ray")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match="cluster"):
        executors.run(units.square, 1, [1], "ray")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Cluster:
    """A Ray head and a second node on loopback, each with one core: processes that are ended with all they started."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{_free_port()}"
        host, port = self.address.split(":")
        self.head = self._start("--head", f"--port={port}", f"--node-ip-address={host}", "--include-dashboard=false")
        until(lambda: self._answers(host, int(port)), "no Ray head", 60)
        self.second = self._start(f"--address={self.address}", f"--node-ip-address={host}")

    @staticmethod
    def _start(*options: str) -> subprocess.Popen[bytes]:
        ray = Path(sys.executable).with_name("ray")
        small = ("--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats")
        return subprocess.Popen([ray, "start", "--block", *options, *small], stdout=subprocess.DEVNULL, cwd="/")

    @staticmethod
    def _answers(host: str, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    def end(self) -> None:
        for node in (self.second, self.head):
            node.terminate()
        for node in (self.second, self.head):
            node.wait(30)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    started = Cluster()
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def ray(cluster: Cluster) -> Iterator[Any]:
    """Connected with both nodes there; the units of these tests travel by value, since tests are not sent."""
    import ray

    from market.cluster import connected

    for module in (units, small_training):
        ray.cloudpickle.register_pickle_by_value(module)
    with connected(address=cluster.address):
        until(lambda: ray.cluster_resources().get("CPU", 0) == 2, "two nodes", 60)
        yield ray
    for module in (units, small_training):
        ray.cloudpickle.unregister_pickle_by_value(module)
    assert not ray.is_initialized()


@no_ray
@pytest.mark.slow
def test_a_cluster_gives_the_weights_of_training_here(ray: Any, cluster: Cluster, alone: list[dict[str, Any]]) -> None:
    calls: list[int] = []
    trained = executors.run(
        small_training.train,
        small_market(),
        FOLDS,
        "ray",
        address=cluster.address,
        on_done=lambda n, *_: calls.append(n),
    )
    assert alike(trained, alone)
    assert trained[0]["logits"].flags.writeable
    assert sorted(calls) == [0, 1, 2, 3]


@no_ray
@pytest.mark.slow
def test_a_task_whose_worker_is_killed_is_tried_again_on_ray(ray: Any, cluster: Cluster, tmp_path: Path) -> None:
    assert executors.run(units.fall_once, tmp_path, range(3), "ray", address=cluster.address) == [0, 10, 20]
    assert (tmp_path / "1").exists()
    with pytest.raises(ExecutorError, match=r"unit 3 of 3 \(2\) failed on Ray"):
        executors.run(units.fall_always, None, range(3), "ray", address=cluster.address)


@no_ray
@pytest.mark.slow
def test_what_a_task_raises_reaches_the_caller_as_itself(ray: Any, cluster: Cluster) -> None:
    with pytest.raises(DataError, match="fold 1 has no candles"):
        executors.run(units.lack_data, None, range(3), "ray", address=cluster.address)
    with pytest.raises(ModelSetError, match="fetch it again"):
        executors.run(units.break_set, None, [0], "ray", address=cluster.address)


@no_ray
@pytest.mark.slow
def test_more_cores_than_any_machine_has_are_refused(ray: Any, cluster: Cluster) -> None:
    with pytest.raises(ExecutorError, match="no machine of the Ray cluster has 99 cores"):
        executors.run(units.square, 1, [1], "ray", address=cluster.address, threads=99)


@no_ray
@pytest.mark.slow
def test_a_machine_that_dies_mid_run_leaves_its_units_to_the_others(
    ray: Any, cluster: Cluster, alone: list[dict[str, Any]]
) -> None:
    def end_the_second(number: int, unit: Part, result: dict[str, Any]) -> None:
        if cluster.second.poll() is None:
            for process in (*psutil.Process(cluster.second.pid).children(recursive=True), cluster.second):
                os.kill(process.pid, signal.SIGKILL)
            cluster.second.wait()

    trained = executors.run(
        small_training.train, small_market(), FOLDS * 2, "ray", address=cluster.address, on_done=end_the_second
    )
    assert cluster.second.poll() is not None
    assert alike(trained, alone * 2)
