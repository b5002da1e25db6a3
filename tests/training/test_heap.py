"""The heap while a network trains: what is freed is taken again, and afterwards goes back to the system."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest

from training import heap

LARGE = 64 * heap.MIB


def faults() -> int:
    """Pages the kernel handed out while a large array was made, freed and made again."""
    np.ones(LARGE // 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(LARGE // 8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
def test_inside_freed_memory_is_taken_again_without_asking_the_kernel() -> None:
    with heap.kept():
        inside = faults()
    assert inside < faults() / 10


def test_an_error_inside_gets_out() -> None:
    with pytest.raises(ValueError, match="as it was"), heap.kept():
        raise ValueError("as it was")
