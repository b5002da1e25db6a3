"""The C heap while a network trains on a CPU: what a step frees, the next step takes again.

A step makes and frees the same large tensors. glibc maps each of them anew, and the kernel then hands it out and clears
it page by page: a fifth of an LSTM's time, and half of a TFT's (`benchmarks/training.py`).
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# of <malloc.h>
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
NEVER = 2**31 - 1
MIB = 1 << 20


@contextmanager
def kept() -> Iterator[None]:
    """Keep freed memory inside; give it back to the system at the end. Does nothing where the C library is not glibc.

    It holds for the whole process, and costs about a third more memory at the peak.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        # glibc's own values, the thresholds where it moves them by itself once a program has used large blocks
        libc.mallopt(MMAP_MAX, 65_536)
        libc.mallopt(MMAP_THRESHOLD, 32 * MIB)
        libc.mallopt(TRIM_THRESHOLD, 64 * MIB)
        libc.malloc_trim(0)
