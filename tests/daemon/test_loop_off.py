"""A lifecycle that cannot be used keeps no daemon from its positions: it trades on, the loop is off, and it says so."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.journal import FILE as JOURNAL
from daemon.lifecycle.book import Book
from daemon.lifecycle.schema import FILE
from daemon.lifecycle.wiring import Lifecycle
from tests.daemon.running import WARMUP, Configure, Exchange, Start, command, until
from tests.daemon.test_upgrade import goes_on, opened, protected

Spoil = Callable[[Path], None]


def garbage(path: Path) -> None:
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    path.write_bytes(b"no database" * 1_000)


def torn(path: Path) -> None:
    """It opens as ever; a page that nobody reads at the start is not what it was."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    for old in path.parent.glob(f"{path.name}-*"):
        old.unlink()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '0099'")


SPOILT = [
    (garbage, "file is not a database"),
    (torn, "lifecycle.sqlite is damaged"),
    (newer, "written by a newer version (99"),
]


@pytest.mark.parametrize(("spoil", "why"), SPOILT, ids=lambda each: getattr(each, "__name__", None))
def test_with_a_position_open_it_trades_on_and_the_loop_is_off(
    exchange: Exchange, configure: Configure, start: Start, spoil: Spoil, why: str
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    held = opened(place, first)
    spoil(first.folder / FILE)
    second = start(config)
    until(lambda: protected(second) or second.process.poll() is not None, "the stop read back")
    assert second.process.poll() is None, (config.parent / "daemon.log").read_text()[-2_000:]

    def told() -> dict[str, Any]:
        said: dict[str, Any] = json.loads(command("status", config, "--json").stdout)
        return said

    until(lambda: told()["loop_off"], "the loop said to be off")  # its file is read through beside the start
    status = told()
    assert why in status["loop_off"]
    assert f"move {first.folder / FILE}* away" in status["loop_off"]
    assert "restore a backup" in status["loop_off"]
    assert any("the loop is off" in text for text in status["alerts"])
    swap = command("swap", config, status["model_set"])
    assert (swap.exit_code, "the loop is off" in swap.stderr) == (1, True)
    assert "the loop is off" in command("retrain", config).stderr
    assert "not watched: the loop is off" in " ".join(command("status", config).stdout.split())
    goes_on(place, second, held)


def test_a_newer_one_is_refused_where_nothing_is_open(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    until(lambda: place.state()["listening"], "the daemon listening")
    first.process.send_signal(signal.SIGTERM)
    first.wait()
    newer(first.folder / FILE)
    assert start(config).wait()[0] == 4
    assert "written by a newer version (99, this one reads" in (config.parent / "daemon.log").read_text()
    for verb in ("migrate", "audit", "runs", "drift"):
        asked = command(verb, config)
        assert (asked.exit_code, "written by a newer version" in asked.stderr) == (1, True), verb


def test_a_broken_one_is_no_reason_not_to_begin_and_moved_away_the_loop_is_back(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    folder = config.parent / "state"
    folder.mkdir()
    (folder / FILE).write_bytes(b"no database" * 1_000)
    first = start(config)
    until(lambda: place.state()["listening"], "the daemon listening")
    assert "cannot be used" in json.loads(command("status", config, "--json").stdout)["loop_off"]
    first.process.send_signal(signal.SIGTERM)
    assert first.wait()[0] == 0
    (folder / FILE).rename(folder / "away")
    second = start(config)
    until(lambda: place.state()["listening"], "the second life listening")
    assert json.loads(command("status", config, "--json").stdout)["loop_off"] is None
    second.process.send_signal(signal.SIGTERM)
    assert second.wait()[0] == 0


def test_a_broken_journal_is_refused_as_ever(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    opened(place, first)
    garbage(first.folder / JOURNAL)
    assert start(config).wait()[0] == 1
    assert "file is not a database" in (config.parent / "daemon.log").read_text()


async def test_a_part_that_ends_in_an_error_is_told_and_ends_nothing_else(tmp_path: Path) -> None:
    class Broken:
        async def run(self) -> None:
            raise OSError("the disk has gone")

    class Sound:
        ran = False

        async def run(self) -> None:
            await asyncio.sleep(0)
            self.ran = True

    sound, told, tasks = Sound(), [], []
    with closing(Book(tmp_path)) as book:
        loop = Lifecycle(book, cast("Any", Broken()), cast("Any", sound))
        loop.start(lambda work, name: tasks.append(asyncio.create_task(work, name=name)), told.append)
        await asyncio.gather(*tasks)
    assert told == [
        "swapper ended in an error: OSError('the disk has gone'); the log says more, and a restart begins it again"
    ]
    assert sound.ran
