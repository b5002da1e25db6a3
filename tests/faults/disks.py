"""Acts on the daemon's disk: files that are torn, and a disk that is full."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from tests.faults.stage import NotSurvived, Stage

SPARE_BYTES = 4096


@dataclass(frozen=True)
class Tear:
    """Files of the state directory are cut off behind this share of their length; 0 removes them."""

    pattern: str
    keep: float

    def __call__(self, stage: Stage) -> None:
        files = sorted(stage.host.state.glob(self.pattern))
        if not files:
            raise NotSurvived(f"no {self.pattern} in {stage.host.state}: nothing was torn")
        for file in files:
            if self.keep:
                with file.open("r+b") as opened:
                    opened.truncate(int(file.stat().st_size * self.keep))
            else:
                file.unlink()


@dataclass(frozen=True)
class Ballast:
    """The daemon can write no file beyond its present size: to it, the disk is full.

    A limit on the running process stands in for the file system, which only root could make small: Python ignores the
    signal that comes with it, and the write fails as on a full disk.
    """

    def __call__(self, stage: Stage) -> None:
        largest = max(file.stat().st_size for file in stage.host.state.glob("journal.sqlite*"))
        limit = largest + SPARE_BYTES
        resource.prlimit(stage.host.pid, resource.RLIMIT_FSIZE, (limit, limit))
