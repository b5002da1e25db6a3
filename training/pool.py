"""Processes that work units off beside each other: started fresh, told the context once, ended with their parent.

Spawned, never forked: threads of torch and OpenMP do not survive a fork. The parent holds one pipe to each worker, so
that it knows which unit a worker was at when it died.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from market.cluster import ExecutorError
from training.attempt import Failure, attempt, named

TRIES = 3
"""How often a unit may end its worker before the run gives up."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    briefed: bool = False
    at: int | None = None
    """The unit it works on."""

    def give(self, number: int, unit: Any, briefing: memoryview) -> None:
        """Send it a unit, and before its first one what all units share; a dead worker is noticed at `receive`."""
        self.at = number
        with suppress(OSError):
            if not self.briefed:
                self.pipe.send_bytes(briefing)
                self.briefed = True
            self.pipe.send(unit)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def work_off(
    function: Callable[[Any, Any], Any],
    context: Any,
    units: Sequence[Any],
    on_done: Callable[[int, Any, Any], None],
    workers: int,
    threads: int,
    environment: Mapping[str, str],
) -> list[Any]:
    """What `function(context, unit)` gives for each unit, in their order, from `workers` processes.

    Raises
    ------
    ExecutorError
        If a unit ended its worker `TRIES` times.
    """
    briefing = ForkingPickler.dumps((function, context, threads))
    todo, deaths = deque(range(len(units))), Counter[int]()
    results = dict[int, Any]()
    crew: list[_Worker] = []
    try:
        for _ in range(min(workers, len(units))):
            crew.append(_start(environment))
        while len(results) < len(units):
            for worker in crew:
                if worker.at is None and todo:
                    number = todo.popleft()
                    worker.give(number, units[number], briefing)
            busy = {worker.pipe: worker for worker in crew if worker.at is not None}
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                number, worker.at = worker.at, None  # type: ignore[assignment]
                try:
                    answer = worker.pipe.recv()
                except (EOFError, OSError):
                    deaths[number] += 1
                    _judge(worker, deaths[number], named(number, units))
                    # Last in the row: where memory ran out, it is tried again when fewer work beside it.
                    todo.append(number)
                    crew[crew.index(worker)] = _start(environment)
                    continue
                if isinstance(answer, Failure):
                    answer.throw()
                results[number] = answer
                on_done(number, units[number], answer)
    finally:
        for worker in crew:
            worker.end()
    return [results[number] for number in range(len(units))]


def _judge(worker: _Worker, deaths: int, unit: str) -> None:
    worker.end()
    if deaths >= TRIES:
        code = worker.process.exitcode or 0
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        hint = "; memory may have run out: take fewer --workers" if code == -signal.SIGKILL else ""
        raise ExecutorError(f"{unit} ended its worker process {deaths} times, at last by {how}{hint}")


def _start(environment: Mapping[str, str]) -> _Worker:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,))
    resource_tracker.ensure_running()  # or the first start begins it, which lets interrupts in again
    try:
        with _set(environment), _interrupts_held():
            process.start()
    finally:
        theirs.close()
    return _Worker(process, ours)


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    """The environment a child inherits: OpenMP reads it when it is loaded, before any code of ours could say so."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches the parent alone, a little later: a child started now never sees it, and its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """A worker's life: it is briefed, answers units, and ends when its parent hangs up or is no more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        briefing = pipe.recv_bytes()
        try:
            function, context, threads = ForkingPickler.loads(briefing)
        except Exception as error:
            answer: Any = Failure.of(error)
            while True:
                pipe.recv()
                pipe.send(answer)
        del briefing
        while True:
            answer = attempt(function, context, pipe.recv(), threads)
            try:
                content = ForkingPickler.dumps(answer)
            except Exception as error:  # a result that cannot travel
                content = ForkingPickler.dumps(Failure.of(error))
            pipe.send_bytes(content)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
