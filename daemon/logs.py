"""Logs: one JSON object a line on stderr, or plain lines on a terminal; what looks like a secret is never rendered.

A thread of its own writes them: a pipe that nobody reads, or a full disk, costs lines and never time.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import IO, Any

import orjson
import structlog

from daemon.batches import Batches

_SECRET_KEY = re.compile(r"secret|token|password|signature|api_?key|listen_?key|authorization|x-mbx", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"((?:signature|listenKey|apiKey|api_key|secret|token|password)[\"']?\s*[=:]\s*[\"']?)[^\s&\"',}]+", re.IGNORECASE
)
HIDDEN = "[hidden]"
LINES = 10_000
"""The most lines that may wait to be written."""
FLUSH_S = 2.0


class Written(logging.Handler):
    """Renders a record at once and has a thread write it; lines that find no room are counted and told of."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self.lost = 0
        self._stream = stream
        self._lines: Batches[str] = Batches("log", self._write, LINES)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # as logging's own handlers do: a record that cannot be rendered ends nothing
            self.handleError(record)
            return
        if not self._lines.put(line):
            self.lost += 1

    def flush(self) -> None:
        """Wait until what was logged so far is written, for a moment at most."""
        self._lines.wait(FLUSH_S)

    def _write(self, lines: Sequence[str]) -> None:
        lost, self.lost = self.lost, 0
        told = [f'{{"event": "{lost} log lines were lost: nobody took them"}}'] if lost else []
        try:
            self._stream.write("\n".join([*told, *lines, ""]))
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, or a stream that was closed: later lines may fare better
            self.lost = lost + len(lines)


def set_up(level: str, to: Path | None = None) -> None:
    """Send the logs of the whole process to stderr, or to the end of the file `to`."""
    stream: IO[str] = sys.stderr if to is None else to.open("a", encoding="utf-8", buffering=1)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    plain = stream.isatty()
    last: list[Any] = [structlog.processors.format_exc_info] if not plain else []
    render: Any = structlog.dev.ConsoleRenderer() if plain else structlog.processors.JSONRenderer(_json)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, redact, render],
    )
    handler = Written(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Log what is at least of that level; chatty libraries never below a warning."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aiohttp", "ccxt", "urllib3", "apprise", "numexpr", "apscheduler", "asyncssh"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def flush() -> None:
    """Have everything logged so far written, before something else is written to the same place."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def redact(logger: Any, name: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values by their key, at any depth, and secrets written into texts, before anything is rendered."""
    for key in list(entry):
        entry[key] = _clean(key, entry[key])
    return entry


def _clean(key: object, value: Any) -> Any:
    if isinstance(key, str) and _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, dict):
        return {k: _clean(k, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(None, v) for v in value]
    return _SECRET_TEXT.sub(rf"\1{HIDDEN}", value) if isinstance(value, str) else value


def _json(entry: Any, **_: Any) -> str:
    return orjson.dumps(entry, default=str).decode()
