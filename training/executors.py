"""Where units of training are worked off: folds, seeds and members here, in processes, or as Ray tasks on a cluster.

A unit carries its seed and runs on a given number of threads, so it gives the same result wherever it runs. What is
kept between runs is the caller's matter (`training.kept`): `on_done` is told each result as it comes.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from market import cluster
from market.cluster import ExecutorError
from training import pool
from training.attempt import Failure, attempt, limited, named

Context = TypeVar("Context")
Unit = TypeVar("Unit")
Result = TypeVar("Result")
OnDone = Callable[[int, Any, Any], None]
"""Called with a unit's number (from 0), the unit and its result, in the caller's thread, as results come."""

SERIAL, PROCESS, RAY = "serial", "process", "ray"
EXECUTORS = (SERIAL, PROCESS, RAY)
_RETRIES = pool.TRIES - 1


@dataclass(frozen=True)
class Executor:
    """Where units run, as the command line says it.

    Attributes
    ----------
    kind : str
        ``serial``, ``process`` or ``ray``.
    workers : int, optional
        Units at once; by default as many as there are cores for.
    address : str, optional
        A running Ray cluster.
    """

    kind: str = SERIAL
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.kind == SERIAL:
            raise click.UsageError("--workers goes with --executor process or ray")
        if self.address is not None and self.kind != RAY:
            raise click.UsageError("--address goes with --executor ray")

    def run(
        self,
        function: Callable[[Context, Unit], Result],
        context: Context,
        units: Sequence[Unit],
        on_done: OnDone | None = None,
        *,
        threads: int | None = None,
        gpus: float = 0.0,
    ) -> list[Result]:
        """As `run`, there."""
        where = (self.kind, self.workers, self.address)
        return run(function, context, units, *where, on_done, threads=threads, gpus=gpus)


def executor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --executor, --workers and --address, handed over as one `executor: Executor`."""

    @click.option(
        "--executor",
        "kind",
        type=click.Choice(EXECUTORS),
        default=SERIAL,
        show_default=True,
        help="Where folds, seeds and members are trained.",
    )
    @click.option(
        "--workers", type=click.IntRange(1, 4096), help="Processes, or Ray tasks, at once. Default: all cores."
    )
    @click.option(
        "--address",
        metavar="ADDRESS",
        help="A running Ray cluster. Default: $RAY_ADDRESS, or one of its own.",
    )
    @wraps(command)
    def with_executor(*args: Any, kind: str, workers: int | None, address: str | None, **others: Any) -> None:
        command(*args, executor=Executor(kind, workers, address), **others)

    return with_executor


def run(
    function: Callable[[Context, Unit], Result],
    context: Context,
    units: Sequence[Unit],
    executor: str = SERIAL,
    workers: int | None = None,
    address: str | None = None,
    on_done: OnDone | None = None,
    *,
    threads: int | None = None,
    gpus: float = 0.0,
) -> list[Result]:
    """`function(context, unit)` of every unit, in their order.

    Parameters
    ----------
    function : callable
        At the top of a module, so that another process finds it by its name.
    context
        What all units share, such as a problem with its matrices: numpy arrays, no tensors. Sent to each worker once,
        and not to be written to.
    units : sequence
        What differs; each carries its seed.
    executor : str
        ``serial``: here, in order. ``process``: in processes of this machine. ``ray``: as tasks of a cluster.
    workers : int, optional
        Units at once, by default as many as there are cores for.
    address : str, optional
        Of a running Ray cluster; by default one of its own on loopback.
    on_done : callable, optional
        Told each result as it comes; what it raises ends the run.
    threads : int, optional
        Of a unit, by default 1. The same number gives the same sums, and so the same weights, on every executor.
    gpus : float
        Of a unit, on Ray: a share of a graphics card. Without one, Ray hides the cards from its tasks.

    Raises
    ------
    ExecutorError
        If Ray is absent or does not answer, no machine has the cores, or a unit ended its worker too often.
    Exception
        The first error a unit raises, as itself; the others are abandoned.
    """
    threads, tell = threads or 1, on_done or (lambda number, unit, result: None)
    if not units:
        return []
    if executor == SERIAL:
        return _serial(function, context, units, tell, threads)
    if executor == PROCESS:
        many = workers or max(1, cluster.cores() // threads)
        return pool.work_off(function, context, units, tell, many, threads, _environment(threads))
    if executor == RAY:
        return _on_ray(function, context, units, tell, workers, threads, gpus, address)
    raise ExecutorError(f"there is no executor {executor!r}; name one of {', '.join(EXECUTORS)}")


def _serial(
    function: Callable[[Any, Any], Any], context: Any, units: Sequence[Any], tell: OnDone, threads: int
) -> list[Any]:
    results = []
    for number, unit in enumerate(units):
        with limited(threads):
            results.append(function(context, unit))
        tell(number, unit, results[-1])
    return results


def _on_ray(
    function: Callable[[Any, Any], Any],
    context: Any,
    units: Sequence[Any],
    tell: OnDone,
    workers: int | None,
    threads: int,
    gpus: float,
    address: str | None,
) -> list[Any]:
    with cluster.connected(max(cluster.cores(), (workers or 1) * threads), address) as ray:
        _fits(ray, threads, gpus)
        task = ray.remote(_task).options(
            num_cpus=threads,
            num_gpus=gpus,
            max_retries=_RETRIES,
            runtime_env={"env_vars": _environment(threads)},
        )
        held, run_id = ray.put(context), uuid.uuid4().hex
        waiting, running, results = list(range(len(units))), dict[Any, int](), dict[int, Any]()
        # Ray itself knows how many fit, also when a machine joins later; only who asks for fewer waits here.
        many = workers or len(units)
        try:
            while waiting or running:
                while waiting and len(running) < many:
                    number = waiting.pop(0)
                    running[task.remote(function, held, run_id, units[number], threads)] = number
                ready, _ = ray.wait(list(running), num_returns=1)
                for reference in ready:
                    number = running.pop(reference)
                    try:
                        answer = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        raise ExecutorError(f"{named(number, units)} failed on Ray: {error}") from error
                    if isinstance(answer, Failure):
                        answer.throw()
                    # A copy: what the object store holds is read-only, and gone with the cluster.
                    results[number] = copy.deepcopy(answer)
                    tell(number, units[number], results[number])
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
    return [results[number] for number in range(len(units))]


_held: dict[str, Any] = {}
"""In a Ray worker: the context of the run it works for, under the run's id."""


def _task(function: Callable[[Any, Any], Any], context: Any, run_id: str, unit: Any, threads: int) -> Any:
    if run_id not in _held:
        _held.clear()
        # Arrays of the object store are read-only, which torch warns about: one copy for each worker.
        _held[run_id] = copy.deepcopy(context)
    return attempt(function, _held[run_id], unit, threads)


def _fits(ray: Any, threads: int, gpus: float) -> None:
    """Ray would wait for ever for a machine that is large enough."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(has.get("CPU", 0) >= threads and has.get("GPU", 0) >= gpus for has in machines):
        wanted = f"{threads} cores" + (f" and {gpus:g} graphics cards" if gpus else "")
        raise ExecutorError(
            f"no machine of the Ray cluster has {wanted} for a unit; take fewer, or start a worker there"
        )


def _environment(threads: int) -> dict[str, str]:
    """What must be said before the libraries of a worker are loaded."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return limits | {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
