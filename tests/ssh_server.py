"""A real sshd on loopback: its own keys, configuration and port, run by the test and ended by it."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import asyncssh
import psutil

from daemon.retraining.places import Ssh

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
PLACES = (shutil.which("sshd") or "", "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd")
_SEPARATION = Path("/run/sshd")
"""Where Debian's sshd, run by root, locks up its unprivileged half; its service makes it, and here the test does."""


def why_not() -> str | None:
    """Why no sshd can be run here; None if one can."""
    if _sshd() is None:
        return "no sshd here; on Debian: apt-get install openssh-server"
    if os.getuid() == 0 and not _SEPARATION.is_dir():
        try:
            _SEPARATION.mkdir(mode=0o755, parents=True)
        except OSError as error:
            return f"{_SEPARATION} cannot be made: {error}"
    return None


class SshServer:
    """An sshd that lets its own user in, by one key, to this checkout.

    Attributes
    ----------
    folder : Path
        Keys, configuration and log; `jobs` in it is the folder of jobs "there".
    port : int
        It listens on 127.0.0.1.
    key, known_hosts : Path
        What a client needs: a private key, and the host's public one.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.jobs = folder, folder / "jobs"
        self.port = _free_port()
        self.key, self.known_hosts = folder / "client", folder / "known_hosts"
        self._host, self._authorized = folder / "host", folder / "authorized_keys"
        client = asyncssh.generate_private_key("ssh-ed25519")
        _private(self.key, client)
        self._authorized.write_bytes(client.export_public_key())
        self.pin(self.new_host_key())
        told = {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"} | (environment or {})
        self._config = folder / "sshd_config"
        self._config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self._host}\nAuthorizedKeysFile {self._authorized}\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\nPrintMotd no\n"
            + f"SetEnv {' '.join(f'{name}={value}' for name, value in told.items())}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ssh(self, **changed: object) -> Ssh:
        """The section `retraining.ssh` that reaches it."""
        told = {
            "host": "127.0.0.1", "port": self.port, "user": getpass.getuser(), "key": self.key,
            "known_hosts": self.known_hosts, "checkout": str(ROOT), "python": sys.executable, "jobs": str(self.jobs),
            "supervise": "process", "poll_s": 0.05,
        }  # fmt: skip
        return Ssh.model_validate(told | changed)

    def start(self) -> None:
        """Serve; returns when it answers."""
        sshd = _sshd()
        assert sshd is not None
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen([sshd, "-D", "-e", "-f", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 20 * PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as asked:
                if asked.recv(4) == b"SSH-":
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"sshd does not serve: {(self.folder / 'sshd.log').read_text()[-500:]}")

    def cut(self) -> int:
        """Kill every connection's own sshd, as a box does that loses its network; gives how many. Jobs go on."""
        return _killed(psutil.Process(self.pid))

    def stop(self) -> None:
        """End it with its connections; jobs go on."""
        if self._process is not None and self._process.poll() is None:
            _killed(psutil.Process(self.pid))
            self._process.terminate()
            self._process.wait()

    def new_host_key(self) -> asyncssh.SSHKey:
        """Give the host another key, which it shows from its next start on."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        _private(self._host, key)
        return key

    def pin(self, key: asyncssh.SSHKey) -> None:
        """Write a key of the host into the client's known hosts."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key.export_public_key().decode()}")


def _killed(sshd: psutil.Process) -> int:
    sessions = [child.pid for child in sshd.children(recursive=True) if _serves(child)]
    for pid in sessions:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(sessions)


def _serves(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("sshd") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _private(file: Path, key: asyncssh.SSHKey) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(key.export_private_key())


def _sshd() -> str | None:
    return next((place for place in PLACES if place and os.access(place, os.X_OK)), None)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
