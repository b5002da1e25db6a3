"""The examination: every part is looked at at the same time, each within its time, and told in one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from configs import ConfigError
from daemon.config import load_config
from daemon.doctor import account, host, model_set, retraining
from daemon.selftest import Finding
from strategy.live_config import load_rules
from strategy.phases import tighten

PATIENCE_S = 60.0
"""For each part; who waits for a network gives up earlier by deadlines of their own."""

Work = Coroutine[Any, Any, list[Finding]]


async def examine(path: Path) -> AsyncIterator[Finding]:
    """Look at everything that the configuration at `path` needs; stops early if that cannot be read."""
    try:
        config = load_config(path)
        rules, tightened = tighten(load_rules(config.rules), config.phase_in_force)
    except ConfigError as error:
        yield Finding("configuration", False, str(error), "mend the lines that it names")
        return
    yield Finding("configuration", True, f"{config.mode}, {', '.join(config.symbols)}, rules {rules.name}")
    if config.phase_in_force:
        yield Finding("phase", True, f"{config.phase_in_force} tightens: {'; '.join(tightened) or 'nothing'}")
    loading = asyncio.create_task(asyncio.to_thread(model_set.load, config))
    parts: dict[str, Work] = {
        "model set": model_set.examine(config, loading),
        "state directory": asyncio.to_thread(host.state, config),
        "alerts": asyncio.to_thread(host.alerts, config),
        "exchange": account.examine(config, rules, loading),
        "training place": retraining.examine(config),
        "units": host.units(config),
    }
    looking = [asyncio.create_task(_in_time(name, work)) for name, work in parts.items()]
    for part in looking:
        for finding in await part:
            yield finding


async def _in_time(name: str, work: Work) -> list[Finding]:
    """What a part finds; that it hangs, or fails in a way nobody thought of, is a finding too."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await work
    except TimeoutError:
        return [Finding(name, False, f"no answer within {PATIENCE_S:g} s", "look at what it waits for, and ask again")]
    except Exception as error:  # the others are to be told all the same
        return [Finding(name, False, f"could not be looked at: {error!r}", "this is a fault of the program: report it")]
