"""The books: trades, executions, funding and transfers out of a journal, in decimals and UTC, as CSV or parquet.

The books are balanced: what they say moved the wallet, from the first truth the exchange told to now, against what the
wallet holds. What they cannot explain is told, never spread over the rows.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daemon import lots
from daemon.journal import Journal
from daemon.state import DaemonState

Row = dict[str, Any]
FORMATS = ("csv", "parquet")
_MONEY = pa.decimal128(38, 8)
_AMOUNT = pa.decimal128(38, 16)
_TIME = pa.timestamp("ms", tz="UTC")

COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "trades": {
        "entry_time": _TIME,
        "exit_time": _TIME,
        "symbol": pa.string(),
        "side": pa.string(),
        "quantity": _AMOUNT,
        "leverage": pa.int64(),
        "entry_price": _AMOUNT,
        "exit_price": _AMOUNT,
        "reason": pa.string(),
        "fees": _MONEY,
        "funding": _MONEY,
        "profit": _MONEY,
        "cash_after": _MONEY,
    },
    "executions": {
        "time": _TIME,
        "symbol": pa.string(),
        "trade_id": pa.int64(),
        "client_id": pa.string(),
        "side": pa.string(),
        "price": _AMOUNT,
        "quantity": _AMOUNT,
        "notional": _AMOUNT,
        "fee": _MONEY,
        "fee_asset": pa.string(),
    },
    "funding": {"time": _TIME, "symbol": pa.string(), "paid": _MONEY},
    "transfers": {"time": _TIME, "cause": pa.string(), "symbol": pa.string(), "amount": _MONEY},
}
"""The columns of each book; prices and quantities are exact, averages of a trade rounded to the tick."""


class BooksError(Exception):
    """The books cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Balance:
    """What moved the wallet since the first truth, in quote currency; `unexplained` is what nothing accounts for.

    `trades` is the profit of closed trades net of fees and funding, `coin_fees` what of it was paid in another coin and
    so left the wallet alone, `open_positions` what those still open have cost or brought so far.
    """

    at_start: Decimal
    trades: Decimal
    coin_fees: Decimal
    open_positions: Decimal
    transfers: Decimal
    now: Decimal

    @property
    def unexplained(self) -> Decimal:
        return self.now - self.at_start - self.trades - self.coin_fees - self.open_positions - self.transfers

    def amounts(self) -> dict[str, Decimal]:
        """Every amount by name, in the order in which they add up."""
        known = {
            name: getattr(self, name)
            for name in ("at_start", "trades", "coin_fees", "open_positions", "transfers", "now")
        }
        return known | {"unexplained": self.unexplained}


@dataclass(frozen=True)
class Books:
    """Rows by book, oldest first, and how they balance; `balance` is None where the exchange never told a wallet."""

    rows: Mapping[str, list[Row]]
    balance: Balance | None


def read(journal: Journal, start_ms: int | None = None, end_ms: int | None = None) -> Books:
    """The books of a journal; rows from `start_ms` up to, not including, `end_ms`. The balance is over all of it.

    Raises
    ------
    BooksError
        If it holds executions of a symbol whose tick and step it does not know.
    JournalError
        If it cannot be read.
    """
    state = journal.state() or DaemonState()
    trades, fills, funding, moved = (
        journal.rows("trades"), journal.rows("fills"), journal.rows("funding"), journal.transfers()
    )  # fmt: skip
    rows = {
        "trades": [_trade(row, _grid(row, state)) for row in trades],
        "executions": [_execution(row, _grid(row, state)) for row in fills],
        "funding": [{"time": _utc(r["time"]), "symbol": r["symbol"], "paid": _money(r["amount"])} for r in funding],
        "transfers": [_transfer(row) for row in moved],
    }
    start, end = (None if ms is None else _utc(ms) for ms in (start_ms, end_ms))
    kept = {}
    for name, all_of_it in rows.items():
        when = "exit_time" if name == "trades" else "time"
        inside = [r for r in all_of_it if (start is None or r[when] >= start) and (end is None or r[when] < end)]
        kept[name] = sorted(inside, key=itemgetter(when))
    first = journal.first_cash()
    return Books(kept, None if first is None else _balance(first, trades, fills, moved, state))


