"""Reading the configuration again while the daemon trades: all of it or nothing, and positions keep what they have."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon import control
from daemon.alerts import Alerts
from daemon.config import DaemonConfig, Deadlines, load_config
from daemon.lifecycle.book import Book
from daemon.reload import FIXED, LIVE, SECTIONS, Part, Reload, ReloadRefused
from models.modelset import ModelSetError, resolve
from strategy.live_config import Rules, load_rules
from tests.daemon.conftest import RULES
from tests.daemon.journal_replay import differences
from tests.daemon.running import WARMUP, Configure, Exchange, Running, command, play, until

URL = "http://127.0.0.1:1"
Start = Callable[..., Running]


def rules(folder: Path, **changes: Any) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES | changes))


def edit(config: Path, **changes: Any) -> None:
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | changes))


def status(daemon: Running) -> dict[str, Any]:
    return control.request(daemon.folder, "status")


def stops(share: float) -> dict[str, Any]:
    return {"regimes": {"confirm": 1} | {name: {"leverage": 2, "stop": share} for name in ("low", "mid", "high")}}


def test_every_key_of_the_configuration_may_change_or_says_why_not() -> None:
    keys = set(DaemonConfig.model_fields)
    assert LIVE | {key for key in FIXED if "." not in key} == keys
    assert LIVE.isdisjoint(FIXED)
    assert {key.removeprefix("deadlines.") for key in FIXED if "." in key} < set(Deadlines.model_fields)


def test_sighup_takes_up_rules_and_the_position_keeps_its_stop_until_it_is_tightened(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    long = {"exit": {"long": 0.0, "short": 0.0, "max_hold_bars": 50}}
    first = {"name": "FIRST"} | stops(0.03) | long
    rules(tmp_path, **first)
    daemon = start(config, "--json")
    for _ in range(10):  # on a slow machine an entry may be given up as too old
        play(place, daemon, 1)
        if status(daemon)["positions"]:
            break

    def stop() -> str:
        """The stop price of the position; the settled one is read back."""
        (position,) = status(daemon)["positions"]
        assert position["protected"]
        return str(position["stop"])

    before = stop()

    def reloaded(name: str, share: float) -> str:
        rules(tmp_path, **{"name": name}, **stops(share), **long)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: status(daemon)["rules"] == name, f"rules {name} in force")
        play(place, daemon, 1)
        return stop()

    assert reloaded("WIDER", 0.2) == before
    assert reloaded("TIGHTER", 0.02) != before
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0
    rules(tmp_path, **first)  # as it was at the start: the journal tells the rest
    assert list(differences(config)) == []


def test_what_cannot_change_is_named_and_nothing_else_is_taken_up_either(
    exchange: Exchange, configure: Configure, start: Start, tmp_path: Path
) -> None:
    place = exchange(warmup=WARMUP, bars=100)
    config = configure(place.url)
    daemon = start(config, "--json")
    until(lambda: place.state()["listening"], "the daemon listening")
    until(lambda: status(daemon)["phase"] == "trading", "trading")
    whole = config.read_text()
    rules(tmp_path, name="OTHER")
    edit(config, symbols=["BTCUSDT", "ETHUSDT"], deadlines={"journal_s": 7}, on_stop="flatten")
    said = command("reload", config)
    assert said.exit_code == 4
    assert "symbols: cannot change while the daemon runs" in said.stderr
    assert "deadlines.journal_s: cannot change" in said.stderr
    config.write_text("mode: sandbox\nsymbls: []\n")
    assert "symbls: unknown key" in control.request(daemon.folder, "reload")["refused"][-1]
    config.write_text(whole)
    edit(config, alerts={"urls": ["nonsense"]})
    assert "apprise does not know" in control.request(daemon.folder, "reload")["refused"][0]
    edit(config, alerts={}, swapping={})
    assert status(daemon)["rules"] == "TEST"

    edit(config, on_stop="flatten", log_level="debug", deadlines={"data_s": 61, "stop_read_back_s": 2})
    said = command("reload", config)
    assert (said.exit_code, said.stdout) == (
        0, "in force: deadlines.data_s, deadlines.stop_read_back_s, on_stop, log_level, rules\n",
    )  # fmt: skip
    assert status(daemon)["rules"] == "OTHER"
    assert command("reload", config).stdout == "nothing has changed\n"
    book = Book(daemon.folder)
    audit = [(line["step"], line["verdict"]) for line in book.audited()]
    book.close()
    assert audit == [("reload", "taken")] * 2 + [("reload", "refused")] * 3
    for _ in range(10):  # on a slow machine an entry may be given up as too old
        play(place, daemon, 1)
        if place.state()["positions"]:
            break
    assert place.state()["positions"]
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait()[0] == 0
    assert not place.state()["positions"], "it was told to flatten when it stops"
    with closing(sqlite3.connect(daemon.folder / "journal.sqlite")) as journal:
        (count,) = journal.execute("SELECT count(*) FROM events WHERE kind = 'RulesChanged'").fetchone()
    assert count == 2


def test_a_daemon_that_waits_for_its_exchange_reads_nothing_again(configure: Configure, start: Start) -> None:
    config = configure(URL)
    daemon = start(config, "--json")
    until(lambda: (daemon.folder / "control.sock").exists(), "the control socket")
    said = command("reload", config)
    assert (said.exit_code, said.stderr) == (1, "it is starting: nothing was read again\n")


# what a reload does, without a daemon around it


@dataclass
class Lives:
    """What a reload changes of a daemon."""

    written: DaemonConfig
    in_service: str
    rules: Rules
    alerts: Alerts = field(default_factory=lambda: Alerts((), "warning"))
    parts: dict[str, Part] = field(default_factory=dict)
    offered: list[tuple[str, str, str | None]] = field(default_factory=list)
    adopted: list[DaemonConfig] = field(default_factory=list)

    async def offer(self, set_id: str, who: str, run_id: str | None) -> None:
        self.offered.append((set_id, who, run_id))

    def adopt(self, config: DaemonConfig, rules: Rules, tightened: tuple[str, ...], who: str) -> None:
        self.adopted.append(config)
        self.written, self.rules = config, rules


@dataclass
class Strict:
    """A part that refuses."""

    lines: list[str]
    taken: list[DaemonConfig] = field(default_factory=list)

    def refuses(self, config: DaemonConfig) -> list[str]:
        return self.lines

    def take_up(self, config: DaemonConfig) -> None:
        self.taken.append(config)


def lives(config: Path) -> Lives:
    read = load_config(config)
    return Lives(read, resolve(read.model_set, read.model_sets).name, load_rules(read.rules))


async def test_another_name_for_the_set_begins_a_swap_and_the_same_one_begins_none(
    configure: Configure, model_root: Path
) -> None:
    config = configure(URL)
    daemon = lives(config)
    daemon.in_service = "20200101T000000-000000000000"  # it came there by the gate, since the start
    assert await Reload(daemon).run("me") == ()
    assert daemon.offered == []
    newest = resolve("latest", model_root).name
    edit(config, model_set=newest)
    assert await Reload(daemon).run("me") == ("model_set",)
    assert daemon.offered == [(newest, "me", None)]


async def test_a_champion_that_was_appointed_since_is_taken_up(
    configure: Configure, model_root: Path, tmp_path: Path
) -> None:
    newest = resolve("latest", model_root).name
    store = tmp_path / "models" / "sets"
    store.mkdir(parents=True)
    (store / newest).symlink_to(model_root / "sets" / newest)
    (store / "champion").write_text(newest + "\n")
    daemon = lives(configure(URL, model_set="champion", model_sets=str(store.parent)))
    await Reload(daemon).run("me")
    assert daemon.offered == []
    daemon.in_service = "20200101T000000-000000000000"
    await Reload(daemon).run("me")
    assert daemon.offered == [(newest, "me", None)]


async def test_a_set_that_is_not_there_is_refused_with_all_the_rest(configure: Configure) -> None:
    config = configure(URL)
    daemon = lives(config)
    edit(config, model_set="20200101T000000-000000000000", on_stop="flatten")
    with pytest.raises(ReloadRefused, match="no model set is called"):
        await Reload(daemon).run("me")
    assert (daemon.adopted, daemon.offered) == ([], [])
    with pytest.raises(ModelSetError):
        resolve("20200101T000000-000000000000", daemon.written.model_sets)


async def test_a_section_is_taken_up_by_its_part_or_refused_by_it(configure: Configure, monkeypatch: Any) -> None:
    config = configure(URL)
    daemon = lives(config)
    edit(config, drift={})
    with pytest.raises(ReloadRefused, match="drift: it was not there at the start"):
        await Reload(daemon).run("me")
    daemon.parts["drift"] = Strict(["drift.x: a window is open"])
    with pytest.raises(ReloadRefused, match="a window is open"):
        await Reload(daemon).run("me")
    part = daemon.parts["drift"] = Strict([])
    assert await Reload(daemon).run("me") == ("drift",)
    assert part.taken == daemon.adopted
    assert set(SECTIONS) <= LIVE


async def test_what_a_command_put_in_the_files_place_stays(configure: Configure, tmp_path: Path) -> None:
    config = configure(URL)
    rehearsed = load_config(config).replaced(state_dir=tmp_path / "elsewhere", symbols=("ETHUSDT",))
    edit(config, on_stop="flatten")
    again = rehearsed.read_again()
    assert (again.state_dir, again.symbols, again.on_stop) == (tmp_path / "elsewhere", ("ETHUSDT",), "flatten")
    assert again.read_again() == again


async def test_a_set_that_cannot_be_queued_is_told_and_the_rest_holds(configure: Configure, model_root: Path) -> None:
    config = configure(URL)
    daemon = lives(config)
    daemon.in_service = "20200101T000000-000000000000"
    part = daemon.parts["swapping"] = Strict([])

    async def full(set_id: str, who: str, run_id: str | None) -> None:
        raise OSError("no space left on device")

    daemon.offer = full  # type: ignore[method-assign]
    edit(config, model_set=resolve("latest", model_root).name)
    assert await Reload(daemon).run("me") == ("model_set",)
    assert any("could not be queued for a swap" in text for _, text in daemon.alerts.recent)
    assert part.taken == daemon.adopted, "a part hears of keys besides its own section"
