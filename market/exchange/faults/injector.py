"""The injector: every request, frame, handshake and ping passes here, and goes its way unless a rule strikes.

The server and its sockets call it once each (`serve`, `admit`, `send`, `pong`); it knows HTTP and WebSockets, and
nothing of what is said on them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from market.exchange.faults.arming import Armed, Arsenal, Message
from market.exchange.faults.paths import edited
from market.exchange.faults.scenario import (
    Answer,
    Cut,
    Delay,
    Drop,
    Edit,
    Freeze,
    Garble,
    Hold,
    Insert,
    Mute,
    On,
    Signal,
    Twice,
)

GIVEN_UP_S = 0.05
"""How often a swallowed request looks whether its client has gone."""
MUTE, DEAF = "faults.mute", "faults.deaf"
"""Marks on the handshake's request: the connection brings nothing; its pings are not answered."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Put = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Held:
    """A frame kept back until `left` later ones of its stream have gone the same way."""

    request: web.Request
    put: Put
    stream: str
    text: str
    left: int


class Injector:
    """Strikes messages of one exchange by the rules of an `Arsenal`; `error` puts a code and words in its dialect."""

    def __init__(self, arsenal: Arsenal, error: Callable[[int | None, str], Any]) -> None:
        self.arsenal, self._error = arsenal, error
        self._flows = asyncio.Event()
        self._flows.set()
        self._held: list[Held] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request, handle: Handle) -> web.StreamResponse:
        """Have a request carried out by `handle` and answer it, unless a rule says otherwise."""
        if not self.arsenal.rules and self._flows.is_set():
            return await handle(request)
        await self._flows.wait()
        asked: dict[str, Any] = {"method": request.method, "path": request.path, "params": await _params(request)}
        struck = await self._strike(Message(On.REQUEST, **asked))
        match struck.rule.do if struck else None:
            case Drop():
                return await _swallowed(request)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Answer() as answer:
                return self._answered(answer, struck)
            case Cut():
                return _cut(request)
            case Twice():
                await handle(request)
        reply = await handle(request)
        return await self._reply(request, reply, asked)

    async def _reply(
        self, request: web.Request, reply: web.StreamResponse, asked: Mapping[str, Any]
    ) -> web.StreamResponse:
        if not isinstance(reply, web.Response) or not isinstance(reply.body, bytes):
            return reply
        body = _read(reply.body)
        struck = await self._strike(Message(On.REPLY, **asked, status=reply.status, body=body))
        match struck.rule.do if struck else None:
            case Drop():
                return await _swallowed(request)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Answer() as answer:
                return self._answered(answer, struck)
            case Cut():
                return _cut(request)
            case Edit() as edit:
                return _json(orjson.dumps(edited(body, edit.set, edit.remove)), reply.status)
            case Garble() as garble:
                return _json(_garbled(garble, reply.body.decode()).encode(), reply.status)
        return reply

    async def admit(self, request: web.Request) -> None:
        """Let a WebSocket handshake pass.

        Raises
        ------
        aiohttp.web.HTTPException
            If it is refused.
        """
        await self._flows.wait()
        struck = await self._strike(Message(On.CONNECTION, "GET", request.path, dict(request.query)))
        match struck.rule.do if struck else None:
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Mute() as mute:
                _mute(request, mute)
            case Cut():
                _cut(request)
                raise web.HTTPServiceUnavailable
            case Answer() as answer:
                raise _Refused(self._answered(answer, struck))

    async def pong(self, request: web.Request, socket: web.WebSocketResponse, data: bytes) -> None:
        """Answer a client's ping."""
        await self._flows.wait()
        struck = await self._strike(Message(On.PING, path=request.path))
        match struck.rule.do if struck else None:
            case Drop():
                return
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Cut():
                _cut(request)
                return
        if not request.get(DEAF):
            await socket.pong(data)

    async def send(self, request: web.Request, put: Put, stream: str, payload: Any) -> None:
        """Send a frame to one client: `request` is its handshake, `put` writes a text to its socket."""
        text = orjson.dumps(payload).decode()
        if not self.arsenal.rules and self._flows.is_set() and not self._held:
            if not request.get(MUTE):
                await put(text)
            return
        await self._flows.wait()
        if request.get(MUTE):
            return
        for out in await self._struck(request, put, stream, payload, text):
            await put(out)
        await self._release(request, stream)

    async def _struck(self, request: web.Request, put: Put, stream: str, payload: Any, text: str) -> list[str]:
        """What goes out now in place of a frame."""
        struck = await self._strike(Message(On.FRAME, path=request.path, stream=stream, body=payload))
        match struck.rule.do if struck else None:
            case Drop():
                return []
            case Delay(seconds=seconds):
                self._spawn(_later(seconds, put, text))
                return []
            case Twice() as twice:
                return [text, orjson.dumps(edited(payload, twice.set)).decode()]
            case Edit() as edit:
                return [orjson.dumps(edited(payload, edit.set, edit.remove)).decode()]
            case Garble() as garble:
                return [_garbled(garble, text)]
            case Insert() as insert:
                return [text, *(orjson.dumps(frame).decode() for frame in insert.frames)]
            case Hold() as hold:
                held = Held(request, put, stream, text, hold.frames + 1)  # its own passing counts as one
                self._held.append(held)
                self._spawn(self._expire(held, hold.seconds))
                return []
            case Mute() as mute:
                _mute(request, mute)
                return []
            case Cut(when=when):
                if when == "after":
                    await put(text)
                _cut(request, gently=when == "after")
                return []
        return [text]

    async def _release(self, request: web.Request, stream: str) -> None:
        """Let go what was kept back for long enough behind this client's stream."""
        for held in [h for h in self._held if h.request is request and h.stream == stream]:
            held.left -= 1
            if held.left <= 0:
                self._held.remove(held)
                await held.put(held.text)

    async def _expire(self, held: Held, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if held in self._held:
            self._held.remove(held)
            await held.put(held.text)

    async def clear(self, id_: int | None = None) -> int:
        """Disarm one rule or all, and let go whatever was kept back; a muted connection stays mute."""
        gone = self.arsenal.disarm(id_)
        self._flows.set()
        held, self._held = self._held, []
        for each in held:
            await each.put(each.text)
        return gone

    async def close(self) -> None:
        """Give up what is still to be sent late."""
        self._flows.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answered(self, answer: Answer, armed: Armed | None) -> web.Response:
        if answer.body is not None:
            kind = "text/html" if answer.body.lstrip().startswith("<") else "application/json"
            return web.Response(text=answer.body, status=answer.status, headers=answer.headers, content_type=kind)
        until = (armed.until_ms if armed else None) or 0
        told = self._error(answer.code, answer.message.replace("{until}", str(until)))
        return _json(orjson.dumps(told), answer.status, answer.headers)

    async def _strike(self, message: Message) -> Armed | None:
        """The rule that strikes; what it does to the whole exchange, or to a process, is done here."""
        struck = self.arsenal.strike(message)
        match struck.rule.do if struck else None:
            case Freeze(seconds=seconds):
                self._flows.clear()
                self._spawn(self._thaw(seconds))
                await self._flows.wait()
            case Signal(pid=pid, number=number):
                try:
                    os.kill(pid, number)
                except OSError as error:
                    self.arsenal.log[-1]["error"] = f"process {pid}: {error.strerror}"
        return struck

    async def _thaw(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._flows.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Refused(web.HTTPException):
    """A handshake that is answered like any request."""

    def __init__(self, answer: web.Response) -> None:
        self.status_code = answer.status
        super().__init__(headers=answer.headers, body=answer.body)


async def _later(seconds: float, put: Put, text: str) -> None:
    await asyncio.sleep(seconds)
    await put(text)


async def _params(request: web.Request) -> dict[str, Any]:
    """Parameters of the query and of the body, a form or JSON."""
    params: dict[str, Any] = dict(request.query)
    if request.can_read_body:
        body = await request.text()
        told = _read(body.encode())
        params |= told if isinstance(told, dict) else dict(parse_qsl(body, keep_blank_values=True))
    return params


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


async def _swallowed(request: web.Request) -> web.Response:
    """Answer nothing until the client has given up."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 (aiohttp tells nobody)
        await asyncio.sleep(GIVEN_UP_S)
    return web.Response()


def _json(body: bytes, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _garbled(garble: Garble, text: str) -> str:
    return garble.text if garble.text is not None else text[: int(len(text) * garble.keep)]


def _mute(request: web.Request, mute: Mute) -> None:
    request[MUTE], request[DEAF] = True, not mute.pongs


def _cut(request: web.Request, gently: bool = False) -> web.Response:
    """Cut the connection; gently, what was written goes out first."""
    if request.transport is not None:
        if gently:
            request.transport.close()
        else:
            request.transport.abort()
    return web.Response()
