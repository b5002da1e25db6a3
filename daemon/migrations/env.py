"""Alembic's environment, for every database of ours: who calls it hands over the database and an open connection.

The connection is in a transaction already, which the caller commits: all revisions of one upgrade, or none.
"""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["database"].metadata,
    render_as_batch=True,  # SQLite alters little in place: tables are copied and renamed
)
with context.begin_transaction():
    context.run_migrations()
