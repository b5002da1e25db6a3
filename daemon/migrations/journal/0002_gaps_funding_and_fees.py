"""Gaps, funding, exposures and what went ahead get tables; refusals, fee currencies and grids stand beside their rows.

Version 1 knew gaps and funding only as events, and they are read out of those. A file that calls itself version 2
may be from before Alembic: what it has is left, what it lacks is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = (
    ("decisions", "refusal", sa.Text, ""),
    ("trades", "grid", sa.Text, None),
    ("fills", "fee_asset", sa.Text, None),
    ("fills", "coin_fee", sa.BigInteger, "0"),
    ("fills", "grid", sa.Text, None),
)
"""Table, name, type, and what rows have that were there before."""
INDEXES = (("intents", "event_seq"), ("intents", "client_id"), ("decisions", "bar"), ("ahead", "event_seq"))
GAPS = """
    INSERT OR IGNORE INTO gaps (symbol, timeframe, start, "end", found_ms, closed_ms, how)
    SELECT json_extract(body, '$.symbol'), json_extract(body, '$.timeframe'), json_extract(body, '$.start'),
        json_extract(body, '$.end'), at_ms, at_ms, 'refused: nobody has these candles'
    FROM events WHERE kind = 'GapFound' ORDER BY seq
"""
STREAMED = """
    INSERT OR IGNORE INTO funding (symbol, hour, amount, time)
    SELECT json_extract(body, '$.symbol'), coalesce(nullif(json_extract(body, '$.time'), 0), at_ms) / 3600000,
        -json_extract(body, '$.change'), coalesce(nullif(json_extract(body, '$.time'), 0), at_ms)
    FROM events WHERE kind = 'BalanceUpdated' AND json_extract(body, '$.cause') = 'FUNDING_FEE' ORDER BY seq
"""
ASKED = """
    INSERT OR IGNORE INTO funding (symbol, hour, amount, time)
    SELECT json_extract(body, '$.symbol'), coalesce(nullif(json_extract(body, '$.time'), 0), at_ms) / 3600000,
        json_extract(body, '$.amount'), coalesce(nullif(json_extract(body, '$.time'), 0), at_ms)
    FROM events WHERE kind = 'FundingPaid' ORDER BY seq
"""


def upgrade() -> None:
    """Add what is missing."""
    found = sa.inspect(op.get_bind())
    known = set(found.get_table_names())
    text, big = sa.Text, sa.BigInteger
    op.create_table(
        "ahead",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("event_seq", sa.Integer),
        sa.Column("kind", text),
        sa.Column("client_id", text),
        sa.Column("waited_ms", sa.Integer),
        if_not_exists=True,
    )
    op.create_table(
        "exposures",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, kind) for name, kind in (("symbol", text), ("since", big), ("until", big))),
        if_not_exists=True,
    )
    op.create_table(
        "funding",
        *(sa.Column(name, kind, primary_key=True) for name, kind in (("symbol", text), ("hour", big), ("amount", big))),
        sa.Column("time", big),
        if_not_exists=True,
    )
    keys = (("symbol", text), ("timeframe", text), ("start", big))
    rest = (("end", big), ("found_ms", big), ("closed_ms", big), ("how", text))
    op.create_table(
        "gaps",
        *(sa.Column(name, kind, primary_key=True) for name, kind in keys),
        *(sa.Column(name, kind) for name, kind in rest),
        if_not_exists=True,
    )
    for table, name, kind, default in COLUMNS:
        if name not in {c["name"] for c in found.get_columns(table)}:
            op.add_column(table, sa.Column(name, kind, server_default=default))
    for table, name in INDEXES:
        op.create_index(f"ix_{table}_{name}", table, [name], if_not_exists=True)
    if "gaps" not in known:
        op.execute(GAPS)
    if "funding" not in known:
        op.execute(STREAMED)
        op.execute(ASKED)
