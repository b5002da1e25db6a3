"""The coordinator: takes what is asked for, and drives each run to its end, one at a time, while the daemon trades on.

What is being done stands in the run's row, so a daemon that was killed takes up what it finds. Neither a failure nor a
restart makes a storm: attempts are counted in the row, one that a kill cut off included, and no earlier than its
`next_try_ms` is anything tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.lifecycle.book import Book
from daemon.retraining.backend import Backend, BackendError
from daemon.retraining.config import Retraining
from daemon.retraining.freshness import Freshness, FreshnessError
from daemon.retraining.job_folders import jobs_folder, tidy
from daemon.retraining.runs import Run, Runs, State, TransitionError, asked, now_ms
from daemon.retraining.setback import Setback
from daemon.retraining.steps import Offer, Steps
from market.backoff import Backoff

log = logging.getLogger("daemon.retraining")

COMMAND = "command"
TRIED = frozenset({State.PREPARING, State.FETCHING, State.OFFERED, State.CANCELING})
"""States whose step is one try, which a kill cuts off; a job that runs goes on without us."""
LOOKED_AT = 200
"""Newest rows among which the last run, and refusals alike, are looked for."""


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
        self.jobs = jobs_folder(config.state_dir)
        self.runs = Runs(book)
        self._backend, self._alerts = backend, alerts
        self._steps = Steps(config, self.runs, backend, freshness, alerts, offer, champion)
        self._known: set[str] = set()
        self._asking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._step: asyncio.Task[Run] | None = None

    @property
    def current(self) -> Run | None:
        """The run that is driven."""
        return self._steps.run

    @property
    def config(self) -> Retraining:
        """The section in force; another may take its place, and holds from the next step on."""
        return self._steps.config

    @config.setter
    def config(self, config: Retraining) -> None:
        self._steps.config = config

    async def run(self) -> None:
        """Take up what is open and drive what is asked for, until cancelled; nothing else ends it."""
        pause = Backoff(1.0, 300.0)
        while True:
            try:
                self._wake.clear()
                standing = await self.runs.open()
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
                self._steps.run = None

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
                await self.runs.add(made, "run asked", f"by {cause}")
                self._wake.set()
                return made.id
            # who asks at every candle is refused once
            for run in await self.runs.newest(LOOKED_AT) if cause != COMMAND else []:
                if run.refused and (run.cause, run.error) == (cause, reason):
                    return run.id
            refused = replace(made, state=State.CANCELED, ended_ms=made.asked_ms, error=reason)
            await self.runs.add(refused, "run refused", reason)
            log.info("a retraining by %s was %s", cause, reason)
            return refused.id

    async def cancel(self, run_id: str, who: str) -> Run:
        """Have a run ended; gives its row as it is then.

        Raises
        ------
        TransitionError
            If there is no such run, or it is over or has been offered already.
        """
        run = await self.runs.get(run_id)
        if run is None:
            raise TransitionError(f"there is no run {run_id}; `python -m daemon runs` names them")
        state = State.CANCELED if run.state is State.ASKED else State.CANCELING
        told = {"error": f"canceled by {who}", "next_try_ms": None}
        run = await self.runs.move(run_id, state, f"asked for by {who}", who, **told)
        if self.current is not None and self.current.id == run_id and self._step is not None:
            self._step.cancel()
        return run

    async def _in_the_way(self, cause: str) -> str | None:
        """Why no run may start now."""
        if cause == "drift" and not self.config.on_drift:
            return "refused: retraining.on_drift is off"
        if standing := await self.runs.open():
            return f"refused: run {standing[0].id} is under way, and it is one at a time"
        hours = self.config.least_hours
        last = next((run for run in await self.runs.newest(LOOKED_AT) if not run.refused), None)
        if cause != COMMAND and last is not None and now_ms() - last.asked_ms < hours * 3_600_000:
            return f"refused: run {last.id} was asked for less than {hours:g} h before (retraining.least_hours)"
        return None

    # driving

    async def _drive(self, run: Run) -> None:
        """Step by step, until the run is over."""
        if run.id not in self._known:
            self._known.add(run.id)
            run = await self._taken_up(run)
        while not run.state.over:
            self._steps.run = run
            self._step = asyncio.create_task(self._steps.of[run.state](run), name=f"run {run.id} {run.state}")
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
        under_way = {other.id for other in await self.runs.open()}
        await asyncio.to_thread(tidy, self.jobs, self.config.keep_jobs, under_way)

    async def _taken_up(self, run: Run) -> Run:
        """A run of an earlier life, as it goes on; a try that was cut off is spent, for it may be what killed us."""
        if run.state is State.ASKED:
            return run
        await self.runs.note("run taken up", f"while {run.state}", run.id)
        if run.state not in TRIED or run.next_try_ms is not None:
            return run
        if run.attempt >= self.config.attempts:
            return await self._give_up(run, Setback(f"cut off while {run.state}, by the daemon's end"))
        return await self.runs.set(run.id, attempt=run.attempt + 1)

    async def _again(self, run: Run) -> Run:
        found = await self.runs.get(run.id)
        assert found is not None
        return found

    # setbacks

    async def _set_back(self, run: Run, setback: Setback) -> Run:
        """Try again after a pause, in the same state or, where the job failed, as another run; or give up."""
        run, text = await self._again(run), str(setback)
        if run.state.over:
            return run
        attempt = run.attempt + 1
        if setback.lasting or attempt > self.config.attempts:
            return await self._give_up(run, setback)
        pause = self._pause_s(run.attempt)
        next_try_ms = now_ms() + round(pause * 1_000)
        told = f"{_line(setback)}; attempt {attempt} of {self.config.attempts} in {pause:.0f} s"
        self._alerts.tell("warning", f"run {run.id} was set back while {run.state}: {told}")
        await self.runs.note("run set back", text, run.id)
        if run.state is State.CANCELING:
            return await self.runs.set(run.id, attempt=attempt, next_try_ms=next_try_ms)
        if not setback.job:
            return await self.runs.set(run.id, attempt=attempt, next_try_ms=next_try_ms, error=text)
        if not any(other.id != run.id for other in await self.runs.open()):
            # before the failed one is over, so that a kill between the two loses neither
            repeat = asked(run.cause, run.who, self._backend.name, attempt, next_try_ms)
            await self.runs.add(repeat, "run asked", f"repeats {run.id}, attempt {attempt}")
        return await self.runs.move(run.id, State.FAILED, text, error=text)

    async def _give_up(self, run: Run, setback: Setback) -> Run:
        text, why = str(setback), f"{run.attempt} attempts are spent"
        why = "trying again cannot help" if setback.lasting else why
        self._alerts.tell("warning", f"run {run.id} failed while {run.state}: {_line(setback)}; {why}")
        if run.state is State.CANCELING:
            told = f"{run.error}; the job could not be told, and ends by its own time-out: {text}"
            return await self.runs.move(run.id, State.CANCELED, told, error=told)
        return await self.runs.move(run.id, State.FAILED, f"{text}\n{why}", error=text)

    def _pause_s(self, attempt: int) -> float:
        """The pause after so many attempts, the same before and after a restart but for its jitter."""
        backoff = Backoff(self.config.backoff_first_s, self.config.backoff_cap_s)
        return [backoff.next() for _ in range(attempt)][-1]


def _line(setback: Setback) -> str:
    """The line that says most: an error's first, a job's last words."""
    lines = [line for line in str(setback).splitlines() if line.strip()] or [""]
    return lines[-1 if setback.job else 0]
