"""Settled: a file gets its name once its content is on the disk, so that the name never stands for half of it."""

from __future__ import annotations

import os
from pathlib import Path


def settle(partial: Path, final: Path) -> None:
    """Flush a file, name it, and flush its folder."""
    flush(partial)
    partial.replace(final)
    flush(final.parent)


def flush(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
