"""The works: what is done with a set at each stage of `stages`.

Each may be begun again, in this life or the next: what it has measured so far is in the row, and what it has done it
finds done.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from daemon.alerts import Alerts
from daemon.commands import Command, RecordDecisions, RecordTrade
from daemon.config import DaemonConfig
from daemon.events import Event, PredictionReady
from daemon.inference import Answer
from daemon.swapping.fitness import arrived, misfits
from daemon.swapping.judging import Judge, Refused
from daemon.swapping.memory import give_back
from daemon.swapping.naming import after_a_restart
from daemon.swapping.pulse import Pulse
from daemon.swapping.rows import Swap, Swaps
from daemon.swapping.service import Service
from daemon.swapping.stages import Stage
from daemon.swapping.watch import Watch
from daemon.venues.profile import Profile
from market.trades import Trade
from models import promotion
from models.inference import Predictor
from models.modelset import CHAMPION, ModelSet, ModelSetError, is_id, pointed
from models.promotion import PromotionRefused


class Works:
    """Does the works of the stages, and hears for them what is answered and traded.

    Attributes
    ----------
    config : DaemonConfig
        What they go by now.
    """

    def __init__(
        self, config: DaemonConfig, profile: Profile, swaps: Swaps, service: Service, judge: Judge, alerts: Alerts
    ) -> None:
        self.config, self._profile, self._swaps = config, profile, swaps
        self._service, self._judge, self._alerts = service, judge, alerts
        self._store = config.store
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._trades: deque[Trade] = deque()
        self._verified: ModelSet | None = None
        self._loaded: dict[str, Predictor] = {}
        """Sets beside the one in service that are open: the candidate, and the one to go back to."""
        service.listen(self._answers.put_nowait)

    async def work(self, swap: Swap) -> tuple[Stage, str]:
        """Do the work of the stage that a swap is at; gives the stage it leads to, and why.

        Raises
        ------
        Refused, ModelSetError, PromotionRefused
            If the set is at fault; whatever else is raised, it is not.
        """
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
        return await works[swap.stage](swap)

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
            return self.no_way_back(swap, error)
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
            await self._service.make_room(before)  # a life that began with the other set may hold less than it reads
        if before.expires_ms <= time.time_ns() // 1_000_000:
            reason += f"; it expired at {before.manifest.expires}: where that counts, nothing is entered"
            self._alerts.tell(
                "critical", f"model set {before.id} answers again, and expired at {before.manifest.expires}"
            )
        return Stage.ROLLED_BACK, f"{swap.previous} answers again; {reason}; {after_a_restart(self.config)}"

    def no_way_back(self, swap: Swap, error: Exception) -> tuple[Stage, str]:
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

    async def let_go(self) -> None:
        """Let go of what was open for a way that is over."""
        self._service.lift_shadow()
        self._loaded, self._verified = {}, None
        await asyncio.to_thread(give_back)

    # hearing

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        """Note closed trades, and candles that were decided without an answer; called for every step of the loop."""
        for command in commands:
            if isinstance(command, RecordDecisions) and not isinstance(event, PredictionReady):
                self._answers.put_nowait(self._service.silence(command.bar))
            if isinstance(command, RecordTrade):
                self._trades.append(command.trade)

    async def idle(self, wake: asyncio.Event) -> None:
        """Wait to be woken; what is answered and traded meanwhile is nobody's concern."""
        while not wake.is_set():
            waiting = asyncio.create_task(wake.wait())
            hearing = asyncio.create_task(self._answers.get())
            try:
                await asyncio.wait((waiting, hearing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (waiting, hearing):
                    task.cancel()
            self._trades.clear()

    def _drain(self) -> None:
        while not self._answers.empty():
            self._answers.get_nowait()
        self._trades.clear()

    def _drained(self) -> list[Trade]:
        trades = list(self._trades)
        self._trades.clear()
        return trades
