"""The outbox over a real journal whose file a second connection holds locked, or has broken."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.approval import Standing, approve_close, approve_entry, approve_stop
from daemon.commands import (
    Alert,
    CancelStop,
    Command,
    MarketOrder,
    PlaceStop,
    Purpose,
    RecordTrade,
    SetLeverage,
    StopOrder,
    Submit,
)
from daemon.events import BalanceUpdated, Event, Failed
from daemon.journal import FILE, Journal, JournalError
from daemon.outbox import STALE_S, Outbox
from daemon.state import Book, DaemonState, Lot, Sent
from market import catalogue
from market.instruments import CASH
from market.trades import Trade
from strategy.live_config import LiveConfig
from strategy.plan import Enter, Reason
from tests.daemon.conftest import until
from tests.local_exchange import PATIENCE

BTC = catalogue.instrument("BTCUSDT")
LOT = Lot(1, 10, BTC.notional(4_000_000, 10), 10, 0, 0, 0, 20, 200)
PATIENCE_S = 0.1
TRADE = Trade("BTCUSDT", 1, 10, 20, 1, 4_000_000, 2, 4_000_100, "signal", 5, 0, 5, 10_000 * CASH)


def entry() -> Submit:
    order = MarketOrder("BTCUSDT", "entry-1", Purpose.ENTRY, 1, 10, reduce_only=False)
    goal = Enter("BTCUSDT", 1, 10, 20, 200, Reason.LONG_SIGNAL)
    standing = Standing(LiveConfig().rules(), None, 10_000 * CASH, 0, 0, Sent())
    return Submit(approve_entry(order, goal, BTC, Book(leverage=20, isolated=True), 4_000_000, standing, 0))


def close() -> Submit:
    return Submit(approve_close(MarketOrder("BTCUSDT", "exit-1", Purpose.EXIT, -1, 10, reduce_only=True), LOT))


def stop(symbol: str = "BTCUSDT") -> PlaceStop:
    return PlaceStop(approve_stop(StopOrder(symbol, "stop-1", -1, 10, 3_900_000), LOT))


class Bench:
    """An outbox, and what it let go and gave up."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        self.journal = Journal(folder, patience_s)
        self.went: list[Command] = []
        self.failed: list[Event] = []
        self.outbox = Outbox(self.journal, lambda c, at: self.went.append(c), self.failed.append, PATIENCE_S)
        self.state = DaemonState()
        loop = asyncio.get_running_loop()

        def look() -> None:
            loop.call_soon_threadsafe(self.outbox.look)

        self.journal.listen(look)

    def step(self, *commands: Command) -> int:
        """One step of the loop; its event makes the state's cash its number."""
        self.state.cash += 1
        event = BalanceUpdated(self.state.cash, 1, "ORDER")
        seq = self.journal.record(event, self.state.cash, commands, self.state)
        self.outbox.put(seq, commands)
        return seq


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, 30 * PATIENCE)
    yield bench
    bench.outbox.close()
    if bench.journal.failure is None:
        bench.journal.close()


@pytest.fixture
def lock(tmp_path: Path, bench: Bench) -> Iterator[sqlite3.Connection]:
    """A second program that holds the journal's file locked against writing, until it rolls back."""
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_a_command_goes_once_its_step_is_on_the_disk(bench: Bench, tmp_path: Path) -> None:
    commands = (entry(), close(), stop(), CancelStop("BTCUSDT", "stop-0"))
    seq = bench.step(*commands)
    assert bench.went == []
    await until(lambda: bench.went == list(commands), "all of them in order")
    assert bench.journal.durable == seq
    assert bench.outbox.went_ahead == 0
    assert rows(tmp_path, "SELECT client_id FROM intents ORDER BY id") == [
        ("entry-1",),
        ("exit-1",),
        ("stop-1",),
        ("stop-0",),
    ]


