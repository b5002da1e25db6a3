"""The app: boots the daemon, turns its one loop, and brings it to rest.

The loop is all there is: take an event, let the engine say what to do, hand both to the journal and the commands to the
outbox, which lets them go when their record is on disk. Nothing but the loop touches the engine; everything else puts
events into the inbox. The loop never waits for a disk, a terminal or a client.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from typing import Any, Protocol

import aiohttp

from daemon import boot, chores
from daemon.alerts import Alerts
from daemon.backfill import Backfill
from daemon.backup.schedule import back_up
from daemon.candle_feed import CandleFeed, Told
from daemon.candle_store import CandleStore
from daemon.clock import now_ms
from daemon.commands import Command, RecordDecisions, RecordExposure, Settled
from daemon.config import DaemonConfig, Deadlines, Mode, OnStop
from daemon.control import UNKNOWN, Answer, ControlServer
from daemon.engine import Engine
from daemon.events import Event, ModelSetSwapped, OperatorCommand, Order, RulesChanged
from daemon.execution import Execution
from daemon.identity import prefix
from daemon.inbox import Inbox
from daemon.inference import MARGIN_CANDLES, Inference, held
from daemon.inlet import Inlet
from daemon.journal import Journal
from daemon.lifecycle import opening
from daemon.lifecycle.wiring import Lifecycle
from daemon.liveness import Liveness
from daemon.notify import Manager
from daemon.outbox import Outbox
from daemon.reconciliation import Reconciliation
from daemon.recorder import Recorder
from daemon.reload import Offer, Part, Reload, ReloadRefused
from daemon.state import DaemonState
from daemon.status import status
from daemon.streams import MarketStream, PrivateStream
from daemon.summary import Stopwatch, summary
from daemon.venues.catalogue import configured
from market.timeframes import Timeframe
from models.inference import Predictor
from strategy.live_config import Rules
from strategy.phases import tighten
from strategy.plan import TradingState

log = logging.getLogger("daemon.app")

OPERATORS = (Order.PAUSE, Order.RESUME, Order.FLATTEN)
"""What may be asked for over the control socket; the rest is the daemon's own."""
ALERTS_DRAIN_S = 5.0
LAST_S = 5.0
"""How long, once the journal has failed, open positions are still seen to before the daemon ends, seconds."""


class ShutdownTimeout(Exception):
    """The daemon did not come to rest in time."""


class Watcher(Protocol):
    """Somebody who looks on: the view, or the line printer."""

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        """One event was dealt with."""


