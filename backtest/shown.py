"""Progress of a backtest on stderr: a bar on a terminal, one line a step elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Shown:
    """Called with (step, done, in all); names each step once, and draws a bar where there is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
        )

    def __enter__(self) -> Shown:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: str, done: int, of: int) -> None:
        if step != self._step:
            self._step = step
            if self._console.is_terminal:
                self._task = self._bar.add_task(step, total=of)
            else:
                self._console.print(step, highlight=False)
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=of)
