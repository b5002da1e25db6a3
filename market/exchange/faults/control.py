"""The port of the faults: ``GET``, ``POST`` and ``DELETE /control/faults``."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from market.exchange.faults.injector import Injector
from market.exchange.faults.scenario import Scenario

PATH = "/control/faults"


class FaultControl:
    """Lists, adds and clears the rules of an injector."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def add_to(self, app: web.Application) -> None:
        """Put the port on an application."""
        app.router.add_get(PATH, self._list)
        app.router.add_post(PATH, self._add)
        app.router.add_delete(PATH, self._clear)

    async def _list(self, request: web.Request) -> web.Response:
        return _json(self._injector.arsenal.state())

    async def _add(self, request: web.Request) -> web.Response:
        """A scenario, ``{"faults": [...]}``, as a file holds it; all of it or nothing."""
        try:
            scenario = Scenario.model_validate_json(await request.read(), strict=True)
        except ValidationError as error:
            told = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
            return _json({"error": "; ".join(told)}, 400)
        return _json({"added": self._injector.arsenal.arm(scenario.faults)})

    async def _clear(self, request: web.Request) -> web.Response:
        """All rules, or the one named by ``?id=``."""
        text = request.query.get("id")
        if text is not None and not text.isdecimal():
            return _json({"error": "id is the number that GET and POST tell"}, 400)
        gone = await self._injector.clear(None if text is None else int(text))
        if text is not None and not gone:
            return _json({"error": f"no fault has the id {text}"}, 404)
        return _json({"cleared": gone})


def _json(payload: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload), status=status, content_type="application/json")
