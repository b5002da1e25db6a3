"""The lifecycle's file: its tables.

Times are UTC milliseconds. A run is a retraining, a swap the way of one set into service and perhaps out of it again;
the audit names every step of both, with who asked. Whoever changes a table adds a revision to
``daemon/migrations/lifecycle`` and raises `REVISION` to it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from daemon.migrations.database import Database

FILE = "lifecycle.sqlite"
REVISION = "0003"

metadata = sa.MetaData()
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # also the job's name wherever it runs
    sa.Column("cause", sa.Text),  # schedule, drift, expiry, command
    sa.Column("who", sa.Text),
    sa.Column("backend", sa.Text),  # local, ssh, ray
    sa.Column("state", sa.Text),
    sa.Column("attempt", sa.Integer, server_default="1"),
    sa.Column("asked_ms", sa.BigInteger),
    sa.Column("submitted_ms", sa.BigInteger),
    sa.Column("began_ms", sa.BigInteger),  # when its job was first seen to run
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("next_try_ms", sa.BigInteger),
    sa.Column("log_offset", sa.BigInteger, server_default="0"),  # bytes of the job's log that are here
    sa.Column("inputs", sa.Text),  # JSON: file -> sha256 of what was trained on
    sa.Column("set_id", sa.Text),
    sa.Column("error", sa.Text),
)
swaps = sa.Table(
    "swaps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("set_id", sa.Text),
    sa.Column("previous", sa.Text),  # the set that was in service, to roll back to
    sa.Column("who", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("stage", sa.Text),
    sa.Column("candles", sa.Integer, server_default="0"),  # shadowed or watched so far
    sa.Column("asked_ms", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("verdict", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("body", sa.Text),  # JSON: what shadow and watch have measured
)
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("who", sa.Text),
    sa.Column("step", sa.Text),
    sa.Column("set_id", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("verdict", sa.Text),
    sa.Column("text", sa.Text),
)
drift = sa.Table(  # one row a symbol and candle that was looked at
    "drift",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bar", sa.BigInteger, index=True),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("symbol", sa.Text),
    sa.Column("set_id", sa.Text),
    sa.Column("level", sa.Text),  # none, shrink, stop, retrain
    sa.Column("body", sa.Text),  # JSON: each statistic beside its limit
)
observed = sa.Table(  # what was read and said at each candle that was decided, as far back as drift looks
    "observed",
    metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("bar", sa.BigInteger, primary_key=True),
    sa.Column("set_id", sa.Text),
    sa.Column("schema", sa.Text),  # hash of the features' definitions
    sa.Column("close", sa.Float),
    sa.Column("features", sa.Text),  # JSON, in the set's order; null where missing
    sa.Column("outputs", sa.Text),  # JSON, in the order of `models.drift.reference.outputs_of`; null: no answer
)


def _told(db: sa.Connection) -> str | None:
    return "0001" if sa.inspect(db).has_table(runs.name) else None


def _mark(db: sa.Connection, path: Path) -> None:
    """Alembic's stamp says it all."""


DATABASE = Database("lifecycle", FILE, metadata, REVISION, _told, _mark)
