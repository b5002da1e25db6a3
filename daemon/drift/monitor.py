"""The monitor: told of each candle that was predicted, looks every few of them, and says what shall be done.

It works beside the loop: rows are kept and judged in a thread, and what follows goes to the engine as an event like any
other. What fails here is told and logged; the daemon trades on as it did.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.alerts import Alerts
from daemon.commands import Command
from daemon.drift import rows
from daemon.drift.config import Drift
from daemon.drift.ladder import Ladder
from daemon.drift.sight import Part, Sight, named, parts
from daemon.events import DriftJudged, DriftLevel, Event, ModelSetSwapped
from daemon.inference import Seen
from daemon.lifecycle.book import Book
from daemon.lifecycle.schema import drift as looks
from daemon.state import Drifted
from market.timeframes import Timeframe, utc_text
from models.drift.judging import ABSENT, Finding, Judgement, judge, kept
from models.drift.reference import Reference, read
from models.manifest import Manifest
from models.modelset import ModelSet, ModelSetError
from strategy.plan import FULL_SIZE

if TYPE_CHECKING:
    from daemon.config import DaemonConfig

log = logging.getLogger("daemon.drift")

NAMED = 3
"""How many statistics a text names."""
QUEUE = 1_000
"""Candles that may wait; a swap or a reset is always taken, for the trading loop itself tells of a swap."""
WHO = "drift"


@dataclass(frozen=True)
class _Candle:
    """One predicted candle."""

    model_set: str
    bar: int
    seen: Mapping[str, Seen]


@dataclass(frozen=True)
class _Reset:
    who: str
    done: asyncio.Future[None]


class Monitor:
    """Looks for drift of one set at a time.

    Parameters
    ----------
    decision : Timeframe
        Of the candles that are decided on.
    symbols : sequence of str
        What is traded: each of them is expected to be judged.
    put : callable
        Takes the event for the engine.
    in_force : callable
        What the engine goes by now.
    serving : callable
        The set that answers now.
    ask : callable, optional
        Asks for a new set (cause, who), gives the run's id; without it nobody is asked.
    quiet : callable, optional
        Returns when no candle is being decided, so that what is worked out here slows down none.
    """

    def __init__(
        self,
        config: Drift,
        decision: Timeframe,
        symbols: Sequence[str],
        book: Book,
        alerts: Alerts,
        put: Callable[[DriftJudged], object],
        in_force: Callable[[], Drifted],
        serving: Callable[[], ModelSet],
        ask: Callable[[str, str], Awaitable[str]] | None = None,
        quiet: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.config, self.ask = config, ask
        self.unjudged = "no set is in service yet"
        """Why nothing is judged; empty while something is."""
        self.judgements: dict[str, Judgement] = {}
        """What the last look found, symbol by symbol."""
        self.looked_at = -1
        self.ladder = Ladder()
        self.asked: int | None = None
        """The candle (open time, ms) at which a new set was asked for last."""
        self._decision, self._symbols, self._book, self._alerts = decision, tuple(symbols), book, alerts
        self._put, self._in_force, self._serving, self._quiet = put, in_force, serving, quiet
        self._windows: rows.Windows | None = None
        self._sight = Sight()
        self._manifest: Manifest | None = None
        self._reference: Reference | None = None
        self._queue: asyncio.Queue[_Candle | ModelSet | _Reset] = asyncio.Queue()

    # what it is told

    def seen(self, model_set: str, bar: int, seen: Mapping[str, Seen]) -> None:
        """A candle was predicted: `daemon.inference.Listener`. Never blocks; what finds the queue full is told."""
        if self._queue.qsize() >= QUEUE:
            log.warning("drift: the candle of %s was not looked at: the disk does not keep up", utc_text(bar))
        else:
            self._queue.put_nowait(_Candle(model_set, bar, dict(seen)))

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        """As a watcher of the daemon: a swap is told to the engine once the new set answers."""
        if isinstance(event, ModelSetSwapped):
            self.swapped(self._serving())

    def refuses(self, config: DaemonConfig) -> list[str]:
        """What of another configuration cannot be taken up while it runs."""
        return [] if config.drift else ["drift: whether anybody looks is settled at the start"]

    def take_up(self, config: DaemonConfig) -> None:
        """Go by another section from the next candle on."""
        before = self.config
        if config.drift is not None and config.drift != before:
            self.config = config.drift
            if config.drift.window != before.window:
                self._windows = None
            if config.drift.size_bps != before.size_bps and self.ladder.level is not DriftLevel.NONE:
                self._say(f"entries get {config.drift.shrink:.0%} of their size by another configuration")

    def swapped(self, model_set: ModelSet) -> None:
        """A set is in service from now on: it is compared with its own reference."""
        self._queue.put_nowait(model_set)

    async def reset(self, who: str) -> None:
        """Forget what was seen so far, as an operator asks: full size, entries, and looks counted anew."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Reset(who, done))
        await done

    async def answer(self, verb: str, who: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Over the control socket: `drift` tells, `drift-reset` resets."""
        if verb == "drift-reset":
            await self.reset(who)
        return self.status()

    def status(self) -> dict[str, Any]:
        """What it knows, in plain values."""
        return {
            "model_set": self._manifest.id if self._manifest else None,
            "level": str(self.ladder.level),
            "unjudged": self.unjudged or None,
            "false_alarms": _rate(self._reference),
            "looked_at": utc_text(self.looked_at) if self.looked_at >= 0 else None,
            "beyond_in_a_row": self.ladder.beyond,
            "calm_in_a_row": self.ladder.calm,
            "missing_since": {str(part): utc_text(at) for part, at in self._sight.missing.items()},
            "asked_for_a_set": None if self.asked is None else utc_text(self.asked),
            "symbols": {symbol: told(found) for symbol, found in self.judgements.items()},
        }

    # what it does

    async def run(self) -> None:
        """Work through what it is told, until cancelled."""
        while True:
            work = await self._queue.get()
            try:
                match work:
                    case _Candle():
                        await self._candle(work)
                    case ModelSet():
                        await self._take(work)
                    case _Reset():
                        await self._start_again(f"reset by {work.who}", work.who)
                        work.done.set_result(None)
            except Exception as error:
                log.exception("looking for drift failed")
                self._windows = None  # what is in memory may lack what is in the book
                self._alerts.tell("warning", f"drift could not be looked for: {error}")
                if isinstance(work, _Reset) and not work.done.done():
                    work.done.set_exception(error)
            finally:
                self._queue.task_done()

    async def idle(self) -> None:
        """Return once everything that was told so far is worked through."""
        await self._queue.join()

    async def _take(self, model_set: ModelSet) -> None:
        """Look at this set from now on; after a restart go on where it was left."""
        before, self._manifest = self._manifest, model_set.manifest
        self._reference, self._windows, self.judgements = None, None, {}
        try:
            self._reference = await asyncio.to_thread(read, model_set)
        except ModelSetError as error:
            self.unjudged = str(error)
        else:
            self.unjudged = "" if self._reference else _WITHOUT.format(model_set.id)
        if self.unjudged:
            self._alerts.tell("warning", f"drift is not judged: {self.unjudged}")
        last = (await asyncio.to_thread(rows.newest, self._book))[:1]
        if last and last[0]["set_id"] == model_set.id:
            self._go_on(last[0])
            await self._bring_in_line(f"as before the restart: {self.ladder.level}")
        elif before is None and not last and self._in_force().level is DriftLevel.NONE:
            self.ladder = Ladder()
        elif before is None and not last and self._in_force().model_set in ("", model_set.id):
            await self._go_on_without_looks(self._in_force())
        else:
            self.asked = None
            await self._start_again(f"{model_set.id} is compared with its own reference", WHO)

    def _go_on(self, row: dict[str, Any]) -> None:
        body = row["body"]
        self.ladder = Ladder(DriftLevel(row["level"]), body["beyond"], body["calm"])
        self.asked, self._sight = body["asked"], Sight.of(body, self._symbols)

    async def _go_on_without_looks(self, force: Drifted) -> None:
        """Go on from what the journal holds: an empty book, such as a new one, is no sign that anything got better.

        What raised the level is not known, so everything that counts holds it until it is judged.
        """
        self.ladder, self._sight = Ladder(force.level), Sight(parts(self._symbols, self.config.statistics))
        text = f"the lifecycle holds no look at drift: it goes on from the journal's level, {force.level}: {force.text}"
        await asyncio.to_thread(self._write, self.looked_at, {"": None}, text)
        await self._note(f"drift: {force.level}", text, WHO)
        self._alerts.tell("warning", f"drift: {text}")
        await self._bring_in_line(force.text)

    async def _start_again(self, text: str, who: str) -> None:
        self.ladder, self.judgements, self._sight = Ladder(), {}, Sight()
        await asyncio.to_thread(self._write, self.looked_at, {"": None}, text)
        await self._note(f"drift: {DriftLevel.NONE}", text, who)
        await self._bring_in_line(text)

    async def _bring_in_line(self, text: str) -> None:
        """Let the engine go by our level and size, where it does not."""
        now = self._in_force()
        if (now.level, now.size_bps) != (self.ladder.level, self._size_bps):
            self._say(text)

    async def _candle(self, candle: _Candle) -> None:
        manifest = self._manifest
        if manifest is None or candle.model_set != manifest.id:
            return  # said by a set that has left meanwhile
        if self._quiet is not None:
            await self._quiet()
        await asyncio.to_thread(rows.keep, self._book, manifest, candle.bar, candle.seen)
        reference, every = self._reference, self.config.every
        if reference is not None:
            every = max(every, reference.every)
            await asyncio.to_thread(self._in_memory(manifest).take, candle.bar, candle.seen)
        elif self.ladder.level is DriftLevel.NONE:
            return  # nobody can judge it, and nothing is in force
        if candle.bar // self._decision.ms % every:
            return
        self.judgements = {}
        if reference is not None:
            self.judgements = await asyncio.to_thread(self._judged, manifest, reference, candle)
        self.looked_at = candle.bar
        await self._conclude(candle.bar)

    def _in_memory(self, manifest: Manifest) -> rows.Windows:
        if self._windows is None:
            many = kept(self.config.window, manifest)
            self._windows = rows.Windows(self._book, manifest, many, many * self._decision.ms)
        return self._windows

    def _judged(self, manifest: Manifest, reference: Reference, candle: _Candle) -> dict[str, Judgement]:
        """What each symbol's window says; rows too old to matter are dropped."""
        windows = self._in_memory(manifest)
        rows.forget(self._book, candle.bar - windows.span_ms)
        return {symbol: judge(reference, manifest, windows.of[symbol], self.config.window) for symbol in candle.seen}

    async def _conclude(self, bar: int) -> None:
        """One more look: where we stand, what is done, and all of it written down."""
        config, before = self.config, self.ladder
        judged = [(symbol, f) for symbol, found in self.judgements.items() for f in found.findings]
        drifted = [(symbol, f) for symbol, f in judged if f.beyond and config.counts(f)]
        beyond = [f for _, f in drifted]
        cured = [f for f in beyond if f.name != ABSENT]  # a new set does not bring missing candles back
        assert self._manifest is not None, "a set was taken before any candle was looked at"
        seen, drifting = ({Part(symbol, f.group) for symbol, f in those} for those in (judged, drifted))
        lasts_ms = (config.window + max(self._manifest.horizons)) * self._decision.ms
        sighted = self._sight.look(bar, seen, drifting, parts(self._symbols, config.statistics), lasts_ms)
        text = self._text(beyond)
        if beyond or sighted.calm:
            top = DriftLevel.RETRAIN if config.retrain and self.ask and (cured or not beyond) else DriftLevel.STOP
            self.ladder = before.look(bool(beyond), config.in_a_row, config.calm_in_a_row, top)
        elif sighted.ends:
            self.ladder = Ladder()
        if self.ladder.level is DriftLevel.NONE and not self.ladder.beyond:
            self._sight.held_by.clear()
        await self._tell_missing(sighted.lapsed)
        if self.ladder.level is not before.level:
            await self._note(f"drift: {self.ladder.level}", text, WHO)
            self._say(text)
        if self.ladder.level is DriftLevel.RETRAIN and cured:
            await self._ask_for_a_set(bar, text)
        await asyncio.to_thread(self._write, bar, dict(self.judgements) or {"": None}, text)
        if self._reference is not None:
            await asyncio.to_thread(rows.forget_looks, self._book, bar - self._reference.period * self._decision.ms)

    async def _tell_missing(self, lapsed: set[Part]) -> None:
        """Say of what has not been judged for as long as the window lasts, those of one time and reason together."""
        together: dict[tuple[int, str], set[Part]] = {}
        for part in lapsed:
            together.setdefault((self._sight.missing[part], self._why_missing(part)), set()).add(part)
        for (since, why), those in sorted(together.items()):
            told = f"{named(those)} not judged since {utc_text(since)}: {why}"
            self._alerts.tell("warning", f"drift: {told}; nothing of it holds a level any more")
            await self._note("drift: not judged", told, WHO)

    def _why_missing(self, part: Part) -> str:
        if part.symbol not in self._symbols:
            return "it is traded no more"
        found = self.judgements.get(part.symbol)
        return (found.waiting.get(part.group) if found else None) or self.unjudged or "no rows"

    def _text(self, beyond: list[Finding]) -> str:
        if not beyond:
            missing = named(self._sight.missing)
            return f"within all limits that are judged; not judged: {missing}" if missing else "within all limits"
        drifted = []
        for symbol, found in self.judgements.items():
            of_it = [f for f in found.beyond if f in beyond]
            if of_it:
                more = f" and {len(of_it) - NAMED} more" if len(of_it) > NAMED else ""
                drifted.append(f"{symbol} {', '.join(map(str, of_it[:NAMED]))}{more}")
        return "; ".join(drifted)

    async def _ask_for_a_set(self, bar: int, text: str) -> None:
        pause = self.config.retrain_again * self._decision.ms
        if not self.config.retrain or self.ask is None or (self.asked is not None and bar - self.asked < pause):
            return
        try:
            run = await self.ask("drift", WHO)
        except Exception as error:
            log.exception("asking for a new set failed")
            self._alerts.tell("warning", f"drift: a new set could not be asked for: {error}")
            return
        if await asyncio.to_thread(rows.turned_away, self._book, run):
            log.info("a new set was not to be had now (run %s); it is asked for again at the next look", run)
            return
        self.asked = bar
        await self._note("drift: a new set is asked for", text, WHO, run)

    def _say(self, text: str) -> None:
        assert self._manifest is not None, "a set was taken before anything is said of it"
        self._put(DriftJudged(self.ladder.level, self._size_bps, text, self._manifest.id))

    @property
    def _size_bps(self) -> int:
        return FULL_SIZE if self.ladder.level is DriftLevel.NONE else self.config.size_bps

    async def _note(self, step: str, text: str, who: str, run_id: str | None = None) -> None:
        set_id = self._manifest.id if self._manifest else None
        await asyncio.to_thread(self._book.note, step, text, who=who, set_id=set_id, run_id=run_id)

    def _write(self, bar: int, judgements: Mapping[str, Judgement | None], text: str) -> None:
        counts = {"beyond": self.ladder.beyond, "calm": self.ladder.calm, "asked": self.asked, "text": text}
        counts = {**counts, **self._sight.as_dict()}
        for symbol, found in judgements.items():
            self._book.insert(
                looks,
                bar=bar,
                at_ms=time.time_ns() // 1_000_000,
                symbol=symbol,
                set_id=self._manifest.id if self._manifest else None,
                level=str(self.ladder.level),
                body=json.dumps(counts | (told(found) if found else {})),
            )


_WITHOUT = (
    "{} carries no reference for drift (an earlier version made it), so neither features nor predictions, outcomes and "
    "dead inputs are watched; train a set with this version (`make train`, `python -m daemon retrain`): it carries one"
)


def told(found: Judgement) -> dict[str, Any]:
    """A judgement in plain values: each statistic beside its limit."""
    return {
        "beyond_limits": [f.name for f in found.beyond],
        "statistics": {f.name: [round(f.value, 4), round(f.limit, 4)] for f in found.findings},
        "windows": found.windows,
        "waiting": found.waiting,
    }


def _rate(reference: Reference | None) -> dict[str, Any] | None:
    """How often an alarm is false, as the set states it."""
    return None if reference is None else {"rate": reference.rate, "candles": reference.period}
