"""Freshness: the history a job works on, brought up to date, checked, and hashed before each run.

All of it is done by ``python -m market gather``, as a process of the lowest priority: decoding candles takes seconds,
and the trading loop waits for none of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from daemon.config import DaemonConfig
from daemon.retraining.config import History

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 2 * 3_600.0
"""How long one process may take: five years of minutes from an exchange take less."""
PART_BYTES = 1 << 16
"""The most that is kept of what a process complains of."""
SHOWN = 12
_LASTING = {2, 7}
"""Exit codes of `python -m market` that trying again does not change: usage, and data missing or broken."""


class FreshnessError(Exception):
    """The history could not be brought together; `lasting` says that trying again cannot help."""

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Prepared:
    """A history in the folder it was prepared in.

    Attributes
    ----------
    data : tuple of Path
        The decision's klines, then finer ones.
    funding, companion : Path, optional
        Funding rates, and the klines of another symbol.
    hashes : dict
        Name of each file -> its SHA-256.
    text : str
        What came of it, in a line.
    """

    data: tuple[Path, ...]
    funding: Path | None
    companion: Path | None
    hashes: dict[str, str]
    text: str


class Freshness:
    """Prepares the history that a configuration asks for; who asks meanwhile waits for the folder's lock."""

    def __init__(self, config: DaemonConfig, history: History) -> None:
        self.take_up(config, history)

    def take_up(self, config: DaemonConfig, history: History) -> None:
        """Go by this section from the next time on."""
        self._history, self._state_dir = history, config.state_dir
        self._symbol = history.symbol or config.symbols[0]
        local = config.exchange.url
        self._api_url = history.api_url or local
        # the real archive says nothing about a local exchange's market
        invented = local is not None and history.api_url is None and history.archive_url is None
        self._source = "api" if history.source == "auto" and invented else history.source
        secret = {config.exchange.key_name, config.exchange.secret_name, "CREDENTIALS_DIRECTORY"}
        self._environment = {name: value for name, value in os.environ.items() if name not in secret}

    async def prepare(self, folder: Path) -> Prepared:
        """Put fresh files into `folder` (made if need be; files of the same names are replaced).

        Raises
        ------
        FreshnessError
            If a source does not answer or refuses, sources disagree beyond the tolerance, a file is damaged, or the
            disk is full; the message holds the differences.
        """
        wanted, symbol = self._history, self._symbol
        words: list[object] = ["gather", "--beside", "--symbol", symbol, "--timeframes", ",".join(wanted.timeframes)]
        words += ["--json", "--quiet", "--from", wanted.since, "--source", self._source, "--tolerate", wanted.tolerate]
        words += ["--folder", wanted.folder, "--out", folder, "--join", self._state_dir]
        words += ["--funding"] if wanted.funding else []
        words += ["--companion", wanted.companion] if wanted.companion else []
        words += ["--api-url", self._api_url] if self._api_url else []
        words += ["--archive-url", wanted.archive_url] if wanted.archive_url else []
        told = json.loads(await self._market(*words))
        data = tuple(map(Path, told["data"]))
        funding, companion = (None if told[key] is None else Path(told[key]) for key in ("funding", "companion"))
        return Prepared(data, funding, companion, told["hashes"], "; ".join(told["told"]))

    async def _market(self, *words: object) -> bytes:
        """What `python -m market` prints, as a process of its own."""
        command = [sys.executable, "-m", "market", *map(str, words)]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await asyncio.gather(process.stdout.read(), _end(process.stderr))
                code = await process.wait()
        except TimeoutError as error:
            raise FreshnessError(f"history was not brought together within {PATIENCE_S:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            said = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()][:SHOWN]
            raise FreshnessError("\n".join(said) or f"`market gather` ended with code {code}", code in _LASTING)
        return out


async def _end(stream: asyncio.StreamReader) -> bytes:
    """Reads all that comes, and gives its last part."""
    kept = b""
    while part := await stream.read(PART_BYTES):
        kept = (kept + part)[-PART_BYTES:]
    return kept
