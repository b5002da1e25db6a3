"""A machine with systemd as its PID 1, in namespaces of its own, with Regimen installed in it by `make install`.

Nothing of the host is written to and nothing is fetched: the root is the host's /usr, read-only, and memory. For the
tests of the units, and for whoever wants to prove something under the real service.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.local_exchange import PATIENCE, ROOT

SPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net")
SYSTEMD = Path("/lib/systemd/systemd")
PYTHON = "/opt/regimen/venv/bin/python"
REGIMEN = "/opt/regimen/bin/regimen"
PORT = 18080
"""Where regimen-exchange.service listens."""
BOOT_S = 30.0
_NETWORK = 0x40000000
"""CLONE_NEWNET of sched.h."""


class CannotBoot(Exception):
    """No machine can be booted here; the message says what is missing."""


class Failed(Exception):
    """A command in the machine ended with another code than 0; the message is what it wrote."""


class Machine:
    """One booted machine.

    Parameters
    ----------
    folder : Path
        An empty folder of the host, where the root is mounted and the console is written.

    Raises
    ------
    CannotBoot
        If this host cannot: no systemd, not root, namespaces or mounts forbidden.
    """

    def __init__(self, folder: Path) -> None:
        if told := obstacle():
            raise CannotBoot(told)
        root = folder / "root"
        root.mkdir()
        self._console = folder / "console"
        around = os.environ | {
            "SOURCE": str(ROOT), "PREFIX": sys.base_prefix, "SITE": sysconfig.get_path("purelib"),
        }  # fmt: skip
        script = str(Path(__file__).with_name("boot.sh"))
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", *SPACES, "--fork", "--kill-child", "bash", script, str(root)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=around,
            )  # fmt: skip
        try:
            self._pid = self._booted()
        except BaseException:
            self.close()
            raise

    def run(self, *command: str, given: str | None = None, seconds: float = 60) -> str:
        """Run a command as root in the machine; gives what it wrote to standard output, or raises Failed."""
        code, out, err = self.tried(*command, given=given, seconds=seconds)
        if code:
            raise Failed(f"{' '.join(command)}: exit code {code}: {err or out}")
        return out

    def tried(self, *command: str, given: str | None = None, seconds: float = 60) -> tuple[int, str, str]:
        """As `run`, giving exit code, standard output and standard error, whatever they are."""
        enter = ["nsenter", f"--target={self._pid}", *SPACES, "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        done = subprocess.run(
            [*enter, *command], input=given, capture_output=True, text=True, timeout=seconds * PATIENCE, check=False
        )
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def network(self) -> Iterator[None]:
        """Have this thread's new sockets be the machine's: its 127.0.0.1 is meant then."""
        with Path("/proc/thread-self/ns/net").open() as mine, Path(f"/proc/{self._pid}/ns/net").open() as its:
            _enter(its)
            try:
                yield
            finally:
                _enter(mine)

    def install(self) -> str:
        """Install Regimen from the checkout, as an operator does; gives what that says."""
        return self.run("make", "-s", "-C", "/opt/source", "install", f"INTERPRETER={PYTHON}")

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file in the machine."""
        quoted = f'mkdir -p "$(dirname {path})" && cat >{path} && chmod {mode:o} {path} && chown {owner}: {path}'
        self.run("sh", "-c", quoted, given=text)

    def read(self, path: str) -> str:
        """What a file in the machine holds."""
        return self.run("cat", path)

    def drop_in(self, unit: str, text: str, name: str = "test") -> None:
        """Lay something over a unit, as `systemctl edit` does."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.run("systemctl", "daemon-reload")

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` tells it."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def journal(self, unit: str) -> str:
        """Everything that a unit wrote, and that systemd wrote about it."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def exchange(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The control port of regimen-exchange.service: ``state``, ``advance``, …"""
        code = (
            "import sys, urllib.request as u; d = sys.stdin.buffer.read() or None; "
            f"print(u.urlopen(u.Request('http://127.0.0.1:{PORT}/control/{verb}', data=d), timeout=60).read().decode())"
        )
        given = None if body is None else json.dumps(body)
        answer: dict[str, Any] = json.loads(self.run(PYTHON, "-S", "-c", code, given=given or ""))
        return answer

    def status(self) -> dict[str, Any]:
        """What the daemon answers on its control socket; quicker than starting a command for it."""
        code = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/var/lib/regimen/control.sock'); "
            """s.sendall(b'{"verb": "status", "who": "test"}\\n'); print(s.makefile().readline())"""
        )
        answer: dict[str, Any] = json.loads(self.run(PYTHON, "-S", "-c", code))
        return answer

    def regimen(self, verb: str, *options: str) -> Any:
        """A command of the daemon, as an operator gives it, in JSON."""
        config = ("--config", "/etc/regimen/daemon.yaml")
        return json.loads(self.run(REGIMEN, verb, *config, "--json", *options))

    def until(self, true: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait until something holds; raises AssertionError, with the daemon's journal, if it does not."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not true():
            if time.monotonic() > deadline:
                last = self.journal("regimen.service")[-4000:]
                raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what}\n{last}")
            time.sleep(0.1)

    def close(self) -> None:
        """Switch it off: PID 1 is killed, and with it everything in its namespaces."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _booted(self) -> int:
        """The process id that PID 1 has out here, once it has started everything."""
        deadline = time.monotonic() + BOOT_S * PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
                self._pid = int(children[0])
                _, out, _ = self.tried("systemctl", "is-system-running")
                if out.strip() in ("running", "degraded"):
                    self.run("systemctl", "log-target", "journal")
                    return self._pid
            time.sleep(0.05)
        last = self._console.read_text(errors="replace").strip().splitlines()[-3:]
        raise CannotBoot(f"systemd does not come up in namespaces here: {' / '.join(last) or 'it said nothing'}")


def _enter(network: IO[str]) -> None:
    """Be in a network; os.setns comes with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network.fileno(), _NETWORK):
        raise OSError(ctypes.get_errno(), f"{network.name}: {os.strerror(ctypes.get_errno())}")


def obstacle() -> str | None:
    """Why no machine can be booted on this host; None if nothing is known against it."""
    if sys.platform != "linux" or not SYSTEMD.exists():
        return f"there is no {SYSTEMD} to boot"
    if os.geteuid():
        return "booting a systemd takes root"
    if lacks := [tool for tool in ("unshare", "nsenter", "journalctl", "ip", "make") if shutil.which(tool) is None]:
        return f"booting a systemd takes {', '.join(lacks)}"
    tried = subprocess.run(["unshare", *SPACES, "--fork", "true"], capture_output=True, text=True, check=False)
    return f"namespaces are forbidden here: {tried.stderr.strip()}" if tried.returncode else None
