"""Backups are whole and as of one instant; they come back whole or not at all, and overwrite nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from daemon.__main__ import main
from daemon.alerts import Alerts
from daemon.backup.archive import MANIFEST, BackupError, DamagedError
from daemon.backup.config import Backup
from daemon.backup.restoring import restore
from daemon.backup.schedule import back_up, kept
from daemon.backup.taking import Taken, take
from daemon.commands import Settled
from daemon.events import OperatorCommand, Order
from daemon.journal import FILE, Journal
from daemon.lifecycle.book import Book
from daemon.lock import Lock
from daemon.migrations.standing import DATABASES
from daemon.recorder import FILE as CANDLES
from daemon.recorder import Recorder
from daemon.state import DaemonState
from market.candles import Candle
from tests.daemon.conftest import until
from tests.daemon.test_migrations import old_journal
from tests.local_exchange import PATIENCE, ROOT

START = 1_704_067_200_000


def note(journal: Journal, count: int = 1) -> None:
    for _ in range(count):
        journal.write(OperatorCommand(Order.PAUSE, "test"), START, [Settled(START)], DaemonState())


def a_state(folder: Path, events: int = 1) -> Path:
    """A state directory with a journal of so many events, a book, and a candle."""
    journal = Journal(folder)
    note(journal, events)
    journal.close()
    book = Book(folder)
    book.note("started", who="test")
    book.close()
    recorder = Recorder(folder)
    recorder.take(("BTCUSDT", "1h"), Candle(START, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0), True)
    recorder.close()
    return folder


def command(configure: Callable[..., Path], state: Path, *words: str) -> Result:
    config = configure("http://127.0.0.1:9", state_dir=str(state))
    return CliRunner().invoke(main, [*words, "--config", str(config)], catch_exceptions=False)


def told_otherwise(archive: Path, to: Path, **changes: object) -> Path:
    """A copy of an archive whose manifest says something else."""
    with tarfile.open(archive) as old, tarfile.open(to, "w") as new:
        for entry in old:
            source = old.extractfile(entry)
            assert source is not None
            content = source.read()
            if entry.name == MANIFEST:
                content = orjson.dumps(json.loads(content) | changes)
                entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return to


def test_a_backup_comes_back_as_it_was(tmp_path: Path, configure: Callable[..., Path]) -> None:
    state = a_state(tmp_path / "state", events=3)
    deployment = Journal(state).deployment
    made = json.loads(command(configure, state, "backup", "--out", str(tmp_path / "kept.tar"), "--json").stdout)
    assert set(made["manifest"]["files"]) == {FILE, "lifecycle.sqlite", "deployment"}
    assert made["manifest"]["databases"] == {database.name: database.head for database in DATABASES}
    said = command(configure, tmp_path / "other", "restore", made["file"])
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (
        0,
        "the next start reconciles with the exchange: positions, orders and executions are taken from there",
    )
    again = Journal(tmp_path / "other")
    assert (again.deployment, len(again.rows("events"))) == (deployment, 3)
    assert [row["step"] for row in Book(tmp_path / "other").audited()] == ["started"]
    assert (tmp_path / "kept.tar").stat().st_mode & 0o077 == 0


def test_recorded_candles_go_along_when_asked_for(tmp_path: Path) -> None:
    taken = take(a_state(tmp_path / "state"), tmp_path / "out", candles=True)
    restore(taken.path, tmp_path / "other")
    with closing(sqlite3.connect(tmp_path / "other" / CANDLES)) as db:
        assert db.execute("SELECT symbol, open_time FROM candles").fetchall() == [("BTCUSDT", START)]


def test_a_backup_is_of_one_instant_while_the_journal_is_written(tmp_path: Path) -> None:
    """The state is always the one behind the newest event, whenever the copy is taken."""
    stop = threading.Event()

    def writing() -> None:
        journal = Journal(tmp_path / "state")
        number = 0
        while not stop.is_set():
            number += 1
            journal.write(OperatorCommand(Order.PAUSE, "test"), START, [Settled(START)], DaemonState(cash=number))
        journal.close()

    writer = threading.Thread(target=writing)
    writer.start()
    try:
        while not (tmp_path / "state" / FILE).is_file() or Journal(tmp_path / "state").state() is None:
            pass
        taken = [take(tmp_path / "state", tmp_path / "out") for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    for number, each in enumerate(taken):
        restore(each.path, tmp_path / str(number))
        journal = Journal(tmp_path / str(number))
        state = journal.state()
        assert state is not None
        assert [row["seq"] for row in journal.rows("events")] == list(range(1, state.cash + 1))


def test_what_is_there_is_moved_aside_and_kept(tmp_path: Path) -> None:
    taken = take(a_state(tmp_path / "state", events=2), tmp_path / "out")
    state = a_state(tmp_path / "other", events=5)
    before = Journal(state).deployment
    done = restore(taken.path, state)
    assert (len(Journal(state).rows("events")), done.other) == (2, before)
    assert done.aside is not None
    assert len(Journal(done.aside).rows("events")) == 5
    assert (state / CANDLES).is_file()  # the market's: they stay where the archive has none


def test_a_running_daemon_is_not_restored_under(tmp_path: Path, configure: Callable[..., Path]) -> None:
    taken = take(a_state(tmp_path / "state"), tmp_path / "out")
    state = a_state(tmp_path / "other", events=2)
    with Lock(state):
        said = command(configure, state, "restore", str(taken.path))
    assert said.exit_code == 1
    assert f"in use by another daemon (process {os.getpid()}); stop that one" in said.stderr
    assert len(Journal(state).rows("events")) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"format": 2, "more": 1}, "archive format 2, this one reads 1"), ({"databases": {"journal": "0099"}}, "(99, ")],
    ids=["format", "journal"],
)
def test_a_newer_backup_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    taken = take(a_state(tmp_path / "state"), tmp_path / "out")
    newer = told_otherwise(taken.path, tmp_path / "newer.tar", **changes)
    with pytest.raises(BackupError, match="newer version") as refused:
        restore(newer, tmp_path / "other")
    assert told in str(refused.value)
    assert not (tmp_path / "other").exists()


def _damages(taken: Taken) -> dict[str, bytes]:
    whole = taken.path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    return {"cut": whole[:middle], "flipped": flipped, "empty": b"", "another": b"no archive at all" * 1_000}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_a_damaged_backup_is_refused_and_nothing_changes(
    tmp_path: Path, configure: Callable[..., Path], damage: str
) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(_damages(take(a_state(tmp_path / "state"), tmp_path / "out"))[damage])
    state = a_state(tmp_path / "other", events=2)
    before = sorted(file.name for file in state.iterdir())
    said = command(configure, state, "restore", str(bad))
    assert said.exit_code == 7, said.output
    assert str(bad) in said.stderr
    assert {file.name for file in state.iterdir()} - {"daemon.lock"} == {*before} - {"daemon.lock"}
    assert len(Journal(state).rows("events")) == 2


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    taken = take(a_state(tmp_path / "state"), tmp_path / "out")
    files = {"../elsewhere": {"bytes": 1, "sha256": "0" * 64}}
    with pytest.raises(DamagedError, match=r"'../elsewhere', which is no file of a state directory"):
        restore(told_otherwise(taken.path, tmp_path / "bad.tar", files=files), tmp_path / "other")


def test_a_backup_of_an_older_version_is_brought_up_to_date_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    old_journal(tmp_path / "state")
    taken = take(tmp_path / "state", tmp_path / "out")
    assert taken.manifest.databases == {"journal": "0001"}
    restore(taken.path, tmp_path / "other")
    assert Journal(tmp_path / "other").deployment == "abcdef"


def test_killed_at_any_renaming_a_restore_is_ended_by_the_next_start(tmp_path: Path) -> None:
    taken = take(a_state(tmp_path / "state", events=2), tmp_path / "out")
    old = a_state(tmp_path / "old", events=5)
    (tmp_path / "killed").mkdir()
    asked = [sys.executable, "tests/daemon/killed_restore.py", *map(str, (taken.path, old, tmp_path / "killed"))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, timeout=120 * PATIENCE, check=True)
    first, *later = json.loads(ran.stdout)
    assert first == {"events": 5, "kept": [], "left": [], "killed": True}  # nothing was decided yet
    assert len(later) > 4
    for each in later:
        assert each | {"killed": True} == {"events": 2, "kept": [5], "left": [], "killed": True}


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, configure: Callable[..., Path]) -> None:
    state = a_state(tmp_path / "state")
    (tmp_path / "kept.tar").write_text("mine")
    said = command(configure, state, "backup", "--out", str(tmp_path / "kept.tar"))
    assert (said.exit_code, (tmp_path / "kept.tar").read_text()) == (1, "mine")


def test_a_damaged_journal_is_told_and_not_backed_up(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state", events=200)
    with closing(sqlite3.connect(state / FILE)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (state / FILE).open("r+b") as file:
        file.seek(4096 * 4)
        file.write(os.urandom(4096 * 4))
    with pytest.raises(BackupError, match=r"damaged|cannot be copied"):
        take(state, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))


def test_a_damaged_lifecycle_is_left_out_and_told_and_the_journal_is_kept(
    tmp_path: Path, configure: Callable[..., Path]
) -> None:
    state = a_state(tmp_path / "state", events=3)
    (state / "lifecycle.sqlite").write_bytes(b"no database at all" * 1000)
    said = command(configure, state, "backup", "--out", str(tmp_path / "kept.tar"))
    assert said.exit_code == 0
    assert "left out: " in said.stderr
    assert "lifecycle.sqlite" in said.stderr
    restored = restore(tmp_path / "kept.tar", tmp_path / "other")
    assert set(restored.manifest.files) == {FILE, "deployment"}
    assert len(Journal(tmp_path / "other").rows("events")) == 3


async def test_scheduled_backups_without_a_damaged_file_do_not_push_out_the_whole_ones(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state")
    whole = take(state, tmp_path / "out").path
    (state / "lifecycle.sqlite").write_bytes(b"no database at all" * 1000)
    alerts = Alerts((), "warning")
    section = Backup(every_hours=1e-6, keep=1, folder=tmp_path / "out")
    task = asyncio.create_task(back_up(section, state, Journal(state).deployment, alerts))
    await until(lambda: len(list((tmp_path / "out").glob("*.tar"))) >= 3, "two more backups")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert whole.exists()
    assert any("lacks what cannot be read" in text and "lifecycle.sqlite" in text for _, text in alerts.recent)


async def test_scheduled_backups_are_taken_and_the_oldest_go(tmp_path: Path) -> None:
    state = a_state(tmp_path / "state")
    deployment = Journal(state).deployment
    section = Backup(every_hours=1e-6, keep=2, folder=tmp_path / "out")
    seen: set[Path] = set()

    def made() -> bool:
        now = kept(tmp_path / "out", deployment)
        seen.update(now)
        return len(seen) >= 4

    task = asyncio.create_task(back_up(section, state, deployment, Alerts((), "warning")))
    await until(made, "four backups")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(kept(tmp_path / "out", deployment)) in (2, 3)  # one may just have been made


async def test_a_folder_that_cannot_be_looked_into_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """As of a network disk that has gone: the daemon ends with a task that ends in an error."""
    alerts = Alerts((), "warning")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "regimen-abc-1.tar").symlink_to(loop)
    task = asyncio.create_task(back_up(Backup(folder=tmp_path), tmp_path / "nothing", "abc", alerts))
    await until(lambda: alerts.recent or task.done(), "the alert")
    assert not task.done()
    assert "symbolic links" in alerts.recent[0][1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_backup_that_fails_is_told_and_ends_nothing(tmp_path: Path) -> None:
    alerts = Alerts((), "warning")
    section = Backup(folder=tmp_path / "out")
    task = asyncio.create_task(back_up(section, tmp_path / "nothing", "abc", alerts))
    await until(lambda: alerts.recent, "the alert")
    assert "holds no journal" in alerts.recent[0][1]
    assert not task.done()
    task.cancel()
