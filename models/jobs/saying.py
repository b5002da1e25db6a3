"""What a job says, kept within bounds: a job that never stops talking must not fill the disk that the journal is on.

Its words come through a pipe. The first of them go to the log as they come; of what follows the last part is kept in
memory, and written when the job is over, below a line that says how much was left out. So a log only ever grows, and
who follows it by byte offset never finds other bytes behind it.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO

FIRST_BYTES = 16 * 2**20
LAST_BYTES = 64 * 2**10
PART_BYTES = 64 * 2**10
TICK_S = 0.1
"""How long, once the job is over, nothing must come for it to have been all."""
LATE_BYTES = 2**20
LATE_S = 2.0
"""So much, and for so long, is still read then: who goes on talking outlived the job."""


class Saying:
    """The words of one job, from entering to leaving; `mouth` is the descriptor to give to its process.

    Parameters
    ----------
    log : binary file
        Where they go, unbuffered and appending.
    """

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._room = max(0, FIRST_BYTES - os.fstat(log.fileno()).st_size)
        self._last = bytearray()
        self._left_out = 0
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="words of the job", daemon=True)
        self._ear, self.mouth = os.pipe()

    def __enter__(self) -> Saying:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._over.set()
        self._listener.join()
        os.close(self.mouth)
        os.close(self._ear)
        if self._left_out:
            kept = f"a log keeps its first {FIRST_BYTES} and its last {LAST_BYTES}"
            self._last[:0] = f"\n[{self._left_out} bytes are left out here: {kept}]\n".encode()
        with suppress(OSError):  # a full disk: how the job ended is written to what was set aside for it
            self._write(bytes(self._last))

    def _listen(self) -> None:
        late, until = 0, math.inf
        while late < LATE_BYTES and time.monotonic() < until:
            over = self._over.is_set()  # asked first: what was said before the end is in the pipe by now
            if over and until == math.inf:
                until = time.monotonic() + LATE_S
            if select.select([self._ear], [], [], TICK_S)[0]:
                part = os.read(self._ear, PART_BYTES)
                late += len(part) if over else 0
                self._take(part)
            elif over:
                return

    def _take(self, part: bytes) -> None:
        now, part = part[: self._room], part[self._room :]
        self._room -= len(now)
        try:
            self._write(now)
        except OSError:  # no room on the disk: the work finds out by itself, and its last words are kept
            self._room, part = 0, now + part
        self._last += part
        if (beyond := len(self._last) - LAST_BYTES) > 0:
            self._left_out += beyond
            del self._last[:beyond]

    def _write(self, words: bytes) -> None:
        left = memoryview(words)
        while left:
            left = left[self._log.write(left) :]