def write(books: Books, folder: Path, form: str) -> list[Path]:
    """Write each book to a file of its own in `folder`, replaced whole; gives the files.

    Raises
    ------
    BooksError
        If the folder cannot be written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in books.rows.items():
            file = folder / f"{name}.{form}"
            partial = file.with_suffix(file.suffix + ".partial")
            _WRITERS[form](partial, rows, COLUMNS[name])
            partial.replace(file)
            files.append(file)
    except OSError as error:
        raise BooksError(f"cannot write the books to {folder}: {error}; give another --out") from error
    return files


def _balance(
    first: int, trades: Sequence[Row], fills: Sequence[Row], moved: Sequence[Row], state: DaemonState
) -> Balance:
    still_open = [book.lot for book in state.books.values() if book.lot]
    fees = sum(row["fees"] for row in trades) + sum(lot.fees for lot in still_open)
    in_coin = any(row["fee_asset"] for row in fills)
    return Balance(
        at_start=_money(first),
        trades=_money(sum(row["profit"] for row in trades)),
        coin_fees=_money(fees - sum(row["fee"] for row in fills) if in_coin else 0),
        open_positions=_money(sum(lots.wallet_effect(lot) - lot.funding for lot in still_open)),
        transfers=_money(sum(row["change"] for row in moved)),
        now=_money(state.cash + state.unstated),
    )


def _trade(row: Row, grid: tuple[Decimal, Decimal]) -> Row:
    tick, step = grid
    return {
        "entry_time": _utc(row["entry_time"]),
        "exit_time": _utc(row["exit_time"]),
        "symbol": row["symbol"],
        "side": "long" if row["side"] > 0 else "short",
        "quantity": row["quantity"] * step,
        "leverage": row["leverage"],
        "entry_price": row["entry_price"] * tick,
        "exit_price": row["exit_price"] * tick,
        "reason": row["reason"],
    } | {name: _money(row[name]) for name in ("fees", "funding", "profit", "cash_after")}


def _execution(row: Row, grid: tuple[Decimal, Decimal]) -> Row:
    price, quantity = row["price"] * grid[0], row["quantity"] * grid[1]
    return {
        "time": _utc(row["time"]),
        "symbol": row["symbol"],
        "trade_id": row["trade_id"],
        "client_id": row["client_id"],
        "side": "buy" if row["side"] > 0 else "sell",
        "price": price,
        "quantity": quantity,
        "notional": price * quantity,
        "fee": _money(row["coin_fee"] if row["fee_asset"] else row["fee"]),
        "fee_asset": row["fee_asset"] or None,
    }


def _transfer(row: Row) -> Row:
    when = _utc(row["time"] or row["at_ms"])
    return {"time": when, "cause": row["cause"], "symbol": row["symbol"], "amount": _money(row["change"])}


def _grid(row: Row, state: DaemonState) -> tuple[Decimal, Decimal]:
    """Tick and step of a row's integers; rows of an older journal do not name theirs, and the symbol's own hold."""
    text = row["grid"] or state.grids.get(row["symbol"])
    if not text:
        raise BooksError(
            f"the journal does not know the tick and step of {row['symbol']}; run the daemon on it once, which asks"
        )
    tick, step = text.split()
    return Decimal(tick), Decimal(step)


def _money(units: int) -> Decimal:
    return Decimal(units).scaleb(-8)  # all eight digits are kept


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _write_csv(file: Path, rows: Sequence[Row], columns: Mapping[str, pa.DataType]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(columns)
        lines.writerows([_text(row[name]) for name in columns] for row in rows)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _write_parquet(file: Path, rows: Sequence[Row], columns: Mapping[str, pa.DataType]) -> None:
    schema = pa.schema(list(columns.items()))
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)


_WRITERS: Mapping[str, Callable[[Path, Sequence[Row], Mapping[str, pa.DataType]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}
