"""The tables of a journal's first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = {
    "meta": ("key TEXT *", "value TEXT"),
    "events": ("seq INTEGER *", "at_ms BIGINT", "kind TEXT", "body TEXT"),
    "intents": ("id INTEGER *", "event_seq INTEGER", "kind TEXT", "client_id TEXT", "model_set TEXT", "body TEXT"),
    "decisions": (
        "id INTEGER *", "bar BIGINT", "at_ms BIGINT", "symbol TEXT", "action TEXT", "reason TEXT", "detail TEXT",
        "equity BIGINT", "model_set TEXT",
    ),
    "trades": (
        "id INTEGER *", "symbol TEXT", "side BIGINT", "quantity BIGINT", "leverage BIGINT", "entry_time BIGINT",
        "entry_price BIGINT", "exit_time BIGINT", "exit_price BIGINT", "reason TEXT", "fees BIGINT", "funding BIGINT",
        "profit BIGINT", "cash_after BIGINT",
    ),
    "fills": (
        "symbol TEXT *", "trade_id BIGINT *", "side BIGINT", "price BIGINT", "quantity BIGINT", "fee BIGINT",
        "time BIGINT", "client_id TEXT",
    ),
    "settled": ("bar BIGINT *", "at_ms BIGINT"),
    "state": ("id INTEGER *", "body TEXT"),
}  # fmt: skip
"""Table -> its columns; an asterisk marks the primary key."""
TYPES = {"TEXT": sa.Text, "INTEGER": sa.Integer, "BIGINT": sa.BigInteger}


def upgrade() -> None:
    """Make them."""
    for table, columns in TABLES.items():
        told = [text.split() for text in columns]
        op.create_table(table, *(sa.Column(t[0], TYPES[t[1]], primary_key="*" in t) for t in told))
