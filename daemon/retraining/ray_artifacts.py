"""The folder of artefacts: what a cluster's jobs leave for this machine, on a network disk that may hang."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import ValidationError

from daemon.retraining.arrival import arrive, arrived, place, room
from daemon.retraining.backend import BackendError
from daemon.retraining.places import Artifacts
from models.jobs.folder import FULL
from models.jobs.request import RESULT, SETS, Result

T = TypeVar("T")
_LONGEST_RESULT = 2**20
_COPY_S = 600.0
_PIECE = 2**20


class Shared:
    """The folder, read in two threads of its own: a disk that hangs takes them with it, and not the journal's.

    Nothing in it is believed: links are not followed, and what is brought from it is verified.
    """

    def __init__(self, config: Artifacts, patience_s: float) -> None:
        self._config, self._patience_s = config, patience_s
        self._threads = ThreadPoolExecutor(2, "ray-artifacts")
        self._bringing = threading.Lock()

    async def look(self) -> None:
        """Refuse to go on where there is no folder."""
        await self.on_disk(self._look)

    async def result(self, run_id: str) -> Result | None:
        """What the job wrote of its end, None if it is not over."""
        return await self.on_disk(lambda: self._result(run_id))

    async def text(self, name: str) -> str | None:
        """A short file of the folder, None if there is none."""
        return await self.on_disk(lambda: self._text(name))

    async def bring(self, result: Result, store: Path) -> Path:
        """Bring the set of a job into `store`, verified; gives its folder."""
        return await self.on_disk(lambda: self._bring(result, store), _COPY_S)

    async def on_disk(self, work: Callable[[], T], patience_s: float | None = None) -> T:
        """Do what waits for a disk.

        Raises
        ------
        BackendError
            If it fails, or takes longer than an answer may.
        """
        patience_s = patience_s or self._patience_s
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._threads, work), patience_s)
        except TimeoutError as error:
            raise BackendError(
                f"{self._config.here} does not answer within {patience_s:.0f} s; is its disk there?"
            ) from error
        except OSError as error:
            raise BackendError(
                f"the job's files cannot be read or written: {error}", lasting=error.errno in FULL
            ) from error

    def close(self) -> None:
        """Let go of the threads; one that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        if not self._config.here.is_dir():
            raise BackendError(f"there is no folder {self._config.here} to find the cluster's artefacts in; mount it")

    def _text(self, name: str) -> str | None:
        self._look()
        try:
            with _opened(self._config.here / name) as opened:
                return opened.read(_LONGEST_RESULT).decode(errors="replace")
        except FileNotFoundError:
            return None

    def _result(self, run_id: str) -> Result | None:
        written, file = self._text(f"{run_id}/{RESULT}"), self._config.here / run_id / RESULT
        if written is None:
            return None
        try:
            result = Result.model_validate_json(written)
        except ValidationError as error:
            what = error.errors(include_url=False)[0]["msg"]
            raise BackendError(f"{file} is no job's result: {what}; is it of this version?", lasting=True) from error
        if result.id != run_id:
            raise BackendError(f"{file} is the result of another job, {result.id}", lasting=True)
        return result

    def _bring(self, result: Result, store: Path) -> Path:
        with self._bringing:  # one that is given up goes on in its thread
            there = arrived(result, store)
            if there is not None:
                return there
            partial = place(result, store)
            came_from = self._config.here / result.id / SETS / str(result.set_id)
            shutil.rmtree(partial, ignore_errors=True)
            try:
                partial.mkdir(parents=True)
                self._copy(came_from, sorted(result.files), partial)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            return arrive(partial, result, store)

    @staticmethod
    def _copy(came_from: Path, names: list[str], partial: Path) -> None:
        """Copy the files named; so much at most that the journal still finds room on the same disk."""
        left = room(partial)
        for name in names:
            with _opened(came_from / name) as read, (partial / name).open("wb") as written:
                while piece := read.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise BackendError(
                            f"{came_from} is larger than a set may be, or than half of what is free on the disk of "
                            f"{partial}; free some, or look at what lies there", lasting=True,
                        )  # fmt: skip
                    written.write(piece)


def _opened(file: Path) -> BinaryIO:
    """A plain file of the other side, opened; a link is refused, for it might lead to a file of this side."""
    return open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
