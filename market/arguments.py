"""Arguments: what the command lines of this floor read alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from market.timeframes import Timeframe, TimeframeError

MIRRORED = "binanceusdm"
"""The exchange that can be mirrored."""


def timeframe(ctx: click.Context, param: click.Parameter, text: str | None) -> Timeframe | None:
    """A timeframe in the exchange's notation."""
    try:
        return None if text is None else Timeframe.parse(text)
    except TimeframeError as error:
        raise click.BadParameter(str(error)) from error


def instant(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """An instant in UTC, ``2024-06-01`` or ``2024-06-01T12:00``, in ms."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: write a UTC time such as 2024-01-01 or 2024-01-01T12:00") from error
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def speed(ctx: click.Context, param: click.Parameter, text: str) -> float | None:
    """How fast history is played, times real pace; None for by hand."""
    if text in ("manual", "real"):
        return None if text == "manual" else 1.0
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise click.BadParameter(f"{text!r}: write manual, real, or a positive number for so many times real pace")
    return times


def mirrored(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """Whom a mirror follows: the exchange, or the address of a local one."""
    if text is not None and text != MIRRORED and not re.fullmatch(r"https?://[^/\s]+/?", text):
        raise click.BadParameter(f"{text!r}: write {MIRRORED}, or an address such as http://127.0.0.1:18080")
    return text


def symbol(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """A symbol as the exchange names it; None where none is given."""
    if text is not None and not re.fullmatch(r"[A-Z0-9]{2,20}USDT", text):
        raise click.BadParameter(f"{text!r}: write the exchange's name, such as BTCUSDT")
    return text
