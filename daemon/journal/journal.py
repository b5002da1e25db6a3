"""The journal of one state directory: takes in the loop's steps without blocking it, and reads them back.

Steps that lead to nothing outside are gathered and written with the next that does; whatever waits for the writing
thread is committed as one transaction with one disk flush. Readers (`why`, the parity harness) open the same file
beside the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from daemon.batches import Batches
from daemon.commands import Command
from daemon.events import Event, Filled, Reconciled
from daemon.journal import deployment, schema
from daemon.journal.schema import FILE, JournalError, Told
from daemon.journal.steps import Ahead, Context, Step, write_ahead, write_state, write_step
from daemon.migrations.database import connect
from daemon.state import DaemonState
from market.trades import Trade

GATHER = 200
"""The most steps that are gathered for the next write."""
QUEUE = 10_000
"""The most writes that may wait for a slow disk; then the daemon ends rather than forget."""
PATIENCE_S = 30.0
"""How long a file that somebody else holds locked is waited for, seconds."""


@dataclass(frozen=True, slots=True)
class _Write:
    """Steps, and the state behind the last of them."""

    steps: tuple[Step, ...]
    snapshot: str
    context: Context


class Journal:
    """The journal of one state directory.

    Parameters
    ----------
    folder : Path
        The state directory; it is made where there is none.
    patience_s : float
        How long a file that somebody else holds locked is waited for, seconds.

    Raises
    ------
    JournalError
        If the file is of a newer version, is no journal, or the disk refuses.
    """

    def __init__(self, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self.path = folder / FILE
        self.durable = 0
        """Number of the newest step that a power cut cannot take away."""
        self._patience_s = patience_s
        self._gathered: list[Step] = []
        self._listener: Callable[[], None] = _nobody
        self._error: JournalError | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._engine = connect(self.path, patience_s)
        with self._told("open"):
            self.deployment = schema.prepare(self._engine, self.path, patience_s)
            deployment.keep(folder, self.deployment)
            self._seq = self.durable = self._newest_step()
            self._anchors, self._newer = self._last_fills()
        self._batches: Batches[_Write | Ahead] | None = None

    @property
    def failure(self) -> JournalError | None:
        """Why nothing can be written any more; None while it can."""
        if self._error is None and self._batches is not None and (error := self._batches.failure):
            self._error = error if isinstance(error, JournalError) else JournalError(f"the journal failed: {error!r}")
        return self._error

    @property
    def waiting(self) -> int:
        """How many writes wait for the disk."""
        return self._batches.waiting if self._batches else 0

    @property
    def taking_s(self) -> float:
        """How long the write under way has taken so far, seconds."""
        return self._batches.taking_s if self._batches else 0.0

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, in the writing thread, whenever `durable` has risen or the writing has failed."""
        self._listener = listener

    def record(self, event: Event, at: int, commands: Sequence[Command], state: DaemonState) -> int:
        """Take in one step, never blocking; gives the number that `durable` reaches once it is on the disk.

        A step that leads to nothing outside stays in memory until the next that does.
        """
        step = Step(self._seq + 1, at, event, tuple(commands))
        if step.idle:
            if self._gathered:
                self._hand_over(state)
            return self._seq
        self._seq = step.seq
        self._gathered.append(step)
        self._remember(event)
        if step.weighty or len(self._gathered) >= GATHER:
            self._hand_over(state)
        return step.seq

    def went_ahead(self, seq: int, kind: str, client_id: str, waited_ms: int) -> None:
        """Take in that a protective command of a step did not wait for the step to be durable."""
        self._put(Ahead(seq, kind, client_id, waited_ms))

    def write(self, event: Event, at: int, commands: Sequence[Command], state: DaemonState) -> None:
        """Record one step and wait for the disk: for whoever has no loop to keep turning.

        Raises
        ------
        JournalError
            If the disk refuses.
        """
        self.record(event, at, commands, state)
        self._await_disk()

    def close(self, state: DaemonState | None = None) -> None:
        """Write what was gathered or waits, and let go of the file.

        Raises
        ------
        JournalError
            If the disk refuses.
        """
        try:
            if state is not None and self._gathered and self.failure is None:
                self._hand_over(state)
            if self._batches is not None:
                self._await_disk()
                self._batches.close(self._patience_s)
        finally:
            self._batches, self._listener = None, _nobody
            self._engine.dispose()

    def state(self) -> DaemonState | None:
        """The state at the last durable write, or None for a new journal."""
        with self._told("read"), self._engine.connect() as db:
            body = db.execute(sa.select(schema.state.c.body)).scalar()
        return DaemonState.load(body) if body else None

    def last_fill(self, symbol: str) -> tuple[int, int] | None:
        """Trade id and exchange time (ms) of a symbol's newest execution recorded before the last `Reconciled`.

        Of later ones it is not certain that none was missed between them: a stream that came back may have brought a
        newer execution before the missed ones were asked for. Answered from memory.
        """
        return self._anchors.get(symbol)

    def decisions(self, count: int = 20, symbol: str | None = None) -> list[dict[str, Any]]:
        """The newest decisions, newest first."""
        query = sa.select(schema.decisions).order_by(schema.decisions.c.id.desc()).limit(count)
        return self._rows(query.where(schema.decisions.c.symbol == symbol) if symbol else query)

    def gaps(self, count: int = 100, symbol: str | None = None) -> list[dict[str, Any]]:
        """The newest gaps between candles, newest first; `how` is None while one is being filled."""
        query = sa.select(schema.gaps).order_by(schema.gaps.c.found_ms.desc(), schema.gaps.c.start.desc()).limit(count)
        return self._rows(query.where(schema.gaps.c.symbol == symbol) if symbol else query)

    def trades(self) -> list[Trade]:
        """Every closed trade, in the order they closed."""
        names = [f.name for f in fields(Trade)]
        rows = self._rows(sa.select(schema.trades).order_by(schema.trades.c.id))
        return [Trade(**{n: row[n] for n in names}) for row in rows]

    def exposures_ms(self) -> list[int]:
        """How long positions stood without a stop that was read back, one number an occasion, ms."""
        rows = self._rows(sa.select(schema.exposures).order_by(schema.exposures.c.id))
        return [row["until"] - row["since"] for row in rows]

    def settled(self) -> int:
        """Open time (ms) of the newest settled candle, -1 for none."""
        with self._told("read"), self._engine.connect() as db:
            bar = db.execute(sa.select(sa.func.max(schema.settled.c.bar))).scalar()
        return -1 if bar is None else int(bar)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table, in the order it was written or, where it has a time, happened."""
        return self._rows(sa.select(schema.metadata.tables[table]).order_by(sa.text("rowid")))

    def first_cash(self) -> int | None:
        """The wallet (cash units) in the first truth that the exchange told, None if it told none."""
        body = schema.events.c.body
        query = sa.select(sa.func.json_extract(body, "$.cash").label("cash"))
        rows = self._rows(query.where(schema.events.c.kind == "Reconciled").order_by(schema.events.c.seq).limit(1))
        return rows[0]["cash"] if rows else None

    def transfers(self) -> list[dict[str, Any]]:
        """What moved the wallet beside executions and funding, as the exchange told it: time, cause, symbol, change."""
        of = schema.events.c
        names = ("time", "cause", "symbol", "change")
        told = {name: sa.func.json_extract(of.body, f"$.{name}") for name in names}
        query = sa.select(of.at_ms, *(value.label(name) for name, value in told.items()))
        query = query.where(of.kind == "BalanceUpdated", told["cause"].not_in(("ORDER", schema.FUNDING)))
        return self._rows(query.where(told["change"] != 0).order_by(of.seq))

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._told("read"), self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    # writing

    def _hand_over(self, state: DaemonState) -> None:
        context = Context(state.model_set, dict(state.grids))
        self._put(_Write(tuple(self._gathered), state.dump().decode(), context))
        self._gathered.clear()

    def _put(self, item: _Write | Ahead) -> None:
        if self._batches is None:
            self._batches = Batches("journal", self._work, QUEUE, lambda: self._listener())
        if not self._batches.put(item) and self.failure is None:
            self._error = JournalError(
                f"the disk is {QUEUE} writes behind: {self.path} is not taken in time; "
                f"free the disk, or give a state_dir on a faster one"
            )
            self._listener()

    def _work(self, items: Sequence[_Write | Ahead]) -> None:
        """One transaction for all that waits; the state of the last step is the one that counts."""
        last: _Write | None = None
        with self._told("write to"), self._engine.begin() as db:
            for item in items:
                if isinstance(item, Ahead):
                    write_ahead(db, item)
                    continue
                last = item
                for step in item.steps:
                    write_step(db, step, item.context)
            if last is not None:
                write_state(db, last.snapshot)
        if last is not None:
            self.durable = last.steps[-1].seq
        self._listener()

    def _await_disk(self) -> None:
        done = self._batches is None or self._batches.wait(2 * self._patience_s)
        if self.failure is not None:
            raise self.failure
        if not done:
            raise JournalError(
                f"the disk did not take the journal {self.path} within {2 * self._patience_s:g} s; "
                f"look at the disk, or give another state_dir"
            )

    # what is known of executions

    def _remember(self, event: Event) -> None:
        match event:
            case Filled():
                # none was told before: the first is asked for again, with whatever was missed beside it
                self._anchors.setdefault(event.symbol, (event.trade_id - 1, event.time))
                fill = (event.trade_id, event.time)
                self._newer[event.symbol] = max(fill, self._newer.get(event.symbol, fill))
            case Reconciled():
                self._anchors |= self._newer
                self._newer = {}
            case _:
                pass

    def _newest_step(self) -> int:
        with self._engine.connect() as db:
            return int(db.execute(sa.select(sa.func.max(schema.events.c.seq))).scalar() or 0)

    def _last_fills(self) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
        """For each symbol, the newest execution recorded before the last `Reconciled` (or the one before the first),
        and the newest of all, which counts once there is another `Reconciled`."""
        events, fills = schema.events, schema.fills
        reconciled = sa.select(sa.func.max(events.c.seq)).where(events.c.kind == "Reconciled").scalar_subquery()
        trade_id, symbol = (sa.func.json_extract(events.c.body, f"$.{name}") for name in ("trade_id", "symbol"))
        told = sa.select(symbol, sa.func.max(trade_id)).where(events.c.kind == "Filled", events.c.seq < reconciled)
        name, fill_id, time = fills.c.symbol, fills.c.trade_id, fills.c.time
        known: dict[str, tuple[int, int]] = {}
        with self._engine.connect() as db:
            # SQLite gives the other columns of the row that holds the extreme
            for row in db.execute(sa.select(name, sa.func.min(fill_id), time).group_by(name)):
                known[row[0]] = (row[1] - 1, row[2])
            for of, newest in db.execute(told.group_by(symbol)).all():
                known[of] = (newest, db.execute(sa.select(time).where(name == of, fill_id == newest)).scalar_one())
            last = db.execute(sa.select(name, sa.func.max(fill_id), time).group_by(name))
            newer = {row[0]: (row[1], row[2]) for row in last}
        return known, newer

    def _told(self, what: str) -> Told:
        return Told(what, self.path)


def _nobody() -> None:
    """Nobody listens."""
