"""The deployment's id, kept beside the journal as well: who loses the journal still knows its own orders by it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

FILE = "deployment"


def recalled(folder: Path) -> str:
    """The id that was kept in the state directory, or a new one."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = (folder / FILE).read_text().strip()
        if re.fullmatch(r"[0-9a-f]{16}", kept):
            return kept
    return secrets.token_hex(8)


def keep(folder: Path, deployment: str) -> None:
    """Keep the id, replacing the file as a whole; what the disk refuses is left for the next start."""
    file = folder / FILE
    with contextlib.suppress(OSError):
        if file.is_file() and file.read_text().strip() == deployment:
            return
        fresh = file.with_suffix(".new")
        with fresh.open("w") as opened:
            opened.write(f"{deployment}\n")
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
