"""The journal: what happened, what was intended before it was done, what was decided and why. One SQLite file.

WAL with `synchronous=FULL`: a returned `write` survives a power cut. Steps that lead to nothing outside are gathered
and written with the next that does, so that a candle costs few disk flushes. Readers (`why`, the parity harness) open
the same file beside the daemon.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.commands import (
    Alert,
    Approved,
    AskOrder,
    AskStop,
    Command,
    Predict,
    Reconcile,
    RecordDecisions,
    RecordExposure,
    RecordTrade,
    Settled,
)
from daemon.events import Event, Filled, Tick
from daemon.state import DaemonState
from market.trades import Trade

FILE = "journal.sqlite"
VERSION = 1
HARMLESS = (Predict, AskOrder, AskStop, Reconcile, Alert)
"""Commands that change nothing outside, so that their record may wait for the next write."""
GATHER = 200
"""The most steps that wait for the next write."""

_schema = sa.MetaData()
_meta = sa.Table("meta", _schema, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text))
_events = sa.Table(
    "events",
    _schema,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("kind", sa.Text),
    sa.Column("body", sa.Text),
)
_intents = sa.Table(
    "intents",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_seq", sa.Integer, index=True),
    sa.Column("kind", sa.Text),
    sa.Column("client_id", sa.Text, index=True),
    sa.Column("model_set", sa.Text),
    sa.Column("body", sa.Text),
)
_decisions = sa.Table(
    "decisions",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bar", sa.BigInteger, index=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("symbol", sa.Text),
    sa.Column("action", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("equity", sa.BigInteger),
    sa.Column("model_set", sa.Text),
)
_trades = sa.Table(
    "trades",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(f.name, sa.Text if f.name in ("symbol", "reason") else sa.BigInteger) for f in fields(Trade)),
)
_fills = sa.Table(
    "fills",
    _schema,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("trade_id", sa.BigInteger, primary_key=True),
    *(sa.Column(n, sa.BigInteger) for n in ("side", "price", "quantity", "fee", "time")),
    sa.Column("client_id", sa.Text),
)
_exposures = sa.Table(
    "exposures",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("symbol", sa.Text),
    sa.Column("since", sa.BigInteger),
    sa.Column("until", sa.BigInteger),
)
_settled = sa.Table(
    "settled", _schema, sa.Column("bar", sa.BigInteger, primary_key=True), sa.Column("at_ms", sa.BigInteger)
)
_state = sa.Table("state", _schema, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))


class JournalError(Exception):
    """The journal cannot be opened, read or written; the message says what to do."""


class Journal:
    """The journal of one state directory.

    Raises
    ------
    JournalError
        If the file is of a newer version, is no journal, or the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._waiting: list[dict[str, Any]] = []
        self._seq = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(f"sqlite:///{self.path}")
        sa.event.listen(self._engine, "connect", _durable)
        with self._told("open"), self._engine.begin() as db:
            _schema.create_all(db)
            known = {row.key: row.value for row in db.execute(sa.select(_meta.c.key, _meta.c.value))}
            if int(known.get("version", VERSION)) > VERSION:
                raise JournalError(
                    f"{self.path} was written by a newer version ({known['version']}, this one reads {VERSION}); "
                    f"upgrade the program or give another state_dir"
                )
            known.setdefault("version", str(VERSION))
            known.setdefault("deployment", secrets.token_hex(8))
            for key, value in known.items():
                db.execute(insert(_meta).values(key=key, value=value).on_conflict_do_nothing())
            self._seq = db.execute(sa.select(sa.func.max(_events.c.seq))).scalar() or 0
        self.deployment: str = known["deployment"]

    def write(self, event: Event, at: int, commands: Sequence[Command], state: DaemonState) -> None:
        """Record one step; durable on return if any command touches the exchange or concludes something."""
        if isinstance(event, Tick) and not commands:
            if self._waiting:
                self._flush(state)
            return
        self._seq += 1
        self._waiting.append({"seq": self._seq, "at": at, "event": event, "commands": tuple(commands)})
        weighty = isinstance(event, Filled) or any(not isinstance(c, HARMLESS) for c in commands)
        if weighty or len(self._waiting) >= GATHER:
            self._flush(state)

    def close(self, state: DaemonState | None = None) -> None:
        """Write what waits and let go of the file."""
        if state is not None and self._waiting:
            self._flush(state)
        self._engine.dispose()

    def state(self) -> DaemonState | None:
        """The state at the last durable write, or None for a new journal."""
        with self._told("read"), self._engine.connect() as db:
            body = db.execute(sa.select(_state.c.body)).scalar()
        return DaemonState.load(body) if body else None

    def last_fill(self, symbol: str) -> tuple[int, int] | None:
        """Trade id and exchange time (ms) of a symbol's newest execution recorded before the last `Reconciled`.

        Of later ones it is not certain that none was missed between them: a stream that came back may have brought a
        newer execution before the missed ones were asked for.
        """
        reconciled = sa.select(sa.func.max(_events.c.seq)).where(_events.c.kind == "Reconciled").scalar_subquery()
        told = sa.select(sa.func.json_extract(_events.c.body, "$.trade_id")).where(
            _events.c.kind == "Filled",
            _events.c.seq < reconciled,
            sa.func.json_extract(_events.c.body, "$.symbol") == symbol,
        )
        query = sa.select(_fills.c.trade_id, _fills.c.time).where(_fills.c.symbol == symbol).limit(1)
        with self._told("read"), self._engine.connect() as db:
            row = db.execute(query.where(_fills.c.trade_id.in_(told)).order_by(_fills.c.trade_id.desc())).first()
            if row is None and (first := db.execute(query.order_by(_fills.c.trade_id)).first()):
                return first[0] - 1, first[1]  # all were recorded since: the first of them is asked for again
        return (row[0], row[1]) if row else None

    def decisions(self, count: int = 20, symbol: str | None = None) -> list[dict[str, Any]]:
        """The newest decisions, newest first."""
        query = sa.select(_decisions).order_by(_decisions.c.id.desc()).limit(count)
        return self._rows(query.where(_decisions.c.symbol == symbol) if symbol else query)

    def trades(self) -> list[Trade]:
        """Every closed trade, in the order they closed."""
        names = [f.name for f in fields(Trade)]
        return [Trade(**{n: row[n] for n in names}) for row in self._rows(sa.select(_trades).order_by(_trades.c.id))]

    def exposures_ms(self) -> list[int]:
        """How long positions stood without a stop that was read back, one number an occasion, ms."""
        return [row["until"] - row["since"] for row in self._rows(sa.select(_exposures).order_by(_exposures.c.id))]

    def settled(self) -> int:
        """Open time (ms) of the newest settled candle, -1 for none."""
        with self._told("read"), self._engine.connect() as db:
            bar = db.execute(sa.select(sa.func.max(_settled.c.bar))).scalar()
        return -1 if bar is None else int(bar)

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._told("read"), self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def _flush(self, state: DaemonState) -> None:
        with self._told("write to"), self._engine.begin() as db:
            for step in self._waiting:
                _write_step(db, step, state.model_set)
            body = state.dump().decode()
            db.execute(
                insert(_state).values(id=1, body=body).on_conflict_do_update(index_elements=["id"], set_={"body": body})
            )
        self._waiting.clear()

    def _told(self, what: str) -> _Told:
        return _Told(what, self.path)


