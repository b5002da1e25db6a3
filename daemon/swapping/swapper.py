"""The swapper: takes sets through the way of `stages`, one at a time, while the daemon trades on.

Each stage is written down before its work begins, and each work may be begun again, so a daemon that was killed goes on
from where it was. A failure of the swapper itself is told and tried again; it never reaches the trading loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from daemon.alerts import Alerts
from daemon.commands import Command, RecordDecisions, RecordTrade
from daemon.config import DaemonConfig
from daemon.events import Event, PredictionReady
from daemon.inference import Answer
from daemon.lifecycle.book import Book
from daemon.swapping.fitness import arrived, misfits
from daemon.swapping.judging import Judge, Refused
from daemon.swapping.memory import give_back
from daemon.swapping.naming import after_a_restart
from daemon.swapping.pulse import Pulse
from daemon.swapping.rows import Swap, Swaps
from daemon.swapping.service import Service
from daemon.swapping.stages import TABLE, Stage
from daemon.swapping.watch import Watch
from daemon.venues.profile import Profile
from market.trades import Trade
from models import promotion
from models.inference import Predictor
from models.modelset import CHAMPION, ModelSet, ModelSetError, is_id, pointed
from models.promotion import PromotionRefused

log = logging.getLogger("daemon.swapping")

PAUSE_S = 10.0
"""Before a stage whose work failed by no fault of the set is begun again."""
TRIES = 3
"""How often it is begun before the set is given up."""
Swapped = Callable[[Predictor], None]


class Swapper:
    """Brings sets into service and out of it.

    Attributes
    ----------
    config : DaemonConfig
        What it goes by now.
    current : Swap or None
        The way under way.
    on_swapped : list of callable
        Told of every set that has come into service, on the loop.
    """

    def __init__(
        self, config: DaemonConfig, profile: Profile, book: Book, service: Service, judge: Judge, alerts: Alerts
    ) -> None:
        self.current: Swap | None = None
        self.on_swapped: list[Swapped] = []
        self.config, self._profile, self._service, self._judge, self._alerts = config, profile, service, judge, alerts
        self._swaps = Swaps(book)
        self._store = config.model_sets / "sets"
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._trades: deque[Trade] = deque()
        self._wake, self._turn = asyncio.Event(), asyncio.Lock()
        self._work: asyncio.Task[tuple[Stage, str]] | None = None
        self._cuts: dict[int, str] = {}
        """Ways that an operator ends, and why; each counts at the next step, whatever the work makes of it."""
        self._verified: ModelSet | None = None
        self._loaded: dict[str, Predictor] = {}
        """Sets beside the one in service that are open: the candidate, and the one to go back to."""
        service.listen(self._answers.put_nowait)

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
        """
        async with self._turn:
            if run_id is not None and (known := await asyncio.to_thread(self._swaps.of_run, run_id)) is not None:
                return known  # a run brings one set once: one that was taken out does not come again by itself
            for swap in await self._open():
                if swap.set_id == set_id and swap.forced == (force is not None):
                    return swap  # asked twice: a run that was taken up again offers again
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
        """Note closed trades, and candles that were decided without an answer; called for every step of the loop."""
        for command in commands:
            if isinstance(command, RecordDecisions) and not isinstance(event, PredictionReady):
                self._answers.put_nowait(self._service.silence(command.bar))
            if isinstance(command, RecordTrade):
                self._trades.append(command.trade)

    # another configuration

    def refuses(self, config: DaemonConfig) -> list[str]:
        """What of another section cannot be taken up while the daemon runs: nothing."""
        return []

    def take_up(self, config: DaemonConfig) -> None:
        """Go by another section; a stage under way ends by the old one."""
        self.config = config
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
                    await self._idle()
                    continue
                self.current = swap
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
                await self._enter(swap, *self._no_way_back(swap, error))
            elif Stage.REFUSED in TABLE[swap.stage].leads_to and not serving:
                await self._enter(swap, Stage.REFUSED, f"given up after {TRIES} failures, the last: {error}")
        except Exception:
            log.exception("and that could not be written down")

    async def _idle(self) -> None:
        """Wait for something to do; what is answered and traded meanwhile is nobody's concern."""
        while not self._wake.is_set():
            waiting = asyncio.create_task(self._wake.wait())
            hearing = asyncio.create_task(self._answers.get())
            try:
                await asyncio.wait((waiting, hearing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (waiting, hearing):
                    task.cancel()
            self._trades.clear()

    async def _open(self) -> list[Swap]:
        return await asyncio.to_thread(self._swaps.open)

    async def _next(self) -> Swap | None:
        """What to go on with: a rollback first, then what is under way, then the newest that waits."""
        async with self._turn:
            standing = await self._open()
            under_way = [s for s in standing if s.stage is not Stage.INCOMING]
            first = next((s for s in under_way if s.stage is Stage.RETURNING), None) or next(iter(under_way), None)
            if first is not None:
                return first
            waiting = [s for s in standing if s.stage is Stage.INCOMING]
            for older in waiting[:-1]:
                await self._enter(older, Stage.SUPERSEDED, f"{waiting[-1].set_id} was offered after it")
            return waiting[-1] if waiting else None

    async def _drive(self, swap: Swap) -> None:
        """One stage's work, and the step that follows from it."""
        works: dict[Stage, Callable[[Swap], Awaitable[tuple[Stage, str]]]] = {
            Stage.INCOMING: self._verify,
            Stage.VERIFIED: self._fit,
            Stage.JUDGING: self._have_judged,
            Stage.LOADING: self._load,
            Stage.SHADOW: self._shadow,
            Stage.SWAPPING: self._swap,
            Stage.WATCHED: self._watch,
            Stage.RETURNING: self._return,
        }
        then, reason = swap.stage, ""
        if swap.id not in self._cuts:
            work = self._work = asyncio.create_task(_done(works[swap.stage](swap)), name=f"swap {swap.stage}")
            try:
                then, reason = await work
            except (Refused, ModelSetError, PromotionRefused) as refusal:
                if Stage.REFUSED not in TABLE[swap.stage].leads_to:
                    raise
                then, reason = Stage.REFUSED, str(refusal)
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
            self._service.lift_shadow()
            self._loaded, self._verified = {}, None
            await asyncio.to_thread(give_back)

    # the work of each stage

    async def _verify(self, swap: Swap) -> tuple[Stage, str]:
        if not is_id(swap.set_id):
            raise Refused(f"{swap.set_id[:40]!r} is no set's id")
        if swap.set_id == self._service.predictor.id:
            raise Refused("it answers already")
        found = await self._set(swap)
        return Stage.VERIFIED, f"{len(found.contents)} files, {found.bytes:,} bytes, all as its manifest says"

    async def _fit(self, swap: Swap) -> tuple[Stage, str]:
        found, served = await self._set(swap), self._service.predictor.manifest
        if against := misfits(found.manifest, self.config, self._profile, served):
            raise Refused("; ".join(against))
        return Stage.JUDGING, "it fits what is traded here"

    async def _have_judged(self, swap: Swap) -> tuple[Stage, str]:
        found = await self._set(swap)
        try:
            told = await self._judge.judge(found, swap)
        finally:
            swap.verdict = await asyncio.to_thread(self._judge.verdict, swap.set_id)
        return Stage.LOADING, told

    async def _load(self, swap: Swap) -> tuple[Stage, str]:
        await self._service.quiet()
        opened = await self._opened(swap)
        where = ", ".join(sorted(set(opened.providers.values())))
        golden = "no golden answers are kept" if opened.manifest.golden is None else "golden answers as recorded"
        return Stage.SHADOW, f"{len(opened.providers)} members on {where}, {golden}"

    async def _shadow(self, swap: Swap) -> tuple[Stage, str]:
        limits, opened = self.config.swapping, await self._opened(swap)
        pulse = Pulse(limits.alive, limits.shadow.candles, swap.body.get("shadow"))
        swap.body["shadow"] = pulse.kept
        await self._service.make_room(opened)
        self._drain()
        self._service.cast_shadow(opened, self._answers.put_nowait)
        try:
            champions: dict[int, Answer] = {}
            while swap.candles < limits.shadow.candles:
                answer = await self._answers.get()
                bar = answer.said.bar
                if answer.said.model_set != swap.set_id:  # the set in service, which is heard first of each candle
                    champions[bar] = answer
                    if len(champions) > limits.shadow.silent:
                        raise Refused(f"as a shadow it is {len(champions)} candles behind: it is too slow")
                    continue
                pulse.take(answer, champions.get(bar))
                champions = {later: said for later, said in champions.items() if later > bar}
                swap.candles += 1
                await asyncio.to_thread(self._swaps.keep, swap)
                if (fault := pulse.fault()) is not None:
                    raise Refused(f"as a shadow: {fault}")
            if not pulse.answered:
                raise Refused(f"as a shadow it never answered: {pulse.told()}")
        finally:
            self._service.lift_shadow()
        swap.candles = 0
        return Stage.SWAPPING, f"beside the set in service over {limits.shadow.candles} candles: {pulse.told()}"

    async def _swap(self, swap: Swap) -> tuple[Stage, str]:
        if self._service.predictor.id != swap.set_id:
            opened = await self._opened(swap)
            await self._service.make_room(opened)  # a life that began since the shadow holds less
            await self._point(swap)
            before = self._service.predictor
            self._loaded[before.id] = before  # to go back to at once
            await self._service.swap(opened, f"swapped in, asked by {swap.who}; {swap.verdict or 'without a verdict'}")
        else:  # a former life moved the pointer, and this one began with the set
            await self._point(swap)
        swap.candles = 0
        swap.body["equity"] = self._service.equity
        self._tell_swapped()
        self._alerts.tell("info", f"model set {swap.set_id} answers in the place of {swap.previous}")
        return Stage.WATCHED, f"it answers in the place of {swap.previous}; {after_a_restart(self.config)}"

    async def _point(self, swap: Swap) -> None:
        """The champion pointer, with its line in the log of promotions; who pointed before is kept for going back."""
        now = await asyncio.to_thread(pointed, CHAMPION, self._store)
        if not swap.previous:
            swap.previous, swap.body["champion_before"] = self._service.predictor.id, now
            await asyncio.to_thread(self._swaps.keep, swap)
        if now == swap.set_id:
            return
        found = await self._set(swap)
        why = f"swap {swap.id}" + (f": {swap.body['force_reason']}" if swap.forced else "")
        await asyncio.to_thread(
            lambda: promotion.promote(
                found, self._store, why, swap.forced, gate_file=self._judge.gate, who=f"{swap.who} (daemon)"
            )
        )

    async def _watch(self, swap: Swap) -> tuple[Stage, str]:
        if self._service.predictor.id != swap.set_id:
            return Stage.LEFT, f"{self._service.predictor.id} answers since the last start"
        limits = self.config.swapping
        manifest = self._service.predictor.manifest
        watch = Watch(limits, manifest, self._service.candles, swap.body.get("equity", 0), swap.body.get("watch"))
        swap.body["watch"] = watch.kept
        last = -1
        while swap.candles < limits.watch.candles:
            answer = await self._answers.get()
            if answer.said.model_set != swap.set_id or answer.said.bar <= last:
                continue  # another set's, or one that came after it was given up
            last = answer.said.bar
            watch.take(answer)
            watch.traded(self._drained())
            swap.candles += 1
            await asyncio.to_thread(self._swaps.keep, swap)
            if (fault := watch.fault()) is not None:
                return Stage.RETURNING, f"after {swap.candles} candles: {fault}"
        return Stage.KEPT, f"watched over {swap.candles} candles: {watch.told()}"

    async def _return(self, swap: Swap) -> tuple[Stage, str]:
        """The set before answers again: its pointer first, then the reference, as on the way in."""
        serving = self._service.predictor.id
        if serving not in (swap.set_id, swap.previous):
            return Stage.LEFT, f"{serving} answers by now"
        try:
            before = await self._before(swap)
        except ModelSetError as error:
            return self._no_way_back(swap, error)
        reason, who = swap.reason, str(swap.body.get("asked_back", "the watcher"))
        if await asyncio.to_thread(pointed, CHAMPION, self._store) == swap.set_id:
            to = swap.body.get("champion_before")
            args = (to, self._store, f"swap {swap.id}: {reason}", f"{who} (daemon)")
            try:
                await asyncio.to_thread(promotion.roll_back, *args)
            except PromotionRefused as refusal:  # the position's sake comes before the pointer's
                self._alerts.tell("critical", f"the champion pointer stays at {swap.set_id}: {refusal}")
        if serving != swap.previous:
            await self._service.swap(before, reason)
            self._tell_swapped()
        await self._service.make_room(before)  # a life that began with the other set may hold less than it reads
        if before.expires_ms <= time.time_ns() // 1_000_000:
            reason += f"; it expired at {before.manifest.expires}: where that counts, nothing is entered"
            self._alerts.tell(
                "critical", f"model set {before.id} answers again, and expired at {before.manifest.expires}"
            )
        return Stage.ROLLED_BACK, f"{swap.previous} answers again; {reason}; {after_a_restart(self.config)}"

    def _no_way_back(self, swap: Swap, error: Exception) -> tuple[Stage, str]:
        """The set goes on, since positions want one that answers; where the watch found it bad, it enters nothing."""
        told = f"{swap.previous} cannot be opened, and {swap.set_id} goes on: {error}"
        if "asked_back" not in swap.body:
            self._service.pause(f"the watch of {swap.set_id}")
            told += "; nothing is entered until you resume"
        self._alerts.tell("critical", told)
        return Stage.KEPT, told

    async def _before(self, swap: Swap) -> Predictor:
        """The set to go back to, which is open still unless this life began after the swap."""
        if self._service.predictor.id == swap.previous:
            return self._service.predictor
        if swap.previous not in self._loaded:
            self._loaded[swap.previous] = await asyncio.to_thread(self._open_set, swap.previous)
        return self._loaded[swap.previous]

    # sets

    async def _set(self, swap: Swap) -> ModelSet:
        """The set, verified; read again only in another life."""
        if self._verified is None or self._verified.id != swap.set_id:
            self._verified = await asyncio.to_thread(arrived, swap.set_id, self.config.model_sets)
        return self._verified

    async def _opened(self, swap: Swap) -> Predictor:
        """The set, opened in a thread; opened again only in another life."""
        if swap.set_id not in self._loaded:
            self._loaded[swap.set_id] = await asyncio.to_thread(self._open_set, swap.set_id)
        return self._loaded[swap.set_id]

    def _open_set(self, set_id: str) -> Predictor:
        found = self._verified
        if found is None or found.id != set_id:
            found = arrived(set_id, self.config.model_sets)
        return Predictor.load(found, self.config.provider)

    # hearing

    def _tell_swapped(self) -> None:
        for told in self.on_swapped:
            told(self._service.predictor)

    def _drain(self) -> None:
        while not self._answers.empty():
            self._answers.get_nowait()
        self._trades.clear()

    def _drained(self) -> list[Trade]:
        trades = list(self._trades)
        self._trades.clear()
        return trades


def _ending() -> bool:
    """Whether who drives is being ended itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _done(work: Awaitable[tuple[Stage, str]]) -> tuple[Stage, str]:
    return await work
