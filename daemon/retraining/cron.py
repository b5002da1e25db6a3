"""Cron: the five fields of a schedule as crontab means them, in UTC, as a trigger of APScheduler's.

APScheduler counts weekdays from Monday and wants day of month and day of week both to fit; crontab counts from Sunday
and takes either. Numbers are therefore written out as names, and a schedule that restricts both is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler.triggers.cron import CronTrigger

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = ("minute", "hour", "day of month", "month", "day of week")


class CronError(ValueError):
    """A schedule that cannot be read, or would never fire; the message says what is wrong with it."""


def trigger(text: str) -> CronTrigger:
    """The trigger of five fields such as ``30 3 * * sun``: minute, hour, day of month, month, day of week.

    Raises
    ------
    CronError
        If it is not five fields, one of them cannot be read, both days are restricted, or no date ever fits.
    """
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise CronError(f"{text!r} has {len(fields)} fields and needs five: {', '.join(FIELDS)}; such as '30 3 * * 0'")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise CronError(
            f"{text!r} restricts day of month and day of week, of which crontab takes either; restrict one of them"
        )
    parts = (minute, hour, day, month, weekdays(weekday))
    keys = ("minute", "hour", "day", "month", "day_of_week")
    for name, key, part in zip(FIELDS, keys, parts, strict=True):
        try:
            CronTrigger(**{key: part}, timezone=UTC)
        except ValueError as error:
            what = str(error).removeprefix(f"Error validating expression {part!r}: ")
            raise CronError(f"{text!r}: {name} {part!r}: {what}") from error
    made = CronTrigger(**dict(zip(keys, parts, strict=True)), timezone=UTC)
    if made.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise CronError(f"{text!r} never fires: no such date")
    return made


def weekdays(text: str) -> str:
    """A day of week as names: ``0`` and ``7`` are Sunday, ``1-5`` is Monday to Friday, ``fri-mon`` goes round."""
    if text == "*":
        return text
    named: list[str] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        start, end = (0, 6) if span == "*" else (_weekday(first), _weekday(last or (first if not step else "6")))
        if end < start or (dash and last == "7"):
            end += 7
        if step and not (step.isdecimal() and 0 < int(step) <= 7):
            raise CronError(f"day of week {part!r}: a step is a number from 1 to 7")
        named += [DAYS[day % 7] for day in range(start, end + 1, int(step or 1))]
    return ",".join(dict.fromkeys(named))


def _weekday(text: str) -> int:
    """Days since Sunday."""
    if text.lower() in DAYS:
        return DAYS.index(text.lower())
    if text.isdecimal() and int(text) <= 7:
        return int(text) % 7
    raise CronError(f"day of week {text!r}: write 0 to 7 (0 and 7 are Sunday), or {', '.join(DAYS)}")
