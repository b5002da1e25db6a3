"""The journal's file: older versions open, gaps and funding have rows, and the books balance to the last unit."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from daemon import books
from daemon.__main__ import main
from daemon.commands import RecordTrade
from daemon.events import (
    BalanceUpdated,
    Event,
    Filled,
    FundingPaid,
    GapClosed,
    GapFound,
    GapSeen,
    OperatorCommand,
    Order,
    Reconciled,
)
from daemon.journal import FILE, Journal, JournalError
from daemon.state import DaemonState
from market.instruments import CASH
from market.trades import Trade

HOUR = 3_600_000
START = 1_704_067_200_000
GAP = ("BTCUSDT", "1h", START + HOUR, START + 3 * HOUR)
VERSION_1 = """
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT);
CREATE TABLE events (seq INTEGER NOT NULL PRIMARY KEY, at_ms BIGINT, kind TEXT, body TEXT);
CREATE TABLE intents (id INTEGER NOT NULL PRIMARY KEY, event_seq INTEGER, kind TEXT, client_id TEXT, model_set TEXT,
    body TEXT);
CREATE TABLE decisions (id INTEGER NOT NULL PRIMARY KEY, bar BIGINT, at_ms BIGINT, symbol TEXT, action TEXT,
    reason TEXT, detail TEXT, equity BIGINT, model_set TEXT);
CREATE TABLE trades (id INTEGER NOT NULL PRIMARY KEY, symbol TEXT, side BIGINT, quantity BIGINT, leverage BIGINT,
    entry_time BIGINT, entry_price BIGINT, exit_time BIGINT, exit_price BIGINT, reason TEXT, fees BIGINT,
    funding BIGINT, profit BIGINT, cash_after BIGINT);
CREATE TABLE fills (symbol TEXT NOT NULL, trade_id BIGINT NOT NULL, side BIGINT, price BIGINT, quantity BIGINT,
    fee BIGINT, time BIGINT, client_id TEXT, PRIMARY KEY (symbol, trade_id));
CREATE TABLE settled (bar BIGINT NOT NULL PRIMARY KEY, at_ms BIGINT);
CREATE TABLE state (id INTEGER NOT NULL PRIMARY KEY, body TEXT);
INSERT INTO meta VALUES ('version', '1'), ('deployment', 'abcdef');
INSERT INTO decisions VALUES (1, 1704067200000, 1704070800000, 'BTCUSDT', 'none', 'no prediction', '', 1, 'set-1');
INSERT INTO fills VALUES ('BTCUSDT', 7, 1, 4000000, 10, 5, 1704067200000, 'entry');
INSERT INTO events VALUES
    (1, 1704067200000, 'Reconciled', '{"cash": 1000, "symbols": []}'),
    (2, 1704067200001, 'Filled', '{"symbol": "BTCUSDT", "trade_id": 7}'),
    (3, 1704096000500, 'BalanceUpdated',
        '{"cash": 990, "change": -10, "cause": "FUNDING_FEE", "symbol": "BTCUSDT", "time": 1704096000000}'),
    (4, 1704096009000, 'FundingPaid', '{"symbol": "BTCUSDT", "amount": 10, "time": 1704096000000}'),
    (5, 1704097000000, 'GapFound', '{"symbol": "BTCUSDT", "timeframe": "1h", "start": 1, "end": 2}');
