"""Runs, swaps, the audit and drift. A book from before Alembic has these tables already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text) for name in ("cause", "who", "backend", "state")),
        sa.Column("attempt", sa.Integer, server_default="1"),
        *(sa.Column(name, sa.BigInteger) for name in ("asked_ms", "submitted_ms", "ended_ms", "next_try_ms")),
        sa.Column("log_offset", sa.BigInteger, server_default="0"),
        *(sa.Column(name, sa.Text) for name in ("inputs", "set_id", "error")),
    )
    op.create_table(
        "swaps",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text) for name in ("set_id", "previous", "who", "run_id", "stage")),
        sa.Column("candles", sa.Integer, server_default="0"),
        *(sa.Column(name, sa.BigInteger) for name in ("asked_ms", "ended_ms")),
        *(sa.Column(name, sa.Text) for name in ("verdict", "reason", "body")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("who", "step", "set_id", "run_id", "verdict", "text")),
    )
    op.create_table(
        "drift",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.BigInteger) for name in ("bar", "at_ms")),
        *(sa.Column(name, sa.Text) for name in ("symbol", "set_id", "level", "body")),
    )
    op.create_index("ix_drift_bar", "drift", ["bar"])
    op.create_table(
        "observed",
        sa.Column("symbol", sa.Text, primary_key=True),
        sa.Column("bar", sa.BigInteger, primary_key=True),
        *(sa.Column(name, sa.Text) for name in ("set_id", "schema")),
        sa.Column("close", sa.Float),
        *(sa.Column(name, sa.Text) for name in ("features", "outputs")),
    )
