"""The coordinator: drives each run from the asking to the offer, one at a time, while the daemon trades on.

What is being done stands in the run's row, and every step is one of a backend's idempotent verbs or may be done twice.
So a daemon that was killed takes up what it finds, and neither a failure nor a restart makes a storm: attempts are
counted in the row, and no earlier than its `next_try_ms` is anything tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.lifecycle.book import Book
from daemon.retraining.backend import Backend, BackendError, JobStatus, Phase
from daemon.retraining.config import Retraining
from daemon.retraining.freshness import Freshness, FreshnessError, sha256
from daemon.retraining.job_folders import appended, copied, emptied, jobs_folder, size, tidy, written
from daemon.retraining.runs import Run, Runs, State, TransitionError, asked, now_ms
from daemon.retraining.setback import Setback
from market.backoff import Backoff
from models.jobs.request import INPUTS, LOG, REQUEST, SETS, Request, Training

log = logging.getLogger("daemon.retraining")

Offer = Callable[[str, str, str | None], Awaitable[None]]
"""Takes a set that is in the store: its id, who asked, and the run that made it. It may be offered twice."""
COMMAND = "command"
POLL_S = 5.0
"""How often a backend is asked how far a job is, seconds."""
LAST_WORDS_S = 20.0
"""How long, once a job is over, the rest of its log is waited for."""
GRACE_S = 600.0
"""Beyond its time-out a job is given so long to be seen as ended; then it is told to."""
VERB_S = 2 * 3_600.0
"""Nothing that is asked of a backend takes longer than bringing gigabytes over a slow line."""
STATUS_S = 120.0


class Coordinator:
    """Runs retrainings.

    Parameters
    ----------
    config : DaemonConfig
        With its section `retraining`.
    offer : callable
        Takes the set that a run has made.
    champion : callable
        Gives the id of the set in service, None for none.
    """

    def __init__(
        self, config: DaemonConfig, book: Book, backend: Backend, freshness: Freshness, alerts: Alerts, offer: Offer,
        champion: Callable[[], str | None] = lambda: None,
    ) -> None:  # fmt: skip
        assert config.retraining is not None
        self.config: Retraining = config.retraining
        self.jobs = jobs_folder(config.state_dir)
        self.current: Run | None = None
        """The run that is driven."""
        self._store = config.model_sets / SETS
        self._runs = Runs(book)
        self._backend, self._freshness, self._alerts = backend, freshness, alerts
        self._offer, self._champion = offer, champion
        self._asking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._step: asyncio.Task[Run] | None = None

    async def run(self) -> None:
        """Take up what is open and drive what is asked for, until cancelled; nothing else ends it."""
        pause = Backoff(1.0, 300.0)
        while True:
            try:
                self._wake.clear()
                standing = await self._runs.open()
                if not standing:
                    await self._wake.wait()
                    continue
                await self._drive(standing[0])
                pause.reset()
            except Exception as error:  # a disk that is full must not end the daemon
                log.exception("a run could not be driven")
                self._alerts.tell("warning", f"retraining stumbles: {type(error).__name__}: {error}; trading goes on")
                await asyncio.sleep(pause.next())
            finally:
                self.current = None

    async def close(self) -> None:
        """Let go of the backend's connections; jobs go on."""
        await self._backend.close()

    async def ask(self, cause: str, who: str) -> str:
        """Ask for a run; gives its id. What stands in its way is in the row of a run that was refused.

        Parameters
        ----------
        cause : str
            schedule, drift, expiry or command; only a command is free of `least_hours`.
        """
        async with self._asking:
            reason = await self._in_the_way(cause)
            made = asked(cause, who, self._backend.name)
            if reason is None:
                await self._runs.add(made, "run asked", f"by {cause}")
                self._wake.set()
                return made.id
            # who asks at every candle is refused once
            for run in await self._runs.newest(50) if cause != COMMAND else []:
                if run.refused and (run.cause, run.error) == (cause, reason):
                    return run.id
            refused = replace(made, state=State.CANCELED, ended_ms=made.asked_ms, error=reason)
            await self._runs.add(refused, "run refused", reason)
            log.info("a retraining by %s was refused: %s", cause, reason)
            return refused.id

    async def cancel(self, run_id: str, who: str) -> Run:
        """Have a run ended; gives its row as it is then.

        Raises
        ------
        TransitionError
            If there is no such run, or it is over or has been offered already.
        """
        run = await self._runs.get(run_id)
        if run is None:
            raise TransitionError(f"no run {run_id}")
        nothing_there = run.state is State.ASKED
        state = State.CANCELED if nothing_there else State.CANCELING
        run = await self._runs.move(run_id, state, f"asked for by {who}", who, error=f"canceled by {who}")
        if self.current is not None and self.current.id == run_id and self._step is not None:
            self._step.cancel()
        return run

    async def find(self, run_id: str) -> Run | None:
        """One run."""
        return await self._runs.get(run_id)

    async def _in_the_way(self, cause: str) -> str | None:
        """Why no run may start now."""
        if cause == "drift" and not self.config.on_drift:
            return "refused: retraining.on_drift is off"
        if standing := await self._runs.open():
            return f"refused: run {standing[0].id} is under way, and it is one at a time"
        hours = self.config.least_hours
        last = next((run for run in await self._runs.newest(200) if not run.refused), None)
        if cause != COMMAND and last is not None and now_ms() - last.asked_ms < hours * 3_600_000:
            return f"refused: run {last.id} was asked for less than {hours:g} h before (retraining.least_hours)"
        return None

    # driving

    async def _drive(self, run: Run) -> None:
        """Step by step, until the run is over."""
        steps: dict[State, Callable[[Run], Coroutine[Any, Any, Run]]] = {
            State.ASKED: self._start,
            State.PREPARING: self._prepare,
            State.SUBMITTED: self._attend,
            State.RUNNING: self._attend,
            State.FETCHING: self._fetch,
            State.OFFERED: self._hand_over,
            State.CANCELING: self._end,
        }
        while not run.state.over:
            self.current = run
            self._step = asyncio.create_task(steps[run.state](run), name=f"run {run.id} {run.state}")
            try:
                run = await self._step
            except asyncio.CancelledError:
                if (me := asyncio.current_task()) is not None and me.cancelling():
                    await asyncio.gather(self._step, return_exceptions=True)
                    raise
                run = await self._again(run)  # somebody canceled the run
            except TransitionError:
                run = await self._again(run)
            except Setback as setback:
                run = await self._set_back(run, setback)
            except (BackendError, FreshnessError) as error:
                run = await self._set_back(run, Setback(str(error), error.lasting))
            except TimeoutError:
                run = await self._set_back(run, Setback(f"{self._backend.name} did not answer in time"))
            except SQLAlchemyError:
                raise
            except Exception as error:
                log.exception("run %s stumbled while %s", run.id, run.state)
                run = await self._set_back(run, Setback(f"{type(error).__name__}: {error}"))
            finally:
                self._step = None
        await asyncio.to_thread(tidy, self.jobs, self.config.keep_jobs)

    async def _again(self, run: Run) -> Run:
        found = await self._runs.get(run.id)
        assert found is not None
        return found

    async def _start(self, run: Run) -> Run:
        await _until(run.next_try_ms)
        return await self._runs.move(run.id, State.PREPARING, f"attempt {run.attempt} of {self.config.attempts}")

    async def _prepare(self, run: Run) -> Run:
        """Make the job's folder, its request last, and hand it over; a folder with a request is whole."""
        await _until(run.next_try_ms)
        job = self.jobs / run.id
        if not (job / REQUEST).is_file():
            await asyncio.to_thread(emptied, job)
            prepared = await self._freshness.prepare(job / INPUTS)
            spec = await asyncio.to_thread(copied, self.config.spec, job / INPUTS)
            hashes = prepared.hashes | {spec.name: await asyncio.to_thread(sha256, spec)}
            await self._runs.note("run prepared", prepared.text, run.id)
            run = await self._runs.set(run.id, inputs=json.dumps(hashes, sort_keys=True))
            training = {
                "spec": spec.name, "data": tuple(path.name for path in prepared.data),
                "funding": prepared.funding and prepared.funding.name,
                "companion": prepared.companion and prepared.companion.name, "executor": self.config.executor,
                "workers": self.config.workers, "device": self.config.device, "parent": self._champion(),
            }  # fmt: skip
            try:
                request = Request(
                    id=run.id, made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), who=run.who,
                    work=Training(**training), inputs=hashes, timeout_s=self.config.timeout_s,
                )  # fmt: skip
            except ValidationError as error:
                raise Setback(f"no job can be made of this: {error}", lasting=True) from error
            await asyncio.to_thread(written, job / REQUEST, request.model_dump_json(indent=1))
        async with asyncio.timeout(VERB_S):
            await self._backend.submit(job)
        return await self._runs.move(
            run.id, State.SUBMITTED, f"to {self._backend.name}", submitted_ms=now_ms(), next_try_ms=None
        )

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
        backoff = Backoff(POLL_S, 60.0)
        deadline = (run.submitted_ms or now_ms()) + (self.config.timeout_s + GRACE_S) * 1_000
        while True:
            if now_ms() > deadline:
                await self._told_to_end(run)
                raise Setback(f"not over {self.config.timeout_s + GRACE_S:g} s after it was submitted", lasting=True)
            try:
                async with asyncio.timeout(STATUS_S):
                    status = await self._backend.status(run.id)
            except (BackendError, TimeoutError) as error:
                if isinstance(error, BackendError) and error.lasting:
                    raise
                # the job goes on without us: nothing is lost, and its deadline ends the waiting
                self._alerts.tell("warning", f"run {run.id}: how far it is cannot be asked: {error or 'no answer'}")
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            match status.phase:
                case Phase.WAITING:
                    pass
                case Phase.RUNNING if run.state is State.SUBMITTED:
                    run = self.current = await self._runs.move(run.id, State.RUNNING)
                case Phase.RUNNING:
                    pass
                case Phase.DONE:
                    await asyncio.wait({follow}, timeout=LAST_WORDS_S)
                    return await self._runs.move(run.id, State.FETCHING, status.text)
                case _:
                    await asyncio.wait({follow}, timeout=LAST_WORDS_S)
                    return await self._lost(run, status)
            await asyncio.sleep(POLL_S)

    async def _lost(self, run: Run, status: JobStatus) -> Run:
        """The job is over, and made nothing."""
        if status.phase is Phase.CANCELED:
            return await self._runs.move(run.id, State.CANCELED, status.text, error="canceled where it ran")
        if status.phase is Phase.UNKNOWN:  # the place was set up anew, or tidied: it is given the job again
            run = await self._runs.move(run.id, State.PREPARING, "its job is unknown there", next_try_ms=None)
            return await self._set_back(run, Setback(f"{self._backend.name} does not know the job any more"))
        raise Setback(status.text or "the job failed and does not say why", lasting=status.lasting, job=True)

    async def _follow(self, run: Run) -> None:
        """Keep the job's log here, from where it ends here, however often the line is cut."""
        path = self.jobs / run.id / LOG
        backoff = Backoff(1.0, 60.0)
        noted = time.monotonic()
        offset = await asyncio.to_thread(size, path)
        while True:
            try:
                async for part in self._backend.logs(run.id, offset):
                    offset = await asyncio.to_thread(appended, path, offset, part)
                    backoff.reset()
                    if time.monotonic() - noted > POLL_S:
                        noted = time.monotonic()
                        await self._runs.set(run.id, log_offset=offset)
                await self._runs.set(run.id, log_offset=offset)
                return
            except Exception as error:  # whatever it is, the run goes on without its log
                log.info("the log of run %s was cut off at byte %d: %s", run.id, offset, error)
                await asyncio.sleep(backoff.next())

    async def _fetch(self, run: Run) -> Run:
        await _until(run.next_try_ms)
        async with asyncio.timeout(VERB_S):
            made = await self._backend.fetch(run.id, self._store)
        return await self._runs.move(
            run.id, State.OFFERED, "verified, in the store", set_id=made.name, next_try_ms=None, error=None
        )

    async def _hand_over(self, run: Run) -> Run:
        await _until(run.next_try_ms)
        assert run.set_id is not None
        try:
            await self._offer(run.set_id, run.who, run.id)
        except Exception as error:
            raise Setback(f"{run.set_id} could not be offered: {type(error).__name__}: {error}") from error
        self._alerts.tell("info", f"run {run.id} made {run.set_id}, which is offered for the swap")
        return await self._runs.move(run.id, State.DONE, next_try_ms=None, error=None)

    async def _end(self, run: Run) -> Run:
        await _until(run.next_try_ms)
        async with asyncio.timeout(STATUS_S):
            await self._backend.cancel(run.id)
        return await self._runs.move(run.id, State.CANCELED, "the job was told")

    async def _told_to_end(self, run: Run) -> None:
        with contextlib.suppress(BackendError, TimeoutError):
            async with asyncio.timeout(STATUS_S):
                await self._backend.cancel(run.id)

    # setbacks

    async def _set_back(self, run: Run, setback: Setback) -> Run:
        """Try again after a pause, in the same state or, where the job failed, as another run; or give up."""
        run, text = await self._again(run), str(setback)
        if run.state.over:
            return run
        attempt = run.attempt + 1
        if setback.lasting or attempt > self.config.attempts:
            return await self._give_up(run, text, setback.lasting)
        pause = self._pause_s(run.attempt)
        next_try_ms = now_ms() + round(pause * 1_000)
        told = f"{text.splitlines()[0]}; attempt {attempt} of {self.config.attempts} in {pause:.0f} s"
        self._alerts.tell("warning", f"run {run.id} was set back while {run.state}: {told}")
        await self._runs.note("run set back", text, run.id)
        if not setback.job or run.state is State.CANCELING:
            return await self._runs.set(run.id, attempt=attempt, next_try_ms=next_try_ms, error=text)
        if not any(other.id != run.id for other in await self._runs.open()):
            # before the failed one is over, so that a kill between the two loses neither
            repeat = asked(run.cause, run.who, self._backend.name, attempt, next_try_ms)
            await self._runs.add(repeat, "run asked", f"repeats {run.id}, attempt {attempt}")
        return await self._runs.move(run.id, State.FAILED, text, error=text)

    async def _give_up(self, run: Run, text: str, lasting: bool) -> Run:
        why = "trying again cannot help" if lasting else f"{run.attempt} attempts are spent"
        self._alerts.tell("warning", f"run {run.id} failed while {run.state}: {text.splitlines()[0]}; {why}")
        if run.state is State.CANCELING:
            told = f"{run.error}; the job could not be told, and ends by its own time-out: {text}"
            return await self._runs.move(run.id, State.CANCELED, told, error=told)
        return await self._runs.move(run.id, State.FAILED, f"{text}\n{why}", error=text)

    def _pause_s(self, attempt: int) -> float:
        """The pause after so many attempts, the same before and after a restart but for its jitter."""
        backoff = Backoff(self.config.backoff_first_s, self.config.backoff_cap_s)
        return [backoff.next() for _ in range(attempt)][-1]


async def _until(at_ms: int | None) -> None:
    """Wait for an instant; the clock is looked at again and again, for a host may have been suspended."""
    while at_ms is not None and (left := at_ms - now_ms()) > 0:  # noqa: ASYNC110 (nobody sets a clock's event)
        await asyncio.sleep(min(30.0, left / 1_000))
