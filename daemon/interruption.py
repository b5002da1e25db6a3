"""Interruption: Ctrl-C while modules are imported ends the process quietly, where Python would show a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130


@contextmanager
def quiet() -> Iterator[None]:
    """Around imports, while nothing is open yet: Ctrl-C leaves at once, with the exit code of an interruption."""
    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def leave(*_: Any) -> None:
    """Leave at once: an exception would come up in the middle of somebody's import, who may take it for a fault."""
    os._exit(INTERRUPTED)
