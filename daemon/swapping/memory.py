"""Memory: what closed sets leave behind is given back to the system.

Opening a set takes some megabytes in small pieces, from several threads; the C library keeps them for later, in as many
heaps, and fifty swaps would add a sixth to the process. Measured by benchmarks/swap.py.
"""

from __future__ import annotations

import ctypes
from typing import Any


def give_back() -> None:
    """Return what the C library holds and nobody uses; blocks for some milliseconds, and does nothing where it cannot.

    Source: malloc_trim(3), glibc.
    """
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
