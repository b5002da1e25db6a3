"""Control: a running daemon answers on a unix socket in its state directory, one JSON object a line each way.

Who may open the socket may command the daemon: it is the owner's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger("daemon.control")

FILE = "control.sock"
CLIENTS = 16
"""The most that may be connected at once."""
PATIENCE_S = 10.0
"""How long a client may take to read its reply, or to ask, before it is cut off; it is the operator's own process."""
FAILURE, REFUSED, MISSING = 1, 6, 7
"""What a reply with an `error` may carry as its `code`: the exit code of who asked. Without one it is a failure."""
UNKNOWN = "unknown verb"
"""How the error begins that says so."""
LONGEST_PATH = 100
"""A unix socket's path is limited to 107 bytes by the kernel."""
Answer = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes the verb, who asks and the arguments; gives the reply."""


class NotRunning(Exception):
    """No daemon answers in the state directory."""


class NoAnswer(Exception):
    """The daemon took the connection and did not answer in time."""


def socket_path(folder: Path) -> Path:
    """Where the socket of a state directory is; a path too long for the kernel is replaced by a short link to it."""
    direct = folder / FILE
    if len(os.fsencode(direct)) <= LONGEST_PATH:
        return direct
    inode = folder.stat().st_ino
    return Path(tempfile.gettempdir()) / f"regimen-{os.getuid()}-{inode}.sock"


class ControlServer:
    """Answers requests; `answer` decides what they mean."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._path = socket_path(folder)
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients = 0
        self.cut_off = 0
        """Clients that were too many or too slow."""

    async def open(self) -> None:
        """Listen; a socket left behind by a killed daemon is replaced (the lock says that it is dead)."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > CLIENTS:
                self.cut_off += 1
                return
            while line := await asyncio.wait_for(reader.readline(), PATIENCE_S):
                writer.write(orjson.dumps(await self._reply(line)) + b"\n")
                await asyncio.wait_for(writer.drain(), PATIENCE_S)
        except TimeoutError:
            self.cut_off += 1
            writer.transport.abort()
        except (ConnectionError, ValueError):  # a line beyond the limit is a ValueError
            pass
        finally:
            self._clients -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            verb, who, args = str(request["verb"]), str(request.get("who", "unknown")), request.get("args", {})
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return {"error": 'send {"verb": ..., "who": ..., "args": {...}} on one line'}
        if not isinstance(args, dict):
            return {"error": f"args must be an object, not {args!r}"}
        try:
            return await self._answer(verb, who, args)
        except Exception as error:  # a request must not end the daemon
            log.exception("control request %s failed", verb)
            return {"error": f"{type(error).__name__}: {error}"}


def request(folder: Path, verb: str, timeout_s: float = 10.0, args: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the daemon of a state directory; what a verb needs to know goes with it as `args`.

    Raises
    ------
    NotRunning
        If none listens there.
    NoAnswer
        If it does not answer in time.
    """
    nobody = f"no daemon is running in {folder}; start one with `python -m daemon run`"
    try:
        path = socket_path(folder)
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout_s)
            line.connect(str(path))
            line.sendall(orjson.dumps({"verb": verb, "who": getpass.getuser(), "args": args or {}}) + b"\n")
            with line.makefile("rb") as replies:
                reply = replies.readline()
    except TimeoutError as error:
        raise NoAnswer(f"the daemon in {folder} did not answer within {timeout_s:g} s") from error
    except OSError as error:
        raise NotRunning(nobody) from error
    if not reply:
        raise NotRunning(nobody)
    answer: dict[str, Any] = json.loads(reply)
    return answer
