"""Files of older versions are brought up to date whole or not at all; newer ones are left alone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner, Result

from daemon.__main__ import main
from daemon.journal import FILE, Journal, JournalError
from daemon.journal.schema import DATABASE
from daemon.lifecycle import schema as lifecycle
from daemon.lifecycle.book import Book
from daemon.lock import Lock
from daemon.migrations.database import Database, MigrationError, plain
from daemon.migrations.standing import DATABASES, State, look, upgrade_all
from daemon.migrations.upgrading import copies, script, upgrade
from tests.daemon.test_journal import VERSION_1
from tests.local_exchange import PATIENCE, ROOT

ASKS_FOR_ALEMBIC = "import sys; from pathlib import Path; {}; sys.exit('alembic' in sys.modules)"


def old_journal(folder: Path, version: int = 1) -> Path:
    """A journal as version 1 wrote it, or version 2 before there were migrations."""
    if version == 1:
        with closing(sqlite3.connect(folder / FILE)) as old:
            old.executescript(f"PRAGMA journal_mode = WAL; {VERSION_1}")
    else:
        Journal(folder).close()
        with closing(sqlite3.connect(folder / FILE)) as old:
            old.executescript("DROP TABLE alembic_version")
    return folder / FILE


def differences(database: Database, path: Path) -> list[object]:
    """What Alembic would have to change in a file to make it what the tables in the code are."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(db, opts=options), database.metadata))


def migrate(configure: Callable[..., Path], state: Path, *options: str) -> Result:
    config = configure("http://127.0.0.1:9", state_dir=str(state))
    return CliRunner().invoke(main, ["migrate", "--config", str(config), *options], catch_exceptions=False)


@pytest.mark.parametrize("database", DATABASES, ids=lambda d: d.name)
def test_all_revisions_together_make_the_tables_in_the_code(database: Database, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / database.file}")
    with engine.begin() as db:
        command.upgrade(script(database, connection=db), "head")
    assert differences(database, tmp_path / database.file) == []


@pytest.mark.parametrize("database", DATABASES, ids=lambda d: d.name)
def test_the_newest_revision_is_the_one_the_code_names(database: Database) -> None:
    assert ScriptDirectory.from_config(script(database)).get_heads() == [database.head]


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_from_before_migrations_is_taken_over_as_it_is(tmp_path: Path, version: int) -> None:
    path = old_journal(tmp_path, version)
    Journal(tmp_path).close()
    assert differences(DATABASES[0], path) == []
    assert [standing.state for standing in look(tmp_path)] == [State.CURRENT, State.MISSING]


def test_a_journal_of_version_2_gets_the_tables_it_lacks(tmp_path: Path) -> None:
    path = old_journal(tmp_path, 2)
    with closing(sqlite3.connect(path)) as old:
        old.executescript("DROP TABLE exposures; DROP INDEX ix_decisions_bar")
    Journal(tmp_path).close()
    assert differences(DATABASES[0], path) == []


def test_a_book_from_before_migrations_is_taken_over(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / lifecycle.FILE}")
    lifecycle.metadata.create_all(engine)
    engine.dispose()
    book = Book(tmp_path)
    book.note("started", who="test")
    book.close()
    assert [row["step"] for row in Book(tmp_path).audited()] == ["started"]
    assert differences(DATABASES[1], tmp_path / lifecycle.FILE) == []


def test_what_a_file_was_is_kept_beside_it(tmp_path: Path) -> None:
    old_journal(tmp_path)
    (done,) = upgrade_all(tmp_path)
    with closing(sqlite3.connect(done.copy)) as was:
        assert was.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert was.execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == ("1",)
        assert not was.execute("SELECT name FROM sqlite_master WHERE name = 'gaps'").fetchall()
    assert upgrade_all(tmp_path) == []
    assert [done.copy] == list(tmp_path.glob(f"{FILE}.*"))


def test_of_the_copies_the_newest_three_stay_for_each_file(tmp_path: Path) -> None:
    for stamp in ("20240101t000000", "20250101t000000", "20250601t000000", "20260101t000000"):
        (tmp_path / f"{FILE}.version-1-{stamp}").write_text("as it was")
        (tmp_path / f"{lifecycle.FILE}.version-1-{stamp}").write_text("as it was")
    old_journal(tmp_path)
    (done,) = upgrade_all(tmp_path)
    assert copies(tmp_path / FILE) == [
        *(tmp_path / f"{FILE}.version-1-{stamp}" for stamp in ("20250601t000000", "20260101t000000")),
        done.copy,
    ]
    assert len(copies(tmp_path / lifecycle.FILE)) == 4, "the other file was not upgraded"


def test_an_upgrade_that_fails_leaves_no_copy_behind(tmp_path: Path) -> None:
    path = old_journal(tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE VIEW gaps AS SELECT 1")  # in the way of the table that the upgrade makes
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(MigrationError, match="it is as it was"):
            upgrade_all(tmp_path)
    assert copies(path) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("error", [RuntimeError("a revision's own fault"), KeyboardInterrupt()], ids=repr)
def test_an_upgrade_that_ends_in_any_other_way_leaves_no_copy_behind(tmp_path: Path, error: BaseException) -> None:
    path = old_journal(tmp_path)
    before = path.read_bytes()

    def fail(db: sa.Connection, file: Path) -> None:
        raise error

    with pytest.raises(type(error)):
        upgrade(replace(DATABASE, mark=fail), path, 1.0)
    assert copies(path) == []
    assert path.read_bytes() == before


def test_a_newer_file_is_refused_and_none_is_touched(tmp_path: Path) -> None:
    path = old_journal(tmp_path)
    Book(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / lifecycle.FILE)) as book, book:
        book.execute("UPDATE alembic_version SET version_num = '0099'")
    before = path.read_bytes()
    with pytest.raises(
        MigrationError, match=rf"newer version \(99, this one reads {plain(lifecycle.REVISION)}\); upgrade the program"
    ):
        upgrade_all(tmp_path)
    assert path.read_bytes() == before
    with pytest.raises(MigrationError, match="newer version"):
        Book(tmp_path)