"""
"""A journal as the first version wrote it."""


def command(tmp_path: Path, configure: Callable[..., Path], verb: str, *options: str) -> Result:
    config = configure("http://127.0.0.1:9", state_dir=str(tmp_path))
    return CliRunner().invoke(main, [verb, "--config", str(config), *options], catch_exceptions=False)


def write(journal: Journal, *events: Event, state: DaemonState | None = None) -> None:
    for event in events:
        journal.write(event, START, [], state or DaemonState())
    journal.write(OperatorCommand(Order.PAUSE, "test"), START, [], state or DaemonState())
    journal.close(state or DaemonState())


def test_36_who_loses_the_journal_still_knows_its_own_orders(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.close()
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    assert Journal(tmp_path).deployment == first.deployment
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    (tmp_path / "deployment").write_text("torn")
    assert Journal(tmp_path).deployment not in (first.deployment, "torn")


def test_a_journal_of_version_1_opens_with_everything_in_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as old:
        old.executescript(VERSION_1)
    journal = Journal(tmp_path)
    assert journal.deployment == "abcdef"
    assert journal.last_fill("BTCUSDT") == (6, START)  # recorded after the last truth: it is asked for again
    assert [(row["reason"], row["refusal"]) for row in journal.decisions()] == [("no prediction", "")]
    assert [(row["start"], row["end"], row["found_ms"]) for row in journal.gaps()] == [(1, 2, 1_704_097_000_000)]
    assert [(row["amount"], row["time"]) for row in journal.rows("funding")] == [(10, 1_704_096_000_000)]
    write(journal, Filled("BTCUSDT", "x", 8, 1, 1, 1, 1, 1))
    again = Journal(tmp_path)
    assert len(again.rows("events")) == 7
    assert again.last_fill("BTCUSDT") == (6, START)


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file, file:
        file.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    with pytest.raises(JournalError, match=r"newer version \(99"):
        Journal(tmp_path)


def test_opening_a_current_journal_writes_nothing(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert Journal(tmp_path, patience_s=0.1).decisions() == []


def test_each_gap_is_one_row_that_says_what_became_of_it(tmp_path: Path, configure: Callable[..., Path]) -> None:
    journal = Journal(tmp_path)
    symbol, timeframe, start, end = GAP
    write(
        journal,
        GapSeen(*GAP),
        GapClosed(*GAP, "filled over REST"),
        GapSeen("ETHUSDT", timeframe, start, end),
        GapFound("ETHUSDT", timeframe, start, end),
        GapSeen(symbol, timeframe, end, end + HOUR),
    )
    rows = json.loads(command(tmp_path, configure, "gaps", "--json").stdout)
    assert {(row["symbol"], row["start"], row["how"]) for row in rows} == {
        ("BTCUSDT", start, "filled over REST"),
        ("ETHUSDT", start, "refused: nobody has these candles"),
        ("BTCUSDT", end, None),
    }
    said = command(tmp_path, configure, "gaps", "--symbol", "BTCUSDT").stdout.splitlines()
    assert said[0].startswith(
        "BTCUSDT 1h 2024-01-01T03:00Z to 2024-01-01T04:00Z · found 2024-01-01T00:00Z · being filled"
    )
    assert len(said) == 2


def test_a_funding_payment_that_is_told_twice_is_one_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    stated = BalanceUpdated(900, -100, "FUNDING_FEE", "BTCUSDT", START + 8 * HOUR + 3)
    asked = FundingPaid("BTCUSDT", 100, START + 8 * HOUR)
    write(journal, stated, asked, FundingPaid("BTCUSDT", -40, START + 16 * HOUR))
    assert [row["amount"] for row in Journal(tmp_path).rows("funding")] == [100, -40]


TRADE = Trade("BTCUSDT", 1, 10, 20, START, 4_000_000, START + HOUR, 4_000_123, "signal gone", 250, 100, -350, 0)


def kept(tmp_path: Path) -> Journal:
    """A journal with two executions, one trade, a funding payment and a deposit."""
    journal = Journal(tmp_path)
    state = DaemonState(cash=10_000 * CASH - 350 + 7, grids={"BTCUSDT": "0.01 0.001"})
    write(
        journal,
        Reconciled(10_000 * CASH, ()),
        Filled("BTCUSDT", "entry", 1, 1, 4_000_000, 10, 125, START),
        BalanceUpdated(10_000 * CASH - 225, -100, "FUNDING_FEE", "BTCUSDT", START + 1),
        Filled("BTCUSDT", "exit", 2, -1, 4_000_123, 10, 125, START + HOUR),
        BalanceUpdated(10_000 * CASH - 343, 7, "DEPOSIT", "", START + 2 * HOUR),
        state=state,
    )
    journal = Journal(tmp_path)
    journal.write(OperatorCommand(Order.PAUSE, "test"), START, [RecordTrade(TRADE)], state)
    return journal


def test_the_books_are_exact_and_balance_to_the_last_unit(tmp_path: Path, configure: Callable[..., Path]) -> None:
    kept(tmp_path).close()
    said: dict[str, Any] = json.loads(
        command(tmp_path, configure, "books", "--out", str(tmp_path / "out"), "--json").stdout
    )
    assert said["rows"] == {"trades": 1, "executions": 2, "funding": 1, "transfers": 1}
    assert Decimal(said["balance"]["unexplained"]) == 0
    assert said["balance"]["transfers"] == "0.00000007"
    with (tmp_path / "out" / "executions.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["time"], first["side"], first["price"]) == ("2024-01-01T00:00:00.000Z", "buy", "40000.00")
    assert (second["quantity"], Decimal(second["notional"]), second["fee"]) == (
        "0.010",
        Decimal("400.0123"),
        "0.00000125",
    )
    with (tmp_path / "out" / "trades.csv").open() as file:
        (trade,) = csv.DictReader(file)
    assert (trade["side"], trade["profit"], trade["exit_price"]) == ("long", "-0.00000350", "40001.23")


def test_the_books_as_parquet_hold_decimals_and_utc_times(tmp_path: Path, configure: Callable[..., Path]) -> None:
    kept(tmp_path).close()
    out = tmp_path / "out"
    told = command(tmp_path, configure, "books", "--out", str(out), "--format", "parquet", "--from", "2024-01-01T00:30")
    assert told.exit_code == 0
    rows = pq.read_table(out / "executions.parquet").to_pylist()
    assert [row["client_id"] for row in rows] == ["exit"]
    assert (rows[0]["price"], rows[0]["fee"]) == (Decimal("40001.23"), Decimal("0.00000125"))
    assert rows[0]["time"].utcoffset().total_seconds() == 0
    assert pq.read_schema(out / "funding.parquet").names == list(books.COLUMNS["funding"])
    assert "unexplained" in told.stdout


def test_a_fee_in_another_coin_does_not_unbalance_the_books(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    state = DaemonState(cash=10_000 * CASH - 225, grids={"BTCUSDT": "0.01 0.001"})
    paid = Filled("BTCUSDT", "exit", 2, -1, 4_000_123, 10, 0, START + HOUR, fee_asset="BNB", coin_fee=77)
    write(journal, Reconciled(10_000 * CASH, ()), Filled("BTCUSDT", "entry", 1, 1, 4_000_000, 10, 125, START), paid)
    journal = Journal(tmp_path)
    journal.write(OperatorCommand(Order.PAUSE, "test"), START, [RecordTrade(TRADE)], state)
    found = books.read(journal)
    assert [(row["fee"], row["fee_asset"]) for row in found.rows["executions"]] == [
        (Decimal("0.00000125"), None), (Decimal("0.00000077"), "BNB"),
    ]  # fmt: skip
    assert found.balance is not None
    assert (found.balance.coin_fees, found.balance.unexplained) == (Decimal("0.00000125"), 0)


def test_what_the_books_cannot_explain_is_told(tmp_path: Path) -> None:
    journal = kept(tmp_path)
    state = journal.state()
    assert state is not None
    state.cash += 12
    journal.write(OperatorCommand(Order.PAUSE, "test"), START, [RecordTrade(TRADE)], state)
    balance = books.read(journal).balance
    assert balance is not None
    assert balance.unexplained == Decimal("0.00000362")  # the profit of a trade that never moved the wallet, and 12
