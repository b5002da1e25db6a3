"""Daemons that kill themselves: each line on standard input is an instant of a swap, at which a life ends by SIGKILL.

``python -m tests.daemon.swapping.doomed CONFIG``; an instant is ``<stage>`` (its row was just written), ``before
<stage>`` (about to be), ``pointed`` (the champion pointer was moved, and nothing else) or ``pointed back``. Lives are
forked from a process that has everything imported, so that one costs a second. Prints the exit status of each.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.config import load_config
from daemon.runner import run_daemon
from daemon.swapping.rows import Swaps
from daemon.swapping.stages import Stage
from models import promotion


def die(*after: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doom(instant: str) -> None:
    """Let this process be killed there."""
    enter, promote, back = Swaps.enter, promotion.promote, promotion.roll_back

    def entered(self: Swaps, swap: Any, stage: Stage, reason: str) -> None:
        if instant == f"before {stage}":
            die()
        enter(self, swap, stage, reason)
        if instant == str(stage):
            die()

    def dying(work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: die(work(*given, **named))

    Swaps.enter = entered  # type: ignore[method-assign]
    if instant == "pointed":
        promotion.promote = dying(promote)
    if instant == "pointed back":
        promotion.roll_back = dying(back)


def main() -> None:
    config = load_config(Path(sys.argv[1]))
    import lightgbm  # noqa: F401
    import onnxruntime  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            doom(line.strip())
            os._exit(run_daemon(config, 40, True))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
