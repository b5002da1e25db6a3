"""The recorder: keeps each candle the daemon accepts in `candles.sqlite` of its state directory, as it arrived.

Written in batches by a thread of its own. What it cannot keep is counted and told once, and can be downloaded again:
no candle waits for it, and no order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import isnan
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.batches import Batches
from daemon.candle_store import Pair
from market.candles import VALUES, Candle

log = logging.getLogger("daemon.recorder")

FILE = "candles.sqlite"
QUEUE = 100_000
"""The most candles that may wait for the disk."""
CLOSE_S = 10.0

_metadata = sa.MetaData()
_candles = sa.Table(
    "candles",
    _metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("open_time", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Float) for name in VALUES),
    sa.Column("live", sa.Boolean, nullable=False),
    sqlite_with_rowid=False,
)
_row = insert(_candles)
_upsert = _row.on_conflict_do_update(
    index_elements=["symbol", "timeframe", "open_time"],
    set_={name: _row.excluded[name] for name in VALUES}
    # a candle that the stream brought stays one, also when it is fetched again
    | {"live": sa.func.max(_candles.c.live, _row.excluded.live)},
)


class Recorder:
    """Keeps candles; a candle that is told again, revised, takes its row's place."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.lost = 0
        """Candles that found the queue full, or the disk refusing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(f"sqlite:///{self.path}")
        sa.event.listen(self._engine, "connect", lambda db, record: db.execute("PRAGMA journal_mode=WAL"))
        self._made = self._complained = False
        self._batches: Batches[dict[str, object]] = Batches("recorder", self._work, QUEUE)

    def take(self, pair: Pair, candle: Candle, live: bool) -> None:
        """Keep a candle of a pair; `live` is whether the stream brought it. Never blocks."""
        values = {name: getattr(candle, name) for name in VALUES}
        row = {"symbol": pair[0], "timeframe": pair[1], "open_time": candle.open_time, "live": live}
        if not self._batches.put(row | {name: None if isnan(value) else value for name, value in values.items()}):
            self.lost += 1

    def close(self) -> None:
        """Write what waits."""
        self._batches.close(CLOSE_S)
        self._engine.dispose()

    def _work(self, rows: Sequence[dict[str, object]]) -> None:
        try:
            if not self._made:
                _metadata.create_all(self._engine)
                self._made = True
            with self._engine.begin() as db:
                db.execute(_upsert, list(rows))
        except sa.exc.DatabaseError as error:
            self.lost += len(rows)
            if not self._complained:
                log.error(
                    "candles are not recorded, %s refuses: %s; free the disk or mend the file", self.path, error.orig
                )
            self._complained = True
        else:
            self._complained = False
