"""One unit of work, the same wherever it runs: with so many threads, and errors that reach the caller whole."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

from threadpoolctl import threadpool_limits

from market.cluster import ExecutorError

_LONGEST_NAME = 120


@dataclass(frozen=True)
class Failure:
    """An error on its way to another process, with the traceback of where it happened."""

    error: Any
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The error as it can travel: itself, or put together of its parts, or at the least what it says."""
        for parcel in (error, _InParts(error)):
            try:
                arrived = ForkingPickler.loads(ForkingPickler.dumps(parcel))
                whole = type(arrived) is type(error) and str(arrived) == str(error)
            except Exception:
                continue
            if whole:
                return cls(parcel, _trace(error))
        return cls(ExecutorError(f"{type(error).__name__}: {error}"), _trace(error))

    def throw(self) -> NoReturn:
        """Raise it here, with a note of where it came from."""
        self.error.add_note(f"It was raised by a worker:\n{self.trace}")
        raise self.error


class _InParts:
    """An error whose constructor wants other arguments than it keeps, such as `ModelSetError(what, where, remedy)`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _joined, (type(self._error), self._error.args, vars(self._error))


def _joined(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


def attempt(function: Callable[[Any, Any], Any], context: Any, unit: Any, threads: int) -> Any:
    """`function(context, unit)` on `threads` threads, or the `Failure` of it."""
    try:
        with limited(threads):
            return function(context, unit)
    except Exception as error:
        return Failure.of(error)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Hold torch, BLAS and OpenMP, as far as they are loaded, at `threads` threads: sums depend on their number."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else threads
    with threadpool_limits(threads):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def named(number: int, units: Sequence[Any]) -> str:
    """How an error names a unit: ``unit 3 of 12 (fold 1, seed 2)``."""
    text = str(units[number])
    short = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return f"unit {number + 1} of {len(units)} ({short})"


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
