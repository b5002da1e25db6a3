"""Judging: has the gate say whether a set may come into service, as a job beside the daemon.

A fresh passing verdict for exactly this set, the present champion and the present thresholds is taken as it is.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from daemon.config import DaemonConfig
from daemon.retraining.freshness import FreshnessError
from daemon.retraining.job_folders import judging_folder
from daemon.swapping.rows import Swap
from models import promotion, verdicts
from models.jobs import folder as jobs
from models.jobs import supervision
from models.jobs.request import REQUEST, Judging
from models.modelset import CHAMPION, ModelSet, pointed
from models.promotion import PromotionRefused
from models.verdicts import GATE_FILE

log = logging.getLogger("daemon.judging")

POLL_S = 1.0
KEPT = 10
"""Judgements whose folders, with the history that they were made on, stay."""
FRESH = "history"
"""Folder beside the jobs in which fresh data is put before it is copied into one."""


class History(Protocol):
    """Fresh data for a judgement, as `daemon.retraining.freshness` prepares it."""

    @property
    def data(self) -> tuple[Path, ...]:
        """The decision's klines, then finer ones."""

    @property
    def funding(self) -> Path | None:
        """Funding rates."""

    @property
    def companion(self) -> Path | None:
        """Another symbol's klines."""


Prepare = Callable[[Path], Awaitable[History]]
"""Puts fresh data into a folder."""


_TAKES = {"unit": "regimen-backtest.path", "systemd": "the user's systemd", "process": "python -m backtest"}


class Refused(Exception):
    """A set that does not come into service; the message says why."""


class Interrupted(Exception):
    """A judgement that something ended which says nothing of the set (a shutdown, a kill); it may be begun again."""


