"""What the real daemon tells a service manager, heard on a real datagram socket in systemd's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.notify import Manager
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

Exchange = Callable[..., LocalExchange]
Configure = Callable[..., Path]


class Listener:
    """The manager's end: a socket, and every word that came to it, with when (monotonic, s)."""

    def __init__(self, path: Path, abstract: bool = False) -> None:
        self.address = f"@{path}" if abstract else str(path)
        self.words: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{path}" if abstract else str(path))

    def listen(self, true: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Hear words until something holds."""
        deadline = time.monotonic() + seconds * PATIENCE
        self._socket.settimeout(0.05)
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds * PATIENCE:.0f} s: {what}; heard {self.words}"
            self.hear()

    def hear(self) -> None:
        """Take in what has come."""
        try:
            while True:
                text = self._socket.recv(4096).decode()
                self.words.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))
                self._socket.settimeout(0.01)
        except TimeoutError:
            return

    def told(self, name: str) -> list[str]:
        """Every value of a word, in order."""
        return [word[name] for _, word in self.words if name in word]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "notify")
    yield made
    made.close()


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(listener: Listener, tmp_path: Path) -> Iterator[Start]:
    """Starts daemons that a manager waits for; its watchdog's time in seconds."""
    started: list[subprocess.Popen[bytes]] = []

    def run(config: Path, watchdog_s: float = 3.0) -> subprocess.Popen[bytes]:
        around = os.environ | {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        log = (tmp_path / "log").open("ab")
        command = [sys.executable, "-m", "daemon", "run", "--config", str(config), "--json"]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, cwd=ROOT, env=around, stdin=quiet, stdout=quiet, stderr=log))
        log.close()
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_it_is_ready_once_it_trades_feeds_the_watchdog_reloads_and_takes_its_time_to_stop(
    exchange: Exchange, configure: Configure, start: Start, listener: Listener, tmp_path: Path
) -> None:
    place = exchange(warmup=150, bars=100)
    config = configure(place.url)
    process = start(config)
    listener.listen(lambda: listener.told("READY"), "the daemon ready")
    before_ready = [word for _, word in listener.words[: [("READY" in w) for _, w in listener.words].index(True)]]
    assert any("EXTEND_TIMEOUT_USEC" in word for word in before_ready)
    assert not any("WATCHDOG" in word for word in before_ready)
    listener.listen(lambda: len(listener.told("WATCHDOG")) >= 4, "the watchdog fed")
    fed = [at for at, word in listener.words if "WATCHDOG" in word]
    assert max(b - a for a, b in pairwise(fed)) < 3.0

    place.advance()
    listener.listen(lambda: any("· settled 2" in line for line in listener.told("STATUS")), "a candle in the status")

    (tmp_path / "rules.yaml").write_text((tmp_path / "rules.yaml").read_text().replace("TEST", "OTHER"))
    process.send_signal(signal.SIGHUP)
    listener.listen(lambda: len(listener.told("READY")) == 2, "ready after the reload")
    words = [set(word) for _, word in listener.words if {"READY", "RELOADING"} & set(word)]
    assert words == [{"READY"}, {"RELOADING", "MONOTONIC_USEC"}, {"READY"}]
    (stamp,) = listener.told("MONOTONIC_USEC")
    assert 0 <= time.monotonic() - int(stamp) / 1e6 < 60 * PATIENCE

    process.send_signal(signal.SIGTERM)
    assert process.wait(60 * PATIENCE) == 0
    listener.hear()
    assert listener.told("STOPPING") == ["1"]
    after_stop = [word for _, word in listener.words[[("STOPPING" in w) for _, w in listener.words].index(True) :]]
    assert any("EXTEND_TIMEOUT_USEC" in word for word in after_stop)


def test_an_exchange_that_is_away_is_waited_for_and_no_start_that_hangs(
    configure: Configure, start: Start, listener: Listener
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        free = nobody.getsockname()[1]
    process = start(configure(f"http://127.0.0.1:{free}"))
    listener.listen(lambda: listener.told("EXTEND_TIMEOUT_USEC"), "time asked for")
    assert not listener.told("READY")
    assert process.poll() is None


def test_a_market_that_falls_silent_starves_no_watchdog(
    exchange: Exchange, configure: Configure, start: Start, listener: Listener
) -> None:
    """The loop turns; the stream has a deadline of its own, which passes meanwhile."""
    place = exchange(warmup=150, bars=100)
    start(configure(place.url, deadlines={"data_s": 0.5, "first_data_s": 0.5}))
    listener.listen(lambda: listener.told("READY"), "the daemon ready")
    place.stop()
    fed = len(listener.told("WATCHDOG"))
    listener.listen(lambda: len(listener.told("WATCHDOG")) >= fed + 4, "the watchdog fed without an exchange")


def test_a_process_that_stands_still_says_nothing(
    exchange: Exchange, configure: Configure, start: Start, listener: Listener
) -> None:
    process = start(configure(exchange(warmup=150, bars=100).url), watchdog_s=0.9)
    listener.listen(lambda: listener.told("WATCHDOG"), "the watchdog fed")
    process.send_signal(signal.SIGSTOP)
    listener.hear()
    fed = len(listener.told("WATCHDOG"))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        listener.hear()
        time.sleep(0.05)
    assert len(listener.told("WATCHDOG")) == fed
    process.send_signal(signal.SIGCONT)
    listener.listen(lambda: len(listener.told("WATCHDOG")) > fed, "fed again once it goes on")


def test_without_a_manager_every_word_goes_nowhere() -> None:
    manager = Manager({})
    assert not manager.present
    assert not manager.ready()
    assert manager.watchdog_s is None


def test_what_the_manager_hands_over_is_not_handed_on_to_children(listener: Listener) -> None:
    around = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}
    manager = Manager(around)
    assert around == {}
    assert manager.watchdog_s == 5.0
    manager.close()


def test_a_watchdog_that_waits_for_another_process_is_not_fed_by_this_one(listener: Listener) -> None:
    manager = Manager({"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"})
    assert manager.watchdog_s is None
    manager.close()


def test_an_abstract_socket_is_reached_as_well(tmp_path: Path) -> None:
    far = Listener(tmp_path / "abstract", abstract=True)
    manager = Manager({"NOTIFY_SOCKET": far.address})
    assert manager.status("two\nlines")
    far.hear()
    assert far.told("STATUS") == ["two lines"]
    manager.close()
    far.close()


def test_a_manager_that_does_not_read_holds_up_nobody(listener: Listener) -> None:
    manager = Manager({"NOTIFY_SOCKET": listener.address})
    while manager.alive():  # until the socket's queue is full
        pass
    assert manager.unheard == 1
    manager.close()