async def test_a_locked_file_holds_up_an_entry_and_never_a_stop(
    bench: Bench, lock: sqlite3.Connection, tmp_path: Path
) -> None:
    bench.step(SetLeverage("ETHUSDT", 5))
    began = time.monotonic()
    bench.step(stop(), Alert("info", "an alert waits for nothing"))
    assert bench.went == [Alert("info", "an alert waits for nothing")]
    await until(lambda: stop() in bench.went, "the stop goes ahead")
    assert time.monotonic() - began < PATIENCE_S + 0.4 * PATIENCE
    assert SetLeverage("ETHUSDT", 5) not in bench.went
    lock.rollback()
    await until(lambda: SetLeverage("ETHUSDT", 5) in bench.went, "the leverage, once its intent is on the disk")
    assert bench.journal.close() is None
    ((kind, client_id, waited),) = rows(tmp_path, "SELECT kind, client_id, waited_ms FROM ahead")
    assert (kind, client_id, waited >= PATIENCE_S * 1000) == ("PlaceStop", "stop-1", True)


async def test_an_entry_that_the_disk_does_not_take_in_time_is_never_sent(
    bench: Bench, lock: sqlite3.Connection
) -> None:
    bench.step(entry())
    await until(lambda: bench.failed, "given up", STALE_S + 15)
    (failed,) = bench.failed
    assert isinstance(failed, Failed)
    assert (failed.symbol, failed.command, failed.client_id) == ("BTCUSDT", "Submit", "entry-1")
    lock.rollback()
    await until(lambda: bench.journal.durable == 1, "its intent on the disk, too late")
    assert bench.went == []


async def test_an_entry_that_waits_is_recalled_and_what_protects_is_not(bench: Bench, lock: sqlite3.Connection) -> None:
    bench.step(entry())
    bench.step(CancelStop("BTCUSDT", "stop-0"))
    bench.outbox.recall()
    (failed,) = bench.failed
    assert isinstance(failed, Failed)
    assert (failed.client_id, "restricted" in failed.message) == ("entry-1", True)
    lock.rollback()
    await until(lambda: bench.went == [CancelStop("BTCUSDT", "stop-0")], "the other command")
    assert bench.outbox.held == 0


async def test_an_entry_gives_way_to_a_stop_of_its_symbol(bench: Bench, lock: sqlite3.Connection) -> None:
    bench.step(entry())
    began = time.monotonic()
    bench.step(stop())
    await until(lambda: bench.went == [stop()], "the stop goes ahead")
    assert time.monotonic() - began < PATIENCE_S + 0.4 * PATIENCE
    assert [getattr(e, "client_id", "") for e in bench.failed] == ["entry-1"]


async def test_a_journal_that_fails_lets_protective_commands_go_and_no_other(bench: Bench, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("DROP TABLE intents")
    bench.step(entry())
    bench.step(close())
    await until(lambda: bench.went == [close()], "the closing order goes")
    assert [getattr(e, "client_id", "") for e in bench.failed] == ["entry-1"]
    assert isinstance(bench.journal.failure, JournalError)
    with pytest.raises(JournalError, match="no such table"):
        bench.journal.close()


async def test_a_lock_that_outlasts_the_patience_ends_in_what_to_do(tmp_path: Path) -> None:
    short = Bench(tmp_path, 0.2)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        short.step(stop())
        await until(lambda: short.journal.failure is not None, "the journal gives up")
    with pytest.raises(JournalError, match=r"locked.*end the program that holds it"):
        short.journal.close()


async def test_what_waited_is_one_transaction_and_the_state_is_that_of_its_last_step(
    bench: Bench, lock: sqlite3.Connection, tmp_path: Path
) -> None:
    for _ in range(300):
        bench.step(RecordTrade(TRADE))
    assert bench.journal.durable == 0
    assert rows(tmp_path, "SELECT count(*) FROM events") == [(0,)]
    lock.rollback()
    seen = set()

    def consistent() -> bool:
        with closing(sqlite3.connect(tmp_path / FILE)) as other:
            other.execute("BEGIN")  # one snapshot for all of it
            ((seq,),) = other.execute("SELECT coalesce(max(seq), 0) FROM events").fetchall()
            ((trades,),) = other.execute("SELECT count(*) FROM trades").fetchall()
            bodies = other.execute("SELECT body FROM state").fetchall()
        assert trades == seq
        assert (DaemonState.load(bodies[0][0]).cash if bodies else 0) == seq
        seen.add(seq)
        return bool(seq == 300)

    await until(consistent, "all of them on the disk")
    assert len(seen - {0}) <= 2, "more transactions than were needed"


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / FILE)) as journal:
        return journal.execute(query).fetchall()
