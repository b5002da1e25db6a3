"""The whole daemon as a process on a real local exchange: it trades, stops, is killed, restarts, and says why."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from daemon.journal import FILE, Journal
from market.instruments import cash
from tests.daemon.running import VENUES, WARMUP, Configure, Exchange, Start, command, play, until
from tests.local_exchange import PATIENCE, ROOT, LocalExchange


def test_it_trades_and_prints_one_json_object(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    daemon = start(configure(place.url), "--candles", "12", "--json")
    play(place, daemon, 12)
    code, out = daemon.wait()
    said = json.loads(out)
    assert code == 0
    assert (said["candles"], said["missed_candles"]) == (12, 0)
    assert said["orders"] >= said["trades"] >= 2
    assert 0 < said["seconds_naked_max"] < 1 * PATIENCE
    assert 0 < said["latency_ms"]["p50"] <= said["latency_ms"]["p99"]
    assert said["cash"] == place.state()["cash"]
    assert [t.symbol for t in Journal(daemon.folder).trades()] == ["BTCUSDT"] * said["trades"]


def test_several_symbols_and_timeframes_are_decided_as_one_batch(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(symbols="BTCUSDT,ETHUSDT", timeframe="15m", warmup=WARMUP * 4, bars=100)
    config = configure(place.url, symbols=["ETHUSDT", "BTCUSDT"], timeframes=["15m", "1h"])
    daemon = start(config, "--candles", "3", "--json")
    until(lambda: place.state()["listening"], "the daemon listening")
    for hour in range(3):
        place.advance(4)
        until(lambda hour=hour: len(Journal(daemon.folder).decisions(99)) >= 2 * (hour + 1), f"hour {hour} decided")
    code, out = daemon.wait()
    assert code == 0
    assert json.loads(out)["decisions"] >= 6
    assert set(place.state()["positions"]) == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(("venue", "id_"), VENUES)
def test_33_killed_with_a_position_it_finds_position_and_stop_again(
    exchange: Exchange, configure: Configure, start: Start, venue: str, id_: str
) -> None:
    place = exchange(venue=venue, warmup=WARMUP, bars=100)
    config = configure(place.url, exchange={"id": id_, "url": place.url, "key": "local", "secret": "local"})
    first = start(config)
    play(place, first, 1)
    first.process.kill()
    first.wait()
    before = place.state()
    assert (len(before["positions"]), len(before["stops"])) == (1, 1)
    second = start(config, "--candles", "5", "--json")
    until(lambda: place.state()["listening"], "the second life listening")
    play(place, second, 5)
    code, _ = second.wait()
    assert code == 0
    trades = Journal(second.folder).trades()
    assert trades[0].entry_time <= before["market_time"]  # the trade that the first life began
    assert place.state()["imbalance"] == "0.00000000"


def test_what_closed_while_it_was_away_is_decided_after_the_restart(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    play(place, first, 2)
    first.process.kill()
    first.wait()
    settled = first.settled()
    place.advance(4)
    second = start(config)
    until(lambda: second.settled() == settled + 4 * 3_600_000, "the missed candles settled")
    decided = sorted(row["bar"] for row in Journal(second.folder).decisions(99))
    assert set(decided) == set(range(settled - 3_600_000, settled + 4 * 3_600_000 + 1, 3_600_000))


@pytest.mark.parametrize(("venue", "id_"), VENUES)
def test_funding_that_fell_due_while_it_was_away_is_in_the_books(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path, venue: str, id_: str
) -> None:
    place = exchange(venue=venue, warmup=WARMUP, bars=100)
    speaking = {"id": id_, "url": place.url, "key": "local", "secret": "local"}
    config = configure(place.url, exchange=speaking, on_stop="flatten")
    first = start(config)
    play(place, first, 1)
    first.process.kill()
    first.wait()
    place.advance(9)  # across a funding instant
    second = start(config)
    until(lambda: place.state()["listening"], "the second life listening")
    until(lambda: second.settled() >= place.state()["market_time"] - 3_600_000, "the missed candles settled")
    second.process.send_signal(signal.SIGTERM)
    assert second.wait()[0] == 0
    state, trades = place.state(), Journal(second.folder).trades()
    assert (state["positions"], state["stops"]) == ({}, [])
    assert cash(state["funding"]) != 0
    assert sum(t.funding for t in trades) == cash(state["funding"])
    assert sum(t.profit for t in trades) == cash(state["cash"]) - cash(10_000)
    told = json.loads(command("books", config, "--out", str(tmp_path / "books"), "--json").stdout)["balance"]
    assert (cash(told["now"]), cash(told["unexplained"])) == (cash(state["cash"]), 0)
    for name, column, total in (("executions", "fee", state["fees"]), ("funding", "paid", state["funding"])):
        with (tmp_path / "books" / f"{name}.csv").open() as book:
            assert sum(cash(row[column]) for row in csv.DictReader(book)) == cash(total)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_34_a_signal_leaves_a_protected_position(
    exchange: Exchange, configure: Configure, start: Start, number: signal.Signals
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    daemon = start(configure(place.url), "--json")
    play(place, daemon, 1)
    daemon.process.send_signal(number)
    code, out = daemon.wait()
    assert code == 0
    assert json.loads(out)["candles"] == 1
    state = place.state()
    assert state["positions"]
    assert [s["quantity"] for s in state["stops"]] == [p["quantity"].lstrip("-") for p in state["positions"].values()]
    assert not state["listening"]


def test_a_signal_flattens_where_that_is_configured(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    daemon = start(configure(place.url, on_stop="flatten"))
    play(place, daemon, 1)
    assert place.state()["positions"]
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0
    assert (place.state()["positions"], place.state()["stops"]) == ({}, [])


def test_status_why_pause_resume_and_flatten_on_a_running_daemon(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    daemon = start(config)
    play(place, daemon, 1)
    status = json.loads(command("status", config, "--json").stdout)
    assert (status["phase"], status["state"], status["positions"][0]["protected"]) == ("trading", "active", True)
    flat = command("flatten", config)
    assert (flat.exit_code, flat.stdout.splitlines()[-1]) == (0, "everything is closed")
    assert "nothing is opened until `resume`" in flat.stdout
    assert place.state()["positions"] == {}
    told = json.loads(command("status", config, "--json").stdout)
    assert (told["state"], told["reason"], told["until"]) == ("halted", "flattened by the operator", None)
    play(place, daemon, 1)
    (last,) = json.loads(command("why", config, "--json", "-n", "1").stdout)
    assert (last["action"], last["reason"]) == ("none", "flattened by the operator")
    assert command("resume", config).exit_code == 0
    play(place, daemon, 1)
    assert place.state()["positions"]
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait()
    assert command("status", config).exit_code == 3
    assert command("gaps", config).stdout == "no gaps\n"
    assert " signal (P(long) " in command("why", config).stdout


def test_34_a_second_daemon_in_the_same_state_directory_is_refused(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    daemon = start(config)
    until(lambda: place.state()["listening"], "the daemon listening")
    second = command("run", config)
    assert second.exit_code == 1
    assert f"in use by another daemon (process {daemon.process.pid})" in second.stderr


def test_an_exchange_that_is_not_there_is_waited_for(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    port = place.port
    place.stop()
    daemon = start(configure(place.url), "--candles", "1", "--json")
    until(
        lambda: "the exchange cannot be reached" in (tmp_path / "daemon.log").read_text(), "it says what it waits for"
    )
    again = exchange(warmup=WARMUP, bars=100, port=port)
    play(again, daemon, 1)
    assert daemon.wait()[0] == 0
    assert "a decision at each close of 1h; the next is due at 20" in (tmp_path / "daemon.log").read_text()


def test_a_signal_ends_it_while_it_waits_for_the_exchange(configure: Configure, start: Start, tmp_path: Path) -> None:
    daemon = start(configure("http://127.0.0.1:9"), "--json")
    until(lambda: "cannot be reached" in (tmp_path / "daemon.log").read_text(), "it waits")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0


def test_an_exchange_of_another_dialect_is_told_from_one_that_is_not_there(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100, venue="bybit")
    daemon = start(configure(place.url), "--json")
    told = "the address answers 404 (not found), not as Binance USDT-M does; check exchange.url and exchange.id"
    until(lambda: told in (tmp_path / "daemon.log").read_text(), "it says that something else answers")
    assert "cannot be reached" not in (tmp_path / "daemon.log").read_text()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_a_key_that_the_exchange_does_not_take_is_named_with_its_place(
    exchange: Exchange, configure: Configure, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    keys = {"key": "local", "secret": "local"} | {wrong: "other"}
    written = configure(place.url, exchange=keys | {"url": place.url})
    ended = command("run", written)
    assert ended.exit_code == 4
    assert f"Check exchange.key in {written} and exchange.secret in {written}" in ended.stderr
    monkeypatch.setenv("REGIMEN_API_KEY", keys["key"])
    monkeypatch.setenv("REGIMEN_API_SECRET", keys["secret"])
    ended = command("run", configure(place.url, exchange={"url": place.url}))
    assert ended.exit_code == 4
    assert "Check REGIMEN_API_KEY and REGIMEN_API_SECRET (environment, or systemd credential)" in ended.stderr


def test_a_state_directory_that_cannot_be_one_is_named_by_its_key(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9", state_dir="rules.yaml/state")
    for verb in ("run", "rehearse"):
        ended = command(verb, config)
        assert ended.exit_code == 4
        assert f"{config}: state_dir: " in ended.stderr
        assert f"{config.parent / 'rules.yaml'} is a file; name a folder" in ended.stderr
        assert "Errno" not in ended.stderr


def test_a_model_set_that_is_not_there_is_named_by_its_key_and_where_it_was_looked_for(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9", mode="paper", model_set="champion", model_sets="elsewhere")
    ended = command("paper", config)
    assert ended.exit_code == 7
    assert f"{config} says model_set: champion; it is looked for in {config.parent / 'elsewhere'}" in ended.stderr
    assert "make train DATA=BTCUSDT-um-1h.parquet" in ended.stderr


@pytest.mark.parametrize(
    ("verb", "options", "told"),
    [
        ("rehearse", ("--speed", "fast"), "'fast': write manual, real, or a positive number"),
        ("rehearse", ("--speed", "manual"), "manual needs somebody who moves it"),
        ("paper", ("--mirror", "nonsense"), "'nonsense': write binanceusdm, or an address"),
        ("books", ("--out", "b", "--from", "2024-02-01", "--to", "2024-01-01"), "is not before --to 2024-01-01T00:00Z"),
    ],
)
def test_an_option_that_means_nothing_is_the_command_s_own_usage_error(
    configure: Configure, verb: str, options: tuple[str, ...], told: str
) -> None:
    ended = command(verb, configure("http://127.0.0.1:9"), *options)
    assert ended.exit_code == 2
    assert f"Usage: main {verb}" in ended.stderr
    assert told in ended.stderr


def test_a_broken_configuration_ends_with_code_4_and_every_line(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9", symbls=["X"])
    ended = command("run", config)
    assert ended.exit_code == 4
    assert "symbls: unknown key, did you mean 'symbols'?" in ended.stderr


def test_a_model_set_that_is_not_there_ends_with_code_7(configure: Configure) -> None:
    ended = command("run", configure("http://127.0.0.1:9", model_set="20200101T000000-0123456789ab"))
    assert ended.exit_code == 7
    assert "no model set is called" in ended.stderr


def test_live_needs_to_be_said_twice(configure: Configure) -> None:
    assert command("run", configure("http://127.0.0.1:9"), "--live").exit_code == 4
    live = configure("", mode="live", exchange={})
    ended = command("run", live)
    assert ended.exit_code == 4
    assert "--live" in ended.stderr


def test_a_model_set_that_needs_what_the_exchange_does_not_tell_is_refused(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(venue="bybit", warmup=WARMUP, bars=100)
    speaking = {"id": "bybit", "url": place.url, "key": "local", "secret": "local"}
    daemon = start(configure(place.url, exchange=speaking, model_set="starter", model_sets=str(ROOT / "models")))
    assert daemon.wait()[0] == 4
    log = (daemon.folder.parent / "daemon.log").read_text()
    assert "taker flow" in log
    assert "Bybit v5 linear does not tell; train a set on its own klines" in log


def test_a_journal_of_another_market_is_refused(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP + 20, bars=100)
    first = start(configure(place.url), "--candles", "1")
    play(place, first, 1)
    first.wait()
    earlier = exchange(warmup=WARMUP, bars=100)
    ended = command("run", configure(earlier.url))
    assert ended.exit_code == 4
    assert "of another market" in ended.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB at the place of the state directory."""
    disk = tmp_path / "state"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_36_a_full_disk_ends_it_with_what_to_do_and_the_stop_stays(
    exchange: Exchange, configure: Configure, small_disk: Path, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    daemon = start(configure(place.url))
    play(place, daemon, 1)
    assert place.state()["positions"]
    space = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"0" * (space.f_bavail * space.f_bsize))
    for _ in range(6):
        if daemon.process.poll() is None:
            place.advance()
            time.sleep(0.5)
    assert daemon.wait()[0] == 1
    assert "free the disk" in (tmp_path / "daemon.log").read_text()
    assert len(place.state()["stops"]) == len(place.state()["positions"])


