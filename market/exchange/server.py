"""The server: REST, WebSockets and the control port of one venue, on aiohttp."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from market.exchange.clock import Clock
from market.exchange.codec import Asked, Codec, Reply
from market.exchange.faults.arming import Arsenal
from market.exchange.faults.control import FaultControl
from market.exchange.faults.injector import Injector
from market.exchange.hand.actions import Hand
from market.exchange.hand.wants import HandError
from market.exchange.hub import Hub
from market.exchange.pulse import Pulse
from market.exchange.refusals import Code, Refusal
from market.exchange.replay import Replay
from market.exchange.source import Elsewhere
from market.exchange.venue import Venue

log = logging.getLogger("market.exchange")

FETCHES = 5
"""How often an answer may need something that has to be fetched first."""


class Server:
    """Serves one venue.

    Parameters
    ----------
    venue : Venue
        The exchange.
    codec : Codec
        The dialect it speaks.
    manual : bool
        Whether the market moves on the control port's command alone.
    fault_seed : int
        Of the faults' probabilities; `faults` holds their rules.
    """

    def __init__(self, venue: Venue, codec: Codec, manual: bool, fault_seed: int = 1) -> None:
        self.faults = Arsenal(fault_seed, venue.wall_ms)
        self._injector = Injector(self.faults, codec.error)
        self.hub = Hub(venue, codec, self._injector)
        self.clock = Clock(venue.replay, self.hub) if isinstance(venue.replay, Replay) else None
        self._hand = Hand(venue)
        self._pulse = Pulse(venue, self.hub)
        self._venue, self._codec = venue, codec
        self._manual = manual

    def app(self) -> web.Application:
        """The aiohttp application: control port, streams, and everything else the REST surface."""
        app = web.Application()
        app.router.add_get("/control/state", self._state)
        app.router.add_post("/control/advance", partial(self._move, False))
        app.router.add_post("/control/walk", partial(self._move, True))
        FaultControl(self._injector).add_to(app)
        app.router.add_post("/control/hand", self._do_by_hand)
        for path, private in self._codec.sockets:
            app.router.add_get(path, self.hub.private if private else self.hub.market)
        app.router.add_route("*", "/{path:.*}", self._rest)
        app.cleanup_ctx.append(self._beat)
        app.on_shutdown.append(self._close)
        return app

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        return await self._injector.serve(request, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        asked = Asked(request.method, request.path, request.rel_url.raw_query_string, body, request.headers)
        try:
            self._codec.admit(asked)
            reply = await self._carried_out(asked)
        except Refusal as refusal:
            reply = self._codec.refused(refusal)
        await self.hub.close_over()
        return _json(reply.payload, reply.status, {**self._codec.headers(asked), **reply.headers})

    async def _carried_out(self, asked: Asked) -> Reply:
        for _ in range(FETCHES):
            try:
                async with self.hub.turn:
                    reply = self._codec.answer(asked)
                    await self.hub.tell_events()
                return reply
            except Elsewhere as elsewhere:
                await elsewhere.fetch()
        raise Refusal(Code.DISCONNECTED)

    async def _state(self, request: web.Request) -> web.Response:
        return _json(self._venue.state() | self.hub.state())

    async def _move(self, walk: bool, request: web.Request) -> web.Response:
        if not self._manual or self.clock is None:
            return _json({"error": "the market runs by itself; start it with --speed manual to move it"}, 409)
        try:
            bars = int((orjson.loads(await request.read() or b"{}")).get("bars", 1))
        except (orjson.JSONDecodeError, ValueError, TypeError, AttributeError):
            return _json({"error": 'send {"bars": a whole number}'}, 400)
        played = await (self.clock.walk(bars) if walk else self.clock.advance(bars))
        market = self._venue.replay.state()
        return _json({"market_time": market["market_time"], "done": market["done"], "bars": played})

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
        await self.hub.close_over()
        return _json(done)

    async def _beat(self, app: web.Application) -> AsyncIterator[None]:
        beating = asyncio.create_task(self._pulse.run())
        yield
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating

    async def _close(self, app: web.Application) -> None:
        await self._injector.close()
        await self.hub.close()


def _json(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps(payload)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
