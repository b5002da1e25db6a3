"""Batches: a thread that works off what it is given, in order; what is put while it works makes up the next batch.

The queue is bounded and putting never blocks. A batch that fails ends the thread: what it could not do stays undone,
and `failure` says why.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Batches(Generic[T]):
    """One worker thread.

    Parameters
    ----------
    name : str
        The thread's.
    work : callable
        Does one batch; called in the thread.
    bound : int
        The most items that may wait.
    ended : callable, optional
        Called in the thread when a batch failed.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[T]], None], bound: int, ended: Callable[[], None] | None = None
    ) -> None:
        self.failure: Exception | None = None
        self._work, self._bound, self._ended = work, bound, ended
        self._items: deque[T] = deque()
        self._turn = threading.Condition()
        self._busy = self._closing = False
        self._since = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._items)

    @property
    def taking_s(self) -> float:
        """How long the batch under way has taken so far, seconds; 0 for none."""
        return time.monotonic() - self._since if self._busy else 0.0

    def put(self, item: T) -> bool:
        """Queue an item; False if the queue is full or the thread has ended."""
        with self._turn:
            if self.failure is not None or self._closing or len(self._items) >= self._bound:
                return False
            self._items.append(item)
            self._turn.notify_all()
            return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until all that was put is done; False if it is not within the time, or never will be."""
        with self._turn:
            done = self._turn.wait_for(lambda: self.failure or not (self._items or self._busy), timeout_s)
            return bool(done) and self.failure is None

    def close(self, timeout_s: float) -> bool:
        """Do what waits, then end the thread; False if that did not succeed in time."""
        done = self.wait(timeout_s)
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        if done:
            self._thread.join()
        return done

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._items or self._closing)
                if not self._items:
                    return
                batch = list(self._items)
                self._items.clear()
                self._busy, self._since = True, time.monotonic()
            failure: Exception | None = None
            try:
                self._work(batch)
            except Exception as error:  # whatever it was, the owner is told
                failure = error
            with self._turn:
                self._busy, self.failure = False, failure
                self._turn.notify_all()
            if failure is not None:
                if self._ended is not None:
                    self._ended()
                return
