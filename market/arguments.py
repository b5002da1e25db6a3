"""Arguments: what the command lines of this floor read alike."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from market.timeframes import Timeframe, TimeframeError


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