def test_a_rehearsal_starts_its_own_exchange_and_prints_a_line_a_decision(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9")
    ended = command("rehearse", config, "--candles", "4", "--speed", "18000")
    assert ended.exit_code == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if " · equity " in line]
    assert len(lines) >= 4
    assert "equity 10,000.00" in lines[0]
    assert f"its journal is in {config.parent / 'state-rehearsal'}" in ended.stdout.splitlines()[-1]


def test_a_rehearsal_leaves_the_journal_of_run_alone_and_keeps_its_own_until_the_next(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9")
    state = config.parent / "state"
    state.mkdir()
    (state / "journal.sqlite").write_bytes(b"what run recorded")
    assert command("rehearse", config, "--candles", "2", "--speed", "18000", "--json").exit_code == 0
    assert (state / "journal.sqlite").read_bytes() == b"what run recorded"
    decided = json.loads(command("why", config, "--rehearsal", "--json").stdout)
    assert decided
    (state / "journal.sqlite").unlink()
    lost = command("why", config)
    assert (lost.exit_code, "--rehearsal asks about that" in lost.stderr) == (7, True)
    broken = config.parent / "klines.parquet"
    broken.write_bytes(b"no parquet")
    assert command("rehearse", config, "--data", str(broken)).exit_code == 7
    assert json.loads(command("why", config, "--rehearsal", "--json").stdout) == decided


def test_a_rehearsal_that_is_killed_takes_its_exchange_with_it(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9")
    command_line = [sys.executable, "-m", "daemon", "rehearse", "--config", str(config), "--json"]
    with subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as rehearsal:
        until(lambda: psutil.Process(rehearsal.pid).children(), "its exchange started")
        (exchange,) = psutil.Process(rehearsal.pid).children()
        until(lambda: exchange.net_connections("tcp"), "the exchange serving")
        rehearsal.kill()
    until(lambda: not exchange.is_running() or exchange.status() == psutil.STATUS_ZOMBIE, "the exchange gone as well")


def test_an_exchange_that_restarts_under_it_is_noticed_and_traded_on(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    options = {"warmup": WARMUP, "bars": 100, "state": tmp_path / "exchange.sqlite"}
    place = exchange(**options)
    daemon = start(configure(place.url))
    play(place, daemon, 2)
    before, port = place.state(), place.port
    assert before["positions"]
    place.stop()
    again = exchange(port=port, **options)
    play(again, daemon, 3)
    log = (tmp_path / "daemon.log").read_text()
    assert "private stream fell" in log
    assert "market stream fell" in log
    assert log.count("reconciling: the private stream came to life") == 2
    state = again.state()
    assert state["market_time"] == before["market_time"] + 3 * 3_600_000
    assert len(state["stops"]) == len(state["positions"])
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0


async def _cancel_stops(place: LocalExchange) -> None:
    """Somebody cancels every stop by hand."""
    client = place.ccxt()
    try:
        for stop in place.state()["stops"]:
            await client.fapiPrivateDeleteAlgoOrder({"clientAlgoId": stop["client_id"]})
    finally:
        await client.close()


def test_a_locked_journal_holds_up_entries_and_never_a_stop(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    daemon = start(config)
    until(lambda: place.state()["listening"], "the daemon listening")
    with closing(sqlite3.connect(daemon.folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        place.advance()
        until(lambda: "not sent: the journal" in (tmp_path / "daemon.log").read_text(), "the entry given up")
        assert place.state()["positions"] == {}
        other.rollback()
        until(lambda: daemon.settled() > 0, "the candle settled")
        play(place, daemon, 1)
        assert place.state()["positions"]
        other.execute("BEGIN IMMEDIATE")
        before = {s["client_id"] for s in place.state()["stops"]}
        asyncio.run(_cancel_stops(place))
        began = time.monotonic()
        until(lambda: {s["client_id"] for s in place.state()["stops"]} - before, "another stop")
        assert time.monotonic() - began < 1.0 * PATIENCE
        queues = json.loads(command("status", config, "--json").stdout)["queues"]
        assert queues["went_ahead"] >= 1
        assert queues["given_up"] >= 1
        other.rollback()
        play(place, daemon, 1)
        assert other.execute("SELECT kind FROM ahead").fetchone() == ("PlaceStop",)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0


def test_a_stop_that_went_ahead_of_the_journal_is_found_again_after_a_kill(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    first = start(config)
    play(place, first, 1)
    with closing(sqlite3.connect(first.folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = {s["client_id"] for s in place.state()["stops"]}
        asyncio.run(_cancel_stops(place))
        until(lambda: {s["client_id"] for s in place.state()["stops"]} - before, "another stop")
        first.process.kill()
        first.wait()
        other.rollback()
        (known,) = other.execute("SELECT count(*) FROM events WHERE body LIKE '%canceled%'").fetchone()
        assert known == 0, "the journal knows nothing of it"
    (stop,) = place.state()["stops"]
    second = start(config)
    play(place, second, 1)
    state = place.state()
    assert [s["client_id"] for s in state["stops"]] == [stop["client_id"]]
    assert json.loads(command("status", config, "--json").stdout)["positions"][0]["protected"]


def test_a_symbol_that_left_the_configuration_is_looked_after_until_it_is_flat(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(symbols="BTCUSDT,ETHUSDT", warmup=WARMUP, bars=100)
    first = start(configure(place.url, symbols=["BTCUSDT", "ETHUSDT"]))
    play(place, first, 1)
    assert set(place.state()["positions"]) == {"BTCUSDT", "ETHUSDT"}
    first.process.send_signal(signal.SIGTERM)
    assert first.wait()[0] == 0
    second = start(configure(place.url, symbols=["BTCUSDT"]))
    play(place, second, 1)
    held = place.state()
    assert "ETHUSDT" in held["positions"]
    assert [s["symbol"] for s in held["stops"]].count("ETHUSDT") == 1
    play(place, second, 4)  # its time is up after three candles, and it is not entered again
    assert set(place.state()["positions"]) == {"BTCUSDT"}
    assert {row["symbol"] for row in Journal(second.folder).decisions(4)} == {"BTCUSDT", "ETHUSDT"}


def test_a_start_without_a_kline_within_its_deadline_has_failed(
    exchange: Exchange, configure: Configure, start: Start
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    mute = {"name": "no klines", "on": "connection", "match": {"path": "/market/*"}, "count": None}
    place.arm(mute | {"do": {"action": "mute"}})
    daemon = start(configure(place.url, deadlines={"first_kline_s": 3, "first_data_s": 1}))
    assert daemon.wait()[0] == 1
    assert "no kline within 3 s of the start" in (daemon.folder.parent / "daemon.log").read_text()


def test_terms_that_change_while_it_runs_are_read_again(exchange: Exchange, configure: Configure, start: Start) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    daemon = start(configure(place.url, deadlines={"instruments_s": 0.5}))
    log = daemon.folder.parent / "daemon.log"
    play(place, daemon, 1)
    place.hand("halt", symbol="BTCUSDT")
    until(lambda: "BTCUSDT is not traded any more" in log.read_text(), "the halt told")
    place.hand("resume", symbol="BTCUSDT")
    until(lambda: "BTCUSDT trades again" in log.read_text(), "the resumption told")
    place.hand("terms", symbol="BTCUSDT", funding_hours=4)
    until(lambda: "the exchange changed the terms of BTCUSDT" in log.read_text(), "the new interval told")
    play(place, daemon, 1)
