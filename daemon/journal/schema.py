"""The journal's file: its tables, and how it is opened.

Whoever changes a table adds a revision to ``daemon/migrations/journal`` and raises `REVISION` to it. WAL with
`synchronous=FULL`: what was committed survives a power cut, and readers never wait for the writer.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.journal.deployment import recalled
from daemon.migrations.database import Database, MigrationError
from market.trades import Trade

FILE = "journal.sqlite"
REVISION = "0002"
HOUR_MS = 3_600_000
FUNDING = "FUNDING_FEE"
REFUSED = "refused: nobody has these candles"

metadata = sa.MetaData()
meta = sa.Table("meta", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text))
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("kind", sa.Text),
    sa.Column("body", sa.Text),
)
intents = sa.Table(
    "intents",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_seq", sa.Integer, index=True),
    sa.Column("kind", sa.Text),
    sa.Column("client_id", sa.Text, index=True),
    sa.Column("model_set", sa.Text),
    sa.Column("body", sa.Text),
)
ahead = sa.Table(  # protective commands that did not wait for their intent to be durable
    "ahead",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_seq", sa.Integer, index=True),
    sa.Column("kind", sa.Text),
    sa.Column("client_id", sa.Text),
    sa.Column("waited_ms", sa.Integer),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bar", sa.BigInteger, index=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("symbol", sa.Text),
    sa.Column("action", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("equity", sa.BigInteger),
    sa.Column("model_set", sa.Text),
    sa.Column("refusal", sa.Text, server_default=sa.text("''")),
)
trades = sa.Table(
    "trades",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(f.name, sa.Text if f.name in ("symbol", "reason") else sa.BigInteger) for f in fields(Trade)),
    sa.Column("grid", sa.Text),  # tick and step that its integers count
)
fills = sa.Table(
    "fills",
    metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("trade_id", sa.BigInteger, primary_key=True),
    *(sa.Column(n, sa.BigInteger) for n in ("side", "price", "quantity", "fee", "time")),
    sa.Column("client_id", sa.Text),
    sa.Column("fee_asset", sa.Text),  # empty: the quote currency; otherwise `coin_fee`, in 1e-8 of it, was paid
    sa.Column("coin_fee", sa.BigInteger, server_default="0"),
    sa.Column("grid", sa.Text),
)
funding = sa.Table(  # a payment that the stream and an answer both tell of is one row: see `daemon.account`
    "funding",
    metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("amount", sa.BigInteger, primary_key=True),
    sa.Column("time", sa.BigInteger),
)
exposures = sa.Table(  # how long positions stood without a stop that was read back
    "exposures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("symbol", sa.Text),
    sa.Column("since", sa.BigInteger),
    sa.Column("until", sa.BigInteger),
)
gaps = sa.Table(
    "gaps",
    metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("end", sa.BigInteger),
    sa.Column("found_ms", sa.BigInteger),
    sa.Column("closed_ms", sa.BigInteger),
    sa.Column("how", sa.Text),
)
settled = sa.Table(
    "settled", metadata, sa.Column("bar", sa.BigInteger, primary_key=True), sa.Column("at_ms", sa.BigInteger)
)
state = sa.Table("state", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))


class JournalError(Exception):
    """The journal cannot be opened, read or written; the message says what to do."""


class Told:
    """Turns a database's complaint into one that says where and what to do."""

    def __init__(self, what: str, path: Path) -> None:
        self.what, self.path = what, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sa.exc.DatabaseError):
            locked = "locked" in str(error.orig)
            remedy = (
                "end the program that holds it locked, or raise deadlines.journal_s"
                if locked
                else "free the disk, check its permissions, or give another state_dir"
            )
            raise JournalError(f"cannot {self.what} the journal {self.path}: {error.orig}; {remedy}") from error


def prepare(engine: sa.Engine, path: Path, patience_s: float) -> str:
    """Make the tables, or bring an older file's up to date; gives the deployment's id. A current file is only read.

    Raises
    ------
    JournalError
        If the file is of a newer version, or cannot be brought up to date.
    """
    try:
        DATABASE.prepare(engine, path, patience_s)
    except MigrationError as error:
        raise JournalError(str(error)) from error
    deployment = sa.select(meta.c.value).where(meta.c.key == "deployment")
    with engine.connect() as db:
        if (known := db.execute(deployment).scalar()) is None:
            _mark(db, path)
            db.commit()
            known = db.execute(deployment).scalar_one()
        return str(known)


def _told(db: sa.Connection) -> str | None:
    """The version in `meta`, which every program reads that ever opened a journal."""
    if not sa.inspect(db).has_table("meta"):
        return None
    value = db.execute(sa.select(meta.c.value).where(meta.c.key == "version")).scalar()
    return None if value is None else f"{int(value):04}"


def _mark(db: sa.Connection, path: Path) -> None:
    """Write the version for programs from before Alembic, and the deployment's id where there is none."""
    db.execute(insert(meta).values(key="deployment", value=recalled(path.parent)).on_conflict_do_nothing())
    newest = insert(meta).values(key="version", value=str(int(REVISION)))
    db.execute(newest.on_conflict_do_update(index_elements=["key"], set_={"value": str(int(REVISION))}))


DATABASE = Database("journal", FILE, metadata, REVISION, _told, _mark)
