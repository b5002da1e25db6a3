"""The store: the account and its book in a SQLite file, written with each change before anybody is told of it.

A killed exchange that is started again on the file goes on where it was: wallet, positions, orders, executions,
settings, ids, listen key, and the market's own place in its history. Each commit is one transaction in write-ahead
mode, so a kill loses nothing that was told, and leaves no half of a change.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from market.exchange import snapshot
from market.exchange.orders import Event, OrderEvent, StopEvent
from market.exchange.venue import Venue

log = logging.getLogger("market.exchange")

FORMAT = 1
"""Of the file; one written by another is refused."""

_TABLES = ("orders", "stops", "fills", "incomes")


class StoreError(Exception):
    """The file cannot be used, or belongs to another market; the message says what to do."""


class Store:
    """One file, held by one exchange.

    Parameters
    ----------
    path : Path
        The file; made where there is none.

    Raises
    ------
    StoreError
        If it is no such file, of another format, or held by another exchange.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = b""
        self._fills = self._incomes = 0
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0.2)
            self._open()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}; name another file with --state, or end whoever holds it") from error

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")  # from here on nobody else opens it
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and found != FORMAT:
            raise StoreError(f"{self._path} is no state of this exchange (format {found}); name another --state file")
        for table in _TABLES:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, row BLOB NOT NULL)")
        self._db.execute("CREATE TABLE IF NOT EXISTS account (one INTEGER PRIMARY KEY CHECK (one = 1), row BLOB)")
        self._db.execute(f"PRAGMA user_version = {FORMAT}")
        self._db.execute("COMMIT")

    def restore(self, venue: Venue) -> bool:
        """Bring a fresh venue to where the file left off; False where the file is new.

        Raises
        ------
        StoreError
            If the file's symbols or history are not the venue's.
        """
        found = self._db.execute("SELECT row FROM account").fetchone()
        if found is None:
            return False
        rows = {table: self._rows(table) for table in _TABLES}
        try:
            snapshot.restore(venue, orjson.loads(found[0]), rows)
        except snapshot.SnapshotError as error:
            raise StoreError(
                f"{self._path}: {error}; start with the same data, or name another --state file"
            ) from error
        self._told = found[0]
        self._fills, self._incomes = len(venue.engine.fills), len(venue.engine.incomes)
        return True

    def save(self, venue: Venue, events: Iterable[Event]) -> None:
        """Write what changed: the orders and stops that `events` tell of, new executions, and the account."""
        engine = venue.engine
        orders = {event.order.id: engine.orders[event.order.id] for event in events if isinstance(event, OrderEvent)}
        stops = {event.stop.id: engine.stops[event.stop.id] for event in events if isinstance(event, StopEvent)}
        stops.update((stop.id, stop) for stop in engine.spawned.values())
        account = orjson.dumps(snapshot.account(venue))
        if not (orders or stops) and account == self._told:
            return
        self._db.execute("BEGIN")
        self._put("orders", orders)
        self._put("stops", stops)
        self._put("fills", {fill.id: fill for fill in engine.fills[self._fills :]})
        self._put("incomes", {income.id: income for income in engine.incomes[self._incomes :]})
        self._db.execute("INSERT OR REPLACE INTO account VALUES (1, ?)", (account,))
        self._db.execute("COMMIT")
        self._told = account
        self._fills, self._incomes = len(engine.fills), len(engine.incomes)

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _put(self, table: str, entries: Mapping[int, object]) -> None:
        rows = [(id_, orjson.dumps(entry)) for id_, entry in entries.items()]
        if rows:
            self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return [orjson.loads(row) for (row,) in self._db.execute(f"SELECT row FROM {table} ORDER BY id")]


def keep_in(path: Path, venue: Venue) -> Store:
    """Continue a venue from its file, or begin one, and write every change there from now on; raises StoreError."""
    store = Store(path)
    log.info("continuing %s" if store.restore(venue) else "keeping the account in %s", path)
    venue.keep = partial(store.save, venue)
    venue.drain()
    return store
