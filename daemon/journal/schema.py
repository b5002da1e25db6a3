"""The journal's file: its tables, how it is opened, and how a file of an older version is brought up to date.

WAL with `synchronous=FULL`: what was committed survives a power cut, and readers never wait for the writer.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.journal.deployment import recalled
from market.trades import Trade

FILE = "journal.sqlite"
VERSION = 2
HOUR_MS = 3_600_000
FUNDING = "FUNDING_FEE"

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
    sa.Column("refusal", sa.Text, server_default=""),
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


def connect(path: Path, patience_s: float) -> sa.Engine:
    """The database; each connection waits so long for somebody else's lock."""
    engine = sa.create_engine(f"sqlite:///{path}")

    def durable(connection: Any, record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={round(patience_s * 1000)}"):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", durable)
    return engine


def prepare(engine: sa.Engine, path: Path) -> str:
    """Make the tables, or bring an older file's up to date; gives the deployment's id. A current file is only read.

    Raises
    ------
    JournalError
        If the file is of a newer version.
    """
    known: dict[str, str] = {}
    if sa.inspect(engine).has_table("meta"):
        with engine.connect() as db:
            known = {row.key: row.value for row in db.execute(sa.select(meta.c.key, meta.c.value))}
    version = int(known.get("version", "0"))
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer version ({version}, this one reads {VERSION}); "
            f"upgrade the program or give another state_dir"
        )
    if version == VERSION and "deployment" in known:
        return known["deployment"]
    with engine.begin() as db:
        metadata.create_all(db)
        if version == 1:
            _from_1(db)
        db.execute(insert(meta).values(key="deployment", value=recalled(path.parent)).on_conflict_do_nothing())
        newest = insert(meta).values(key="version", value=str(VERSION))
        db.execute(newest.on_conflict_do_update(index_elements=["key"], set_={"value": str(VERSION)}))
        return str(db.execute(sa.select(meta.c.value).where(meta.c.key == "deployment")).scalar_one())


def _from_1(db: sa.Connection) -> None:
    """Version 1 had neither gaps nor funding but as events, and no refusal, fee currency or grid beside its rows."""
    for table, column in (
        ("decisions", "refusal TEXT DEFAULT ''"),
        ("trades", "grid TEXT"),
        ("fills", "fee_asset TEXT"),
        ("fills", "coin_fee BIGINT DEFAULT 0"),
        ("fills", "grid TEXT"),
    ):
        if column.split()[0] not in {c["name"] for c in sa.inspect(db).get_columns(table)}:
            db.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    of = events.c

    def told(name: str) -> sa.Function[Any]:
        return sa.func.json_extract(of.body, f"$.{name}")

    refused = sa.select(
        *(told(name) for name in ("symbol", "timeframe", "start", "end")), of.at_ms, of.at_ms, sa.literal(REFUSED)
    ).where(of.kind == "GapFound")
    names = ["symbol", "timeframe", "start", "end", "found_ms", "closed_ms", "how"]
    db.execute(insert(gaps).from_select(names, refused.order_by(of.seq)).on_conflict_do_nothing())
    when = sa.func.coalesce(sa.func.nullif(told("time"), 0), of.at_ms)
    streamed = sa.select(told("symbol"), when / HOUR_MS, -told("change"), when).where(
        of.kind == "BalanceUpdated", told("cause") == FUNDING
    )
    asked = sa.select(told("symbol"), when / HOUR_MS, told("amount"), when).where(of.kind == "FundingPaid")
    for paid in (streamed, asked):
        names = ["symbol", "hour", "amount", "time"]
        db.execute(insert(funding).from_select(names, paid.order_by(of.seq)).on_conflict_do_nothing())


REFUSED = "refused: nobody has these candles"
