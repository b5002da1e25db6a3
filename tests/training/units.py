"""Units of work for the tests of executors: at the top of a module, where another process finds them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from models.modelset import ModelSetError
from training.data import DataError


def square(context: int, unit: int) -> int:
    """context + unit²; the later units are the faster ones."""
    time.sleep(0.02 * max(0, 5 - unit))
    return context + unit * unit


def process_id(context: Any, unit: Any) -> int:
    """Who works."""
    time.sleep(0.1)
    return os.getpid()


def fall_once(marks: Path, unit: int) -> int:
    """Unit 1 kills its worker, the first time."""
    mark = marks / f"{unit}"
    if unit == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return unit * 10


def fall_always(context: Any, unit: int) -> int:
    """Unit 2 kills whoever works on it."""
    if unit == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit


def lack_data(context: Any, unit: int) -> int:
    """Unit 1 lacks data."""
    if unit == 1:
        raise DataError("fold 1 has no candles; name a longer history")
    return unit


def break_set(context: Any, unit: int) -> int:
    """An error whose constructor takes more than it keeps."""
    raise ModelSetError("is damaged", "models/sets/x", "fetch it again")


def local_error(context: Any, unit: int) -> int:
    """An error that cannot travel: its class is known here alone."""

    class HereOnlyError(Exception):
        pass

    raise HereOnlyError("of no module")


def unsendable(context: Any, unit: int) -> Any:
    """A result that cannot travel."""
    return lambda: unit


def linger(marks: Path, unit: int) -> int:
    """Say who works, and work for a minute."""
    (marks / str(os.getpid())).touch()
    time.sleep(60)
    return unit
