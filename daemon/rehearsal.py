"""The rehearsal: the local exchange as a child process and a daemon on it, with a state directory of its own.

What `make run` and `make paper` start. Nothing in the daemon knows that it is one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.config import DaemonConfig
from market import history
from market.timeframes import Timeframe
from models.jobs.environment import listed

ACCOUNT = "account.sqlite"
START_S = 60.0
END_S = 10.0


class RehearsalError(Exception):
    """The local exchange did not start; the message holds what it said."""


def exchange_options(
    data: list[Path],
    symbols: list[str],
    funding: list[Path],
    decision: Timeframe,
    lookback: int,
    finest: Timeframe | None = None,
) -> list[str]:
    """The local exchange's options for a rehearsal: enough warm-up for the features, or half of what there is.

    `lookback` counts in decision candles; `finest` is the finest timeframe subscribed to, by default the decision's.

    Raises
    ------
    market.history.HistoryError
        If a history cannot be read.
    TimeframeError
        If its candles cannot be made into those subscribed to.
    """
    options = ["--symbols", ",".join(symbols), "--port", "0"]
    finest = finest or decision
    if not data:
        return [*options, "--timeframe", str(finest), "--warmup", str(lookback * decision.ratio(finest))]
    histories = [history.read(path) for path in data]
    for candles in histories:
        finest.ratio(candles.timeframe)
    shortest = min(histories, key=len)
    warmup = min(lookback * decision.ratio(shortest.timeframe), len(shortest) // 2)
    options += ["--data", ",".join(map(str, data)), "--warmup", str(warmup)]
    return [*options, "--funding", ",".join(map(str, funding))] if funding else options


def mirror_options(config: DaemonConfig, where: str) -> list[str]:
    """The local exchange's options for paper trading: a mirror of the exchange at `where`, its account kept."""
    finest = str(config.finest)
    options = ["--mirror", where, "--symbols", ",".join(config.symbols), "--timeframe", finest, "--port", "0"]
    options += ["--state", str(config.state_dir / ACCOUNT)]
    for name, value in (("--key", config.exchange.key), ("--secret", config.exchange.secret)):
        options += [name, value] if value else []
    return options


@asynccontextmanager
async def local_exchange(options: list[str], log: Path) -> AsyncIterator[str]:
    """The base URL of a local exchange that lives as long as the context; its log goes to the file `log`.

    Raises
    ------
    RehearsalError
        If it does not come up.
    """
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "market.exchange", *options, "--until-stdin-ends",
            stdin=asyncio.subprocess.PIPE,  # held open for as long as this process lives, however it dies
            stdout=asyncio.subprocess.PIPE, stderr=errors, env=listed(),
            start_new_session=True,  # Ctrl-C is the daemon's to hear: it closes first
        )  # fmt: skip
        try:
            yield await _url(child, log)
        finally:
            await _end(child)


async def _url(child: asyncio.subprocess.Process, log: Path) -> str:
    assert child.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = await child.stdout.readline()
    except TimeoutError:
        line = b""
    if not line:
        raise RehearsalError(f"the local exchange did not start: {_last_words(log)}")
    return str(json.loads(line)["url"])


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) or "it said nothing"


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(END_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
