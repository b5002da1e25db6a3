"""The verbs of swapping, as they come over the control socket: ``swap``, ``rollback`` and ``swaps``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from daemon.control import MISSING, REFUSED, Answer
from daemon.swapping.judging import Refused
from daemon.swapping.naming import after_a_restart
from daemon.swapping.swapper import Swapper
from models.modelset import STORE, ModelSetError, arriving, is_id, resolve


def verbs(swapper: Swapper) -> dict[str, Answer]:
    """What may be asked of a swapper."""

    async def swap(verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        name, reason = str(args.get("set", "")), str(args.get("reason") or "").strip()
        if args.get("force") and not reason:
            return {"error": "force is kept in the audit with its reason: give one"}
        try:
            set_id = await asyncio.to_thread(_meant, name, swapper.config.model_sets)
            made = await swapper.ask(set_id, who, force=reason if args.get("force") else None)
        except ModelSetError as error:
            return {"error": str(error), "code": MISSING}
        except Refused as refusal:
            return {"error": str(refusal), "code": REFUSED}
        return {"taken": verb, **made.as_dict(), "after_a_restart": after_a_restart(swapper.config)}

    async def rollback(verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        try:
            made = await swapper.rollback(who, str(args.get("reason") or ""))
        except Refused as error:
            return {"error": str(error)}
        return {"taken": verb, **made.as_dict(), "after_a_restart": after_a_restart(swapper.config)}

    async def swaps(verb: str, who: str, args: dict[str, Any]) -> dict[str, Any]:
        return {"under_way": swapper.standing(), "swaps": await swapper.newest(int(args.get("count", 20)))}

    return {"swap": swap, "rollback": rollback, "swaps": swaps}


def _meant(name: str, root: Path) -> str:
    """The id of the set called `name`; one that is still arriving is taken, and the swapper says how far it is."""
    if is_id(name) and arriving(name, root / STORE).is_dir():
        return name
    return resolve(name, root).name
