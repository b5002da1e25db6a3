"""Freshness: the history a job works on, brought up to date, checked, and hashed before each run.

Archive and exchange are the final word, and what they said is kept in the history folder. What the daemon heard itself
is joined to a copy of that in the job's inputs, so that a wrong recording never becomes history. Everything that
decodes candles is done by ``python -m market`` as a process of low priority: the trading loop waits for none of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config import DaemonConfig
from daemon.recorder import FILE as RECORDED
from daemon.retraining.config import History

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ".lock"
PATIENCE_S = 2 * 3_600.0
"""How long one process may take: five years of minutes from an exchange take less."""
PART_BYTES, KEPT_BYTES = 1 << 16, 1 << 20
"""The most that is kept of what a process complains of, and of what it answers."""
SHOWN = 12
LOCK_POLL_S = 0.2
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
    """Prepares the history that a configuration asks for, one at a time, whoever asks."""

    def __init__(self, config: DaemonConfig, history: History) -> None:
        self._history, self._state_dir = history, config.state_dir
        self._symbol = history.symbol or config.symbols[0]
        local = config.exchange.url
        self._api_url = history.api_url or local
        # the real archive says nothing about a local exchange's market
        invented = local is not None and history.api_url is None and history.archive_url is None
        self._source = "api" if history.source == "auto" and invented else history.source
        secret = {config.exchange.key_name, config.exchange.secret_name, "CREDENTIALS_DIRECTORY"}
        self._turn = asyncio.Lock()
        self._lock = -1
        self._environment = {name: value for name, value in os.environ.items() if name not in secret}

    async def prepare(self, folder: Path) -> Prepared:
        """Put fresh files into `folder` (made if need be; files of the same names are replaced).

        Raises
        ------
        FreshnessError
            If a source does not answer or refuses, sources disagree beyond the tolerance, a file is damaged, or the
            disk is full; the message holds the differences.
        """
        try:
            for made in (folder, self._history.folder):
                await asyncio.to_thread(made.mkdir, parents=True, exist_ok=True)
            async with self._alone():
                return await self._prepare(folder)
        except OSError as error:
            raise FreshnessError(f"{error.filename or folder}: {error.strerror or error}") from error

    async def _prepare(self, folder: Path) -> Prepared:
        first, *finer = self._history.timeframes
        funding = self._history.funding
        told: list[str] = []
        data = [await self._candles(folder, self._symbol, first, told, funding)]
        data += [await self._candles(folder, self._symbol, timeframe, told) for timeframe in finer]
        for shorter in data[1:]:
            words = ("compare", data[0], shorter, "--tolerate", self._history.tolerate, "--json")
            found = await self._market(*words)
            told.append(f"{found['compared']:,} candles of {first} agree with {shorter.name}, {found['differing']} not")
        rates = None
        if funding and (kept := self._funding_file(self._symbol)).is_file():
            rates = await self._copied(kept, folder)
            await self._market("check", rates, "--json")
        companion = None
        if self._history.companion is not None:
            companion = await self._candles(folder, self._history.companion, first, told)
        files = [path for path in (*data, rates, companion) if path is not None]
        hashes = {path.name: await asyncio.to_thread(sha256, path) for path in files}
        return Prepared(tuple(data), rates, companion, hashes, "; ".join(told))

    async def _candles(self, folder: Path, symbol: str, timeframe: str, told: list[str], funding: bool = False) -> Path:
        """Download what is missing, copy it, join the recording, and check what came out."""
        kept = self._history.folder / f"{symbol}-um-{timeframe}.parquet"
        what = ("--symbol", symbol, "--timeframe", timeframe)
        came = 0
        if self._source != "none":
            words: list[Any] = ["history", *what, "--from", self._history.since, "--source", self._source]
            words += ["--out", kept, "--json"]
            words += ["--funding-out", self._funding_file(symbol)] if funding else []
            words += ["--api-url", self._api_url] if self._api_url else []
            words += ["--archive-url", self._history.archive_url] if self._history.archive_url else []
            fetched = await self._market(*words)
            came = fetched["archived"] + fetched["asked"]
        file = folder / kept.name
        if kept.is_file():
            await self._copied(kept, folder)
        else:
            file.unlink(missing_ok=True)
        joined: Mapping[str, Any] = {"joined": 0, "compared": 0, "differing": 0}
        if await asyncio.to_thread(has_recorded, self._state_dir, symbol, timeframe):
            words = ["history", *what, "--join", self._state_dir, "--tolerate", self._history.tolerate]
            joined = await self._market(*words, "--out", file, "--json")
        if not file.is_file():
            raise FreshnessError(
                f"no {timeframe} candles of {symbol}: {kept} is not there, and the daemon recorded none in "
                f"{self._state_dir}; download them, or set retraining.history.source",
                lasting=True,
            )
        found = await self._market("check", file, "--timeframe", timeframe, "--json")
        told.append(
            f"{symbol} {timeframe}: {found['candles']:,} candles to {found['last']}, {came:,} downloaded, "
            f"{joined['joined']:,} of the daemon's own joined, {joined['compared']:,} compared and "
            f"{joined['differing']} differ, {len(found['gaps'])} gaps"
        )
        return file

    def _funding_file(self, symbol: str) -> Path:
        return self._history.folder / f"{symbol}-um-funding.parquet"

    async def _copied(self, kept: Path, folder: Path) -> Path:
        await asyncio.to_thread(shutil.copyfile, kept, folder / kept.name)
        return folder / kept.name

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Holds the history folder's lock, which a process inherits: one left behind by a killed daemon ends first."""
        async with self._turn:
            self._lock = os.open(self._history.folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                while not _locked(self._lock):  # noqa: ASYNC110 (whoever holds it is another process)
                    await asyncio.sleep(LOCK_POLL_S)
                yield
            finally:
                os.close(self._lock)

    async def _market(self, *words: object) -> dict[str, Any]:
        """What `python -m market` prints as JSON."""
        nice = shutil.which("nice")
        command = [*([nice, "-n", "19"] if nice else []), sys.executable, "-m", "market", *map(str, words)]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, pass_fds=(self._lock,),
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await asyncio.gather(_beginning(process.stdout), _end(process.stderr))
                code = await process.wait()
        except TimeoutError as error:
            raise FreshnessError(f"`market {words[0]}` did not end within {PATIENCE_S:g} s: {words[-2]}") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise FreshnessError(_failure(words, code, out, err), code in _LASTING)
        try:
            told: dict[str, Any] = json.loads(out)
        except ValueError as error:
            raise FreshnessError(f"`market {words[0]}` printed no JSON of at most {KEPT_BYTES} bytes") from error
        return told


def has_recorded(state_dir: Path, symbol: str, timeframe: str) -> bool:
    """Whether the daemon of a state directory recorded any candle of the pair; blocks."""
    file = state_dir / RECORDED
    if not file.is_file():
        return False
    query = "SELECT 1 FROM candles WHERE symbol = ? AND timeframe = ? LIMIT 1"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(query, (symbol, timeframe)).fetchone() is not None
    except sqlite3.Error as error:
        raise FreshnessError(f"{file}: cannot be read: {error}") from error


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file; blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """Reads all that comes, and gives its first part."""
    kept = bytearray()
    while part := await stream.read(PART_BYTES):
        kept += part[: KEPT_BYTES - len(kept)]
    return bytes(kept)


async def _end(stream: asyncio.StreamReader) -> bytes:
    """Reads all that comes, and gives its last part."""
    kept = b""
    while part := await stream.read(PART_BYTES):
        kept = (kept + part)[-PART_BYTES:]
    return kept


def _failure(words: tuple[object, ...], code: int, out: bytes, err: bytes) -> str:
    said = err.decode("utf-8", "replace").strip().splitlines()
    if not said:  # `check` tells what is wrong on standard output
        said = [out.decode("utf-8", "replace").strip()[:2_000]]
    if len(said) > SHOWN:
        said = [*said[: SHOWN - 2], f"… {len(said) - SHOWN + 1} lines more", said[-1]]
    return "\n".join([f"`market {words[0]}` ended with exit code {code}:", *said])
