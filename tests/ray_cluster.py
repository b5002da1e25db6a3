"""A real Ray cluster on this machine: a head with its dashboard and a worker, which ask for the tests' token."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 240.0
_PARTS = ("ray", "aiohttp_cors", "colorful", "grpc", "opencensus", "opentelemetry", "smart_open")
MISSING = [part for part in _PARTS if importlib.util.find_spec(part) is None]
WHY_NOT = f"Ray with its dashboard is not installed ({', '.join(MISSING)}; extra: cluster)"
"""Reason to skip, where `MISSING` is not empty."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as opened:
        found = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in found]


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"after {seconds} s: {what}"
        time.sleep(0.1)


class RayCluster:
    """A head and a worker of one core each; `end` ends them with all they started.

    Attributes
    ----------
    url : str
        Of the dashboard, as a daemon's `retraining.ray.address`.
    token : str
        What it asks for: `RAY_AUTH_TOKEN` of the tests' process.
    folder : Path
        What is kept between fits; Ray's own files.
    """

    def __init__(self, cores: int = 1) -> None:
        self.token = os.environ["RAY_AUTH_TOKEN"]
        # Ray's sockets lie below it, and the path of a socket is short.
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._cores = cores
        self._port, dashboard, agent, self._agent = free_ports(4)
        self.url = f"http://127.0.0.1:{dashboard}"
        self.worker: subprocess.Popen[bytes] | None = None
        self.head = self._start(
            "--head", f"--port={self._port}", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}", f"--temp-dir={self.folder}/ray",
        )  # fmt: skip
        try:
            self.add_worker()
            until(lambda: self._says("/api/jobs/") == 200 and self._machines() == 2, "no head with a worker")
        except BaseException:
            self.end()
            raise

    def add_worker(self) -> None:
        """Let a worker join."""
        until(lambda: self._answers(self._port) or self.head.poll() is not None, "no Ray head")
        assert self.head.poll() is None, (self.folder / "log").read_text()
        self.worker = self._start(
            f"--address=127.0.0.1:{self._port}", f"--dashboard-agent-listen-port={free_ports(1)[0]}"
        )

    def kill_worker(self) -> None:
        """Kill the second machine, with all that runs on it."""
        assert self.worker is not None
        _kill(self.worker)
        self.worker = None

    def end(self) -> None:
        """End both, by their processes' ids."""
        for node in (self.worker, self.head):
            if node is not None:
                _kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        small = (
            f"--num-cpus={self._cores}", "--object-store-memory=100000000", "--disable-usage-stats",
            "--node-ip-address=127.0.0.1",
        )  # fmt: skip
        quiet = {"REGIMEN_CACHE": str(self.folder / "cache"), "RAY_USAGE_STATS_ENABLED": "0"}
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | quiet
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options, *small],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment,
            )  # fmt: skip

    def _says(self, path: str) -> int:
        return self._get(path)[0]

    def _machines(self) -> int:
        return self._get("/api/v0/nodes")[1].count('"ALIVE"')

    def _get(self, path: str) -> tuple[int, str]:
        asked = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    @staticmethod
    def _answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


def _kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node and all below it: in the order it would take for itself it takes seconds to end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(node.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    node.kill()
    node.wait()


@contextlib.contextmanager
def cluster() -> Iterator[RayCluster]:
    """One for as long as it is needed."""
    started = RayCluster()
    try:
        yield started
    finally:
        started.end()
