"""The lifecycle's book: writes and reads runs, swaps, drift and the audit, each write durable when it returns.

Its methods block for a disk flush: the daemon calls them in a thread, never on its loop.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.lifecycle import schema
from daemon.lifecycle.schema import FILE
from daemon.migrations.database import DamagedFileError, connect

PATIENCE_S = 10.0


class Book:
    """The book of one state directory; it is made where there is none.

    Raises
    ------
    MigrationError
        If the file is of a newer version, or cannot be brought up to date.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._engine = connect(self.path, PATIENCE_S)
        schema.DATABASE.prepare(self._engine, self.path, PATIENCE_S)

    def note(
        self, step: str, text: str = "", *, who: str, set_id: str | None = None, run_id: str | None = None,
        verdict: str | None = None, at_ms: int | None = None,
    ) -> None:  # fmt: skip
        """Write one line of the audit."""
        at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        about = {"set_id": set_id, "run_id": run_id, "verdict": verdict}
        self.insert(schema.audit, at_ms=at_ms, who=who, step=step, text=text, **about)

    def insert(self, table: sa.Table, **values: Any) -> int:
        """Add a row; gives its number, where the table counts its rows."""
        with self._engine.begin() as db:
            done = db.execute(sa.insert(table).values(**values))
            key = done.inserted_primary_key
            return int(key[0]) if key and isinstance(key[0], int) else 0

    def insert_noted(self, table: sa.Table, row: dict[str, Any], line: dict[str, Any]) -> int:
        """Add a row with its line of the audit, both or neither; gives the row's number."""
        with self._engine.begin() as db:
            key = db.execute(sa.insert(table).values(**row)).inserted_primary_key
            db.execute(sa.insert(schema.audit).values(**line))
            return int(key[0]) if key else 0

    def update(self, table: sa.Table, key: str | int, **values: Any) -> None:
        """Change a row by its primary key."""
        with self._engine.begin() as db:
            db.execute(sa.update(table).where(table.c.id == key).values(**values))

    def replace(self, table: sa.Table, key: dict[str, Any], row: dict[str, Any]) -> None:
        """Write a row under its key, over the one there is."""
        with self._engine.begin() as db:
            written = insert(table).values(**key, **row)
            db.execute(written.on_conflict_do_update(index_elements=list(key), set_=row))

    def delete(self, table: sa.Table, which: sa.ColumnElement[bool]) -> None:
        """Drop the rows for which a condition holds."""
        with self._engine.begin() as db:
            db.execute(sa.delete(table).where(which))

    def together(self, *statements: sa.Executable) -> None:
        """Write all of it, or nothing."""
        with self._engine.begin() as db:
            for statement in statements:
                db.execute(statement)

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        """What a query finds."""
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def audited(self, count: int = 100) -> list[dict[str, Any]]:
        """The newest lines of the audit, newest first."""
        return self.rows(sa.select(schema.audit).order_by(schema.audit.c.id.desc()).limit(count))

    def check(self) -> None:
        """Read the whole file through.

        Raises
        ------
        DamagedFileError
            If a part of it is damaged.
        sqlalchemy.exc.DatabaseError
            If it cannot be read at all.
        """
        with self._engine.connect() as db:
            found = [str(line) for (line,) in db.exec_driver_sql("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise DamagedFileError(f"{self.path} is damaged: {' '.join(found[0].split())}")

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()
