"""The doctor looks at every link of the chain, tells what is wrong and what to do, and praises nothing absent."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

from daemon.control import ControlServer
from daemon.doctor import account, examine, host
from daemon.journal import FILE, Journal
from daemon.recorder import FILE as CANDLES
from daemon.recorder import Recorder
from daemon.selftest import Finding
from daemon.venues.venue import Terms
from market.candles import Candle
from tests.daemon.running import WARMUP, command
from tests.local_exchange import LocalExchange

Exchange = Callable[..., LocalExchange]
Configure = Callable[..., Path]
NOWHERE = "http://127.0.0.1:9"


async def looked(config: Path) -> dict[str, Finding]:
    return {finding.what: finding async for finding in examine(config)}


def look(config: Path) -> dict[str, Finding]:
    return asyncio.run(looked(config))


def test_a_sandbox_in_order_is_good_and_what_does_not_apply_is_not_called_so(
    exchange: Exchange, configure: Configure
) -> None:
    place = exchange(warmup=WARMUP, bars=10)
    said = command("doctor", configure(place.url), "--json")
    assert said.exit_code == 0
    found: list[dict[str, Any]] = json.loads(said.stdout)
    assert {f["what"] for f in found if f["good"]} >= {
        "configuration", "model set", "state directory", "exchange", "clock", "key", "stops", "account", "leverage",
        "features",
    }  # fmt: skip
    apart = {f["what"]: f["text"] for f in found if f["good"] is None}
    assert set(apart) >= {"journal", "lifecycle", "backups", "alerts", "champion", "retraining"}
    assert apart["retraining"].startswith("none is configured")
    shown = command("doctor", configure(place.url)).stdout
    assert "n/a   alerts: none; nobody will be told\n      → name a channel in alerts.urls" in shown


def test_an_exchange_that_does_not_answer_hides_nothing_else(configure: Configure) -> None:
    ended = command("doctor", configure(NOWHERE))
    assert ended.exit_code == 1
    assert "BAD   exchange: " in ended.stdout
    assert "cannot be reached" in ended.stdout
    assert "good  model set: " in ended.stdout


@pytest.mark.parametrize(
    ("done", "what", "told"),
    [
        ({"action": "permissions", "withdrawals": True}, "key", "it may withdraw"),
        ({"action": "permissions", "futures": False}, "key", "it may not trade futures"),
        ({"action": "hedge_mode", "on": True}, "account", "hedge mode; switch it to one-way mode"),
        ({"action": "multi_assets", "on": True}, "account", "multi-assets mode"),
        ({"action": "clock", "offset_ms": -60_000}, "clock", "+60"),
    ],
    ids=["withdrawals", "no trading", "hedge", "multi-assets", "clock"],
)
def test_what_is_wrong_with_the_account_is_found(
    exchange: Exchange, configure: Configure, done: dict[str, Any], what: str, told: str
) -> None:
    place = exchange(warmup=10, bars=10)
    place.hand(done.pop("action"), **done)
    found = look(configure(place.url))
    assert found[what].good is False
    assert told in found[what].text
    assert found["clock"].good is not None  # it and the rest are told all the same
    assert {"leverage", "stops"} <= set(found)


@pytest.mark.parametrize(("venue", "id_"), [("binance", "binanceusdm"), ("bybit", "bybit")])
def test_a_key_that_is_bound_to_no_address_or_may_transfer_is_told(
    exchange: Exchange, configure: Configure, venue: str, id_: str
) -> None:
    place = exchange(venue=venue, warmup=10, bars=10)
    speaking = {"id": id_, "url": place.url, "key": "local", "secret": "local"}
    assert look(configure(place.url, exchange=speaking))["key"].remedy == ""
    place.hand("permissions", ip_restricted=False, universal_transfer=True)
    key = look(configure(place.url, exchange=speaking))["key"]
    assert key.good is True
    assert "bound to no address" in key.text
    assert "may transfer between accounts" in key.text
    assert "bind it to this host's address" in key.remedy
    assert ("ends in 90 days" in key.text) is (venue == "bybit")


def test_leverage_and_margin_mode_are_told_and_set_before_an_entry(exchange: Exchange, configure: Configure) -> None:
    place = exchange(symbols="BTCUSDT,ETHUSDT", warmup=10, bars=10)
    config = configure(place.url, symbols=["BTCUSDT", "ETHUSDT"])
    flat = look(config)["leverage"]  # cross, as a new account is
    assert (flat.good, flat.text.split(";")[0]) == (True, "BTCUSDT 20x cross")
    place.hand("margin_type", symbol="BTCUSDT", margin_type="ISOLATED")
    place.hand("leverage", symbol="BTCUSDT", leverage=50)
    place.hand("trade", symbol="BTCUSDT", side="BUY", quantity="0.01")
    high = look(config)["leverage"]
    assert (high.good, "BTCUSDT 50x isolated, open" in high.text, "the rules want at most" in high.text) == (
        True,
        True,
        True,
    )


def test_an_open_position_with_the_whole_wallet_behind_it_is_bad() -> None:
    terms = {"BTCUSDT": Terms(20, isolated=False), "ETHUSDT": Terms(5, isolated=False)}
    assert account.leverage(terms, {}, 20).good is True
    crossed = account.leverage(terms, {"BTCUSDT": 1}, 20)
    assert (crossed.good, crossed.remedy.split(":")[0]) == (False, "BTCUSDT")


def test_features_agree_live_and_from_history_and_recorded_candles_with_the_exchange(
    exchange: Exchange, configure: Configure, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=10)
    config = configure(place.url)
    good = look(config)["features"]
    assert good.good is True
    assert "features of BTCUSDT at 12 closes agree" in good.text
    rows = place.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=20)
    recorder = Recorder(tmp_path / "state")
    for row in rows[:10]:
        values = (*map(float, row[1:6]), float(row[7]), float(row[8]), float(row[9]), float(row[10]))
        recorder.take(("BTCUSDT", "1h"), Candle(int(row[0]), *values), True)
    recorder.close()
    assert look(config)["features"].good is True
    with closing(sqlite3.connect(tmp_path / "state" / CANDLES)) as db, db:
        db.execute("UPDATE candles SET volume = volume + 1")
    assert look(config)["features"].text.startswith("10 recorded 1h candles of BTCUSDT are not those")
    with closing(sqlite3.connect(tmp_path / "state" / CANDLES)) as db, db:
        db.execute("UPDATE candles SET high = low - 1")
    damaged = look(config)["features"]
    assert (damaged.good, "10 faults in its 1h candles of BTCUSDT" in damaged.text) == (False, True)
    (tmp_path / "state" / CANDLES).write_bytes(b"no database, for a disk is no friend" * 100)
    unread = look(config)["features"]
    assert (unread.good, "could not be compared" in unread.text) == (False, True)


def test_too_few_candles_to_compare_are_no_praise(exchange: Exchange, configure: Configure) -> None:
    assert look(configure(exchange(warmup=10, bars=10).url))["features"].good is None


def test_databases_of_every_version_are_told(configure: Configure, tmp_path: Path) -> None:
    state = tmp_path / "state"
    Journal(state).close()
    assert look(configure(NOWHERE))["journal"] == Finding("journal", True, "version 2, current")
    with closing(sqlite3.connect(state / FILE)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '0099'")
    newer = look(configure(NOWHERE))["journal"]
    assert (newer.good, "newer version (99" in newer.text) == (False, True)


async def test_the_set_in_service_is_compared_with_the_one_expected(configure: Configure, tmp_path: Path) -> None:
    config = configure(NOWHERE)
    (tmp_path / "state").mkdir()

    async def answer(verb: str, *_: Any) -> dict[str, Any]:
        return {"model_set": "20240101-0000000000000000"}

    server = ControlServer(tmp_path / "state", answer)
    await server.open()
    try:
        champion = (await looked(config))["champion"]
    finally:
        await server.close()
    assert champion.good is False
    assert "20240101-0000000000000000 is in service" in champion.text
    assert "python -m daemon swap" in champion.remedy


def with_training(configure: Configure, tmp_path: Path, **training: Any) -> Path:
    (tmp_path / "spec.yaml").write_text("name: test\ndata: {venue: synthetic}\n")
    return configure(NOWHERE, retraining={"spec": "spec.yaml", **training})


def test_the_schedule_and_this_machine_as_the_training_place(configure: Configure, tmp_path: Path) -> None:
    found = look(with_training(configure, tmp_path, schedule="30 3 * * 0"))
    assert found["schedule"].good is True
    assert "fires next at" in found["schedule"].text
    assert found["training place"].text.startswith("local: this machine")
    assert found["training spec"] == Finding("training spec", True, f"{tmp_path / 'spec.yaml'}: test, lightgbm, lstm")


def test_a_spec_that_cannot_be_trained_or_whose_sets_would_be_refused_is_bad(
    configure: Configure, tmp_path: Path
) -> None:
    config, spec = with_training(configure, tmp_path), tmp_path / "spec.yaml"
    spec.write_text("name: test\nlstn: {window: 8}\nfeatures: {include: [retrun_1]}\n")
    wrong = look(config)["training spec"]
    assert (wrong.good, f"{spec}:2:1: lstn: unknown key, did you mean 'lstm'?" in wrong.text) == (False, True)
    assert "unknown features retrun_1" in wrong.text
    spec.write_text("name: test\ndata: {venue: bybit, timeframe: 4h}\nlabels: {cost: 0.0001}\nlstm15m: {}\n")
    unfit = look(config)["training spec"]
    assert (unfit.good, unfit.remedy) == (False, "its sets would be refused, or never made")
    for words in ("data.timeframe is 4h", "add 15m to retraining.history", "data.venue is bybit", "labels.cost is"):
        assert words in unfit.text
    spec.unlink()
    assert "no such file; see retraining.spec" in look(config)["training spec"].text


def test_a_gpu_box_that_is_off_and_a_host_key_that_is_not_pinned(configure: Configure, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "known_hosts").write_text("")
    ssh = {"host": "127.0.0.1", "port": port, "user": "trainer", "known_hosts": "known_hosts", "key": "key"}
    found = look(with_training(configure, tmp_path, backend="ssh", ssh=ssh))
    assert found["training place"].good is False
    assert "cannot be reached" in found["training place"].text
    assert found["host key"].good is False
    assert f"ssh-keyscan -p {port} 127.0.0.1" in found["host key"].remedy
    public = key.export_public_key().decode()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    pinned = look(with_training(configure, tmp_path, backend="ssh", ssh=ssh))["host key"]
    assert (pinned.good, pinned.text.split(" in ")[0]) == (True, f"1 of [127.0.0.1]:{port}")


def _shown(**units: str) -> str:
    """What ``systemctl show`` tells of units, written as ``load file active result reload``."""
    names = ("LoadState", "UnitFileState", "ActiveState", "Result", "NeedDaemonReload")
    blocks = []
    for name, text in units.items():
        told = zip(names, text.split(), strict=True)
        unit = f"{name.replace('_', '-')}.{'service' if name == 'regimen' else 'path'}"
        blocks.append("\n".join([f"Id={unit}", *(f"{key}={value.strip('-')}" for key, value in told)]))
    return "\n\n".join(blocks) + "\n"


def test_units_that_are_not_installed_are_no_fault() -> None:
    (found,) = host.judged(_shown(regimen="not-found - inactive success no"))
    assert (found.good, found.remedy.split()[0]) == (None, "`make")


def test_units_that_run_failed_or_wait_for_nobody() -> None:
    text = _shown(
        regimen="loaded enabled failed watchdog no",
        regimen_retrain="loaded disabled inactive success no",
        regimen_backtest="loaded enabled active success no",
    )
    daemon, retrain, backtest = host.judged(text)
    assert (daemon.good, "watchdog" in daemon.text, "journalctl -u regimen.service" in daemon.remedy) == (
        False,
        True,
        True,
    )
    assert (retrain.good, retrain.remedy) == (False, "`systemctl enable --now regimen-retrain.path`")
    assert (backtest.good, backtest.text) == (True, "enabled, active")


def test_a_configuration_that_cannot_be_read_ends_it(configure: Configure) -> None:
    config = configure(NOWHERE)
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"symbol": ["BTCUSDT"]}))
    ended = command("doctor", config)
    assert ended.exit_code == 4
    assert ended.stdout.startswith("BAD   configuration: ")
