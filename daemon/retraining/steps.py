"""Steps: the work that belongs to each state of a run. Each may be done twice, and ends in the next state."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from pydantic import ValidationError

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.retraining.backend import Backend, BackendError, JobStatus, Phase
from daemon.retraining.freshness import Freshness, Prepared
from daemon.retraining.job_folders import appended, inputs_folder, jobs_folder, size
from daemon.retraining.runs import Run, Runs, State, now_ms
from daemon.retraining.setback import Setback
from daemon.retraining.spec import NotChecked, SpecError, read
from market.backoff import Backoff
from models import trials
from models.jobs.folder import JobError, prepare, request_of
from models.jobs.request import LOG, REQUEST, Training

log = logging.getLogger("daemon.retraining")

Offer = Callable[[str, str, str | None], Awaitable[None]]
"""Takes a set that is in the store: its id, who asked, and the run that made it. It may be offered twice."""
Step = Callable[[Run], Coroutine[Any, Any, Run]]
POLL_S = 5.0
"""How often a backend is asked how far a job is, seconds."""
LAST_WORDS_S = 20.0
"""How long, once a job is over, the rest of its log is waited for."""
GRACE_S = 600.0
"""Beyond its time-out a job is given so long to be seen as ended; then it is told to."""
VERB_S = 2 * 3_600.0
"""Nothing that is asked of a backend takes longer than bringing gigabytes over a slow line."""
STATUS_S = 120.0
LONGEST_LOG = 64 * 2**20
"""Of a job's log so many bytes are brought here: a job that never stops talking must not fill the journal's disk."""


class Steps:
    """Does a step; failures are a Setback, a BackendError or a FreshnessError."""

    def __init__(
        self, config: DaemonConfig, runs: Runs, backend: Backend, freshness: Freshness, alerts: Alerts, offer: Offer,
        champion: Callable[[], str | None],
    ) -> None:  # fmt: skip
        assert config.retraining is not None
        self.config = config.retraining
        self.run: Run | None = None
        """The run whose step is done, as it is known."""
        self._state_dir, self._store = config.state_dir, config.store
        self._jobs = jobs_folder(config.state_dir)
        self._runs, self._backend, self._freshness, self._alerts = runs, backend, freshness, alerts
        self._offer, self._champion = offer, champion
        self.of: Mapping[State, Step] = {
            State.ASKED: self._start,
            State.PREPARING: self._prepare,
            State.SUBMITTED: self._attend,
            State.RUNNING: self._attend,
            State.FETCHING: self._fetch,
            State.OFFERED: self._hand_over,
            State.CANCELING: self._end,
        }

    async def _start(self, run: Run) -> Run:
        await _until(run.next_try_ms)
        told = f"attempt {run.attempt} of {self.config.attempts}"
        return await self._runs.move(run.id, State.PREPARING, told, next_try_ms=None)

    async def _prepare(self, run: Run) -> Run:
        """Make the job's folder and hand it over; a folder that is there is whole."""
        await self._turn(run)
        job = self._jobs / run.id
        if not await asyncio.to_thread((job / REQUEST).is_file):
            await self._check_spec()  # before gigabytes are fetched for it
            fresh = inputs_folder(self._state_dir, run.id)
            try:
                prepared = await self._freshness.prepare(fresh)
                await self._runs.note("run prepared", prepared.text, run.id)
                inputs = await asyncio.to_thread(self._made, run, prepared)
            finally:
                await asyncio.to_thread(shutil.rmtree, fresh, True)
            await self._runs.set(run.id, inputs=json.dumps(inputs, sort_keys=True))
        async with asyncio.timeout(VERB_S):
            await self._backend.submit(job)
        told = f"to {self._backend.name}"
        return await self._runs.move(
            run.id, State.SUBMITTED, told, submitted_ms=now_ms(), began_ms=None, next_try_ms=None
        )

    async def _check_spec(self) -> None:
        """Have the spec read as the job will read its copy, so that what is wrong names the file to be mended."""
        try:
            await asyncio.to_thread(read, self.config.spec)
        except SpecError as error:
            raise Setback(str(error), lasting=True) from error
        except NotChecked as error:
            log.warning("%s; the job will tell", error)

    def _made(self, run: Run, prepared: Prepared) -> dict[str, str]:
        """The folder of the job, of what was prepared; gives the hashes of its inputs. Blocks."""
        config, spec = self.config, self.config.spec
        ledger = self._store / trials.FILE
        counted = ledger if ledger.is_file() else None
        files = (*prepared.data, prepared.funding, prepared.companion, spec, counted)
        try:
            work = Training(
                spec=spec.name, data=tuple(path.name for path in prepared.data),
                funding=prepared.funding and prepared.funding.name,
                companion=prepared.companion and prepared.companion.name,
                executor=config.executor, workers=config.workers, device=config.device, parent=self._champion(),
                trials=counted and counted.name,
            )  # fmt: skip
            named = {path.name: path for path in files if path is not None}
            job = prepare(self._jobs, run.id, run.who, work, named, config.timeout_s)
            inputs = dict(request_of(job).inputs)
        except ValidationError as error:
            raise Setback(f"no job can be made of this: {error}", lasting=True) from error
        except JobError as error:
            raise Setback(str(error)) from error
        changed = [name for name, sha in prepared.hashes.items() if inputs[name] != sha]
        if changed:
            shutil.rmtree(job, ignore_errors=True)
            raise Setback(f"{changed[0]} was changed while it was copied to {job}")
        return inputs

    async def _attend(self, run: Run) -> Run:
        """Follow the log and ask how far it is, until the job is over."""
        await _until(run.next_try_ms)
        follow = asyncio.create_task(self._follow(run), name=f"log of {run.id}")
        try:
            return await self._awaited(run, follow)
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)

    async def _awaited(self, run: Run, follow: asyncio.Task[None]) -> Run:
        backoff, lag = Backoff(POLL_S, 60.0), Backoff(0.2, POLL_S)
        answered = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(STATUS_S):
                    status = await self._backend.status(run.id)
            except (BackendError, TimeoutError) as error:
                if isinstance(error, BackendError) and error.lasting:
                    raise
                # the job goes on without us: nothing is lost, and its deadline ends the waiting. It may be done long
                # since, if we were away: a line that is down as we come back has its time before it is given up
                if time.monotonic() - answered > GRACE_S:
                    await self._in_time(run)
                self._alerts.tell("warning", f"run {run.id}: how far it is cannot be asked: {error or 'no answer'}")
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            answered = time.monotonic()
            match status.phase:
                case Phase.WAITING:
                    pass
                case Phase.RUNNING:
                    if run.state is State.SUBMITTED:
                        run = self.run = await self._runs.move(run.id, State.RUNNING, began_ms=now_ms())
                case Phase.DONE:
                    await asyncio.wait({follow}, timeout=LAST_WORDS_S)
                    return await self._runs.move(run.id, State.FETCHING, status.text)
                case phase:
                    await asyncio.wait({follow}, timeout=LAST_WORDS_S if phase.over else 0)
                    return await self._lost(run, status)
            await self._in_time(run)  # asked first, for one that is done is fetched however late we see it
            if follow.done():  # a log ends with its job, which is about to be seen
                await asyncio.sleep(lag.next())
            else:
                await asyncio.wait({follow}, timeout=POLL_S)

    async def _in_time(self, run: Run) -> None:
        """Have a job that is waited for no longer ended, and the run with it."""
        if (late := self._late(run)) is not None:
            await self._told_to_end(run)
            raise Setback(late, lasting=True)

    def _late(self, run: Run) -> str | None:
        """Why a job is waited for no longer; the time it waits for its turn is not the time that it may take."""
        since = run.submitted_ms or run.asked_ms
        if run.state is State.SUBMITTED:
            if now_ms() - since <= self.config.waiting_s * 1_000:
                return None
            return f"nobody began it within {self.config.waiting_s} s (retraining.waiting_s); see what runs there"
        longest_s = self.config.timeout_s + GRACE_S
        over = now_ms() - (run.began_ms or since) > longest_s * 1_000
        return f"not over {longest_s:g} s after it began" if over else None

    async def _lost(self, run: Run, status: JobStatus) -> Run:
        """The job is over, and made nothing."""
        if status.phase is Phase.CANCELED:
            return await self._runs.move(run.id, State.CANCELED, status.text, error="canceled where it ran")
        if status.phase is Phase.UNKNOWN:  # the place was set up anew, or tidied: it is given the job again
            await self._runs.move(run.id, State.PREPARING, "its job is unknown there", next_try_ms=None)
            raise Setback(f"{self._backend.name} does not know the job any more")
        raise Setback(status.text or "the job failed and does not say why", lasting=status.lasting, job=True)

    async def _follow(self, run: Run) -> None:
        """Keep the job's log here, from where it ends here, however often the line is cut."""
        path = self._jobs / run.id / LOG
        backoff = Backoff(1.0, 60.0)
        noted = time.monotonic()
        offset = await asyncio.to_thread(size, path)
        while True:
            try:
                async for part in self._backend.logs(run.id, offset):
                    offset = await asyncio.to_thread(appended, path, offset, part)
                    backoff.reset()
                    if offset >= LONGEST_LOG:
                        told = f"the log of {run.id} is longer than {LONGEST_LOG >> 20} MiB; the rest stays there"
                        self._alerts.tell("warning", told)
                        break
                    if time.monotonic() - noted > POLL_S:
                        noted = time.monotonic()
                        await self._runs.set(run.id, log_offset=offset)
                await self._runs.set(run.id, log_offset=offset)
                return
            except Exception as error:  # whatever it is, the run goes on without its log
                log.info("the log of run %s was cut off at byte %d: %s", run.id, offset, error)
                await asyncio.sleep(backoff.next())

    async def _fetch(self, run: Run) -> Run:
        await self._turn(run)
        async with asyncio.timeout(VERB_S):
            made = await self._backend.fetch(run.id, self._store)
        told = "verified, in the store"
        return await self._runs.move(run.id, State.OFFERED, told, set_id=made.name, next_try_ms=None, error=None)

    async def _hand_over(self, run: Run) -> Run:
        await self._turn(run)
        assert run.set_id is not None
        try:
            await self._offer(run.set_id, run.who, run.id)
        except Exception as error:
            raise Setback(f"{run.set_id} could not be offered: {type(error).__name__}: {error}") from error
        self._alerts.tell("info", f"run {run.id} made {run.set_id}, which is offered for the swap")
        return await self._runs.move(run.id, State.DONE, next_try_ms=None, error=None)

    async def _end(self, run: Run) -> Run:
        await self._turn(run)
        async with asyncio.timeout(STATUS_S):
            await self._backend.cancel(run.id)
        if run.submitted_ms is not None:  # its last words, as it ends
            follow = asyncio.create_task(self._follow(run), name=f"log of {run.id}")
            await asyncio.wait({follow}, timeout=LAST_WORDS_S)
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)
        return await self._runs.move(run.id, State.CANCELED, "the job was told")

    async def _told_to_end(self, run: Run) -> None:
        with contextlib.suppress(BackendError, TimeoutError):
            async with asyncio.timeout(STATUS_S):
                await self._backend.cancel(run.id)

    async def _turn(self, run: Run) -> None:
        """Wait for the next try, and say in the row that it has begun: who finds it so knows that it did not end."""
        if run.next_try_ms is not None:
            await _until(run.next_try_ms)
            await self._runs.set(run.id, next_try_ms=None)


async def _until(at_ms: int | None) -> None:
    """Wait for an instant; the clock is looked at again and again, for a host may have been suspended."""
    while at_ms is not None and (left := at_ms - now_ms()) > 0:  # noqa: ASYNC110 (nobody sets a clock's event)
        await asyncio.sleep(min(30.0, left / 1_000))
