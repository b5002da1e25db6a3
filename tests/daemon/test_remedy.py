"""What is said about a lifecycle that cannot be used fits what is wrong with it: no whole file is moved away."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.lifecycle.book import Book
from daemon.lifecycle.remedy import Fault, fault, remedy
from daemon.lifecycle.schema import FILE
from daemon.migrations import upgrading
from tests.daemon.test_loop_off import garbage, newer, torn
from tests.small_disk import small_disk


def made(folder: Path) -> Path:
    Book(folder).close()
    return folder / FILE


def refused(folder: Path) -> Exception:
    """What opening and reading through a state directory's lifecycle ends in."""
    try:
        with closing(Book(folder)) as book:
            book.check()
            book.note("tried", who="the test")
    except Exception as error:
        return error
    raise AssertionError("it can be used")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else has the file for himself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        yield


def fill(folder: Path, free: int) -> None:
    """Leave so many bytes on a small disk, or a block more."""
    (folder / "ballast").write_bytes(b"0" * (shutil.disk_usage(folder).free - free))


def test_a_locked_file_is_whole_and_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path)
    monkeypatch.setattr("daemon.lifecycle.book.PATIENCE_S", 0.1)
    with held(path):
        error = refused(tmp_path)
    assert fault(path, error) is Fault.LOCKED
    told = remedy(path, error)
    assert "end that process" in told
    assert "away" not in told
    Book(tmp_path).check()


def test_on_a_full_disk_the_remedy_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as folder:
        path = made(folder)
        fill(folder, 0)
        error = refused(folder)
        told = remedy(path, error)
    assert "free some of it and restart" in told, repr(error)
    assert "away" not in told


def test_a_copy_that_finds_no_room_is_a_full_disk_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as folder:
        path = made(folder)
        fill(folder, path.stat().st_size)
        with pytest.raises(upgrading.MigrationError, match="free some") as caught:
            upgrading._copied(path, "1")
    assert fault(path, caught.value) is Fault.FULL


@pytest.mark.parametrize(("spoil", "named"), [(garbage, Fault.DAMAGED), (torn, Fault.DAMAGED), (newer, Fault.NEWER)])
def test_what_cannot_be_read_is_restored_or_moved_away(
    tmp_path: Path, spoil: Callable[[Path], None], named: Fault
) -> None:
    path = made(tmp_path)
    spoil(path)
    error = refused(tmp_path)
    assert fault(path, error) is named
    for words in (f"move {path}* away", "restore a backup", "level for drift stay"):
        assert words in remedy(path, error)


def test_an_error_that_nobody_knows_advises_to_move_nothing(tmp_path: Path) -> None:
    assert fault(tmp_path / FILE, ValueError("?")) is Fault.UNKNOWN
    assert "leave" in remedy(tmp_path / FILE, ValueError("?"))


def test_a_folder_in_its_place_is_about_permissions_or_its_place(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert fault(tmp_path / FILE, refused(tmp_path)) is Fault.FORBIDDEN
