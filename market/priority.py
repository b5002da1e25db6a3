"""Priority: work that runs beside a daemon that trades gets what the daemon leaves, and never its core."""

from __future__ import annotations

import os
from contextlib import suppress

import click

beside_option = click.option(
    "--beside",
    is_flag=True,
    help="Take only what others leave of this machine, and of several cores leave one: for one where a daemon trades.",
)


def give_way() -> None:
    """Put this process, and all that it will start, behind everyone else: SCHED_IDLE, and not on the first core.

    A niced process still gets its slices, and the caches with them (sched(7): nice 19 weighs 15 to 1024, SCHED_IDLE 3,
    and is put aside as soon as another wakes). `benchmarks/swap.py` measures what either costs a decision. What the
    system does not have, or forbids, is left out: the work goes on.
    """
    with suppress(OSError):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            _, *others = sorted(os.sched_getaffinity(0))
            if others:
                os.sched_setaffinity(0, others)
