"""The swapper: takes sets through the way of `stages`, one at a time, while the daemon trades on.

Each stage is written down before its work begins, and each work may be begun again, so a daemon that was killed goes on
from where it was. A failure of the swapper itself is told and tried again; it never reaches the trading loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from daemon.alerts import Alerts
from daemon.commands import Command
from daemon.config import DaemonConfig
from daemon.events import Event
from daemon.lifecycle.book import Book
from daemon.retraining.freshness import FreshnessError
from daemon.swapping import waiting
from daemon.swapping.judging import Judge, Refused
from daemon.swapping.rows import Swap, Swaps
from daemon.swapping.service import Service
from daemon.swapping.stages import TABLE, Stage
from daemon.swapping.works import Works
from daemon.venues.profile import Profile
from models import promotion
from models.modelset import ModelSetError
from models.promotion import PromotionRefused

log = logging.getLogger("daemon.swapping")

LOOK_S = 30.0
"""The longest sleep within a pause: a host may be suspended meanwhile, and the clock has gone on."""
PAUSE_S = 10.0
"""Before a stage whose work failed by no fault of the set is begun again."""
TRIES = 3
"""How often it is begun before the set is given up."""


class Swapper:
    """Brings sets into service and out of it.

    Attributes
    ----------
    config : DaemonConfig
        What it goes by now.
    current : Swap or None
        The way under way.
    """

    def __init__(
        self, config: DaemonConfig, profile: Profile, book: Book, service: Service, judge: Judge, alerts: Alerts
    ) -> None:
        self.current: Swap | None = None
        self.config, self._service, self._judge, self._alerts = config, service, judge, alerts
        self._swaps = Swaps(book)
        self._works = Works(config, profile, self._swaps, service, judge, alerts)
        self._store = config.store
        self._wake, self._turn = asyncio.Event(), asyncio.Lock()
        self._work: asyncio.Task[tuple[Stage, str]] | None = None
        self._cuts: dict[int, str] = {}
        """Ways that an operator ends, and why; each counts at the next step, whatever the work makes of it."""

    # asking

    async def offer(self, set_id: str, who: str, run_id: str | None = None) -> None:
        """Queue a set, which may be offered twice."""
        await self.ask(set_id, who, run_id)

    async def ask(self, set_id: str, who: str, run_id: str | None = None, force: str | None = None) -> Swap:
        """Queue a set; of several that wait the newest has its turn, and the others are told to be superseded.

        Parameters
        ----------
        set_id : str
            Of the store.
        force : str, optional
            Why to do without a verdict of the gate.

        Raises
        ------
        Refused
            If somebody asks for the set that answers now.
        """
        async with self._turn:
            if run_id is not None and (known := await asyncio.to_thread(self._swaps.of_run, run_id)) is not None:
                return known  # a run brings one set once: one that was taken out does not come again by itself
            for swap in await self._open():
                if swap.set_id == set_id and swap.forced == (force is not None):
                    return swap  # asked twice: a run that was taken up again offers again
            if run_id is None and set_id == self._service.predictor.id:
                raise Refused(f"{set_id} is in service already: nothing was queued")
            body = {} if force is None else {"force": True, "force_reason": force}
            text = "offered" + (f" by run {run_id}" if run_id else "") + (f", forced: {force}" if force else "")
            made = await asyncio.to_thread(self._swaps.add, Swap(0, set_id, who, run_id, body=body), text)
            self._wake.set()
            return made

    async def rollback(self, who: str, reason: str = "") -> Swap:
        """Have the set before the present one answer again; what has not reached service yet is ended.

        Raises
        ------
        Refused
            If nobody knows which set that was, or one is being swapped in at this moment.
        """
        async with self._turn:
            serving = self._service.predictor.id
            if self.current is not None and self.current.stage is Stage.SWAPPING:
                raise Refused(f"{self.current.set_id} is being swapped in at this moment: ask again once it answers")
            swap = self.current
            if swap is None or swap.set_id != serving or swap.stage is not Stage.WATCHED:
                swap = await asyncio.to_thread(self._swaps.brought, serving) or await self._promoted(serving, who)
            if swap is None:
                raise Refused(f"nobody knows which set answered before {serving}: it was there from the start")
            if self.current is not None and self.current.id == swap.id:
                swap = self.current
            why = f"rolled back by {who}" + (f": {reason}" if reason else "")
            if self.current is not None and not self.current.over and not TABLE[self.current.stage].in_service:
                self._cut(self.current, f"ended by {who}, who rolls back {serving}")
            swap.body["asked_back"] = who
            if self.current is swap and swap.stage is Stage.WATCHED:
                self._cut(swap, why)
            elif swap.stage is not Stage.RETURNING:
                await asyncio.to_thread(self._swaps.enter, swap, Stage.RETURNING, why)
            self._wake.set()
            return swap

    async def _promoted(self, serving: str, who: str) -> Swap | None:
        """A row for a set that was promoted without us, so that it can be rolled back; None if there is no such one."""
        made = (await asyncio.to_thread(promotion.history, self._store)).promotions
        last = next((p for p in reversed(made) if p.model_set == serving and p.by != "rollback"), None)
        if last is None or last.previous is None:
            return None
        body = {"champion_before": last.previous}
        swap = Swap(0, serving, who, stage=Stage.KEPT, previous=last.previous, body=body)
        return await asyncio.to_thread(self._swaps.add, swap, f"promoted by {last.who} at {last.time}")

    def standing(self) -> dict[str, Any] | None:
        """What is under way, for the status; None while nothing is."""
        swap = self.current
        if swap is None:
            return None
        told = {Stage.SHADOW: self.config.swapping.shadow.candles, Stage.WATCHED: self.config.swapping.watch.candles}
        of = told.get(swap.stage)
        return {
            "set": swap.set_id,
            "stage": str(swap.stage),
            "candles": None if of is None else f"{swap.candles} of {of}",
            "who": swap.who,
            "why": swap.reason,
        }

    async def newest(self, count: int = 20) -> list[dict[str, Any]]:
        """The last swaps, newest first."""
        return [swap.as_dict() for swap in await asyncio.to_thread(self._swaps.newest, count)]

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        """Let the works hear a step of the loop; called for every one."""
        self._works.stepped(event, commands)

    # another configuration

    def refuses(self, config: DaemonConfig) -> list[str]:
        """What of another section cannot be taken up while the daemon runs: nothing."""
        return []

    def take_up(self, config: DaemonConfig) -> None:
        """Go by another section; a stage under way ends by the old one."""
        self.config = self._works.config = config
        self._judge.take_up(config)

    # the way

    async def run(self) -> None:
        """Take up what is open, then whatever is offered, until cancelled."""
        tries = 0
        while True:
            swap: Swap | None = None
            try:
                self._wake.clear()
                swap = await self._next()
                if swap is None:
                    self.current = None
                    await self._works.idle(self._wake)
                    continue
                self.current = swap
                if not await self._turn_came(swap):
                    continue
                stage = swap.stage
                await self._drive(swap)
                tries = 0 if swap.stage is not stage else tries
            except Exception as error:
                tries += 1
                log.exception("a swap stumbled")
                self._alerts.tell("warning", f"the swap stumbles: {type(error).__name__}: {error}; trading goes on")
                if tries >= TRIES and swap is not None:
                    await self._gave_up(swap, error)
                    tries = 0 if swap.over else tries
                await asyncio.sleep(PAUSE_S)

    async def _gave_up(self, swap: Swap, error: Exception) -> None:
        """End a way whose work fails again and again; a set that answers stays watched, or is told to be stuck."""
        serving = self._service.predictor.id == swap.set_id
        try:
            if swap.stage is Stage.RETURNING and serving:
                await self._enter(swap, *self._works.no_way_back(swap, error))
            elif Stage.REFUSED in TABLE[swap.stage].leads_to and not serving:
                await self._enter(swap, Stage.REFUSED, f"given up after {TRIES} failures, the last: {error}")
        except Exception:
            log.exception("and that could not be written down")

    async def _open(self) -> list[Swap]:
        return await asyncio.to_thread(self._swaps.open)

    async def _next(self) -> Swap | None:
        """What to go on with: what an operator ends or takes back, then what is under way, then the newest that waits.

        One whose history cannot be had now only waits, whatever its stage.
        """
        async with self._turn:
            standing = await self._open()
            under_way = [s for s in standing if s.stage is not Stage.INCOMING and not self._idles(s)]
            ended = next((s for s in under_way if s.id in self._cuts), None)
            first = ended or next((s for s in under_way if s.stage is Stage.RETURNING), None)
            first = first or next(iter(under_way), None)
            if first is not None:
                return first
            queue = [s for s in standing if s.stage is Stage.INCOMING or self._idles(s)]
            for older in queue[:-1]:
                if older.stage is Stage.JUDGING:  # had its history in a former life
                    await self._judge.cancel(older)
                await self._enter(older, Stage.SUPERSEDED, f"{queue[-1].set_id} was offered after it")
            return queue[-1] if queue else None

    def _idles(self, swap: Swap) -> bool:
        return waiting.waits(swap) and swap.id not in self._cuts

    async def _turn_came(self, swap: Swap) -> bool:
        """Wait until a set may be tried again; False if something else is asked for before."""
        while swap.id not in self._cuts and (left_s := waiting.left_s(swap)) > 0:
            try:
                async with asyncio.timeout(min(LOOK_S, left_s)):
                    await self._works.idle(self._wake)
            except TimeoutError:
                continue
            return False
        if self._idles(swap):
            swap.reason = "its history is asked for again, and then the gate"
            await asyncio.to_thread(self._swaps.keep, swap)
        return True

    async def _drive(self, swap: Swap) -> None:
        """One stage's work, and the step that follows from it; none where a set has to wait for its history."""
        then, reason, began = swap.stage, "", time.monotonic()
        if swap.id not in self._cuts:
            work = self._work = asyncio.create_task(self._works.work(swap), name=f"swap {swap.stage}")
            try:
                then, reason = await work
            except (Refused, ModelSetError, PromotionRefused) as refusal:
                if Stage.REFUSED not in TABLE[swap.stage].leads_to:
                    raise
                then, reason = Stage.REFUSED, str(refusal)
            except FreshnessError as error:  # its source is at fault, for as long as there is patience with it
                told = waiting.postpone(swap, error, time.monotonic() - began)
                then, reason = (Stage.REFUSED, waiting.given_up(swap, error)) if told is None else (swap.stage, told)
            except asyncio.CancelledError:
                work.cancel()
                if swap.id not in self._cuts or _ending():
                    raise
            finally:
                self._work = None
        async with self._turn:  # a rollback comes before a step or after it, never beside it
            if (why := self._cuts.pop(swap.id, None)) is not None:
                then, reason = Stage.RETURNING if swap.stage is Stage.WATCHED else Stage.REFUSED, why
                if swap.stage is Stage.JUDGING:
                    await self._judge.cancel(swap)
            if then is swap.stage:
                await asyncio.to_thread(self._swaps.stay, swap, reason)
                self._alerts.tell("warning", f"model set {swap.set_id} is not judged yet: {reason}")
                return
            waiting.go_on(swap)
            await self._enter(swap, then, reason)

    def _cut(self, swap: Swap, reason: str) -> None:
        """End the way under way, which an operator's rollback makes needless."""
        self._cuts[swap.id] = reason
        if self._work is not None:
            self._work.cancel()

    async def _enter(self, swap: Swap, then: Stage, reason: str) -> None:
        await asyncio.to_thread(self._swaps.enter, swap, then, reason)
        log.info("model set %s: %s; %s", swap.set_id, then, reason)
        if then in (Stage.REFUSED, Stage.LEFT, Stage.SUPERSEDED):
            self._alerts.tell("warning", f"model set {swap.set_id} does not come into service ({then}): {reason}")
        if then is Stage.RETURNING:
            self._alerts.tell("critical", f"model set {swap.set_id} is taken out of service: {reason}")
        if swap.over:
            await self._works.let_go()


def _ending() -> bool:
    """Whether who drives is being ended itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
