"""The server: REST, WebSockets and the control port of one venue, on aiohttp."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from market.exchange.binance.params import Params
from market.exchange.binance.rest import ROUTES, Access
from market.exchange.binance.signing import Gate
from market.exchange.clock import Clock
from market.exchange.faults.arming import Arsenal
from market.exchange.faults.control import FaultControl
from market.exchange.faults.injector import Injector
from market.exchange.hand import Hand, HandError
from market.exchange.hub import Hub
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue

log = logging.getLogger("market.exchange")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves one venue.

    Parameters
    ----------
    venue : Venue
        The exchange.
    gate : Gate
        Knows the API keys.
    manual : bool
        Whether the market moves on the control port's command alone.
    fault_seed : int
        Of the faults' probabilities; `faults` holds their rules.
    """

    def __init__(self, venue: Venue, gate: Gate, manual: bool, fault_seed: int = 1) -> None:
        self.faults = Arsenal(fault_seed, venue.wall_ms)
        self._injector = Injector(self.faults)
        self.hub = Hub(venue, self._injector)
        self.clock = Clock(venue.replay, self.hub)
        self._hand = Hand(venue)
        self._venue = venue
        self._gate = gate
        self._manual = manual

    def app(self) -> web.Application:
        """The aiohttp application: control port, streams, and the REST surface below ``/fapi``."""
        app = web.Application()
        app.router.add_get("/control/state", self._state)
        app.router.add_post("/control/advance", partial(self._move, self.clock.advance))
        app.router.add_post("/control/walk", partial(self._move, self.clock.walk))
        FaultControl(self._injector).add_to(app)
        app.router.add_post("/control/hand", self._do_by_hand)
        for kind in ("market", "public"):
            app.router.add_get(f"/{kind}/ws", self.hub.market)
            app.router.add_get(f"/{kind}/ws/{{stream}}", self.hub.market)
        app.router.add_get("/private/ws", self.hub.private)
        app.router.add_get("/private/ws/{key}", self.hub.private)
        app.router.add_route("*", "/{path:.*}", self._rest)
        app.on_shutdown.append(self._close)
        return app

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        return await self._injector.serve(request, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return _json(await self._call(request))
        except Refusal as refusal:
            return _json({"code": int(refusal.code), "msg": refusal.message}, refusal.status)

    async def _call(self, request: web.Request) -> Any:
        found = ROUTES.get((request.method, request.path))
        if found is None:
            raise Refusal(Code.UNKNOWN_PATH, f"Path {request.path}, Method {request.method} is invalid")
        access, answer = found
        key = request.headers.get("X-MBX-APIKEY")
        texts = dict(request.query)
        match access:
            case Access.SIGNED:
                body = await request.text()
                texts = self._gate.check(key, request.rel_url.raw_query_string, body, self._venue.wall_ms())
                self._venue.permissions.check(reads=request.method == "GET")
            case Access.KEY:
                self._gate.check_key(key)
        async with self.hub.turn:
            reply = answer(self._venue, Params(texts, self._venue.engine.instruments))
            await self.hub.tell_events()
        if not self._venue.listen_key:
            await self.hub.close_private()
        return reply

    async def _state(self, request: web.Request) -> web.Response:
        return _json(self._venue.state() | self.hub.state())

    async def _move(self, move: Callable[[int], Awaitable[int]], request: web.Request) -> web.Response:
        if not self._manual:
            return _json({"error": "the market runs by itself; start it with --speed manual to move it"}, 409)
        try:
            bars = int((orjson.loads(await request.read() or b"{}")).get("bars", 1))
        except (orjson.JSONDecodeError, ValueError, TypeError, AttributeError):
            return _json({"error": 'send {"bars": a whole number}'}, 400)
        played = await move(bars)
        replay = self._venue.replay
        return _json({"market_time": replay.time, "done": replay.done, "bars": played})

    async def _do_by_hand(self, request: web.Request) -> web.Response:
        try:
            order = orjson.loads(await request.read() or b"{}")
            async with self.hub.turn:
                try:
                    done = self._hand.do(order)
                finally:
                    await self.hub.tell_events()
        except (orjson.JSONDecodeError, HandError) as error:
            return _json({"error": str(error)}, 400)
        except Refusal as refusal:
            return _json({"error": refusal.message, "code": int(refusal.code)}, 409)
        if not self._venue.listen_key:
            await self.hub.close_private()
        return _json(done)

    async def _close(self, app: web.Application) -> None:
        await self._injector.close()
        await self.hub.close()


def _json(payload: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload), status=status, content_type="application/json")