def test_a_file_is_not_migrated_while_a_daemon_writes_it(tmp_path: Path) -> None:
    path = old_journal(tmp_path)
    code = "import sys; from pathlib import Path; from daemon.lock import Lock; lock = Lock(Path(sys.argv[1]))"
    code += "; lock.take(); print('held', flush=True); sys.stdin.read()"
    asked = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(asked, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        before = path.read_bytes()
        with pytest.raises(JournalError, match=f"a running daemon writes it.*process {holder.pid}"):
            Journal(tmp_path)
        assert path.read_bytes() == before
        holder.communicate()
    Journal(tmp_path).close()


def test_who_holds_the_lock_migrates(tmp_path: Path) -> None:
    old_journal(tmp_path)
    with Lock(tmp_path):
        assert [done.old for done in upgrade_all(tmp_path)] == ["1"]


def test_killed_at_any_statement_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    old = old_journal(tmp_path)
    (tmp_path / "killed").mkdir()
    asked = [sys.executable, "tests/daemon/killed_migration.py", str(old), str(tmp_path / "killed")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, timeout=240 * PATIENCE, check=True)
    *killed, done = json.loads(ran.stdout)
    assert len(killed) > 20
    assert all(each["killed"] for each in killed)
    first = killed[0] | {"killed": False}
    for each in killed:
        assert (each | {"killed": False}) in (first, done), each
    assert (first["version"], done["version"], done["killed"]) == ("1", "2", False)
    assert {"gaps", "funding", "alembic_version"} <= set(done["tables"])
    assert "refusal" in done["columns"]


def test_a_current_file_opens_without_alembic(tmp_path: Path) -> None:
    for _ in ("new", "current"):
        opened = f"from daemon.journal import Journal; Journal(Path({str(tmp_path)!r})).close()"
        opened += f"; from daemon.lifecycle.book import Book; Book(Path({str(tmp_path)!r})).close()"
        asked = [sys.executable, "-c", ASKS_FOR_ALEMBIC.format(opened)]
        assert subprocess.run(asked, cwd=ROOT, timeout=60 * PATIENCE).returncode == 0


def test_migrate_looks_migrates_and_finds_nothing_more_to_do(tmp_path: Path, configure: Callable[..., Path]) -> None:
    state = tmp_path / "state"
    state.mkdir()
    path = old_journal(state)
    before = path.read_bytes()
    looked = migrate(configure, state, "--check")
    assert (looked.exit_code, path.read_bytes()) == (1, before)
    assert "journal: version 1, and this program writes 2: `python -m daemon migrate`" in looked.stdout
    said = json.loads(migrate(configure, state, "--json").stdout)
    assert [(u["from"], u["to"], Path(u["copy"]).is_file()) for u in said["upgraded"]] == [("1", "2", True)]
    again = migrate(configure, state, "--check")
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "journal: version 2, current")


def test_migrate_says_what_is_no_database(tmp_path: Path, configure: Callable[..., Path]) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    told = migrate(configure, tmp_path)
    assert told.exit_code == 1
    assert "cannot be read: file is not a database; restore a backup" in told.stderr


@pytest.mark.parametrize("damage", ["no database", "newer", "cannot be upgraded"])
def test_before_a_start_trouble_with_what_a_daemon_can_do_without_is_told_alone(
    tmp_path: Path, configure: Callable[..., Path], damage: str
) -> None:
    old_journal(tmp_path)
    book = tmp_path / lifecycle.FILE
    if damage == "no database":
        book.write_bytes(b"not a database" * 100)
    else:
        Book(tmp_path).close()
        with closing(sqlite3.connect(book, isolation_level=None)) as db:
            if damage == "newer":
                db.execute("UPDATE alembic_version SET version_num = '0999'")
            else:
                db.execute("UPDATE alembic_version SET version_num = '0001'")
                db.execute("ALTER TABLE runs RENAME TO other")
                db.execute("CREATE VIEW runs AS SELECT 1")  # nothing that a column can be added to
    assert migrate(configure, tmp_path).exit_code == 1
    told = migrate(configure, tmp_path, "--before-start", "--json")
    assert told.exit_code == 0, told.stderr
    said = json.loads(told.stdout)
    assert [u["file"] for u in said["upgraded"]] in ([], [str(tmp_path / FILE)])
    assert [(d["file"], d["state"]) for d in said["databases"]] == [(str(tmp_path / FILE), "current")]
    assert [str(book) in text for text in said["trouble"]] == [True]
    assert told.stderr.startswith("warning: ")
    assert "`run` decides" in told.stderr


def test_before_a_start_a_journal_that_cannot_be_used_is_refused(
    tmp_path: Path, configure: Callable[..., Path]
) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    Book(tmp_path).close()
    told = migrate(configure, tmp_path, "--before-start")
    assert told.exit_code == 1
    assert "cannot be read" in told.stderr
    assert migrate(configure, tmp_path, "--before-start", "--check").exit_code == 2


def test_before_a_start_all_files_are_brought_up_to_date(tmp_path: Path, configure: Callable[..., Path]) -> None:
    old_journal(tmp_path)
    Book(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / lifecycle.FILE)) as db:
        db.executescript("DROP TABLE alembic_version")
    told = migrate(configure, tmp_path, "--before-start", "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    assert len(json.loads(told.stdout)["upgraded"]) == 2
    assert {standing.state for standing in look(tmp_path)} == {State.CURRENT}
