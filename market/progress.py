"""Progress: a bar on a terminal, one line per step elsewhere; always on stderr, so stdout stays the result's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Step:
    """One step in progress; `note` says what came of it, `doing` what it is at."""

    def __init__(self, title: str, steps: Steps) -> None:
        self.title, self._steps = title, steps
        self.result = ""

    def doing(self, what: str) -> None:
        """Show what the step is at, where there is a bar to show it on."""
        self._steps.show(f"{self.title}: {what}")

    def note(self, result: str) -> None:
        """Say what came of the step."""
        self.result = result


class Steps:
    """The steps of a run, counted.

    Parameters
    ----------
    console : Console
        Where they are shown (stderr).
    quiet : bool
        Show nothing.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self._console = console or Console(stderr=True, quiet=quiet, highlight=False)
        self._done = self._total = 0
        self._bar: Progress | None = None
        self.seconds: dict[str, float] = {}

    @contextmanager
    def running(self, total: int) -> Iterator[Steps]:
        """Show `total` steps until the block ends."""
        self._done, self._total = 0, total
        if not self._console.is_terminal or self._console.quiet:
            yield self
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._bar.add_task("starting", total=total)
            try:
                yield self
            finally:
                self._bar = None

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step: shown while it lasts, timed, and written as a line when it is done."""
        self.show(title)
        started = time.perf_counter()
        step = Step(title, self)
        yield step
        self.done(title, time.perf_counter() - started, step.result)

    def done(self, title: str, took: float, result: str = "") -> None:
        """Count a step that took so many seconds, here or elsewhere, and say what came of it."""
        self.seconds[title] = took
        self._done += 1
        line = f"[{self._done}/{self._total}] {title} ({took:.1f} s)" + (f"  {result}" if result else "")
        self._console.print(line, markup=False, soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def show(self, what: str) -> None:
        """Name what is at work, where there is a bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=what)