class Daemon:
    """One daemon in one state directory; the lock is the caller's.

    Parameters
    ----------
    candles : int, optional
        End after so many decided candles.
    session : aiohttp.ClientSession, optional
        Through which the exchange is reached; the caller closes it. ccxt's own without.
    """

    def __init__(
        self,
        config: DaemonConfig,
        rules: Rules,
        predictor: Predictor,
        journal: Journal,
        alerts: Alerts,
        candles: int | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self.rules, self.tightened = tighten(rules, config.phase_in_force)
        self.predictor, self.alerts = predictor, alerts
        self.journal = journal
        self._state = journal.state() or DaemonState()
        self._decided_until = self._state.decided_until(config.decision.ms)
        self.leaving = self._state.attended - set(config.symbols)
        """Symbols that were removed from the configuration with something open: looked after until that is closed."""
        self.config = config.model_copy(update={"symbols": (*config.symbols, *sorted(self.leaving))})
        self.watchers: list[Watcher] = []
        self.verbs: dict[str, Answer] = {}
        """What else may be asked for over the control socket: parts add their own."""
        self.lifecycle: Lifecycle | None = None
        self.loop_off = ""
        """Why nothing is retrained, swapped or watched for drift; empty while it is."""
        self.settled = 0
        self.stopwatch = Stopwatch()
        self.liveness = Liveness(Manager())
        self.engine: Engine | None = None
        self.failure = ""
        self.written = config
        self.parts: dict[str, Part] = {}
        self.offer: Offer | None = None
        self._reload = Reload(self)
        self._wait: Callable[[Deadlines], None] | None = None
        self._candles = candles
        self.inbox = Inbox()
        self.outbox: Outbox | None = None
        self._stopping = asyncio.Event()
        self._market_live = asyncio.Event()
        self._stop_reason = ""
        self._tasks: list[asyncio.Task[Any]] = []
        read = {t: held(predictor, Timeframe.parse(t)) for t in config.timeframes}
        self.store = CandleStore(self.config.pairs, MARGIN_CANDLES, read)
        self.recorder = Recorder(config.state_dir)
        self.control = ControlServer(config.state_dir, self._answer)
        self.inlet = Inlet(self.inbox.offer, self.stopwatch)
        self.venue = configured(config, self.inlet.frame, session)
        self.backfill = Backfill(self.venue)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    @property
    def in_service(self) -> str:
        """Id of the set that predicts."""
        return self.predictor.id

    def stop(self, reason: str) -> None:
        """Begin to stop; positions are protected or flattened, as configured."""
        if not self._stopping.is_set():
            log.info("stopping: %s", reason)
            self._stop_reason = reason
            self._stopping.set()

    async def run(self) -> dict[str, Any]:
        """Trade until told to stop or the candles asked for are decided; gives the summary.

        Raises
        ------
        BootError, Refused
            If the daemon cannot trade this configuration.
        JournalError
            If the journal cannot be written; stops rest at the exchange.
        ShutdownTimeout
            If open orders or positions did not come to rest.
        """
        if phase := self.config.phase_in_force:
            log.info("phase %s tightens the rules: %s", phase, "; ".join(self.tightened) or "nothing")
        control = self.control
        await control.open()
        self._spawn(self.alerts.run(), "alerts")
        self._spawn(self.liveness.start(), "start")
        try:
            await opening.check_newer(self.config.state_dir, self._state.attended)
            boot.check_features(self.predictor, self.venue.profile, self._state, self.alerts)
            instruments = await boot.reach(
                self.venue, self.config, self._state, self.journal.deployment, self._stopping
            )
            if instruments is None:
                return self._summary(None, DaemonState())
            before = copy(self._state.counts)
            deployment, longest = self.journal.deployment, self.predictor.max_hold_bars
            settings = boot.settings(self.config, self.rules, deployment, instruments, longest, self.leaving)
            engine = self.engine = Engine(settings, self._state)
            await self._trade(engine)
            return self._summary(engine, DaemonState(counts=before))
        except Exception as error:
            self.alerts.tell("critical", f"the daemon ends: {error}")
            raise
        finally:
            await self.alerts.drain(ALERTS_DRAIN_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await control.close()
            await self.venue.close()
            await asyncio.to_thread(self.recorder.close)
            await asyncio.to_thread(self.journal.close, self.engine.state if self.engine else None)

    # the loop

    async def _trade(self, engine: Engine) -> None:
        by_symbol = self.venue.instruments
        own = prefix(self.journal.deployment)
        real = self.config.mode is not Mode.SANDBOX
        inference = Inference(self.predictor, self.store, self.backfill, self.config.decision, by_symbol, expires=real)
        reconciliation = Reconciliation(
            self.venue, by_symbol, self.journal.last_fill, lambda: engine.state.known_until, own
        )
        execution = Execution(
            self.venue,
            by_symbol,
            reconciliation,
            inference,
            self.alerts,
            self.inbox.put,
            self._order_sent,
            self.inlet.prices,
        )
        outbox = self.outbox = Outbox(self.journal, execution.start, self.inbox.put, self.config.deadlines.record_s)
        loop = asyncio.get_running_loop()

        def look() -> None:
            loop.call_soon_threadsafe(outbox.look)

        self.journal.listen(look)
        before = engine.state.serving or engine.state.model_set
        if before not in ("", self.predictor.id):
            hold = self.predictor.max_hold_bars
            self.inbox.put(ModelSetSwapped(self.predictor.id, hold, before, "the daemon was started with it"))
        lifecycle = self.lifecycle = await opening.opened(self, engine, inference)
        try:
            await boot.check_market(self.backfill, self.config, engine.state)
            await self._open_streams(engine, outbox, execution, inference)
            if lifecycle is not None:
                lifecycle.start(self._spawn, self._loop_rests)
            await self._loop(engine, outbox, execution)
        finally:
            self.journal.listen(_nobody)
            if lifecycle is not None:
                await lifecycle.close()
            outbox.close()
            await execution.close()
            inference.close()

    async def _open_streams(self, engine: Engine, outbox: Outbox, execution: Execution, inference: Inference) -> None:
        """The private stream first, so that nothing is lost between the account's truth and the first event."""
        deadlines = self.config.deadlines
        feed = CandleFeed(
            self.store, self.backfill, self._candle, deadlines.close_s, self._decided_until, record=self.recorder.take
        )

        async def reconcile() -> None:
            await asyncio.shield(execution.reconcile("the private stream came to life"))

        async def catch_up() -> None:
            await feed.catch_up()
            await inference.warm_up()

        put = self.inbox.put
        private = PrivateStream(
            self.venue, put, reconcile, first_data_s=deadlines.first_data_s, told_s=deadlines.told_s
        )
        market = MarketStream(
            self.venue,
            put,
            catch_up,
            pairs=self.config.pairs,
            first_data_s=deadlines.first_data_s,
            data_s=deadlines.data_s,
        )
        self._market_live = market.live
        self.inlet.open(feed, market, private, self.venue)

        def wait(deadlines: Deadlines) -> None:
            market.expect(first_data_s=deadlines.first_data_s, data_s=deadlines.data_s)
            private.expect(first_data_s=deadlines.first_data_s, told_s=deadlines.told_s)
            feed.close_s, outbox.patience_s = deadlines.close_s, deadlines.record_s

        self._wait = wait
        self._spawn(self.inlet.run(), "inlet")
        self._spawn(private.run(), "private")
        self._spawn(self._after(private.live, market.run()), "market")
        first_kline = boot.demand_first_kline(market, engine.state, deadlines.first_kline_s, self.alerts)
        self._spawn(first_kline, "first kline")
        self._spawn(chores.tick(self.inbox, self.journal, self.alerts), "tick")
        self._spawn(chores.sync_clock(self.venue), "clock")
        self._spawn(chores.read_instruments(self.venue, self.inbox, deadlines.instruments_s), "instruments")
        if (backup := self.config.backup) is not None:
            self._spawn(back_up(backup, self.config.state_dir, self.journal.deployment, self.alerts), "backup")

    async def _after(self, ready: asyncio.Event, work: Any) -> None:
        try:
            await ready.wait()
        except asyncio.CancelledError:
            work.close()
            raise
        await work

    async def _loop(self, engine: Engine, outbox: Outbox, execution: Execution) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        deadline = float("inf")
        while True:
            if self.journal.failure is not None:
                await self._last_rites(engine, outbox, execution)
                raise self.journal.failure
            if stopping.done() and deadline == float("inf"):
                deadline = time.monotonic() + self.config.deadlines.shutdown_s
                self._begin_to_stop()
            if stopping.done() and self._at_rest(engine):
                return
            if time.monotonic() > deadline:
                raise ShutdownTimeout(
                    f"not at rest {self.config.deadlines.shutdown_s:g} s after being told to stop; "
                    f"stops rest at the exchange, and the next start takes over from there"
                )
            self._step(engine, outbox, await self.inbox.get())
            self.liveness.turned(self, self._market_live.is_set())
            if len(self.inbox):
                await asyncio.sleep(0)  # a burst of events does not keep a command from starting

    def _step(self, engine: Engine, outbox: Outbox, event: Event) -> None:
        at = now_ms()
        commands = engine.step(event, at)
        outbox.put(self.journal.record(event, at, commands, engine.state), commands)
        if engine.state.memory.state is not TradingState.ACTIVE and outbox.held:
            outbox.recall()
        for command in commands:
            self._note(command)
        for watcher in self.watchers:
            watcher.stepped(event, commands)

    async def _last_rites(self, engine: Engine, outbox: Outbox, execution: Execution) -> None:
        """The journal has failed: nothing that opens risk leaves any more, and open positions still get their stops."""
        log.critical("%s", self.journal.failure)
        deadline = time.monotonic() + LAST_S
        unrecorded = self.journal.durable + 1
        outbox.look()
        while time.monotonic() < deadline and not _covered(engine):
            try:
                async with asyncio.timeout(chores.TICK_S):
                    event = await self.inbox.get()
            except TimeoutError:
                continue
            outbox.put(unrecorded, engine.step(event, now_ms()))
        await execution.finish(max(0.0, deadline - time.monotonic()))

    def _note(self, command: Command) -> None:
        match command:
            case RecordDecisions():
                self.stopwatch.decided(command.bar + self.config.decision.ms, time.monotonic_ns())
            case RecordExposure():
                self.stopwatch.exposures_ms.append(command.until - command.since)
            case Settled():
                self.settled += 1
                if self.settled == self._candles:
                    self.stop(f"{self._candles} candles are decided")

    def serve(self, predictor: Predictor) -> None:
        """Another set answers from now on: whoever shows the set in service shows this one."""
        self.predictor = predictor

    def _order_sent(self, at_ns: int) -> None:
        if self.engine is not None and self.engine.state.deciding >= 0:
            self.stopwatch.ordered(self.engine.state.deciding + self.config.decision.ms, at_ns)

    def _candle(self, event: Told) -> None:
        if not self._stopping.is_set():  # who is stopping decides nothing new
            self.inbox.put(event)

    # stopping

    def _begin_to_stop(self) -> None:
        if self.config.on_stop is OnStop.FLATTEN:
            self.inbox.put(OperatorCommand(Order.LEAVE, f"the daemon's stop ({self._stop_reason})"))

    def _at_rest(self, engine: Engine) -> bool:
        if not engine.state.reconciled:
            return self.config.on_stop is OnStop.PROTECT
        desks = engine.desks.values()
        flat = all(d.book.lot is None for d in desks) or self.config.on_stop is OnStop.PROTECT
        return flat and not len(self.inbox) and engine.state.deciding < 0 and all(d.at_rest for d in desks)

    # another configuration

    def hang_up(self) -> None:
        """Read the configuration again, as SIGHUP asks."""
        self._spawn(self.reload("SIGHUP"), "reload")

    async def reload(self, who: str) -> dict[str, Any]:
        """Put what the configuration's file says now in force, as a whole or not at all."""
        if self._wait is None or self.stopping:
            return {"error": f"it {'stops' if self.stopping else 'is starting'}: nothing was read again"}
        self.liveness.reloading()
        try:
            return {"changed": list(await self._reload.run(who))}
        except ReloadRefused as error:
            return {"refused": error.lines}
        finally:
            self.liveness.reloaded()

    def adopt(self, config: DaemonConfig, rules: Rules, tightened: tuple[str, ...], who: str) -> None:
        """Go by another configuration: the engine from its next decision on, all else at once."""
        assert self.engine is not None
        assert self._wait is not None
        self.written, self.rules, self.tightened = config, rules, tightened
        self.config = config.model_copy(update={"symbols": self.config.symbols})
        self._wait(config.deadlines)
        settings = self.engine.settings
        new = boot.settings(
            self.config, rules, settings.deployment, settings.instruments, settings.max_hold_bars, self.leaving
        )
        waits = (new.batch_ms, new.patience.answer_ms, new.patience.protect_ms, new.patience.reconcile_ms)
        self.inbox.put(RulesChanged(rules, *waits, str(new.foreign), who))

    # around

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _loop_rests(self, why: str) -> None:
        """A part of the loop has ended; positions are looked after without it."""
        self.loop_off = f"the loop is not whole: {why}"
        self.alerts.tell("critical", f"{self.loop_off}; trading goes on with {self.predictor.id}")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.critical("%s ended in an error", task.get_name(), exc_info=error)
            self.alerts.tell("critical", f"{task.get_name()} ended in an error: {error!r}")
            self.failure = f"{task.get_name()} ended in an error: {error!r}"
            self.stop(self.failure)

    async def _answer(self, verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        if verb == "status":
            return status(self)
        if verb in self.verbs:
            return await self.verbs[verb](verb, who, args)
        if verb == "reload":
            return await self.reload(who)
        if verb not in OPERATORS:
            if self.lifecycle is None and not self.loop_off:
                return {"error": f"it is starting: {verb!r} is not answered before the exchange is reached; ask again"}
            known = ", ".join(("status", "reload", *OPERATORS, *self.verbs))
            return {"error": f"{UNKNOWN} {verb!r}; known are {known}"}
        if self.engine is None:
            return {"error": "the exchange is not reached yet: nothing was done; ask again, or act at the exchange"}
        if not self.inbox.offer(OperatorCommand(Order(verb), who)):
            return {"error": f"{len(self.inbox)} events wait already; ask again in a moment"}
        return {"taken": verb}

    def _summary(self, engine: Engine | None, before: DaemonState) -> dict[str, Any]:
        state = engine.state if engine else before
        equity = engine.equity if engine else 0
        return summary(self.settled, before.counts, state.counts, equity, state.cash, self.predictor.id, self.stopwatch)


def _covered(engine: Engine) -> bool:
    """No order under way, and every open position has a stop that was read back."""
    return all(d.book.order is None and (d.book.lot is None or d.protected()) for d in engine.desks.values())


def _nobody() -> None:
    """Nobody waits for the journal any more."""