class Judge:
    """Asks the gate.

    Parameters
    ----------
    prepare : callable, optional
        Brings fresh data; without it nothing can be judged here, and only a verdict that is there already counts.
    """

    def __init__(self, config: DaemonConfig, prepare: Prepare | None = None) -> None:
        self._config, self._prepare = config, prepare
        self._store = config.store
        self._jobs = judging_folder(config.state_dir)

    @property
    def gate(self) -> Path:
        """The thresholds in force."""
        return self._config.swapping.gate or GATE_FILE

    def take_up(self, config: DaemonConfig) -> None:
        """Go by another configuration from the next judgement on."""
        self._config = config

    async def judge(self, candidate: ModelSet, swap: Swap) -> str:
        """What lets the set into service, in words.

        Raises
        ------
        Refused
            If nothing does.
        Interrupted
            If the judgement was ended before it was made.
        FreshnessError
            If the history to judge it on cannot be had now.
        """
        if await asyncio.to_thread(pointed, CHAMPION, self._store) == candidate.id:
            return "it is the champion already, by promotions.jsonl"
        try:
            return f"{await asyncio.to_thread(self._standing, candidate)}, taken as it is"
        except PromotionRefused as refusal:
            lacking = str(refusal)
        if swap.forced:
            return f"forced by {swap.who}: {swap.body.get('force_reason', '')}; {lacking}"
        if candidate.path.parent.resolve() != self._store.resolve():
            raise Refused(
                "it is of the built-in starter store, whose sets know the synthetic market alone and are never promoted"
            )
        job = await self._job(candidate, swap, lacking)
        await self._carried_out(job)
        try:
            return await asyncio.to_thread(self._standing, candidate)
        except PromotionRefused as refusal:
            raise Refused(await asyncio.to_thread(self._why, candidate, str(refusal), job)) from refusal

    def _standing(self, candidate: ModelSet) -> str:
        champion = pointed(CHAMPION, self._store)
        found = promotion.sufficient(candidate, champion, self._store, _now_ms(), self.gate)
        return f"verdict of {found.made}: {found.verdict} against {found.champion or 'being flat'}"

    def _why(self, candidate: ModelSet, lacking: str, job: Path) -> str:
        """Why it was not let in: the verdict's own words, or the job's last ones where there is no verdict."""
        state = supervision.state(job)
        if state.phase != "done":
            return f"judging {state.phase}: {state.text or jobs.last_words(job)}"
        return lacking

    def verdict(self, set_id: str) -> str | None:
        """The word of the newest verdict on a set, for the row."""
        found = verdicts.read(set_id, self._store)
        return None if found is None else f"{found.verdict} ({found.made})"

    async def _job(self, candidate: ModelSet, swap: Swap, lacking: str) -> Path:
        """The job's folder, made unless a former life made it; one that was interrupted says nothing, and goes."""
        name = f"{candidate.id.lower()}-{swap.id}"
        made = self._jobs / name
        if await asyncio.to_thread(_interrupted, made):
            await asyncio.to_thread(shutil.rmtree, made, True)
        if await asyncio.to_thread((made / REQUEST).exists):
            return made
        if self._prepare is None:
            raise Refused(f"{lacking}. This daemon has no history to judge by itself: it has no section retraining")
        fresh = self._jobs / f"{name}.{FRESH}"
        await asyncio.to_thread(jobs.prune, self._jobs, KEPT - 1)
        try:
            found = await self._prepare(fresh)
            return await asyncio.to_thread(self._made, name, candidate, swap, found)
        except FreshnessError as error:
            if not error.lasting:
                raise  # no fault of the set: after a pause the stage is begun again
            raise Refused(f"it cannot be judged: its history cannot be brought together: {error}") from error
        except (jobs.JobError, OSError) as error:
            raise Refused(f"it cannot be judged: {error}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, fresh, True)

    def _made(self, name: str, candidate: ModelSet, swap: Swap, found: History) -> Path:
        rest = {"funding": found.funding, "companion": found.companion}
        work = Judging(
            challenger=candidate.id,
            champion=pointed(CHAMPION, self._store),
            root=str(self._config.model_sets),
            data=tuple(path.name for path in found.data),
            rules=str(self._config.rules),
            gate=None if self._config.swapping.gate is None else str(self._config.swapping.gate),
            **{key: None if path is None else path.name for key, path in rest.items()},
        )
        files = {path.name: path for path in (*found.data, *rest.values()) if path is not None}
        return jobs.prepare(self._jobs, name, swap.who, work, files, self._config.swapping.judging_s)

    async def _carried_out(self, job: Path) -> None:
        """Have the job carried out, and wait until it is over; one that runs since a former life is waited for."""
        how, patience_s = self._config.swapping.supervision, self._config.swapping.judging_s
        began = time.monotonic()
        try:
            await asyncio.to_thread(supervision.start, job, how, beside=True)
            while not (state := await asyncio.to_thread(supervision.state, job)).over:
                if state.phase == "waiting" and time.monotonic() - began > patience_s:
                    await asyncio.to_thread(supervision.cancel, job)
                    raise Refused(f"nobody took up its judgement within {patience_s} s; see whether {_TAKES[how]} runs")
                await asyncio.sleep(POLL_S)
            if await asyncio.to_thread(_interrupted, job):
                raise Interrupted(f"its judgement was interrupted: {state.text}")
        except jobs.JobError as error:
            raise Refused(f"it cannot be judged: {error}") from error

    async def cancel(self, swap: Swap) -> None:
        """Have a judgement that is under way ended; its row is over."""
        job = self._jobs / f"{swap.set_id.lower()}-{swap.id}"
        try:
            if await asyncio.to_thread((job / REQUEST).exists):
                await asyncio.to_thread(supervision.cancel, job)
        except jobs.JobError as error:
            log.warning("the judgement of %s could not be ended: %s", swap.set_id, error)


def _interrupted(job: Path) -> bool:
    try:
        result = supervision.state(job).result
    except jobs.JobError:
        return False  # whoever has it carried out says why
    return result is not None and result.outcome == "interrupted"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
