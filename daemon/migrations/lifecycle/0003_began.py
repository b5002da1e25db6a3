"""When a run's job began, from which its time-out counts: it may have waited behind another before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; a book from before Alembic may have it."""
    if "began_ms" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("runs")}:
        op.add_column("runs", sa.Column("began_ms", sa.BigInteger))
