"""Timeframes: the length of a candle, and the grid its open times stand on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class TimeframeError(ValueError):
    """The text names no timeframe."""


def utc_text(time_ms: int) -> str:
    """An instant as people write it: ``2024-07-01T12:15Z``, with seconds and milliseconds where it has any."""
    when = datetime.fromtimestamp(time_ms // 1000, UTC)
    if time_ms % 1000:
        return f"{when:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    return f"{when:%Y-%m-%dT%H:%M:%S}Z" if when.second else f"{when:%Y-%m-%dT%H:%M}Z"


@dataclass(frozen=True, order=True)
class Timeframe:
    """A candle length that divides a UTC day, e.g. 15 minutes.

    Attributes
    ----------
    ms : int
        Length in milliseconds.
    """

    ms: int

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Read the exchange's notation: ``1m``, ``15m``, ``1h``, ``1d``.

        Raises
        ------
        TimeframeError
            If the text is not a count and a unit, or does not divide a day.
        """
        count, unit = text[:-1], text[-1:]
        if unit not in _UNIT_MS or not count.isdecimal() or int(count) < 1:
            raise TimeframeError(f"timeframe {text!r}: write a count and one of m, h, d, such as 15m or 1h")
        ms = int(count) * _UNIT_MS[unit]
        if _UNIT_MS["d"] % ms:
            raise TimeframeError(f"timeframe {text!r} does not divide a day; use 1m, 5m, 15m, 30m, 1h, 4h or 1d")
        return cls(ms)

    def __str__(self) -> str:
        for unit in ("d", "h", "m"):
            if self.ms % _UNIT_MS[unit] == 0:
                return f"{self.ms // _UNIT_MS[unit]}{unit}"
        raise TimeframeError(f"{self.ms} ms is no whole number of minutes")

    def floor(self, time_ms: int) -> int:
        """Open time (ms) of the candle that holds the instant `time_ms`."""
        return time_ms - time_ms % self.ms

    def close_time(self, open_time_ms: int) -> int:
        """First instant (ms) after the candle that opened at `open_time_ms`."""
        return open_time_ms + self.ms

    def ratio(self, base: Timeframe) -> int:
        """How many candles of `base` make one of this length.

        Raises
        ------
        TimeframeError
            If `base` does not divide this timeframe.
        """
        if self.ms % base.ms:
            raise TimeframeError(f"{self} candles cannot be made of {base} candles")
        return self.ms // base.ms