class _Told:
    """Turns a database's complaint into one that says where and what to do."""

    def __init__(self, what: str, path: Path) -> None:
        self.what, self.path = what, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sa.exc.DatabaseError):
            raise JournalError(
                f"cannot {self.what} the journal {self.path}: {error.orig}; "
                f"free the disk, check its permissions, or give another state_dir"
            ) from error


def _durable(connection: Any, record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _write_step(db: sa.Connection, step: dict[str, Any], model_set: str) -> None:
    event, at = step["event"], step["at"]
    db.execute(_events.insert().values(seq=step["seq"], at_ms=at, kind=type(event).__name__, body=_json(event)))
    if isinstance(event, Filled):
        db.execute(
            insert(_fills).values({c.name: getattr(event, c.name) for c in _fills.columns}).on_conflict_do_nothing()
        )
    for command in step["commands"]:
        match command:
            case RecordDecisions():
                for decision in command.decisions:
                    row = asdict(decision) | {"bar": command.bar, "at_ms": at, "equity": command.equity}
                    db.execute(_decisions.insert().values(row | {"model_set": model_set}))
            case RecordTrade():
                db.execute(_trades.insert().values(asdict(command.trade)))
            case RecordExposure():
                db.execute(_exposures.insert().values(asdict(command)))
            case Settled():
                db.execute(insert(_settled).values(bar=command.bar, at_ms=at).on_conflict_do_nothing())
            case _:
                _write_intent(db, step["seq"], command, model_set)


def _write_intent(db: sa.Connection, seq: int, command: Command, model_set: str) -> None:
    approved = getattr(command, "approved", None)
    body = approved.order if isinstance(approved, Approved) else command
    client_id = getattr(body, "client_id", "")
    row = {"event_seq": seq, "kind": type(command).__name__, "client_id": client_id, "body": _json(body)}
    db.execute(_intents.insert().values(row | {"model_set": model_set}))
