"""What was read and said at each decided candle, for drift to look back on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make its table; a book from before Alembic may have it."""
    op.create_table(
        "observed",
        sa.Column("symbol", sa.Text, primary_key=True),
        sa.Column("bar", sa.BigInteger, primary_key=True),
        *(sa.Column(name, sa.Text) for name in ("set_id", "schema")),
        sa.Column("close", sa.Float),
        *(sa.Column(name, sa.Text) for name in ("features", "outputs")),
        if_not_exists=True,
    )
