"""The control socket and the lock, each with real sockets, files and processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.control import ControlServer, NoAnswer, NotRunning, request, socket_path
from daemon.lock import Lock, LockError
from tests.daemon.conftest import until


async def echo(verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
    if verb == "break":
        raise RuntimeError("broken")
    if verb == "sleep":
        await asyncio.sleep(60)
    return {"verb": verb, "who": who, "args": args}


async def ask(folder: Path, verb: str, timeout_s: float = 10) -> dict[str, Any]:
    return await asyncio.to_thread(request, folder, verb, timeout_s)


async def test_a_request_is_answered(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, echo)
    await server.open()
    assert (await ask(tmp_path, "status"))["verb"] == "status"
    await server.close()


async def test_arguments_go_with_a_verb(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, echo)
    await server.open()
    reply = await asyncio.to_thread(request, tmp_path, "swap", 10, {"set": "an id", "force": True})
    assert reply["args"] == {"set": "an id", "force": True}
    assert (await ask(tmp_path, "status"))["args"] == {}
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(socket_path(tmp_path)))
        line.sendall(b'{"verb": "swap", "args": "an id"}\n')
        line.setblocking(False)
        assert b"args must be an object" in await asyncio.get_running_loop().sock_recv(line, 1000)
    await server.close()


async def test_only_the_owner_may_open_the_socket(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, echo)
    await server.open()
    assert stat.S_IMODE(socket_path(tmp_path).stat().st_mode) == 0o600
    await server.close()


async def test_an_error_or_nonsense_does_not_end_the_server(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, echo)
    await server.open()
    assert "broken" in (await ask(tmp_path, "break"))["error"]
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(socket_path(tmp_path)))
        line.sendall(b"nonsense\n")
        line.setblocking(False)
        assert b"error" in await asyncio.get_running_loop().sock_recv(line, 1000)
    assert (await ask(tmp_path, "status"))["verb"] == "status"
    await server.close()


async def test_a_client_that_reads_nothing_is_cut_off_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.control.PATIENCE_S", 0.3)
    server = ControlServer(tmp_path, echo)
    await server.open()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(socket_path(tmp_path)))
        line.setblocking(False)
        question = json.dumps({"verb": "x" * 30_000}).encode() + b"\n"
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(_ask_for_ever(loop, line, question))
        assert (await ask(tmp_path, "status"))["verb"] == "status"
        await until(lambda: server.cut_off == 1, "the slow client cut off")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await server.close()


async def _ask_for_ever(loop: asyncio.AbstractEventLoop, line: socket.socket, question: bytes) -> None:
    while True:
        await loop.sock_sendall(line, question)


async def test_too_many_clients_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.control.CLIENTS", 2)
    server = ControlServer(tmp_path, echo)
    await server.open()
    lines = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for line in lines:
        line.connect(str(socket_path(tmp_path)))
    await until(lambda: server.cut_off == 1, "the third refused")
    for line in lines:
        line.close()
    await server.close()


async def test_no_daemon_is_told_apart_from_a_silent_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no daemon is running"):
        request(tmp_path, "status")
    server = ControlServer(tmp_path, echo)
    await server.open()
    with pytest.raises(NoAnswer):
        await ask(tmp_path, "sleep", 0.3)
    await server.close()


async def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(tmp_path)))
    server = ControlServer(tmp_path, echo)
    await server.open()
    assert await ask(tmp_path, "status")
    await server.close()


async def test_a_path_too_long_for_a_unix_socket_still_works(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    server = ControlServer(folder, echo)
    await server.open()
    assert await ask(folder, "status")
    await server.close()
    assert not socket_path(folder).exists()


def test_34_a_second_holder_is_refused_with_the_firsts_process_id(tmp_path: Path) -> None:
    with Lock(tmp_path), pytest.raises(LockError, match=f"process {os.getpid()}"), Lock(tmp_path):
        pass
    with Lock(tmp_path):  # and it is free again
        pass


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from daemon.lock import Lock; lock = Lock(Path(sys.argv[1]))"
    code += "; lock.take(); print('held', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(LockError):
        Lock(tmp_path).take()
    child.kill()
    child.wait()
    child.stdout.close()
    with Lock(tmp_path):
        pass
