"""A local exchange for tests: the real process on a free port, its control port, and ccxt pointed at it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import selectors
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    import ccxt.pro

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))
"""Every time-out of a test is this many times its default."""


class LocalExchange:
    """``python -m market.exchange`` with the given options, e.g. ``data=path, start_at="2024-01-01", speed=3600``.

    Attributes
    ----------
    url, ws_url : str
        Bases for REST and WebSocket, e.g. ``http://127.0.0.1:40001`` and ``ws://127.0.0.1:40001/ws``.
    port, pid : int
        Of the process.
    ready : dict
        The line it printed when it served.
    """

    def __init__(self, **options: object) -> None:
        command = [sys.executable, "-m", "market.exchange"]
        for name, value in ({"speed": "manual"} | options).items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                command.append(flag)
            elif value is not None and value is not False:
                command += [flag, ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        self.pid = self._process.pid
        self.ready: dict[str, Any] = json.loads(self._first_line())
        self.port: int = self.ready["port"]
        self.url: str = self.ready["url"]
        self.ws_url: str = self.ready["ws_url"]
        self._trusted: ssl.SSLContext | None = None

    def trust(self, authority: Path) -> None:
        """Trust the certificate authority in this PEM file, for an exchange served over TLS."""
        self._trusted = ssl.create_default_context(cafile=authority)

    def advance(self, bars: int = 1) -> dict[str, Any]:
        """Play so many bars (blocking: a coroutine uses `turn`, or its own sockets would stand still)."""
        return self._control("advance", {"bars": bars})

    def walk(self, bars: int = 1) -> dict[str, Any]:
        """Play so many bars, with a kline told of at every price on the way."""
        return self._control("walk", {"bars": bars})

    async def turn(self, bars: int = 1) -> dict[str, Any]:
        """Play so many bars while the event loop runs on."""
        return await asyncio.to_thread(self.advance, bars)

    def state(self) -> dict[str, Any]:
        """The control port's state: clock, wallet, positions, stops."""
        return self._control("state")

    def arm(self, *faults: dict[str, Any]) -> list[int]:
        """Add faults, as a scenario file writes them; gives their ids."""
        return list(self._control("faults", {"faults": faults})["added"])

    def faults(self) -> dict[str, Any]:
        """The faults with their counts, and the log of strikes."""
        return self._control("faults")

    def disarm(self) -> None:
        """Clear every fault; what it kept back comes."""
        self._control("faults", method="DELETE")

    def ask(self, method: str, path: str, **params: object) -> Any:
        """A signed request by hand; raises urllib.error.HTTPError on any status but 200."""
        stamp = {"timestamp": time.time_ns() // 1_000_000, "recvWindow": 60_000}
        query = urlencode(params | stamp)
        signature = hmac.new(b"local", query.encode(), hashlib.sha256).hexdigest()
        request = Request(f"{self.url}{path}?{query}&signature={signature}", method=method)
        request.add_header("X-MBX-APIKEY", "local")
        with urlopen(request, timeout=60 * PATIENCE, context=self._trusted) as reply:
            return json.load(reply)

    def hand(self, action: str, **fields: object) -> dict[str, Any]:
        """Something done to the account behind the trader's back; see `market.exchange.hand`."""
        return self._control("hand", {"action": action, **fields})

    def stop(self) -> int:
        """End the process, by its id; returns its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.wait()

    def wait(self) -> int:
        """The exit code, once the process ends by itself."""
        return self._process.wait(60 * PATIENCE)

    def ccxt(self, **config: Any) -> ccxt.pro.binanceusdm:
        """Unmodified ccxt.pro connected here; the caller closes it."""
        import ccxt.pro  # two seconds and 100 MB, which tests without a client need not pay

        client = ccxt.pro.binanceusdm(connection(self.url, self.ws_url) | config)
        # ccxt picks its table of error codes by the production host, so the futures' own is laid over the common one
        client.exceptions["exact"].update(client.exceptions["linear"]["exact"])
        return client

    def _control(self, verb: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/control/{verb}", data=data, method=method)
        with urlopen(request, timeout=60 * PATIENCE, context=self._trusted) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(60 * PATIENCE) else ""
        if not line:
            raise RuntimeError(f"the local exchange did not start; exit code {self.stop()}, see its standard error")
        return line


def connection(url: str, ws_url: str) -> dict[str, Any]:
    """The ccxt configuration that points `binanceusdm` at a local exchange over plain HTTP."""
    api: dict[str, Any] = {"ws": {"linear": ws_url}, "sapi": f"{url}/sapi/v1"}
    for access in ("Public", "Private"):
        for version, suffix in ((1, ""), (2, "V2"), (3, "V3")):
            api[f"fapi{access}{suffix}"] = f"{url}/fapi/v{version}"
    return {
        "apiKey": "local",
        "secret": "local",
        "rateLimiterAlgorithm": "rollingWindow",
        "has": {"fetchCurrencies": False},
        "urls": {"api": api},
        "options": {"watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False}},
    }
